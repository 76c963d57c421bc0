"""Registration on demand: Keras finds the classes of the kit in a saved file although no wing has been imported yet.

A class is registered with Keras when its module is imported, and `import tf_kit` imports none, so that the command
line starts at once. Therefore Keras is taught to ask here for a name `tf_kit>…` that it does not know.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

PREFIX = "tf_kit>"

# Wings whose modules register classes. Their lists of names lead to all of these modules.
_WINGS = ("networks", "regularization", "optimizers", "design", "training", "pretraining", "scaling")


def register_on_demand() -> None:
    """Let Keras import the kit's classes when it meets their names, now or as soon as Keras is imported."""
    if "keras" in sys.modules:
        _teach_keras()
    else:
        sys.meta_path.insert(0, _AfterKeras(_teach_keras))


def register_all() -> None:
    """Import every module that registers classes with Keras."""
    for wing in _WINGS:
        module = importlib.import_module(f"tf_kit.{wing}")
        for name in module.__all__:
            getattr(module, name)


def _teach_keras():
    from tf_kit import keras_internals

    keras_internals.resolve_registered_names(PREFIX, register_all)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finder that calls a function when `keras` has been imported; it finds nothing itself."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then = then

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_teach(module):
            execute(module)
            self.then()

        spec.loader.exec_module = execute_and_teach  # type: ignore[method-assign]
        return spec
