"""Tests of the frame: question above, answer below, nothing covered, at most twice as wide as high."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tf_kit import plotting

LONG = "The error falls from 3.5 % to 2.0 % with twice as many labels. " * 3


@pytest.fixture(scope="module")
def figure():
    panel = {name: (np.arange(3), np.arange(3.0)) for name in ("a", "b")}
    made = plotting.framed(plotting.graphs([{"series": panel, "x_label": "x"}] * 3), "Why?", LONG)
    made.draw_without_rendering()
    yield made
    plt.close(made)


def test_figure_is_at_most_twice_as_wide_as_high(figure):
    width, height = figure.get_size_inches()
    assert width <= 2.001 * height


def test_text_and_legend_cover_nothing(figure):
    axes = [each.get_tightbbox() for each in figure.axes]
    title, caption = (text.get_window_extent() for text in figure.texts)
    (legend,) = (each.get_window_extent() for each in figure.legends)
    assert min(box.y0 for box in axes) >= legend.y1 - 1
    assert legend.y0 >= caption.y1 - 1
    assert title.y0 >= max(box.y1 for box in axes) - 1


def test_lines_stay_inside_the_figure(figure):
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1


def test_figure_without_text_keeps_its_size():
    made = plotting.framed(plotting.curves({"a": [1.0, 2.0]}))
    assert tuple(made.get_size_inches()) == (8, 4.8)
    assert made.texts == []
    plt.close(made)


def test_title_of_the_figure_stands_below_the_question():
    made = plotting.framed(
        plotting.bars({"error, %": {"a": [1.0], "b": [2.0]}}, "kind", "noise"), "Why?", "So."
    )
    made.draw_without_rendering()
    question = made.texts[-2].get_window_extent()
    (own,) = (text.get_window_extent() for text in made.texts if text.get_text() == "noise")
    assert question.y0 >= own.y1 - 1
    assert own.y0 >= max(axes.get_tightbbox().y1 for axes in made.axes) - 1
    plt.close(made)
