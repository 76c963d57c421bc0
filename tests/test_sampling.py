"""Tests of the third of the slow tests that a change runs: three runs have every test, and none leaves a test out."""

import pytest
from support.sampling import third_of

CASES = {"one": 1, "two": 2, "three": 3, "seven": 7, "twelve": 12}
TESTS = [f"test_x.py::test_{name}[{i}]" for name, count in CASES.items() for i in range(count)]
TESTS += ["test_x.py::test_without_cases", "README.md::README.md"]


@pytest.mark.parametrize("first", [0, 1, 2, 3_000_017])
def test_three_runs_have_every_case(first):
    runs = [third_of(TESTS, first + i) for i in range(3)]
    assert set().union(*runs) == set(TESTS)
    for run in runs:
        assert len(run) == len(set(run))
        assert {test.partition("[")[0] for test in run} == {test.partition("[")[0] for test in TESTS}
        assert sum("twelve" in test for test in run) == 4
        assert 2 <= sum("seven" in test for test in run) <= 3
    assert third_of(TESTS, first + 3) != runs[1], "the next case comes in the next run"
    assert third_of(TESTS, first) == runs[0], "a number always names the same tests"


def test_tests_begin_at_different_cases():
    tests = [f"test_x.py::test_{i}[{case}]" for i in range(20) for case in ("SimCLR", "BYOL", "RBM")]
    kept = third_of(tests, 0)
    assert len(kept) == 20
    assert all(4 <= sum(case in test for test in kept) <= 10 for case in ("SimCLR", "BYOL", "RBM"))


def test_order_is_kept_and_nothing_is_fine():
    assert third_of([], 4) == []
    kept = third_of(TESTS, 1)
    assert kept == sorted(kept, key=TESTS.index)
