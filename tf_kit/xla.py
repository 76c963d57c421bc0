"""Compilation of functions by XLA on TensorFlow; on other backends functions run unchanged."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import keras

_compiles = contextvars.ContextVar("compiles", default=True)


def compiled(function: Callable) -> Callable:
    """Compile a function into one fused kernel for each shape of its arguments.

    The result is a plain function, since a layer with a `tf.function` as an attribute would export it with the model.

    Example:
        >>> from keras import ops
        >>> float(compiled(lambda x: 2 * x + 1)(ops.array(3.0)))
        7.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    kernel = None

    def run(*arguments):
        nonlocal kernel
        if not _compiles.get():
            return function(*arguments)
        if kernel is None:
            import tensorflow as tf

            kernel = tf.function(function, jit_compile=True, autograph=False)
        return kernel(*arguments)

    return run


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Run `compiled` functions as they are, where a compilation would take longer than the single call.

    Example:
        >>> with uncompiled():
        ...     compiled(lambda x: x + 1)(2)
        3
    """
    token = _compiles.set(False)
    try:
        yield
    finally:
        _compiles.reset(token)
