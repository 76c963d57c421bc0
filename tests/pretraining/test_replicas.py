"""Weights and History do not depend on the number of replicas: 1, 2 and 4 against no strategy."""

import numpy as np
import pytest
from pretraining import replicas
from pretraining.replicas import (
    CHOSEN,
    HARD,
    PLAIN,
    SHORT,
    SINGLE,
    TRAININGS,
    TWINS,
    largest_difference,
    of,
    tolerance,
)
from support.sampling import cases_of_this_run, tests_of_this_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory, request):
    """Number of replicas → arrays of the cases of this run."""
    wanted = {
        *cases_of_this_run(request, "test_replicas_do_not_change_weights_and_history"),
        *(f"{method}/plain" for method in cases_of_this_run(request, "test_one_replica_equals_no_strategy")),
    }
    if "test_all_replicas_skip_a_step_with_nan_on_one" in tests_of_this_run(request):
        wanted |= {"not_a_number"}
    for name in cases_of_this_run(request, "test_wrong_twin"):
        wanted |= {f"twin {name}", TWINS[name][0].__name__}
    cases = {count: [case for case in chosen if case in wanted] for count, chosen in CHOSEN.items()}
    cases = {count: names for count, names in cases.items() if names or not count}
    return replicas.train_everywhere(tmp_path_factory.mktemp("replicas"), cases)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*SHORT, *SINGLE])
def test_replicas_do_not_change_weights_and_history(trained, case):
    """Two replicas train everything except some cases in half precision, which `replicas.py all` includes; four train
    the methods that gather or draw over replicas; one trains some."""
    method, _, training = case.partition("/")
    for option in [option for option, *_ in TRAININGS[training][2]] if training else ["alone"]:
        alone = of(trained[0], method, option)
        shared = {count: of(arrays, method, option) for count, arrays in trained.items() if count}
        assert shared[2]
        for count, arrays in shared.items():
            for kind in ("weight", "history") if arrays else ():
                apart = largest_difference(arrays, alone, kind)
                assert apart <= tolerance(method, option), (option, count, kind)


@pytest.mark.slow
@pytest.mark.parametrize("method", HARD)
def test_one_replica_equals_no_strategy(trained, method):
    for option in PLAIN:
        for name, array in of(trained[0], method, option).items():
            np.testing.assert_array_equal(of(trained[1], method, option)[name], array, err_msg=name)


@pytest.mark.slow
def test_all_replicas_skip_a_step_with_nan_on_one(trained):
    """One of three steps per epoch has a NaN: its accuracy counts, its gradient does not, and the scale is halved."""
    for count in (0, 2, 4):
        found = of(trained[count], "not_a_number", "alone")
        assert all(np.isfinite(array).all() for name, array in found.items() if "weight" in name)
        np.testing.assert_array_equal(found["history/scale"], [0.5])


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_wrong_twin(trained, name):
    method = TWINS[name][0].__name__
    right = of(trained[0], method, "alone")
    twin = {each.removeprefix(f"twin {name}/"): array for each, array in trained[2].items() if name in each}
    assert max(largest_difference(twin, right, kind) for kind in ("weight", "history")) > 1e-3


def test_two_replicas_equal_one_device(tmp_path):
    """A short version: fine-tuning with augmentation, dropout, batch norm and accumulation."""
    cases = ["finetune/accumulated"]
    trained = replicas.train_everywhere(tmp_path, {0: cases, 2: cases})
    alone, shared = (of(trained[count], "finetune", "accumulated") for count in (0, 2))
    assert alone
    for kind in ("weight", "history"):
        assert largest_difference(shared, alone, kind) <= 1e-6
