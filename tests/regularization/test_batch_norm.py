"""Topic 11: batch normalization against the paper and Keras, its invariance, masks and precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from oracles import regularization as oracle
from support.layer import check_layer
from support.twins import wrong_twin

from tf_kit.regularization import BatchNorm, batch_norm

rng = np.random.default_rng(11)
X = rng.normal(size=(7, 3)) * [1, 5, 0.1] + [0, 100, -1]
GAMMA, BETA = np.array([1.5, -0.5, 2.0]), np.array([0.1, 0.0, -3.0])
VISIBLE = np.array([True, False, True, True, False, True, True])


def layer_of(module, **arguments):
    layer = module.BatchNorm(dtype="float64", **arguments)
    layer.build((None, 3))
    layer.gamma.assign(GAMMA)
    layer.beta.assign(BETA)
    return layer


def check_forward(module):  # equations (1) to (4)
    expected, *_ = oracle.batch_norm(X, GAMMA, BETA, 1e-3)
    np.testing.assert_allclose(layer_of(module)(X, training=True), expected, rtol=1e-9)


def check_moving(module):  # equation (5)
    layer = layer_of(module, momentum=0.8)
    _, mean, variance = oracle.batch_norm(X, GAMMA, BETA, 1e-3)
    for _ in range(2):
        layer(X, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), (1 - 0.8**2) * mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.8**2 + (1 - 0.8**2) * variance, rtol=1e-6)
    root = np.sqrt(layer.moving_variance.numpy() + 1e-3)
    expected = GAMMA * (X - layer.moving_mean.numpy()) / root + BETA
    np.testing.assert_allclose(layer(X, training=False), expected, rtol=1e-9)


def check_gradient(module):
    slopes = np.random.default_rng(1).normal(size=X.shape)
    layer, x = layer_of(module), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, training=True) * slopes)
    found = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    for got, expected in zip(found, oracle.batch_norm_gradients(X, GAMMA, 1e-3, slopes), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)


def check_mask(module):
    """Masked rows do not count in the statistics, whatever their values."""
    x = np.where(VISIBLE[:, None], X, 1e3)
    layer = layer_of(module, momentum=0.0)
    y = layer(x, training=True, mask=ops.convert_to_tensor(VISIBLE))
    expected, mean, variance = oracle.batch_norm(x, GAMMA, BETA, 1e-3, VISIBLE)
    np.testing.assert_allclose(y, expected, rtol=1e-8)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-8)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-8)


def check_far_from_zero(module):
    """At an offset of 10⁴ float32 keeps the variance of 1, which E[x²] − E[x]² would lose (FLT_EPSILON · 10⁸ = 12)."""
    x = (np.random.default_rng(2).normal(size=(5000, 2)) + 1e4).astype("float32")
    layer = module.BatchNorm(momentum=0.0)
    y = layer(x, training=True)
    expected, mean, variance = oracle.batch_norm(x, [1, 1], [0, 0], 1e-3)
    np.testing.assert_allclose(y, expected, atol=1e-3)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-7)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)


CHECKS = [check_forward, check_moving, check_gradient, check_mask, check_far_from_zero]


@pytest.mark.parametrize("check", CHECKS)
def test_equals_the_paper(check):
    check(batch_norm)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_forward, "ops.sqrt(variance + self.epsilon)", "variance + self.epsilon"),
        (check_moving, "t = -mean * s", "t = mean * s"),
        (check_moving, "rho * old + (1 - rho)", "(1 - rho) * old + rho"),
        (check_moving, "origin + mean, variance, counted", "mean, variance, counted"),
        (check_gradient, "variance = ops.maximum(squares / m - ops.square(mean), 0)",
         "variance = ops.stop_gradient(ops.maximum(squares / m - ops.square(mean), 0))"),
        (check_gradient, "mean = total / m", "mean = ops.stop_gradient(total / m)"),
        (check_mask, "counted = ops.sum(self._unmasked(entries, mask))", "counted = ops.sum(entries)"),
        (check_mask, "seen = self._unmasked(x, mask)", "seen = x"),
        (check_far_from_zero, "ops.stop_gradient(total / ops.maximum(counted, 1))", "ops.zeros_like(total)"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(batch_norm, right, wrong))


def test_is_invariant_to_a_x_plus_b():
    layer = BatchNorm(epsilon=1e-12, dtype="float64")
    y = layer(X, training=True)
    np.testing.assert_allclose(layer([3.0, 0.1, 20.0] * X - [7, 1e3, 0], training=True), y, rtol=1e-6)
    np.testing.assert_allclose(layer(-X, training=True), -np.asarray(y), rtol=1e-6)


def test_the_last_step_undoes_the_first_three():
    layer = BatchNorm(dtype="float64")
    layer.build(X.shape)
    layer.gamma.assign(np.sqrt(X.var(axis=0) + layer.epsilon))
    layer.beta.assign(X.mean(axis=0))
    np.testing.assert_allclose(layer(X, training=True), X, rtol=1e-9)


def test_equals_keras():
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    ours, theirs = BatchNorm(), keras.layers.BatchNormalization()
    mask = rng.random((6, 4)) < 0.6
    for arguments in ({"training": True}, {"training": True, "mask": mask}, {"training": False}):
        np.testing.assert_allclose(ours(x, **arguments), theirs(x, **arguments), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.moving_mean.numpy(), theirs.moving_mean.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.moving_variance.numpy(), theirs.moving_variance.numpy(), rtol=1e-4)


def test_normalizes_any_feature_axis():
    x = rng.normal(size=(5, 3, 2, 4))
    last = BatchNorm(dtype="float64")(np.moveaxis(x, 1, -1), training=True)
    for axis in (1, -3):
        y = BatchNorm(axis=axis, dtype="float64")(x, training=True)
        np.testing.assert_allclose(np.moveaxis(y, 1, -1), last, rtol=1e-12)


def test_without_scale_or_shift():
    layer = BatchNorm(center=False, scale=False, dtype="float64")
    np.testing.assert_allclose(np.mean(layer(X, training=True), axis=0), 0, atol=1e-12)
    assert layer.trainable_variables == []


def test_zero_variance_and_a_batch_of_one():
    layer = BatchNorm()
    np.testing.assert_array_equal(layer(np.full((4, 2), 0.1, "float32"), training=True), np.zeros((4, 2)))
    np.testing.assert_array_equal(layer(np.full((1, 2), 7.0, "float32"), training=True), np.zeros((1, 2)))


def test_frozen_layers_and_fully_masked_batches_change_nothing():
    layer = BatchNorm()
    layer.build((None, 3))
    x = ops.convert_to_tensor(X, "float32")
    y = layer(x, training=True, mask=ops.zeros((7,), "bool"))
    assert np.isfinite(np.asarray(y)).all()
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), X / np.sqrt(1 + 1e-3), rtol=1e-6)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.zeros(3))
    np.testing.assert_array_equal(layer.moving_variance.numpy(), np.ones(3))


def test_half_precision_does_not_overflow():
    layer = BatchNorm(dtype="mixed_float16")
    y = layer((rng.normal(size=(64, 2)) * 1000).astype("float16"), training=True)
    np.testing.assert_allclose(np.std(np.asarray(y, "float64"), axis=0), 1, rtol=1e-2)


@pytest.mark.parametrize("shape", [pytest.param((5, 3), marks=pytest.mark.slow), (4, 2, 3)])
def test_keeps_the_layer_contract(shape):
    check_layer(BatchNorm, rng.normal(size=shape).astype("float32"))


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: BatchNorm(momentum=1.0), "momentum=1.0"),
        (lambda: BatchNorm(epsilon=0), "epsilon=0"),
        (lambda: BatchNorm(axis=2)(X), r"axis=2 with input shape \(7, 3\)"),
        (lambda: BatchNorm(axis=0)(X), "axis=0"),
        *(
            (lambda axis=axis: BatchNorm(axis=axis), f"axis={axis!r}".replace("[1]", r"\[1\]"))
            for axis in (None, 1.5, "x", True, [1])
        ),
        (lambda: BatchNorm()(X, training=True, mask=VISIBLE[:, None]), r"mask of shape \(7, 1\) with inputs"),
        *(
            (
                lambda shape=shape: BatchNorm()(np.ones((4, 6, 3)), training=True, mask=np.ones(shape, bool)),
                rf"mask of shape \({shape[0]}, {shape[1]}\) with inputs of shape \(4, 6, 3\)",
            )
            for shape in ((4, 1), (1, 6), (2, 6), (4, 3))  # the first two would be broadcast
        ),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()
