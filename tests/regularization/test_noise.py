"""Noise on inputs, on units and on normalized sums."""

import numpy as np
import pytest
from support.layer import check_layer
from support.twins import wrong_twin

from tf_kit.regularization import BatchNorm, GaussianNoise, NoisyBatchNorm, noise

ONES = np.ones((400, 500), "float32")


def check_moments(module):
    """Mean and variance of every unit within 5 standard errors, and no correlation of examples or of units."""
    z = np.asarray(module.GaussianNoise(0.3, seed=0)(2 * ONES, training=True)) - 2
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=5 * 0.3 / np.sqrt(400))
    np.testing.assert_allclose(z.std(), 0.3, rtol=5 / np.sqrt(2 * ONES.size))
    np.testing.assert_allclose(np.mean(z**4) / np.mean(z**2) ** 2, 3, rtol=0.05)  # of a normal distribution
    np.testing.assert_allclose(np.corrcoef(z[:50]) - np.eye(50), 0, atol=5 / np.sqrt(500))
    np.testing.assert_allclose(np.corrcoef(z[:, :50].T) - np.eye(50), 0, atol=5 / np.sqrt(400))


def check_noise_of_normalized_sums(module):
    """Every feature has the mean β and the variance γ² (1 + s²), whatever its scale before."""
    x = np.random.default_rng(1).normal(size=(20_000, 2)) * [0.1, 100] + [5, -300]
    layer = module.NoisyBatchNorm(0.5, seed=0, epsilon=1e-6)
    layer.build(x.shape)
    layer.gamma.assign([1.0, 3.0])
    layer.beta.assign([0.0, 7.0])
    y = np.asarray(layer(x.astype("float32"), training=True))
    np.testing.assert_allclose(y.mean(axis=0), [0, 7], atol=5 * 3.4 / np.sqrt(len(x)))
    np.testing.assert_allclose(y.var(axis=0), np.array([1, 9]) * 1.25, rtol=0.05)


@pytest.mark.parametrize("check", [check_moments, check_noise_of_normalized_sums])
def test_has_the_moments_of_the_equation(check):
    check(noise)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_moments, "self.stddev * z", "self.stddev**2 * z"),
        (check_moments, "inputs + ops.cast(", "inputs + inputs * ops.cast("),
        (check_moments, "keras.random.normal, inputs, ops.shape(inputs)[1:]", "keras.random.normal, inputs, (1,)"),
        (check_moments, "keras.random.normal,", "keras.random.uniform,"),
        (check_noise_of_normalized_sums, "noise *= ops.cast(", "noise *= ops.cast(2 * "),
        (check_noise_of_normalized_sums, "if self.scale:", "if False:"),
        (check_noise_of_normalized_sums, "ops.zeros_like(outputs", "ops.ones_like(outputs"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(noise, right, wrong))


def test_changes_nothing_at_inference_or_without_noise():
    np.testing.assert_array_equal(GaussianNoise(0.3, seed=0)(ONES), ONES)
    np.testing.assert_array_equal(GaussianNoise(0.0)(ONES, training=True), ONES)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    for training in (False, True):
        without = NoisyBatchNorm(0.0)(x, training=training)
        np.testing.assert_array_equal(without, BatchNorm()(x, training=training))
    np.testing.assert_array_equal(NoisyBatchNorm(0.3)(x), BatchNorm()(x))
    np.testing.assert_array_equal(NoisyBatchNorm(0.3, trainable=False)(x, training=True), BatchNorm()(x))


@pytest.mark.parametrize(
    "factory",
    [
        lambda: GaussianNoise(0.5, seed=0),
        pytest.param(lambda: NoisyBatchNorm(0.5, seed=0), marks=pytest.mark.slow),
    ],
)
def test_keeps_the_layer_contract(factory):
    inputs = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    check_layer(factory, inputs, training_random=True)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: GaussianNoise(-0.1), "stddev=-0.1"),
        (lambda: GaussianNoise(0.5, seed=-1), "seed=-1"),
        (lambda: NoisyBatchNorm(-0.1), "stddev=-0.1"),
        (lambda: NoisyBatchNorm(0.1, momentum=1.0), "momentum=1.0"),
    ],
)
def test_refuses_bad_arguments(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        make()
