"""Import of Keras and TensorFlow without what they can do without: libraries, and the search for garbage.

The libraries take two fifths of the time of `import tensorflow`, which imports Keras, and the search for garbage takes
a tenth, although nothing that is loaded becomes garbage. Only processes that belong to the kit do this: the command
line, the processes of a table, and those of the grader. What needs such a library imports it itself.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Collection, Iterator, Sequence
from types import ModuleType

LIBRARIES = ("IPython", "matplotlib", "scipy", "sklearn")
_SLOW = ("keras", "tensorflow")


class _Hidden(importlib.abc.MetaPathFinder):
    """Finder that hides libraries from the modules of Keras and TensorFlow that look for them when they are loaded.

    While one of these two is loaded, Python does not look for garbage, and later not among what was loaded.
    """

    def __init__(self, libraries: Collection[str]) -> None:
        self._libraries = frozenset(libraries)
        self._inside = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in self._libraries and _is_asked_by_keras():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name not in _SLOW or self._inside:
            return None
        self._inside = True  # another finder finds it
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._inside = False
        if spec is not None and spec.loader is not None:
            execute = functools.partial(_execute, spec.loader.exec_module)
            spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec


def _execute(execute, module):
    """Execute a module without the search for garbage."""
    collects = gc.isenabled()
    gc.disable()
    try:
        execute(module)
    finally:
        if collects:
            gc.freeze()
            gc.enable()


def _is_asked_by_keras():
    frame = sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None or frame.f_code.co_name != "<module>":  # a function that needs the library finds it
        return False
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("keras", "tensorflow")


def hide(libraries: Collection[str] = LIBRARIES) -> None:
    """Hide libraries from Keras and TensorFlow from now on, if they are not imported yet. A second call does nothing.

    A function of Keras that looked for one of them when Keras was imported, such as `keras.visualization` and the
    wrappers of scikit-learn, then reports that it is not installed.

    Args:
        libraries: names of the libraries. Defaults to all of `LIBRARIES`.
    """
    if not any(isinstance(each, _Hidden) for each in sys.meta_path):
        sys.meta_path.insert(0, _Hidden(libraries))


@contextlib.contextmanager
def hidden(libraries: Collection[str] = LIBRARIES) -> Iterator[None]:
    """Within this context, `hide` libraries."""
    finder = _Hidden(libraries)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
