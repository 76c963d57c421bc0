"""Masked vectors: number of hidden features, loss over these only, any encoder."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from pretraining import methods
from support.twins import wrong_twin

from tf_kit import data
from tf_kit.pretraining import ExampleRandom, MaskedVectors, knn_accuracy
from tf_kit.pretraining.masked import vectors as masked_vectors

DENSE = keras.layers.Dense
LOSSES = {"cross_entropy": oracle.cross_entropy, "squared_error": oracle.squared_error}


def examples(n=5, shape=(8,), seed=0):
    return np.random.default_rng(seed).random((n, *shape)).astype("float32")


def model_of(module=masked_vectors, shape=(8,), **arguments):
    """Model with an encoder and a decoder, and with trained values that are not zero."""
    first, second = (keras.initializers.GlorotUniform(seed) for seed in (1, 2))
    encoder = keras.Sequential([keras.layers.Flatten(), DENSE(4, "tanh", kernel_initializer=first)])
    decoder = DENSE(8, kernel_initializer=second)
    model = module.MaskedVectors(encoder, decoder=decoder, **{"seed": 1, "loss": "squared_error"} | arguments)
    model.build((None, *shape))
    model.mask_values.assign(np.random.default_rng(7).random(shape))
    return model


def check_number_of_hidden(module):
    for ratio, count in ((0.01, 1), (0.25, 2), (0.5, 4), (0.99, 7)):
        masked = np.asarray(model_of(module, mask_ratio=ratio).draw_masked(examples(200)))
        assert masked.sum(axis=1).tolist() == [count] * 200
        assert masked.any(axis=0).all()


def check_cost(module):
    """The loss is the mean over the hidden features, in whose place the encoder gets the trained values."""
    x = examples()
    for loss, of_feature in LOSSES.items():
        model = model_of(module, loss=loss)
        values, outputs = model.per_example(x, None, ExampleRandom(1, 3, 5), training=True)
        assert outputs is None
        masked = np.asarray(model.draw_masked(x, ExampleRandom(1, 3, 5)))
        seen = np.where(masked, model.mask_values, x)  # (1)
        z = np.asarray(model.decode(model.encoder(seen)), "float64")  # (2)
        for row in range(5):
            terms = [of_feature(x[row, j : j + 1].astype("float64"), z[row, j : j + 1]) for j in range(8)]
            np.testing.assert_allclose(
                values["loss"][row], np.mean(np.array(terms)[masked[row]]), rtol=1e-4
            )  # (3)


def check_outputs_do_not_depend_on_hidden_features(module):
    x, model = examples(), model_of(module)
    masked = np.asarray(model.draw_masked(x))
    other = np.where(masked, x + 1, x)
    filled = [np.asarray(model.reconstruct(each, masked)) for each in (x, other)]
    np.testing.assert_array_equal(*filled)
    np.testing.assert_array_equal(filled[0][~masked], x[~masked])
    assert np.abs(filled[0] - x)[masked].max() > 0.1


CHECKS = [check_number_of_hidden, check_cost, check_outputs_do_not_depend_on_hidden_features]


@pytest.mark.parametrize("check", CHECKS)
def test_masks_and_loss(check):
    check(masked_vectors)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_number_of_hidden, "features - round(self.mask_ratio * features)", "round(self.mask_ratio * features)"),
        (check_number_of_hidden, "features - 1)", "features)"),
        (check_number_of_hidden, "visible)[2]", "visible)[2][:, ::-1] | True"),
        (check_cost, "total / ops.sum(weights, axis=-1)", "total / 8"),
        (check_cost, "weights * ops.reshape(loss", "ops.reshape(loss"),
        (check_cost, "ops.cast(self.mask_values, dtype)", "ops.zeros_like(x)"),
        (check_cost, "self.decoded(self.cover(x, masked), training", "self.decoded(x, training"),
        (check_outputs_do_not_depend_on_hidden_features, "self.cover(x, masked), training=False", "x, training=False"),
        (check_outputs_do_not_depend_on_hidden_features, "ops.shape(x)), x)", "ops.shape(x)), x + 1)"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, TypeError)):
        check(wrong_twin(masked_vectors, right, wrong))


def test_masks_differ_between_examples_and_steps():
    model, x = model_of(), examples(40)

    def masks(step=0, seed=1, first=0, count=40):
        return np.asarray(model.draw_masked(x[:count], ExampleRandom(seed, step, count, first, 40)))

    whole = masks()
    assert len({tuple(row) for row in whole}) > 10
    np.testing.assert_array_equal(whole, np.concatenate([masks(count=25), masks(first=25, count=15)]))
    assert np.any(whole != masks(step=1))
    assert np.any(whole != masks(seed=2))


def test_values_in_hidden_places_are_trained():
    model = model_of()
    with tf.GradientTape() as tape:
        values, _ = model.per_example(examples(), None, ExampleRandom(0, 0, 5), training=True)
        loss = tf.reduce_mean(values["loss"])
    gradient = tape.gradient(loss, model.mask_values)
    assert np.abs(gradient).max() > 1e-4


def test_data_set_may_leave_the_number_of_features_open():
    x = examples(12)
    spec = tf.TensorSpec((None, None), "float32")
    batches = tf.data.Dataset.from_generator(lambda: iter((x[:6], x[6:])), output_signature=spec)
    losses = []
    for given in (tf.data.Dataset.from_tensor_slices(x).batch(6), batches):
        model = model_of()
        model.compile(keras.optimizers.SGD(0.1))
        losses += model.fit(given, verbose=0).history["loss"]
    assert losses[0] == losses[1]


def test_images_equal_flattened_vectors():
    x = examples(6, (2, 4, 1))
    flat, square = model_of(), model_of(shape=(2, 4, 1))
    square.mask_values.assign(np.reshape(flat.mask_values, (2, 4, 1)))
    random = [ExampleRandom(0, 0, 6) for _ in range(2)]
    ours = square.per_example(x, None, random[0], training=True)[0]["loss"]
    theirs = flat.per_example(x.reshape(6, 8), None, random[1], training=True)[0]["loss"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert square.reconstruct(x).shape == x.shape


@pytest.mark.slow
def test_learns_digits():
    """Nearest neighbors are better than on the untrained encoder, and a linear probe much better."""
    train, val, _ = data.load("digits", seed=0)
    encoder = methods.dense_encoder()
    before = knn_accuracy(encoder, train, val, k=5), methods.probe_accuracy(encoder, train, val)
    decoder = keras.Sequential([DENSE(128, "relu"), DENSE(64)])
    model = MaskedVectors(encoder, decoder=decoder, mask_ratio=0.5)
    model.compile(keras.optimizers.Adam(0.003))
    model.fit(train.x, batch_size=64, epochs=25, verbose=0)
    after = knn_accuracy(encoder, train, val, k=5), methods.probe_accuracy(encoder, train, val)
    assert after[0] > max(0.9, before[0] + 0.01), (before, after)
    assert after[1] > max(0.9, before[1] + 0.04), (before, after)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: model_of(mask_ratio=0), "mask_ratio=0"),
        (lambda: model_of(mask_ratio=1), "mask_ratio=1"),
        (lambda: model_of(shape=(1,)), r"at least two features.*shape \(1,\)"),
        (lambda: model_of(shape=(1, 1, 1)), r"at least two features.*shape \(1, 1, 1\)"),
        (lambda: model_of(loss="hinge"), "loss='hinge'"),
        (lambda: MaskedVectors("dense"), "Received: str"),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()
