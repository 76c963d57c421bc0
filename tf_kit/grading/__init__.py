"""Grading: exercises with their right and wrong answers, `check` for the student, a grader for the teacher."""

from typing import TYPE_CHECKING

from tf_kit.lazy import lazily

if TYPE_CHECKING:
    from tf_kit.grading import course as course
    from tf_kit.grading import grader as grader
    from tf_kit.grading import labs as labs
    from tf_kit.grading import notebooks as notebooks
    from tf_kit.grading import reports as reports
    from tf_kit.grading import selftest as selftest
    from tf_kit.grading import submissions as submissions
    from tf_kit.grading.checking import check as check
    from tf_kit.grading.checking import points as points
    from tf_kit.grading.exercise import Between as Between
    from tf_kit.grading.exercise import Close as Close
    from tf_kit.grading.exercise import Exercise as Exercise
    from tf_kit.grading.exercise import Holds as Holds
    from tf_kit.grading.exercise import Mistake as Mistake
    from tf_kit.grading.exercise import Variant as Variant
    from tf_kit.grading.sandbox import confinement as confinement
else:  # hidden from type checkers, which would accept any name if there were a `__getattr__`
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "tf_kit.grading.checking": ("check", "points"),
            "tf_kit.grading.exercise": ("Between", "Close", "Exercise", "Holds", "Mistake", "Variant"),
            "tf_kit.grading.course": (),
            "tf_kit.grading.grader": (),
            "tf_kit.grading.labs": (),
            "tf_kit.grading.notebooks": (),
            "tf_kit.grading.reports": (),
            "tf_kit.grading.sandbox.confinement": (),
            "tf_kit.grading.selftest": (),
            "tf_kit.grading.submissions": (),
        },
    )
