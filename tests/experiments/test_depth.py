"""Tests of the test errors by depth: their text, their figure, and what is compared."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tf_kit import data
from tf_kit.experiments import draw_depth, error_by_depth, format_depth

RESULTS = {
    "depths": [1, 3],
    "without": np.array([[5.0, 7.0, 6.0], [20.0, 30.0, 25.0]]),
    "with": np.array([[4.0, 6.0, 5.0], [3.0, 2.0, 4.0]]),
    "filters": {
        name: np.random.default_rng(i).normal(size=(16, 20))
        for i, name in enumerate(("random", "pretrained", "tuned", "trained"))
    },
}


def test_text_gives_means_and_paired_differences():
    heading, one, three = format_depth(RESULTS).splitlines()
    assert heading.startswith("hidden layers")
    assert one.split() == ["1", "6.00", "±", "1.00", "5.00", "±", "1.00", "-1.00", "[-1.00,", "-1.00]"]
    assert three.split()[:8] == ["3", "25.00", "±", "5.00", "3.00", "±", "1.00", "-22.00"]
    assert max(map(len, format_depth(RESULTS).splitlines())) <= 100


def test_one_seed_has_no_interval():
    one = {**RESULTS, "without": RESULTS["without"][:, :1], "with": RESULTS["with"][:, :1]}
    assert "±" not in format_depth(one)
    assert "[" not in format_depth(one)


NOISE = {**RESULTS, "on_noise": np.array([[5.0, 6.0, 7.0], [5.0, 4.0, 6.0]])}


def test_text_compares_with_pretraining_on_noise():
    heading, one, three = format_depth(NOISE).splitlines()
    assert [each.strip() for each in heading.split("   ") if each.strip()][3:] == [
        "on noise",
        "with − without, 95 %",
        "with − on noise, 95 %",
    ]
    assert three.split()[7:10] == ["5.00", "±", "1.00"]
    assert three.split()[-3:] == ["-2.00", "[-2.00,", "-2.00]"]
    assert one.split()[-3] == "-1.00"
    assert len({len(line) for line in (one, three)}) == 1


def test_figure_has_boxes_of_pretraining_on_noise():
    axes = draw_depth(NOISE, (4, 4)).axes[0]
    assert len(axes.patches) == 6
    assert axes.get_legend().get_texts()[-1].get_text() == "pretrained on noise"
    edges = sorted(
        (box.get_path().vertices[:, 0].min(), box.get_path().vertices[:, 0].max()) for box in axes.patches
    )
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(edges)), "boxes do not overlap"
    plt.close("all")


def test_figure_has_a_box_for_each_depth_and_kind():
    figure = draw_depth(RESULTS, (4, 4, 1))
    axes, *rows = figure.axes
    heights = sorted(round(float(np.ptp(box.get_path().vertices[:5, 1])), 6) for box in axes.patches)
    assert heights == [1, 1, 1, 5], "from the first to the third quartile"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "without pretraining",
        "with pretraining",
    ]
    shown = [image.images[0].get_array() for image in rows]
    assert len(shown) == 4
    strongest = np.sort(np.argsort(-np.linalg.norm(RESULTS["filters"]["tuned"], axis=0))[:14])
    for image, name in zip(shown, ("random", "pretrained", "tuned", "trained"), strict=True):
        last = RESULTS["filters"][name][:, strongest[-1]].reshape(4, 4)
        np.testing.assert_allclose(image[:, -4:], last)  # the same unit in every row
    plt.close("all")


@pytest.mark.slow
def test_both_kinds_start_from_the_same_weights_and_repeat():
    splits = data.load("digits")
    sizes = {"depths": (1, 2), "seeds": 2, "units": 8, "pretrain_epochs": 1, "epochs": 1}
    found, again = (error_by_depth(splits, **sizes, on_noise=True) for _ in range(2))
    plain = error_by_depth(splits, **sizes)
    assert "on_noise" not in plain
    assert np.abs(found["on_noise"] - found["with"]).max() > 0
    for name in ("with", "without", "on_noise"):
        assert found[name].shape == (2, 2)
        np.testing.assert_array_equal(found[name], plain.get(name, found[name]))
        np.testing.assert_array_equal(found[name], again[name])
    filters = found["filters"]
    assert {name: kernel.shape for name, kernel in filters.items()} == dict.fromkeys(filters, (64, 8))
    assert np.abs(filters["pretrained"] - filters["random"]).max() > 0.01
    assert np.abs(filters["trained"] - filters["random"]).max() > 0
    assert np.abs(filters["tuned"] - filters["pretrained"]).max() > 0
