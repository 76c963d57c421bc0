"""Tests of the third of the slow tests that a change runs: three runs have every test, and none has one twice."""

import pytest
from support.sampling import third_of

CASES = {"one": 1, "two": 2, "three": 3, "seven": 7, "twelve": 12}
TESTS = [f"test_x.py::test_{name}[{i}]" for name, count in CASES.items() for i in range(count)]
TESTS += [f"test_x.py::test_without_cases_{i}" for i in range(30)] + ["README.md::README.md"]


@pytest.mark.parametrize("first", [0, 1, 2, 3_000_017])
def test_three_runs_have_every_test_once(first):
    runs = [third_of(TESTS, first + i) for i in range(3)]
    assert sorted(test for run in runs for test in run) == sorted(TESTS)
    for run in runs:
        assert sum("twelve" in test for test in run) == 4
        assert 2 <= sum("seven" in test for test in run) <= 3
        assert 4 <= sum("without" in test for test in run) <= 16
    assert third_of(TESTS, first + 3) == runs[0]


def test_tests_begin_at_different_cases():
    tests = [f"test_x.py::test_{i}[{case}]" for i in range(20) for case in ("SimCLR", "BYOL", "RBM")]
    kept = third_of(tests, 0)
    assert len(kept) == 20
    assert all(4 <= sum(case in test for test in kept) <= 10 for case in ("SimCLR", "BYOL", "RBM"))


def test_order_is_kept_and_nothing_is_fine():
    assert third_of([], 4) == []
    kept = third_of(TESTS, 1)
    assert kept == sorted(kept, key=TESTS.index)
