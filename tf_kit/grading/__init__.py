"""Grading: exercises with their right and wrong answers, `check` for the student, a grader for the teacher."""

import importlib
from typing import Any

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
_MODULES = {
    **{
        name: name for name in ("course", "grader", "labs", "notebooks", "reports", "selftest", "submissions")
    },
    "confinement": "sandbox.confinement",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"tf_kit.grading.{_PLACES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"tf_kit.grading.{_MODULES[name]}")
    raise AttributeError(f"tf_kit.grading has no {name!r}; it has {', '.join(__all__)}")
