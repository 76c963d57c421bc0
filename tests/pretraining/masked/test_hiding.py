"""Hiding of places: visible places, ranks, masks, and the inverse."""

import math

import numpy as np
import pytest
from support.twins import wrong_twin

from tf_kit.pretraining.masked import hiding


def check_hiding(module):
    """The smallest numbers are visible; rank is the inverse of the order; all other places are masked."""
    noise = np.random.default_rng(1).random((5, 7))
    visible, rank, masked = (np.asarray(each) for each in module.hide(noise, 3))
    for row, places, ranks, hidden in zip(noise, visible, rank, masked, strict=True):
        assert places.tolist() == np.argsort(row)[:3].tolist()
        assert [ranks[place] for place in np.argsort(row)] == list(range(7))  # (1)
        assert set(np.flatnonzero(~hidden)) == set(places)  # (2)


def check_putting_back(module):
    """Visible tokens return to their places, and hidden places get the mask token."""
    x = np.random.default_rng(2).normal(size=(4, 6, 3))
    noise = np.random.default_rng(3).random((4, 6))
    token = np.full(3, 9.0)
    for num_visible in (6, 5, 2, 1):
        visible, rank, masked = module.hide(noise, num_visible)
        back = module.put_back(module.take_places(x, visible), token, rank)
        np.testing.assert_array_equal(back, np.where(np.asarray(masked)[..., None], token, x))


@pytest.mark.parametrize("check", [check_hiding, check_putting_back])
def test_hiding(check):
    check(hiding)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_hiding, "rank = ops.argsort(order, axis=-1)", "rank = order"),
        (check_hiding, "rank >= num_visible", "rank < num_visible"),
        (check_hiding, "order[:, :num_visible]", "order[:, -num_visible:]"),
        (check_putting_back, "ops.concatenate([visible_tokens, hidden]", "ops.concatenate([hidden, visible_tokens]"),
        (check_putting_back, "axis=1), rank)", "axis=1), ops.argsort(rank, axis=-1))"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(wrong_twin(hiding, right, wrong))


def test_all_choices_of_places_are_equally_likely():
    """Within binomial bounds for each place and for each pair of places."""
    n, places, visible = 20_000, 4, 2
    noise = np.random.default_rng(0).random((n, places))
    masked = np.asarray(hiding.hide(noise, visible)[2])
    assert np.all(masked.sum(axis=1) == places - visible)
    assert np.all(abs(masked.mean(axis=0) - 1 / 2) < 5 * math.sqrt(1 / 4 / n))
    both = (masked[:, :, None] & masked[:, None]).mean(axis=0)[np.triu_indices(places, 1)]
    assert np.all(abs(both - 1 / 6) < 5 * math.sqrt(5 / 36 / n))
