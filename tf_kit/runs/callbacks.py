"""Check of the callbacks that a user gives a run, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tf_kit.checks import refuse

_REQUIREMENT = "be a list of Keras callbacks"


def check_callbacks(callbacks: Any) -> Sequence[keras.callbacks.Callback]:
    """Return the callbacks; refuse anything else.

    Example:
        >>> check_callbacks(keras.callbacks.TerminateOnNaN())
        Traceback (most recent call last):
        tf_kit.errors.InputError: `callbacks` must be a list of Keras callbacks. Received: a TerminateOnNaN. Put it in
        brackets: `callbacks=[...]`.
    """
    if not isinstance(callbacks, list | tuple):
        remedy = "Put it in brackets: `callbacks=[...]`"
        refuse("callbacks", _REQUIREMENT, f"a {type(callbacks).__name__}", remedy)
    for each in callbacks:
        if isinstance(each, type):
            refuse("callbacks", _REQUIREMENT, f"the class {each.__name__}", f"Call it: `{each.__name__}()`")
        if not isinstance(each, keras.callbacks.Callback):
            refuse("callbacks", _REQUIREMENT, f"a {type(each).__name__} in the list")
    return callbacks
