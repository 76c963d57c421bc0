"""Judge: comparison of an answer's arrays with the reference."""

import dataclasses

import numpy as np
import pytest

from grading.class_of_students import LAB
from tf_kit.grading import Between, Close, Holds, judge
from tf_kit.grading.judge import Failure

EXERCISE = LAB.exercises["leaky"]


def compared(expected, got, **case):
    return judge.compare(EXERCISE, case, "y", expected, {"y": np.asarray(got)})


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ([1.0, 2.0], np.float32([1, 2]), ""),
        ([1.0, np.nan], [1.0, np.nan], ""),
        ([1.0, 2.0], [1.0, 2.5], "at [1] got 2.5, expected 2; 1 of 2 differ; median of got/expected 1.125"),
        ([1.0, 2.0], [1.0, np.nan], "1 of 2 not finite"),
        ([1.0, 2.0], [1.0, np.inf], "got inf"),
        ([1.0, np.inf], [1.0, np.inf], ""),
        ([1.0, np.inf], [1.0, 2.0], "got 2, expected inf"),
        ([1.0, 2.0], [[1.0, 2.0]], "expected shape (2,), got (1, 2)"),
        ([1.0, 2.0], ["1", "2"], "expected real numbers"),
        ([1, 2], [1, 3], "at [1] got 3, expected 2"),
        ([1, 2], [1.0, 2.0], "expected int64 values"),
        ([True], [1], ""),
        (3.0, 3.0, ""),
        (Close([1.0], rtol=0.1), [1.05], ""),
        (Close([1.0], rtol=0.1), [1.2], "expected 1"),
        (Between(0, 1), [0.5, 1.5], "at [1] got 1.5, expected between 0 and 1"),
        (Between(0, 1), [np.nan], "got nan"),
        (Holds(lambda y: y.sum() == 1, "sum to one"), [0.5, 0.5], ""),
        (Holds(lambda y: y.sum() == 1, "sum to one"), [0.5], "must sum to one"),
        (Holds(lambda y: y[5] == 1, "be long"), [0.5], "must be long"),
    ],
)
def test_fault_of_an_array_is_described(expected, got, words):
    what = compared(np.array(expected) if isinstance(expected, list) else expected, got)
    assert what == words if not words else words in what


def test_dtype_of_the_case_is_required():
    assert compared(np.array([1.0]), np.float32([1]), dtype="float32") == ""
    assert "expected dtype float32" in compared(np.array([1.0]), np.float64([1]), dtype="float32")
    assert "expected dtype float64" in compared(np.array([1.0]), np.float16([1]), dtype="float64")


def test_tolerance_depends_on_the_case_and_not_on_the_answer():
    """An answer in half precision is not compared more loosely."""
    assert compared(np.array([1.0]), np.float16([1.004])) != ""


def test_reference_is_computed_once_for_all_submissions():
    asked = []

    def reference(case):
        asked.append(case)
        return {"y": np.ones(2)}

    exercise = dataclasses.replace(EXERCISE, reference=reference)
    cases = [{"x": 1}, {"x": 1}]
    for got, points in ((1.0, EXERCISE.points), (2.0, 0), (1.0, EXERCISE.points)):
        assert judge.judge(exercise, cases, [{"y": np.full(2, got)}] * 2).points == points
    assert len(asked) == len(cases)


def test_parts_are_all_or_nothing():
    exercise = dataclasses.replace(
        EXERCISE, points=3, parts={"easy": 1, "hard": 2}, reference=lambda case: {"y": np.ones(2)}
    )
    cases = [{"part": "easy"}, {"part": "hard"}, {"part": "hard"}]
    right, wrong = {"y": np.ones(2)}, {"y": np.zeros(2)}
    assert judge.judge(exercise, cases, [right, wrong, right]).earned == {"easy": 1, "hard": 0}
    verdict = judge.judge(exercise, cases, [right, right, Failure("ValueError", "no")])
    assert (verdict.points, verdict.status) == (1, "error")


def test_judge_does_not_import_tensorflow():
    import subprocess
    import sys

    code = "import sys; from tf_kit.grading import grader, course, labs; labs.labs()[0].exercises\n"
    code += "print(sorted(sys.modules.keys() & {'tensorflow', 'keras', 'matplotlib', 'IPython'}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
