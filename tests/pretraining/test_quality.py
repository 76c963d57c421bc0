"""Measures of embeddings: against float64 loops from the papers, and in closed form."""

import math

import numpy as np
import pytest
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit.pretraining import alignment, feature_deviation, quality, rankme, uniformity


def embeddings(n=9, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, d)) * np.geomspace(0.2, 3, d) + 0.3 for _ in range(2)]


def check_rankme(module):
    for n, d in ((9, 4), (3, 5)):
        z = embeddings(n, d)[0]
        np.testing.assert_allclose(module.rankme(z), oracle.rankme(z), rtol=1e-4)


def check_alignment(module):
    np.testing.assert_allclose(module.alignment(*embeddings()), oracle.alignment(*embeddings()), rtol=1e-12)


def check_uniformity(module):
    np.testing.assert_allclose(
        module.uniformity(embeddings()[0]), oracle.uniformity(embeddings()[0]), rtol=1e-12
    )


def check_deviation(module):
    """With equally many directions ±e_j each feature is ±1 in one of d, 0 elsewhere, so its deviation is 1/√d."""
    for d in (1, 2, 5):
        z = np.concatenate([np.eye(d), -np.eye(d)]) * 7
        np.testing.assert_allclose(module.feature_deviation(z), 1, rtol=1e-12)
    half = np.array([[1.0, 1.0], [1.0, -1.0]])  # one feature is constant, the other ±1/√2
    np.testing.assert_allclose(module.feature_deviation(half), 0.5, rtol=1e-12)


CHECKS = [check_rankme, check_alignment, check_uniformity, check_deviation]


@pytest.mark.parametrize("check", CHECKS)
def test_measure(check):
    check(quality)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_rankme, "singular / singular.sum()", "singular**2 / np.sum(singular**2)"),
        (check_rankme, "np.exp(-np.sum(p * np.log(p)))", "np.exp(np.sum(p * np.log(p)))"),
        (check_alignment, "np.mean(np.sum((za - zb) ** 2, axis=1))", "np.mean((za - zb) ** 2)"),
        (check_alignment, "z / np.maximum(", "z * np.maximum("),
        (check_uniformity, "2 - 2 * cosines[pairs]", "2 - 2 * cosines"),
        (check_uniformity, "np.exp(-2 * distances)", "np.exp(-distances)"),
        (check_deviation, "directions.std(axis=0)", "directions.var(axis=0)"),
        (check_deviation, "np.sqrt(directions.shape[1])", "directions.shape[1]"),
    ],
)
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(quality, right, wrong))


def test_embeddings_at_one_point():
    z = np.tile([[0.3, -0.2, 0.7]], (50, 1))
    assert rankme(z) == pytest.approx(1, abs=1e-4)
    assert feature_deviation(z) == pytest.approx(0, abs=1e-7)
    assert uniformity(z) == pytest.approx(0, abs=1e-7)
    assert alignment(z, 5 * z) == pytest.approx(0, abs=1e-7)


def test_evenly_spread_embeddings():
    """Normal vectors in d dimensions have rank near d and deviation near 1."""
    z = np.random.default_rng(0).normal(size=(2000, 16))
    assert 15.9 < rankme(z) < 16
    assert feature_deviation(z) == pytest.approx(1, abs=0.01)
    assert uniformity(z) < -3


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_measures_do_not_depend_on_the_length(scale):
    za, zb = (each.astype("float32") for each in embeddings())
    for measure in (rankme, feature_deviation, uniformity):
        assert measure(scale * za) == pytest.approx(measure(za), rel=1e-4)
    assert alignment(scale * za, zb) == pytest.approx(alignment(za, zb), rel=1e-4)


def test_embeddings_of_zeros():
    zeros = np.zeros((5, 3))
    assert (rankme(zeros), feature_deviation(zeros), alignment(zeros, zeros)) == (0.0, 0.0, 0.0)
    assert math.isfinite(uniformity(zeros))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: rankme(np.ones(3)), r"shape \(3,\)"),
        (lambda: rankme(np.ones((0, 3))), r"shape \(0, 3\)"),
        (lambda: feature_deviation([[1.0, math.nan]]), "1 NaN or infinite"),
        (lambda: alignment(np.ones((3, 2)), np.ones((4, 2))), r"shapes \(3, 2\) and \(4, 2\)"),
        (lambda: uniformity(np.ones((1, 2))), "Received: 1"),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()
