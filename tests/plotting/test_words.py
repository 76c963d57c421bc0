"""Tests of the words in figures: `$` and `_` in names, mathematics in labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tf_kit import plotting
from tf_kit.plotting.matrix import confusion

ODD = ("$a_{$", "_a", "b$", "$1 to $9")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def lines(names):
    return {name: ([0, 1], [1.0, 2.0]) for name in names}


FIGURES = {
    "curves": lambda names: plotting.curves(lines(names), title=names[0], x_label=names[0]),
    "panels": lambda names: plotting.panels({names[0]: lines(names)}, title=names[0]),
    "bars": lambda names: plotting.bars({names[0]: dict.fromkeys(names, 1.0)}, names[0], names[0]),
    "graphs": lambda names: plotting.graphs(
        [
            {
                "series": lines(names),
                "title": names[0],
                "level": (1.5, f"50$ {names[0]}"),
                "note": (0, 1, names[0]),
            }
        ]
    ),
    "network": lambda names: plotting.network([np.ones((2, 1))], names[0]),
    "network among graphs": lambda names: plotting.graphs(
        [{"network": {"model": [np.ones((2, 1))]}, "title": names[0]}]
    ),
    "shared legend": lambda names: plotting.graphs([{"series": lines(names)}] * 2),
    "framed": lambda names: plotting.framed(plotting.curves(lines(names)), names[0], names[0]),
    "tiles": lambda names: plotting.tiles(np.ones((4, 2, 2)), title=names[0], labels=names),
    "confusion": lambda names: confusion(np.eye(4, dtype=int), names, names[0]),
}


@pytest.mark.parametrize("kind", FIGURES)
def test_every_name_can_be_drawn(kind):
    figure = FIGURES[kind](ODD)
    figure.draw_without_rendering()
    legends = [each for axes in figure.axes if (each := axes.get_legend())] + figure.legends
    for legend in legends:
        drawn = [text.get_text().replace(r"\$", "$") for text in legend.get_texts()]
        assert drawn == list(ODD)


@pytest.mark.parametrize("kind", ["curves", "panels", "bars", "graphs", "confusion"])
def test_names_may_be_numbers(kind):
    FIGURES[kind]([0.1, 1, 2, np.int64(3)]).draw_without_rendering()


def test_mathematics_stays_in_the_labels_of_graphs():
    figure = plotting.graphs([{"series": lines(["$x_1$", "b"]), "title": "$J$", "x_label": r"$\eta$"}])
    (axes,) = figure.axes
    assert (axes.get_title(), axes.get_xlabel()) == ("$J$", r"$\eta$")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["$x_1$", "b"]


def test_confusion_of_many_classes_has_no_names():
    figure = confusion(np.eye(201, dtype=int), [f"class {i}" for i in range(201)])
    assert len(figure.axes[0].get_xticks()) == 0


@pytest.mark.parametrize(
    ("counts", "names"), [(np.zeros((0, 0)), []), (np.eye(2), ["a"]), (np.ones((2, 3)), "ab")]
)
def test_confusion_refuses_what_is_not_a_square_of_classes(counts, names):
    with pytest.raises(ValueError, match=rf"shape \({counts.shape[0]}, .* with {len(names)} names"):
        confusion(counts, names)
