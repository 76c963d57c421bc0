"""Tests of the figures of a classifier's errors."""

import itertools

import numpy as np
import pytest
from runs import drawn

from tf_kit.plotting.matrix import confusion
from tf_kit.runs.confusion import by_class
from tf_kit.runs.mistakes import draw_mistakes

NAMES = ("Ankle boot", "a name that is far too long for a label of any figure", "Bag")


@pytest.mark.parametrize("k", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_every_name_of_a_confusion_matrix_can_be_read(k):
    """The labels lie within the figure, and those of neighbors do not overlap."""
    names = [f"{NAMES[i % 3]} {i}" for i in range(k)]
    figure = confusion(5 * np.eye(k, dtype=int), names)
    figure.canvas.draw()
    axes = figure.axes[0]
    whole = figure.bbox
    for labels, side in ((axes.get_xticklabels(), "x"), (axes.get_yticklabels(), "y")):
        boxes = [each.get_window_extent() for each in labels]
        assert all(box.x0 >= whole.x0 and box.y0 >= whole.y0 for box in boxes)
        spans = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
        assert all(low[1] <= high[0] for low, high in itertools.pairwise(spans))
        assert len({each.get_text() for each in labels}) == k
    assert len(axes.texts) == (3 if k == 3 else 0)


def test_figures_show_the_most_wrong_images(tmp_path):
    z, y = np.array([[2.0, 0, 0], [0, 3, 0], [0, 0, 1]]), np.array([0, 2, 1])
    shown = []

    def images(places):
        shown.extend(places.tolist())
        return np.zeros((len(places), 4, 6, 3), "float32")

    draw_mistakes(tmp_path, z, y, images, by_class(z, y, NAMES))
    assert shown == [1, 2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["confusion.png", "most_wrong.png"]


def test_names_of_classes_are_drawn_as_they_are(tmp_path, monkeypatch):
    """In the confusion matrix as rows and columns, and below the images, where two names are in one text."""
    words, k = drawn.drawn_words(monkeypatch), len(drawn.NAMES)
    z, y = np.roll(np.eye(k), 1, axis=0), np.arange(k)  # every image is taken for the class before
    draw_mistakes(
        tmp_path, z, y, lambda places: np.zeros((len(places), 4, 4, 1)), by_class(z, y, drawn.NAMES)
    )
    for name in drawn.NAMES:
        assert words.count(name) == 2
        assert words.count(f"true: {name}") == 1
        assert sum(each.startswith(f"{name}: ") for each in words) == 1
    assert not [each for each in words if each.startswith("mathematics")]


def test_nothing_wrong_draws_no_images(tmp_path):
    z, y = np.eye(3), np.arange(3)
    draw_mistakes(tmp_path, z, y, None, by_class(z, y, NAMES))
    assert [each.name for each in tmp_path.iterdir()] == ["confusion.png"]
