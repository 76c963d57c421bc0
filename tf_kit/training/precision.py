"""Precision of training: float32, or products in bfloat16 where this machine computes them faster.

In bfloat16 a number has 8 bits of mantissa instead of 24, and the exponent of float32. A layer with Keras's policy
`mixed_bfloat16` keeps its weights in float32 and computes in bfloat16. Losses, statistics of a minibatch and the
state of the optimizer stay in float32 in every method of the kit.

Reference: Micikevicius et al., 2018, Mixed precision training, ICLR; Kalamkar et al., 2019, A study of BFLOAT16 for
deep learning training, arXiv:1905.12322.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.checks import choice, count

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_TURNS = 5
_SECONDS = 0.05  # duration of a turn


@contextlib.contextmanager
def precision(name: str | None) -> Iterator[None]:
    """Make the layers that are created in the context compute in a precision.

    Args:
        name: `"float32"` or `"bfloat16"`; None leaves the policy that Keras has.

    Example:
        >>> with precision("bfloat16"):
        ...     keras.layers.Dense(3).compute_dtype
        'bfloat16'
    """
    if name is None:
        yield
        return
    choice("precision.name", name, tuple(_POLICIES))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def current_precision() -> str:
    """Return the precision of layers that are created now, by the policy that Keras has."""
    return keras.config.dtype_policy().compute_dtype


def precision_of(model: keras.Model) -> str:
    """Return the precision that the layers of a model compute in: `"bfloat16"` if one does, else `"float32"`."""
    layers = keras_internals.flatten_layers(model)
    return "bfloat16" if any(layer.compute_dtype == "bfloat16" for layer in layers) else "float32"


def set_precision(model: keras.Model, name: str) -> None:
    """Make all layers of a model compute in another precision; the weights stay as they are.

    Args:
        model: model, built or not.
        name: `"float32"` or `"bfloat16"`.
    """
    choice("set_precision.name", name, tuple(_POLICIES))
    for layer in keras_internals.flatten_layers(model):
        layer.dtype_policy = keras.DTypePolicy(_POLICIES[name])


def gain(make: Callable[[], keras.Model], x: np.ndarray, batch_size: int) -> float:
    """Measure how many times faster an encoder is in bfloat16 than in float32, forward and backward.

    Args:
        make: function that makes the encoder.
        x: some examples, which are repeated to fill a batch.
        batch_size: examples per step.

    Returns:
        Median of the ratios of seconds, float32 / bfloat16, of neighboring turns.
    """
    count("gain.batch_size", batch_size)
    with tf.device("GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"):
        batch = tf.constant(x[np.arange(batch_size) % len(x)])
        runs = {}
        for name in _POLICIES:
            model = make()
            set_precision(model, name)
            runs[name] = _differentiated(model, batch)
        repeats = max(1, round(_SECONDS / _seconds(runs["float32"], 1)))
        turns = [[_seconds(run, repeats) for run in runs.values()] for _ in range(_TURNS)]
    return float(np.median([slow / fast for slow, fast in turns]))


def _differentiated(model, x):
    """Return a function that computes the gradient of a model's outputs, compiled and warm."""
    model(x[:1])

    @tf.function(autograph=False)
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.cast(model(x, training=True), tf.float32)))
        return [tf.reduce_sum(each) for each in tape.gradient(loss, model.trainable_variables)]

    gradient()
    return gradient


def _seconds(run, repeats):
    began = time.perf_counter()
    for _ in range(repeats):
        sums = run()
    float(sums[0])
    return time.perf_counter() - began
