"""Replicas change nothing but rounding: in float64 their gradients are those of one device, for every method."""

import pytest
from pretraining import gradients
from pretraining.gradients import FURTHER, LIMIT, TWIN

TRAJECTORIES = ("denoising",)
CHOSEN = ("rbm", "supervised", "simclr", "byol", "mae", "masked")
MEASURED = {  # `gradients.py` alone measures every method on every number of replicas, in about ten minutes
    2: [
        *(f"gradient/{name}" for name in CHOSEN),
        f"{TWIN}/simclr",
        *(f"trajectory/{n}" for n in TRAJECTORIES),
    ],
    4: [f"gradient/{name}" for name in ("rbm",)],
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return gradients.measured(tmp_path_factory.mktemp("gradients"), MEASURED)


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
def test_rounding_on_the_way_to_the_loss_is_noticed(measured):
    """The wrong twin of the test above."""
    assert measured[2, f"{TWIN}/simclr"].max() > 100 * LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAJECTORIES)
def test_trajectories_part_no_further_than_by_the_last_bit(measured, name):
    replicas, twin = measured[2, f"trajectory/{name}"]
    assert len(twin) == gradients.TRAJECTORY
    assert (replicas <= FURTHER * twin).all(), (replicas, twin)
