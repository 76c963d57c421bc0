"""Replicas change nothing but rounding: in float64 their gradients are those of one device, for every method."""

import numpy as np
import pytest
from pretraining import gradients
from pretraining.gradients import FURTHER, LIMIT
from support.sampling import cases_of_this_run, tests_of_this_run

TRAJECTORIES = ("denoising", "simclr")
CHOSEN = ("rbm", "supervised", "simclr", "byol", "mae", "masked")
ON_FOUR = ("rbm", "simclr")  # `gradients.py` alone measures every method on every number of replicas


@pytest.fixture(scope="module")
def measured(tmp_path_factory, request):
    chosen = cases_of_this_run(request, "test_gradients_of_replicas_are_those_of_one_device_in_float64")
    paths = set(cases_of_this_run(request, "test_trajectories_part_no_further_than_by_the_last_bit"))
    twins = []
    if "test_rounded_embeddings_are_noticed" in tests_of_this_run(request):
        twins, paths = ["wrong gradient/simclr", "wrong trajectory/simclr"], paths | {"simclr"}
    on_two = [*(f"gradient/{name}" for name in chosen), *(f"trajectory/{name}" for name in sorted(paths))]
    cases = {2: [*on_two, *twins], 4: [f"gradient/{name}" for name in ON_FOUR if name in chosen]}
    cases = {count: names for count, names in cases.items() if names}
    return gradients.measured(tmp_path_factory.mktemp("gradients"), cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_gradients_of_replicas_are_those_of_one_device_in_float64(measured, name):
    """At three points of a training, of even and of uneven parts; the command `gradients.py` takes all methods."""
    found = {
        count: measured[count, f"gradient/{name}"]
        for count in (2, 4)
        if (count, f"gradient/{name}") in measured
    }
    assert 2 in found
    for count, distances in found.items():
        assert distances.shape == (gradients.POINTS, 2)
        assert distances.max() < LIMIT, (count, distances)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAJECTORIES)
def test_trajectories_part_no_further_than_by_the_last_bit(measured, name):
    assert measured[2, f"trajectory/{name}"].shape == (1 + gradients.TWINS, gradients.TRAJECTORY)
    assert is_near(measured[2, f"trajectory/{name}"])


@pytest.mark.slow
def test_rounded_embeddings_are_noticed(measured):
    """The wrong twins of the tests above."""
    assert measured[2, "wrong gradient/simclr"].min() > 100 * LIMIT
    twins = measured[2, "trajectory/simclr"][1:]
    assert not is_near([*measured[2, "wrong trajectory/simclr"], *twins])


def is_near(distances):
    """Return whether replicas are, after every step, about as close to one device as the farthest twin is."""
    replicas, *twins = distances
    return (replicas <= FURTHER * np.max(twins, axis=0)).all()
