"""Replicas that share each minibatch: places of examples in the global batch, sums over replicas, gathering.

Under a `tf.distribute` strategy every replica runs the same step on its part of the minibatch. For a result that does
not depend on the number of replicas, the step uses:

    the place of each example in the global batch      `place_in_global_batch`, `GlobalBatch`
    sums over all replicas                              `sum_over_replicas`
    the rows of all replicas, in order                  `gather`

On one device, outside a strategy, and on Keras backends other than TensorFlow, these functions return their arguments
unchanged. TensorFlow is imported only if it is the backend.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tf_kit.typing import Tensor


def context() -> Any:
    """Return the replica context of this call, or None if there is only one replica.

    Example:
        >>> context() is None
        True
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    found = tf.distribute.get_replica_context()
    return found if found is not None and found.num_replicas_in_sync > 1 else None


def index() -> int | Tensor:
    """Return the number of this replica, counted from 0."""
    found = context()
    return 0 if found is None else found.replica_id_in_sync_group


def sum_over_replicas(values: Any) -> Any:
    """Sum a tensor, or each tensor in a list, over the replicas of the current strategy.

    Every replica gets the same sums, and gradients flow back through them: the derivative of the summed losses with
    respect to one replica's addend is the sum of the derivatives on all replicas.
    """
    found = context()
    return values if found is None else found.all_reduce("SUM", values)


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all replicas in the order of the global batch; gradients flow back to the replica of each."""
    found = context()
    if found is None:
        return rows
    import tensorflow as tf

    gathered = found.all_gather(tf.identity(rows), axis=0)  # inputs of a step have no device yet
    known = None not in rows.shape[1:]
    return ops.reshape(gathered, (-1, *rows.shape[1:])) if known else gathered  # restore the static shape


def place_in_global_batch(num_examples: int | Tensor) -> tuple[Any, Any]:
    """Return (index of this replica's first example in the global batch, number of examples in the global batch).

    A strategy splits a batch into contiguous parts of unequal length, so the lengths of the parts are gathered.

    Example:
        >>> place_in_global_batch(32)
        (0, 32)
    """
    found = context()
    if found is None:
        return 0, num_examples
    import tensorflow as tf

    counts = found.all_gather(tf.reshape(num_examples, (1,)), axis=0)
    firsts = tf.cumsum(counts, exclusive=True)
    return firsts[found.replica_id_in_sync_group], tf.reduce_sum(counts)


def drawn_for_the_global_batch(draw: Any, inputs: Tensor, shape: Any, seed_generator: Any) -> Tensor:
    """Draw random numbers (n, *shape) for the examples of this replica: its part of those of the global batch.

    Args:
        draw: `keras.random.uniform` or another function of the same arguments.
        inputs: examples of this replica (n, …).
        shape: shape of the numbers of one example.
        seed_generator: `keras.random.SeedGenerator` of the layer, which has the same state on every replica.

    Example:
        >>> tuple(drawn_for_the_global_batch(keras.random.normal, ops.ones((4, 3)), (2,), 0).shape)
        (4, 2)
    """
    num_examples = ops.shape(inputs)[0]
    first, total = place_in_global_batch(num_examples)
    return draw((total, *shape), dtype="float32", seed=seed_generator)[first : first + num_examples]


class GlobalBatch:
    """Minibatch that all replicas share, and the part of it on this replica.

    Args:
        x: examples of this replica, or a structure of arrays of them.

    Attributes:
        count: number of examples on this replica.
        offset: place of this replica's first example in the global batch.
        total: number of examples in the global batch; `total_float` is the same number as float32.
    """

    def __init__(self, x: Any) -> None:
        import tensorflow as tf

        self.count = tf.shape(tf.nest.flatten(x)[0])[0]
        self.offset, self.total = place_in_global_batch(self.count)
        self.total_float = tf.cast(self.total, tf.float32)

    def sum_gradients(self, gradients: list) -> list:
        """Sum gradients over replicas, each as one dense tensor; None where there is no gradient."""
        reached = [i for i, gradient in enumerate(gradients) if gradient is not None]
        # Dense on one replica too, since Keras would clip the rows of an embedding before summing repeated ones.
        sums = sum_over_replicas([dense(gradients[i]) for i in reached]) if reached else []
        by_place = dict(zip(reached, sums, strict=True))
        return [by_place.get(i) for i in range(len(gradients))]


def dense(gradient: Tensor) -> Tensor:
    """Return a gradient as one tensor; that of an embedding is a list of rows, which may occur repeatedly."""
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)
