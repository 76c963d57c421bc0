"""Tests of the paths of networks through the space of functions: their distances, their plane, what is recorded."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.twins import wrong_twin

from tf_kit import data, errors
from tf_kit.experiments import draw_paths, function_paths, function_space, path_distances

GENERATOR = np.random.default_rng(0)
PATHS = {kind: GENERATOR.dirichlet(np.ones(3), size=(4, 6, 7)) for kind in ("without", "with")}


def loop_distances(paths):
    """Mean distances at the end, one pair and one example at a time."""

    def apart(f, g):
        total = sum((f[i][k] - g[i][k]) ** 2 for i in range(len(f)) for k in range(len(f[0])))
        return (total / len(f)) ** 0.5

    ends = {kind: [network[-1] for network in path] for kind, path in paths.items()}
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    found = {
        kind: sum(apart(ends[kind][i], ends[kind][j]) for i, j in pairs) / len(pairs)
        for kind in ("without", "with")
    }
    found["between"] = sum(apart(ends["with"][i], ends["without"][j]) for i, j in pairs) / len(pairs)
    return found


def test_distances_are_those_of_a_loop():
    found = path_distances(PATHS)
    assert found == pytest.approx(loop_distances(PATHS))


@pytest.mark.parametrize(
    ("right", "wrong"), [("np.sum(np.square", "np.mean(np.square"), ("[:, -1]", "[:, 0]")]
)
def test_wrong_twin(right, wrong):
    twin = wrong_twin(function_space, right, wrong)
    assert twin.path_distances(PATHS) != pytest.approx(loop_distances(PATHS), rel=1e-3)


def test_sure_functions_of_different_classes_are_a_root_of_two_apart():
    one, other = np.eye(3)[[0, 1, 2]], np.eye(3)[[1, 2, 0]]
    assert function_space.distance(one, other) == pytest.approx(2**0.5)
    assert function_space.distance(one, one) == 0


def test_plane_keeps_distances_of_functions_that_lie_in_it():
    """Mixtures of three functions lie in a plane, so no distance gets shorter."""
    weights = GENERATOR.dirichlet(np.ones(3), size=(2, 3, 5))
    functions = np.tensordot(weights, GENERATOR.dirichlet(np.ones(4), size=(3, 9)), axes=1)
    points, share = function_space._plane(functions)
    assert points.shape == (2, 3, 5, 2)
    assert np.sum(share) == pytest.approx(1)
    for i, j in (((0, 0, 0), (1, 2, 4)), ((0, 1, 3), (0, 2, 2))):
        apart = function_space.distance(functions[i], functions[j])
        assert np.linalg.norm(points[i] - points[j]) == pytest.approx(apart)


def test_figure_has_a_path_for_each_network():
    figure = draw_paths(PATHS)
    (axes,) = figure.axes
    assert len(axes.lines) == 2 * 4 * 4  # a line, two ends and the points between, of each network
    points, _ = function_space._plane(np.stack([PATHS["without"], PATHS["with"]]))
    np.testing.assert_allclose(axes.lines[0].get_xydata(), points[0, 0])
    np.testing.assert_allclose(axes.lines[-1].get_xydata(), points[1, 3, -1:])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "without pretraining",
        "with pretraining",
    ]
    plt.close("all")


@pytest.mark.parametrize("paths", [{}, {"with": PATHS["with"]}, {**PATHS, "with": PATHS["with"][:, :2]}])
def test_other_results_are_refused(paths):
    with pytest.raises(errors.InputError, match="be the results of function_paths"):
        draw_paths(paths)


def test_one_seed_is_refused():
    with pytest.raises(errors.InputError, match=r"function_paths\.seeds"):
        function_paths(data.load("digits"), seeds=1)


@pytest.mark.slow
def test_recorded_functions_are_those_of_the_networks_and_repeat():
    splits = data.load("digits")
    sizes = {"seeds": 2, "layers": 1, "units": 8, "pretrain_epochs": 1, "epochs": 4}
    found, again = (function_paths(splits, **sizes) for _ in range(2))
    for kind, paths in found.items():
        assert paths.shape == (2, 5, len(splits[1]), 10)
        np.testing.assert_allclose(paths.sum(axis=-1), 1, rtol=1e-5)
        np.testing.assert_array_equal(paths, again[kind])
        right = (paths.argmax(axis=-1) == splits[1].y).mean(axis=-1)
        assert (right[:, 0] < 0.3).all(), "nothing is learned before the first epoch"
        assert (right[:, -1] > right[:, 0] + 0.2).all()
    assert path_distances(found)["between"] > 0
