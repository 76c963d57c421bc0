"""Topic 10: the layers for dropout of units and of weights."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from oracles import regularization as oracle
from support.layer import check_layer
from support.twins import wrong_twin

from tf_kit.regularization import DropConnect, Dropout, dropout

rng = np.random.default_rng(10)
X = rng.normal(size=(4, 3)) * [1, 2, 0.5]
KERNEL, BIAS = rng.normal(size=(3, 2)), np.array([2.0, -1.5])
ONES = np.ones((500, 400), "float32")


def check_units(module):
    """Outputs are zero or x / (1 − r), and the fraction of zeros is the rate within 5 standard errors."""
    rate = 0.2
    y = np.asarray(module.Dropout(rate, seed=0)(3 * ONES, training=True))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 3 / (1 - rate), rtol=1e-6)
    bound = 5 * math.sqrt(rate * (1 - rate) / ONES.size)
    np.testing.assert_allclose(np.mean(~kept), rate, atol=bound)
    np.testing.assert_allclose(np.mean(~kept, axis=0), rate, atol=5 * math.sqrt(rate * (1 - rate) / 500))


def drop_connect(module, **arguments):
    layer = module.DropConnect(2, 0.4, dtype="float64", **arguments)
    layer.build((None, 3))
    layer.kernel.assign(KERNEL)
    layer.bias.assign(BIAS)
    return layer


def check_weights(module):
    """With one mask per example, mean and variance equal those over all masks, by enumeration."""
    n = 40000
    layer = drop_connect(module, per_example=True, seed=1)
    y = np.asarray(layer(np.repeat(X[:1], n, axis=0), training=True))
    mean, variance = oracle.drop_connect_moments(X[:1], KERNEL, BIAS, 0.4)
    np.testing.assert_allclose(y.mean(axis=0), mean[0], atol=5 * np.sqrt(variance[0].max() / n))
    np.testing.assert_allclose(y.var(axis=0), variance[0], rtol=0.05)


def check_mean_inference(module):
    mean, _ = oracle.drop_connect_moments(X, KERNEL, BIAS, 0.4)
    np.testing.assert_allclose(drop_connect(module)(X), mean, rtol=1e-9)


def check_gaussian_inference(module):
    """E relu(u) = μ Φ(μ/s) + s φ(μ/s) for u ~ N(μ, s²), with the moments by enumeration."""
    layer = drop_connect(module, activation="relu", inference="gaussian", num_points=200)
    mean, variance = oracle.drop_connect_moments(X, KERNEL, BIAS, 0.4)
    z = mean / np.sqrt(variance)
    above = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    expected = mean * above + np.sqrt(variance) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(layer(X), expected, atol=0.01 * np.sqrt(variance.max()))


CHECKS = [check_units, check_weights, check_mean_inference, check_gaussian_inference]


@pytest.mark.parametrize("check", CHECKS)
def test_equals_the_paper(check):
    check(dropout)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_units, "shape, seed_generator) >= rate", "shape, seed_generator) < rate"),
        (check_units, "ops.where(kept, inputs / (1 - self.rate)", "ops.where(kept, inputs / self.rate"),
        (check_units, "inputs, shape, seed_generator) >=", "inputs, (*shape[1:], 1), seed_generator) >="),
        (check_weights, "self.kernel.dtype) * self.kernel / (1 - self.rate)", "self.kernel.dtype) * self.kernel"),
        (check_weights, "outputs += ops.cast(kept, outputs.dtype) *", "outputs += (1 - self.rate) *"),
        (check_mean_inference, "return super().call(inputs)", "return (1 - self.rate) * super().call(inputs)"),
        (check_gaussian_inference, "self.rate / (1 - self.rate) * variance", "self.rate * variance"),
        (check_gaussian_inference, "variance + ops.square(bias)", "variance"),
        (check_gaussian_inference, "ops.sqrt(self.rate", "(self.rate"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(dropout, right, wrong))


def test_slide_alpha_is_the_probability_of_keeping():
    """Slide: "each unit has probability α to be included, 0.8 for input units". A rate of α drops 80 %."""
    alpha = 0.8
    printed = np.asarray(Dropout(alpha, seed=0)(ONES, training=True))
    meant = np.asarray(Dropout(1 - alpha, seed=0)(ONES, training=True))
    assert np.mean(printed == 0) == pytest.approx(0.8, abs=0.01)
    assert np.mean(meant == 0) == pytest.approx(0.2, abs=0.01)


def test_slide_scaling_again_at_prediction_is_wrong():
    """Slide: "weights going out from a unit is multiplied by α". Here training applied this scale already."""
    outputs = np.asarray(Dropout(0.5, seed=0)(ONES, training=True))
    assert outputs.mean() == pytest.approx(ONES.mean(), abs=0.02)
    np.testing.assert_array_equal(Dropout(0.5)(ONES), ONES)


def test_draws_one_mask_per_batch_or_per_example():
    x = np.repeat(X[:1], 50, axis=0)
    together = np.asarray(drop_connect(dropout, seed=1)(x, training=True))
    np.testing.assert_array_equal(together, np.repeat(together[:1], 50, axis=0))
    apart = np.asarray(drop_connect(dropout, seed=1, per_example=True)(x, training=True))
    assert len(np.unique(apart.round(6), axis=0)) > 20


def test_gaussian_inference_of_a_linear_unit_is_the_mean():
    linear = drop_connect(dropout, inference="gaussian", num_points=3)
    np.testing.assert_allclose(linear(X), drop_connect(dropout)(X), rtol=1e-9)


def test_equals_dense_without_dropping():
    layer, dense = DropConnect(2, 0.0), keras.layers.Dense(2)
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer(x), dense(x)
    dense.set_weights(layer.get_weights()[:2])
    np.testing.assert_allclose(layer(x, training=True), dense(x), rtol=1e-6)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


def test_middle_axes_share_the_weights_of_their_example():
    layer = drop_connect(dropout, per_example=True, seed=2)
    y = np.asarray(layer(np.ones((6, 5, 3)), training=True))
    assert y.shape == (6, 5, 2)
    np.testing.assert_allclose(y, np.repeat(y[:, :1], 5, axis=1), rtol=1e-12)
    assert not np.allclose(y[0], y[1])


def test_gradient_flows_only_through_kept_units():
    import tensorflow as tf

    x = tf.constant(ONES[:3, :4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Dropout(0.5, seed=0)(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), np.where(np.asarray(y) != 0, 2.0, 0.0))


def test_gaussian_inference_in_half_precision_squares_large_inputs():
    x = np.full((2, 400), 300.0)
    layers = [
        DropConnect(3, 0.5, inference="gaussian", activation="tanh", dtype=dtype, kernel_initializer="ones")
        for dtype in ("mixed_float16", "float32")
    ]
    got, expected = (layer(x) for layer in layers)
    assert got.dtype == "float16"
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize(
    "factory",
    [
        lambda: Dropout(0.5, seed=0),
        lambda: DropConnect(
            3, 0.5, seed=0, kernel_initializer="identity", inference="gaussian", activation="tanh"
        ),
        pytest.param(
            lambda: DropConnect(3, 0.5, seed=0, kernel_initializer="identity", per_example=True),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_keeps_the_layer_contract(factory):
    check_layer(factory, rng.normal(size=(4, 3)).astype("float32"), training_random=True)


def test_loaded_model_continues_the_sequence_of_masks(tmp_path):
    model = keras.Sequential([keras.Input((8,)), Dropout(0.5, seed=0)])
    model(ONES[:2, :8], training=True)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    expected = model(ONES[:2, :8], training=True)
    np.testing.assert_array_equal(restored(ONES[:2, :8], training=True), expected)


def test_propagates_keras_masks():
    x = keras.layers.Embedding(4, 3, mask_zero=True)(ops.array([[1, 0]]))
    assert keras.src.backend.get_keras_mask(Dropout(0.5)(x)) is not None


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: Dropout(1.0), "rate=1.0. `rate` is the probability of dropping"),
        (lambda: Dropout(-0.1), "rate=-0.1"),
        (lambda: Dropout(0.5, seed=-1), "seed=-1"),
        (lambda: DropConnect(3, 1.5), "rate=1.5"),
        (lambda: DropConnect(3, 0.5, inference="median"), "inference='median'"),
        *(
            (
                lambda name=name: DropConnect(4, 0.5, activation=name, inference="gaussian"),
                f"inference='gaussian'. Put the {name}",
            )
            for name in ("softmax", "log_softmax", "sparsemax", "glu")
        ),
        (lambda: DropConnect(3, 0.5, num_points=0), "num_points=0"),
        (lambda: DropConnect(3, 0.5, num_points=400), "num_points=400"),
        (lambda: DropConnect(3, 0.5, seed=0.5), "seed=0.5"),
    ],
)
def test_refuses_bad_arguments(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        make()
