"""Minibatches of examples that are read as they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_kit.data.batches import minibatches
from tf_kit.typing import Dataset


def read_as_needed(
    keys: np.ndarray,
    labels: np.ndarray | None,
    read: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    **order: Any,
) -> Dataset:
    """Stream minibatches of examples; only their keys, names or indices, are in memory and shuffled.

    Args:
        keys: key of each example.
        labels: int64 (n,), classes, or None.
        read: function that returns the examples of some keys, float32 (k, *shape).
        shape: shape of one example.
        **order: arguments of `minibatches`.

    Returns:
        `tf.data.Dataset` of `(x, y)`, or of `x` without labels.

    Example:
        >>> squares = np.arange(4.0, dtype="float32")[:, None] ** 2
        >>> stream = read_as_needed(np.arange(4), None, lambda some: squares[some], (1,), batch_size=3, shuffle=False)
        >>> [x.numpy().ravel().tolist() for x in stream]
        [[0.0, 1.0, 4.0], [9.0]]
    """
    import tensorflow as tf

    def read_keys(keys, *labels):
        x = tf.numpy_function(read, [keys], tf.float32, stateful=False)
        x = tf.ensure_shape(x, (None, *shape))
        return (x, *labels) if labels else x

    stream = minibatches(tf.constant(keys.tolist()), labels, **order)
    return stream.map(read_keys, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
