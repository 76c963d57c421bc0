"""Check of the callbacks that a user gives a run, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tf_kit.checks import refuse
from tf_kit.training.loop import check_callback


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
        refuse("callbacks", "be a list of Keras callbacks", f"a {type(callbacks).__name__}", remedy)
    for each in callbacks:
        check_callback("callbacks", each)
    return callbacks
