"""Grading: exercises that know their right and wrong answers, `check` for the student, a grader for the teacher."""

import importlib

_PLACES = {
    "Between": "exercise",
    "Close": "exercise",
    "Exercise": "exercise",
    "Holds": "exercise",
    "Mistake": "exercise",
    "Variant": "exercise",
    "check": "checking",
    "points": "checking",
}
__all__ = sorted(_PLACES)


def __getattr__(name):
    if name in _PLACES:
        return getattr(importlib.import_module(f"tf_kit.grading.{_PLACES[name]}"), name)
    raise AttributeError(f"tf_kit.grading has no {name!r}; it has {', '.join(__all__)}")
