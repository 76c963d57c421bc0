"""Tests of the sixth of the slow tests that a change runs: six runs have every test, and none has one twice."""

import pytest
from support.sampling import sixth_of

CASES = {"one": 1, "two": 2, "three": 3, "seven": 7, "twelve": 12}
TESTS = [f"test_x.py::test_{name}[{i}]" for name, count in CASES.items() for i in range(count)]
TESTS += [f"test_x.py::test_without_cases_{i}" for i in range(30)] + ["README.md::README.md"]


@pytest.mark.parametrize("first", [0, 1, 2, 3_000_017])
def test_six_runs_have_every_test_once(first):
    runs = [sixth_of(TESTS, first + i) for i in range(6)]
    assert sorted(test for run in runs for test in run) == sorted(TESTS)
    for run in runs:
        assert sum("twelve" in test for test in run) == 2
        assert 1 <= sum("seven" in test for test in run) <= 2
        assert 1 <= sum("without" in test for test in run) <= 11
    assert sixth_of(TESTS, first + 6) == runs[0]


def test_tests_begin_at_different_cases():
    tests = [
        f"test_x.py::test_{i}[{case}]"
        for i in range(20)
        for case in ("SimCLR", "BYOL", "RBM", "DINO", "I-JEPA", "MAE")
    ]
    kept = sixth_of(tests, 0)
    assert len(kept) == 20
    assert all(1 <= sum(case in test for test in kept) <= 10 for case in ("SimCLR", "BYOL", "RBM", "DINO"))


def test_order_is_kept_and_nothing_is_fine():
    assert sixth_of([], 6) == []
    kept = sixth_of(TESTS, 1)
    assert kept == sorted(kept, key=TESTS.index)
