"""Lecture demos: how they are found, described, configured and run.

A demo is a percent script `NN_topic.py` with a docstring whose first line is its question, the constants `TITLE` and
`SECONDS` (duration at full size on two cores), a dataclass `Config`, and the functions

    run(config) -> dict        plain numbers and arrays, the same for the same config
    check(results) -> str      asserts the claim of the docstring and returns the answer in one sentence
    plot(results) -> figure    draws the results

and, where something moves, `sliders(config) -> States` and `animation(config) -> States`.

It ends with `if __name__ == "__main__": lectures.main(globals())`, so that it runs as a program, imports as a module
and opens as a notebook.
"""

from tf_kit.lectures.catalog import (
    Demo,
    configure,
    demos,
    docstring,
    find,
    flags,
    folder,
    load,
    question,
)
from tf_kit.lectures.data_sets import first_examples, first_prepared, load_data, mislabel
from tf_kit.lectures.notebooks import write_notebook
from tf_kit.lectures.performance import general_flags, main, perform
from tf_kit.lectures.states import States
from tf_kit.options import option

__all__ = [
    "Demo",
    "States",
    "configure",
    "demos",
    "docstring",
    "find",
    "first_examples",
    "first_prepared",
    "flags",
    "folder",
    "general_flags",
    "load",
    "load_data",
    "main",
    "mislabel",
    "option",
    "perform",
    "question",
    "write_notebook",
]
