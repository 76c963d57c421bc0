"""Patches: cut as the loops cut them, put back where they were, hidden evenly."""

import math

import numpy as np
import pytest
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit.networks import patches
from tf_kit.pretraining.masked import hiding


def images(n=3, height=4, width=6, channels=2, seed=0):
    return np.random.default_rng(seed).random((n, height, width, channels)).astype("float32")


def check_cutting(module):
    x = images()
    np.testing.assert_array_equal(module.patchify(x, 2), [oracle.patches_of(image, 2) for image in x])  # (1)


def check_putting_together(module):
    x = images()
    np.testing.assert_array_equal(module.unpatchify(module.patchify(x, 2), x.shape[1:], 2), x)


def check_hiding(module):
    """The smallest numbers stay; rank is the inverse of the order; masked is what is not visible."""
    noise = np.random.default_rng(1).random((5, 7))
    visible, rank, masked = (np.asarray(each) for each in module.hide(noise, 3))
    for row, places, ranks, hidden in zip(noise, visible, rank, masked, strict=True):
        assert places.tolist() == np.argsort(row)[:3].tolist()
        assert [ranks[place] for place in np.argsort(row)] == list(range(7))  # (1)
        assert set(np.flatnonzero(~hidden)) == set(places)  # (2)


def check_putting_back(module):
    """Everything visible: the identity. Some hidden: the token in their places, the others where they were."""
    x = np.random.default_rng(2).normal(size=(4, 6, 3))
    noise = np.random.default_rng(3).random((4, 6))
    token = np.full(3, 9.0)
    for num_visible in (6, 5, 2, 1):
        visible, rank, masked = module.hide(noise, num_visible)
        back = module.put_back(module.take_places(x, visible), token, rank)
        np.testing.assert_array_equal(back, np.where(np.asarray(masked)[..., None], token, x))


MODULES = {
    check_cutting: patches,
    check_putting_together: patches,
    check_hiding: hiding,
    check_putting_back: hiding,
}


@pytest.mark.parametrize("check", MODULES)
def test_theorem(check):
    check(MODULES[check])


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_cutting, "(0, 1, 3, 2, 4, 5))  # (n, rows, columns", "(0, 3, 1, 2, 4, 5))  # (n, rows, columns"),
        (check_cutting, "(-1, rows, s, columns, s, channels)", "(-1, columns, s, rows, s, channels)"),
        (check_putting_together, "(0, 1, 3, 2, 4, 5))  # (n, rows, s", "(0, 1, 4, 2, 3, 5))  # (n, rows, s"),
        (check_hiding, "rank = ops.argsort(order, axis=-1)", "rank = order"),
        (check_hiding, "rank >= num_visible", "rank < num_visible"),
        (check_hiding, "order[:, :num_visible]", "order[:, -num_visible:]"),
        (check_putting_back, "ops.concatenate([visible_tokens, hidden]", "ops.concatenate([hidden, visible_tokens]"),
        (check_putting_back, "axis=1), rank)", "axis=1), ops.argsort(rank, axis=-1))"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(wrong_twin(MODULES[check], right, wrong))


def test_every_choice_of_places_is_as_likely():
    """Binomial bounds for each place, and for each pair of places."""
    n, places, visible = 20_000, 4, 2
    noise = np.random.default_rng(0).random((n, places))
    masked = np.asarray(hiding.hide(noise, visible)[2])
    assert np.all(masked.sum(axis=1) == places - visible)
    assert np.all(abs(masked.mean(axis=0) - 1 / 2) < 5 * math.sqrt(1 / 4 / n))
    both = (masked[:, :, None] & masked[:, None]).mean(axis=0)[np.triu_indices(places, 1)]
    assert np.all(abs(both - 1 / 6) < 5 * math.sqrt(5 / 36 / n))


@pytest.mark.parametrize(
    ("shape", "says"),
    [((2, 5, 4, 1), "5 × 4 pixels"), ((2, 4, 5, 1), "4 × 5 pixels"), ((2, 4, 4), r"shape=\(2, 4, 4\)")],
)
def test_refusals(shape, says):
    with pytest.raises(ValueError, match=says):
        patches.patchify(np.zeros(shape), 2)
