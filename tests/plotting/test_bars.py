"""Tests of the bars: means, seeds, and measures that do not fit."""

import re

import matplotlib.pyplot as plt
import pytest

from tf_kit import plotting
from tf_kit.errors import InputError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_bars_are_means_and_dots_are_seeds():
    (axes,) = plotting.bars({"error, %": {"a": [1.0, 3.0], "b": 5.0}}, "network").axes
    assert [bar.get_width() for bar in axes.patches] == [2.0, 5.0]
    assert [line.get_xdata().tolist() for line in axes.get_lines()] == [[1.0, 3.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_every_measure_has_its_panel():
    axes = plotting.bars({f"m{i}": {"a": 1.0} for i in range(9)}).axes
    assert [(each.get_xlabel(), len(each.patches)) for each in axes] == [(f"m{i}", 1) for i in range(9)]


@pytest.mark.parametrize(
    ("measures", "rule", "received"),
    [
        ({}, "at least one measure with at least one row", "{}"),
        ({"error": {}}, "at least one measure with at least one row", "{'error': {}}"),
        ({"error": {"a": 1.0, "b": 2.0}, "time": {"a": 1.0}}, "the rows ['a', 'b'] in each", "time: ['a']"),
        ({"error": {"a": 1.0}, "time": {"a": 1.0, "b": 2.0}}, "the rows ['a'] in each", "time: ['a', 'b']"),
        ({"error": {"a": 1.0, "b": []}}, "at least one value in each row", "error, b: []"),
        ({"gain": {"a": 1.0, "b": [2.0, -20.0]}}, "be finite and at least 0", "gain, b: [2.0, -20.0]"),
        ({"error": {"a": float("nan")}}, "be finite and at least 0", "error, a: nan"),
        ({"error": {"a": [float("inf")]}}, "be finite and at least 0", "error, a: [inf]"),
    ],
)
def test_measures_without_bars_are_refused(measures, rule, received):
    with pytest.raises(InputError, match=f"{re.escape(rule)}.* Received: {re.escape(received)}"):
        plotting.bars(measures)
    assert plt.get_fignums() == []
