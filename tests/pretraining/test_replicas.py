"""The number of replicas changes neither weights nor History: 1, 2 and 4 against no strategy."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pretraining import replicas

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Number of replicas, 0 for no strategy → the arrays that `replicas.train_all` gives there."""
    folder = tmp_path_factory.mktemp("replicas")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}
    processes = {
        count: subprocess.Popen(
            [
                sys.executable,
                str(TESTS / "pretraining" / "replicas.py"),
                str(count),
                str(folder / f"{count}.npz"),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for count in (4, 2, 1)
    }
    try:
        arrays = {0: replicas.train_all()}
        for count, process in processes.items():
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors[-2000:]
            arrays[count] = dict(np.load(folder / f"{count}.npz"))
    finally:
        for process in processes.values():
            process.kill()
    return arrays


def of(arrays, method):
    return {name: array for name, array in arrays.items() if name.startswith(f"{method}/")}


CASES = [(method, count) for method in replicas.METHODS for count in (1, 2, 4)]


@pytest.mark.parametrize(
    ("method", "count"), [case for case in CASES if case[0] in replicas.MAIN or case[1] == 2]
)
def test_the_same_on_any_number_of_replicas(trained, method, count):
    """Weights within 1e-6, which leaves room for sums in another order (6e-8 seen; 4e-7 where batch norm or a
    correlation divides by a small deviation). Half precision rounds every example's part of a sum to 11 bits, in
    another order too: 2e-5 seen."""
    alone, shared = of(trained[0], method), of(trained[count], method)
    assert alone.keys() == shared.keys()
    assert any("/weight/" in name for name in alone)
    assert any("/history/loss" in name for name in alone)
    tolerance = 2e-4 if method == "half_precision" else 1e-6
    for name, array in alone.items():
        np.testing.assert_allclose(shared[name], array, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("method", replicas.MAIN)
def test_one_replica_is_no_strategy(trained, method):
    for name, array in of(trained[0], method).items():
        np.testing.assert_array_equal(trained[1][name], array, err_msg=name)


@pytest.mark.parametrize("name", replicas.TWINS)
def test_wrong_twin(trained, name):
    method = replicas.TWINS[name][0].__name__
    right, twin = of(trained[0], method), of(trained[2], f"twin {name}")
    difference = [np.abs(twin[each.replace(method, f"twin {name}")] - right[each]).max() for each in right]
    assert max(difference) > 1e-3


@pytest.mark.parametrize("name", ["steps_per_execution", "gradient_accumulation_steps"])
def test_what_keras_cannot_do_there_is_refused(trained, name):
    assert f"{name}=3" in str(trained[2][f"refused/{name}"])
    assert "several replicas" in str(trained[2][f"refused/{name}"])
