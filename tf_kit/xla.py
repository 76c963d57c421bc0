"""Functions compiled by XLA, on TensorFlow; on other backends they run as they are."""

from __future__ import annotations

from collections.abc import Callable

import keras


def compiled(function: Callable) -> Callable:
    """`function` compiled into one fused kernel for each shape of its arguments.

    The result is a plain function, since a layer that holds a `tf.function` would export it with the model.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    kernel = None

    def run(*arguments):
        nonlocal kernel
        if kernel is None:
            import tensorflow as tf

            kernel = tf.function(function, jit_compile=True, autograph=False)
        return kernel(*arguments)

    return run
