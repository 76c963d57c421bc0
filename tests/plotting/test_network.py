"""Tests of the drawing of a network: what is drawn, named and left out."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Circle

from tf_kit import plotting
from tf_kit.errors import InputError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(shapes, **look):
    (axes,) = plotting.network([np.ones(shape) for shape in shapes], **look).axes
    return axes


def texts(axes):
    return [text.get_text() for text in axes.texts]


def units(axes):
    return [patch for patch in axes.patches if isinstance(patch, Circle)]


def test_unit_per_node_and_edge_per_weight():
    axes = drawn([(2, 3), (3, 1)])
    assert len(units(axes)) == 6
    assert len(axes.lines) == 9
    assert r"$\alpha_{3}^{(2)}$" in texts(axes)


def test_weight_is_named_after_its_end_then_its_start():
    """W_ij leads from unit j to unit i; the third input has edges to units 1 and 2."""
    axes = drawn([(3, 2), (2, 1)])
    assert r"$W_{23}^{(1)}$" in texts(axes)
    assert r"$W_{32}^{(1)}$" not in texts(axes)


def test_sign_gives_the_color_and_size_the_width():
    kernel = np.array([[1.0, -2.0]])
    (axes,) = plotting.network([kernel], weights="values").axes
    first, second = axes.lines
    assert (first.get_color(), second.get_color()) == plotting.COLORS[:2]
    assert first.get_linewidth() < second.get_linewidth()
    assert {"1", "−2"} <= set(texts(axes))


def test_large_layer_shows_its_first_units_and_its_last():
    axes = drawn([(784, 2)], most=4)
    assert {r"$x_{3}$", r"$x_{784}$", "⋮", "784 units"} <= set(texts(axes))
    assert r"$x_{4}$" not in texts(axes)
    assert len(axes.lines) == 8


def test_dropped_unit_and_its_edges_are_gray():
    axes = drawn([(1, 2)], dropped=[None, [True, False]])
    assert [line.get_color() for line in axes.lines] == ["0.85", plotting.COLORS[0]]
    assert [unit.get_linestyle() for unit in units(axes)[1:]] == [":", "-"]


def test_edges_between_devices_are_dashed():
    axes = drawn([(1, 1), (1, 1)], places=["a", "a", "b"])
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert {"a", "b"} <= set(texts(axes))


def test_numbers_replace_names():
    axes = drawn([(1, 2)], numbers=[None, [-0.25, 3.0]])
    assert {"−0.25", "3"} <= set(texts(axes))


@pytest.mark.parametrize("shapes", [[], [(2, 3), (4, 1)], [(3, 3, 1, 2)]])
def test_kernels_that_do_not_follow_one_another_are_refused(shapes):
    with pytest.raises(InputError, match="have dense layers that follow one another"):
        drawn(shapes)


def test_panel_of_graphs_can_be_a_network():
    line = {"series": {"a": (np.arange(3), np.arange(3.0)), "b": (np.arange(3), np.ones(3))}}
    figure = plotting.graphs([{"network": {"model": [np.ones((2, 1))]}, "title": "net"}, line, line])
    assert figure.axes[0].get_title() == "net"
    assert len(figure.legends) == 1, "the panels with lines share one"
