"""Registration on demand: Keras finds the classes of the kit in a saved file although no wing has been imported yet.

A class is registered with Keras when its module is imported, and `import tf_kit` imports none, so that the command
line starts at once. Therefore Keras is taught to ask here for a name `tf_kit>…` that it does not know.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from tf_kit.checks import refuse

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


def require_tensorflow() -> None:
    """Refuse another backend of Keras: training rests on `tf.data`, `tf.function` and `tf.distribute`.

    Raises:
        InputError: Keras has been imported with another backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        _refuse_backend("be tensorflow for training and pretraining", keras.backend.backend())


def _refuse_missing_backend():
    chosen = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if importlib.util.find_spec(chosen) is None:
        _refuse_backend("name an installed backend of Keras; tf_kit trains with tensorflow", chosen)


def _refuse_backend(requirement, chosen):
    remedy = "Unset KERAS_BACKEND, or set it to tensorflow, before Python starts"
    refuse("KERAS_BACKEND", requirement, f"KERAS_BACKEND={chosen}", remedy)


def _teach_keras():
    from tf_kit import keras_internals

    keras_internals.resolve_registered_names(PREFIX, register_all)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finder that calls a function when `keras` has been imported; another finder finds `keras`."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then = then
        self.inside = False

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != "keras" or self.inside:
            return None
        _refuse_missing_backend()
        self.inside = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.inside = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_teach(module):
            execute(module)
            sys.meta_path.remove(self)
            self.then()

        spec.loader.exec_module = execute_and_teach  # type: ignore[method-assign]
        return spec
