"""Paired differences: the interval is that of a paired t test, and a claim is shown only beyond it."""

import numpy as np
import pytest
from scipy import stats
from support.twins import wrong_function

from tf_kit import data, networks
from tf_kit.errors import InputError
from tf_kit.experiments import comparison

RANDOM = np.random.default_rng(0)


def check_interval(paired_difference):
    for n in (2, 5, 12):
        one, other = RANDOM.normal(3, 1, n), RANDOM.normal(2, 1, n)
        found = paired_difference(one, other)
        interval = stats.ttest_rel(one, other).confidence_interval(0.95)
        np.testing.assert_allclose([found.low, found.high], interval, atol=1e-4)
        np.testing.assert_allclose(found.mean, np.mean(one - other), atol=1e-4)


def test_interval_is_that_of_a_paired_t_test():
    check_interval(comparison.paired_difference)


@pytest.mark.parametrize(
    ("right", "wrong"), [("ddof=1", "ddof=0"), ("n - 1)", "n)"), ("(1 + level) / 2", "level")]
)
def test_wrong_twin(right, wrong):
    with pytest.raises(AssertionError):
        check_interval(wrong_function(comparison, "paired_difference", right, wrong))


def test_interval_covers_the_mean_in_95_of_100_samples():
    differences = [
        comparison.paired_difference(RANDOM.normal(1, 2, 5), RANDOM.normal(0, 2, 5)) for _ in range(2000)
    ]
    covered = np.mean([each.low <= 1 <= each.high for each in differences])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_claims_are_shown_only_beyond_the_interval():
    errors = {"dbn": [2.0, 3.0, 2.5], "deep": [5.0, 6.5, 5.5], "shallow": [5.0, 6.0, 6.0]}
    one, two = comparison.compare(errors)
    assert (one["rows"], one["shown"]) == (["dbn", "deep"], True)
    assert (two["rows"], two["shown"]) == (["deep", "shallow"], False)
    lines = comparison.format_comparisons([one, two], 3)
    assert "Shown: DBN pre-training lowers the error of the deep net." in lines
    assert lines[-1].startswith("Not shown: without pre-training")


def test_difference_of_the_other_sign_does_not_show_the_claim():
    (found,) = comparison.compare({"dbn": [5.0, 6.5, 5.5], "deep": [2.0, 3.0, 2.5]})
    assert not found["shown"]


@pytest.mark.parametrize("deep", [[4.25, 5.25], [np.nan, 5.5]])
def test_an_interval_without_width_shows_nothing(deep):
    (found,) = comparison.compare({"dbn": [4.0, 5.0], "deep": deep})
    assert not found["shown"]


def test_one_seed_decides_nothing():
    (found,) = comparison.compare({"dbn": [1.0], "deep": [9.0]})
    assert not found["shown"]
    assert found["difference"] == {"mean": -8.0, "low": None, "high": None}
    assert comparison.format_comparisons([found], 1) == [
        "One seed shows no spread, so it decides nothing; --seeds 5 adds intervals."
    ]


def test_rows_of_unequal_seeds_are_refused():
    with pytest.raises(InputError, match="2 and 1 values"):
        comparison.paired_difference([1.0, 2.0], [1.0])


def test_gradient_vanishes_with_depth_and_the_encoder_does_not_change():
    train, _, _ = data.load("digits", seed=0)
    ratios = []
    for depth in (1, 2, 4):
        encoder = networks.mlp((32,) * depth, num_classes=None, input_shape=(8, 8, 1), seed=0)
        before = encoder.get_weights()
        ratios.append(comparison.gradient_ratio(encoder, train.x[:64], train.y[:64], 10))
        for ours, theirs in zip(before, encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert ratios[0] > 4 * ratios[1] > 40 * ratios[2]
