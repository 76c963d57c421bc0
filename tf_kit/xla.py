"""Compilation of functions by XLA on TensorFlow; on other backends functions run unchanged."""

from __future__ import annotations

import contextlib
import contextvars
import json
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tf_kit import keras_internals

_compiles = contextvars.ContextVar("compiles", default=True)
_differentiates = contextvars.ContextVar("differentiates", default=True)

# Kernels by what they compute. TensorFlow never frees what XLA has compiled, some megabytes for each `tf.function`.
_kernels: dict[tuple, Any] = {}
_WITHOUT_EFFECT = {"name", "seed", "trainable", "build_config"}  # entries of a configuration


def compiled(function: Callable) -> Callable:
    """Compile a function into one fused kernel for each shape of its arguments.

    Methods of layers of the kit with equal configurations, except for name and seed, share their kernels; so do the
    results for one function of a module of the kit. The method must not use the seed or variables of its layer.

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
            kernel = _kernel_of(function)
        return keras_internals.launched(kernel, arguments) if _can_launch() else kernel(*arguments)

    return run


def _can_launch():
    """Return whether one operation may stand for a kernel: in a graph of processors that XLA does not compile."""
    import tensorflow as tf

    if _differentiates.get() or tf.executing_eagerly() or keras_internals.is_compiled_by_xla():
        return False
    return not tf.config.list_logical_devices("GPU")


def _kernel_of(function):
    """Return the kernel of a function, which is shared if the name or the configuration determines the function."""
    import tensorflow as tf

    identity = _identity(function)
    kernel = _kernels.get(identity) or tf.function(function, jit_compile=True, autograph=False)
    return kernel if identity is None else _kernels.setdefault(identity, kernel)


def _identity(function):
    """Return what determines a method of a layer, or a function of a module; None if that is not known."""
    owner, name = getattr(function, "__self__", None), function.__qualname__
    if not _is_own(function.__module__ if owner is None else type(owner).__module__) or "<" in name:
        return None
    if owner is None:
        return (function.__module__, name)
    try:
        config = json.dumps(_cleaned(keras.saving.serialize_keras_object(owner)), sort_keys=True)
    except (TypeError, ValueError, NotImplementedError):
        return None
    return (type(owner), name, config, keras.config.floatx())


def _is_own(module):
    return (module or "").split(".")[0] in ("keras", "tf_kit")


def _cleaned(node):
    """Return a configuration without what has no effect on a method; raise ValueError for a foreign object."""
    if isinstance(node, dict):
        if node.get("class_name") == "__lambda__" or not _is_own(node.get("module") or "keras"):
            raise ValueError("an object that its configuration does not determine")
        return {key: _cleaned(value) for key, value in node.items() if key not in _WITHOUT_EFFECT}
    if isinstance(node, (list, tuple)):
        return [_cleaned(each) for each in node]
    return node


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


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Call `compiled` functions so that no gradient passes them, in a graph that needs none.

    Such a call leaves nothing behind. For any other, TensorFlow keeps a copy of the function's body when the graph
    around it is gone, 0.4 to 0.8 MB for an augmentation.

    Example:
        >>> with without_gradients():
        ...     float(compiled(lambda x: 2 * x)(3.0))
        6.0
    """
    token = _differentiates.set(False)
    try:
        yield
    finally:
        _differentiates.reset(token)
