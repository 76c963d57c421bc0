"""Tests of the grids of images: scale, place, choice of filters."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tf_kit import plotting
from tf_kit.errors import InputError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(figure):
    return np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)


def test_tiles_stand_in_rows_each_on_its_own_scale():
    images = np.stack([np.full((4, 4), value) for value in (1.0, 10.0, 100.0)])
    images[:, 0, 0] = 0
    mosaic = drawn(plotting.tiles(images, columns=2))
    gap = 1
    assert mosaic.shape == (2 * (4 + gap), 2 * (4 + gap))
    for y, x in ((0, 0), (0, 5), (5, 0)):
        assert mosaic[y, x] == 0
        np.testing.assert_array_equal(mosaic[y + 1 : y + 4, x + 1 : x + 4], 1)
    assert np.isnan(mosaic[5:, 5:]).all(), "the fourth place is empty"


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 3), (4, 4, 4)])
def test_tiles_draw_every_kind_of_image(shape):
    assert drawn(plotting.tiles(np.ones((2, *shape)), columns=2)).shape[:2] == (5, 10)


@pytest.mark.parametrize("shape", [(), (64,), (5, 64), (2, 4, 4, 2), (1, 2, 4, 4, 3), (0, 8, 8), (2, 0, 8)])
@pytest.mark.filterwarnings("error")
def test_other_shapes_are_refused_by_tiles(shape):
    with pytest.raises(InputError, match=re.escape(f"Received: shape {shape}. Use images.reshape(-1, h, w)")):
        plotting.tiles(np.ones(shape))
    assert plt.get_fignums() == []


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.filterwarnings("error")
def test_values_that_are_not_finite_leave_the_rest_of_their_image(symmetric):
    images = np.ones((3, 2, 2))
    images[0, 0, 0], images[1, 0, 0], images[2] = np.nan, np.inf, np.nan
    mosaic = drawn(plotting.tiles(images, columns=3, symmetric=symmetric))
    for x in (0, 3):
        np.testing.assert_array_equal(mosaic[:2, x : x + 2], [[np.nan, 1], [1, 1]])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.tiles(np.ones((2, 3, 3)), columns=0), "columns=0"),
        (lambda: plotting.tiles(np.ones((2, 3, 3)), labels="abc"), "3 labels for 2 images"),
        (
            lambda: plotting.filters(np.ones((4, 3)), (3, 3)),
            r"image_shape=\(3, 3\) for a kernel of shape \(4, 3\)",
        ),
        (lambda: plotting.filters(np.ones((4, 3)), (2, 2), count=0), "count=0"),
    ],
)
def test_bad_arguments_are_refused(draw, message):
    with pytest.raises(InputError, match=f"Received: {message}"):
        draw()
    assert plt.get_fignums() == []


def test_zero_is_mid_grey_if_symmetric():
    images = np.array([[[0.0, 3.0], [-3.0, 1.5]]])
    np.testing.assert_allclose(
        drawn(plotting.tiles(images, columns=1, symmetric=True))[:2, :2], [[0.5, 1], [0, 0.75]]
    )


def test_labels_stand_below_their_images():
    figure = plotting.tiles(np.ones((2, 10, 10)), columns=2, labels=["left", "right"])
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert places == {"left": (5, 10), "right": (16, 10)}


def test_filters_draw_the_strongest_units_in_their_order():
    kernel = np.diag([1.0, 5.0, 2.0, 4.0])  # unit i sees pixel i alone
    mosaic = drawn(plotting.filters(kernel, (2, 2), count=2))
    np.testing.assert_array_equal(mosaic[:2, :2], [[0.5, 1], [0.5, 0.5]])  # unit 1
    np.testing.assert_array_equal(mosaic[:2, 3:5], [[0.5, 0.5], [0.5, 1]])  # unit 3


def test_images_and_graphs_draw_both():
    rows = {"digits": np.ones((3, 4, 4, 1)), "noise": np.zeros((3, 4, 4))}
    series = {"a": (np.arange(3), np.arange(3.0))}
    figure = plotting.images_and_graphs(rows, [{"series": series}])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["digits", "noise", ""]
    assert [image.get_array().shape for axes in figure.axes for image in axes.images] == [(4, 14)] * 2
    assert len(figure.axes[2].get_lines()) == 1


def test_images_in_color_are_drawn_in_gray():
    """Colors that differ only in their order are equally bright."""
    red, blue = np.zeros((2, 1, 3, 4, 3))
    red[..., 0] = blue[..., 2] = 0.6
    figure = plotting.images_and_graphs(
        {"a": np.concatenate([red, blue])}, [{"series": {"b": ([0, 1], [0, 1])}}]
    )
    drawn = figure.subfigs[0].get_axes()[0].images[0].get_array()
    np.testing.assert_allclose(drawn[:, [0, 8]], 0.2, rtol=1e-6)
