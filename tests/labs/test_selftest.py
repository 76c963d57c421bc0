"""Every lab's judge knows right from wrong: solution, stub, known mistakes, right variants."""

import pytest

from tf_kit.grading import labs, selftest

EXERCISES = [(lab, exercise) for lab in labs.labs() for exercise in lab.exercises.values()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lab", "exercise"), EXERCISES, ids=[f"{lab.name}-{exercise.id}" for lab, exercise in EXERCISES]
)
def test_exercise(lab, exercise):
    faults = [
        f"{row.kind} {row.label}: {row.fault}\n{row.report}"
        for row in selftest.run(lab, exercise)
        if row.fault
    ]
    assert not faults, "\n".join(faults)
