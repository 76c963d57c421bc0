"""Gradient caching: chunks give the gradient of the whole batch and keep the activations of one chunk at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.twins import wrong_twin

from tf_kit import regularization
from tf_kit.pretraining import BYOL, DINO, NNCLR, BarlowTwins, LeJEPA, SimCLR, SimSiam, SupCon, VICReg
from tf_kit.pretraining.joint_embedding import gradient_caching
from tf_kit.pretraining.joint_embedding.simclr import nt_xent

DENSE = keras.layers.Dense
METHODS = [SimCLR, BYOL, DINO, SimSiam, NNCLR, SupCon, BarlowTwins, VICReg, LeJEPA]


def images(n=11, seed=0):
    return np.random.default_rng(seed).random((n, 4, 4, 1)).astype("float32")


def encoder(dropout=0.0):
    glorot = [keras.initializers.GlorotUniform(seed) for seed in (1, 2)]
    layers = [
        keras.layers.Conv2D(3, 3, activation="tanh", kernel_initializer=glorot[0]),
        keras.layers.Flatten(),
        keras.layers.Dropout(dropout, seed=3),
        DENSE(5, kernel_initializer=glorot[1]),
        keras.layers.LayerNormalization(),
    ]
    return keras.Sequential([keras.Input((4, 4, 1)), *layers])


def loss_of(h):
    return nt_xent(h[::2], h[1::2], temperature=0.3)


def gradient_of(encoder, encode, x):
    with tf.GradientTape() as tape:
        h = encode(x)
        loss = loss_of(h)
    return np.asarray(h), tape.gradient(loss, encoder.trainable_variables)


def check_equals_the_whole_batch(module):
    x = images(10)
    net = encoder()
    h, expected = gradient_of(net, lambda x: net(x, training=True), x)
    for size in (1, 4, 5, 10, 99):
        ours, gradient = gradient_of(net, lambda x, size=size: module.encode_in_chunks(net, x, size), x)
        np.testing.assert_allclose(ours, h, atol=1e-6)
        for mine, whole in zip(gradient, expected, strict=True):
            np.testing.assert_allclose(mine, whole, rtol=1e-5, atol=1e-6)


def check_masks_of_dropout(module):
    """Back-propagation uses the masks of the forward pass, which are those of one call per chunk."""
    x = images(10)
    net, chunks = encoder(dropout=0.5), encoder(dropout=0.5)

    def one_call_per_chunk(x):
        return tf.concat([net(x[i : i + 4], training=True) for i in range(0, 10, 4)], axis=0)

    for _ in range(2):
        h, expected = gradient_of(net, one_call_per_chunk, x)
        ours, gradient = gradient_of(chunks, lambda x: module.encode_in_chunks(chunks, x, 4), x)
        np.testing.assert_allclose(ours, h, atol=1e-6)
        for mine, whole in zip(gradient, expected, strict=True):
            np.testing.assert_allclose(mine, whole, rtol=1e-5, atol=1e-6)


CHECKS = [check_equals_the_whole_batch, check_masks_of_dropout]


@pytest.mark.parametrize("check", CHECKS)
def test_gradient(check):
    check(gradient_caching)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_equals_the_whole_batch, "total + part for total, part", "part for total, part"),
        (check_equals_the_whole_batch, "dh[rows(i)]", "dh[: tf.shape(h)[0]]"),
        (check_equals_the_whole_batch, "parts.concat()", "parts.stack()"),
        (check_masks_of_dropout, "add_chunk, (0, start, zeros)", "add_chunk, (0, tuple(s + 1 for s in start), zeros)"),
        (check_masks_of_dropout, "state.assign(value)", "pass"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, ValueError, tf.errors.InvalidArgumentError)):
        check(wrong_twin(gradient_caching, right, wrong))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_chunks_do_not_change_the_weights(method):
    """Batches of 8 and 3 examples; their views are encoded in chunks of 6, 6 and 4, and of 6."""
    histories, weights = [], []
    for chunk_size in (None, 3):
        augment = regularization.AddNoise(0.2)
        model = method(encoder(), projector=(6, 4), augment=augment, chunk_size=chunk_size)
        learning_rate = 0.002 if method is DINO else 0.05  # its division by 0.04 enlarges rounding
        model.compile(
            keras.optimizers.SGD(learning_rate), run_eagerly=method is not SimCLR
        )  # SimCLR in a graph
        histories.append(model.fit(images(), batch_size=8, epochs=2, verbose=0).history["loss"])
        weights.append(model.get_weights())
    # Rows of the queue of NNCLR are directions of short embeddings, which enlarges rounding.
    atol = 5e-5 if method is NNCLR else 1e-5
    np.testing.assert_allclose(*histories, rtol=1e-5)
    for whole, chunked in zip(*weights, strict=True):
        np.testing.assert_allclose(chunked, whole, rtol=1e-5, atol=atol)


def test_encodes_one_chunk_at_a_time():
    rows = []

    class Counting(keras.layers.Dense):
        def call(self, inputs, training=None):
            rows.append(inputs.shape[0])
            return super().call(inputs)

    net = Counting(3)
    net.build((None, 4))
    x = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    gradient_of(net, lambda x: gradient_caching.encode_in_chunks(net, x, 4), x)
    assert rows == [4, 4, 2] * 2, "once to encode, once more to back-propagate"


def test_refuses_batch_norm_in_the_encoder():
    net = keras.Sequential([keras.layers.Flatten(), DENSE(3), regularization.BatchNorm(name="norm_of_mine")])
    with pytest.raises(ValueError, match=r"chunk_size.*norm_of_mine"):
        SimCLR(net, chunk_size=2).prepare(images(1))


def test_accepts_batch_norm_in_the_projector():
    model = SimCLR(encoder(), projector=(6, 4), chunk_size=2)
    model.prepare(images(1))
    assert model.built
