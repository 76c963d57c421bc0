"""The start of TensorFlow without its log, which a notebook shows in red above a student's first result."""

from __future__ import annotations

import importlib
import os

from tf_kit import stderr


def start_quietly() -> None:
    """Import TensorFlow and Keras and look for devices, without a line of log.

    On its import TensorFlow writes to descriptor 2 before it reads `TF_CPP_MIN_LOG_LEVEL`, so the variable alone, which
    is set here too unless it has a value, hides only what comes later. Exceptions are raised as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr.closed():
        importlib.import_module("tensorflow").config.list_physical_devices()
        importlib.import_module("keras")
