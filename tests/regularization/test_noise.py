"""Noise on inputs and units: the layer `GaussianNoise`."""

import numpy as np
import pytest
from support.layer import check_layer
from support.twins import wrong_twin

from tf_kit.regularization import GaussianNoise, noise

ONES = np.ones((400, 500), "float32")


def check_moments(module):
    """Mean and variance of every unit within 5 standard errors, and no correlation of examples or of units."""
    z = np.asarray(module.GaussianNoise(0.3, seed=0)(2 * ONES, training=True)) - 2
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=5 * 0.3 / np.sqrt(400))
    np.testing.assert_allclose(z.std(), 0.3, rtol=5 / np.sqrt(2 * ONES.size))
    np.testing.assert_allclose(np.mean(z**4) / np.mean(z**2) ** 2, 3, rtol=0.05)  # of a normal distribution
    np.testing.assert_allclose(np.corrcoef(z[:50]) - np.eye(50), 0, atol=5 / np.sqrt(500))
    np.testing.assert_allclose(np.corrcoef(z[:, :50].T) - np.eye(50), 0, atol=5 / np.sqrt(400))


def test_has_the_moments_of_the_equation():
    check_moments(noise)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("self.stddev * z", "self.stddev**2 * z"),
        ("inputs + ops.cast(", "inputs + inputs * ops.cast("),
        ("keras.random.normal, inputs, ops.shape(inputs)[1:]", "keras.random.normal, inputs, (1,)"),
        ("keras.random.normal,", "keras.random.uniform,"),
    ],
)
def test_rejects_wrong_twins(right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check_moments(wrong_twin(noise, right, wrong))


def test_changes_nothing_at_inference_or_without_noise():
    np.testing.assert_array_equal(GaussianNoise(0.3, seed=0)(ONES), ONES)
    np.testing.assert_array_equal(GaussianNoise(0.0)(ONES, training=True), ONES)


def test_keeps_the_layer_contract():
    inputs = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    check_layer(lambda: GaussianNoise(0.5, seed=0), inputs, training_random=True)


@pytest.mark.parametrize(
    ("make", "received"),
    [(lambda: GaussianNoise(-0.1), "stddev=-0.1"), (lambda: GaussianNoise(0.5, seed=-1), "seed=-1")],
)
def test_refuses_bad_arguments(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        make()
