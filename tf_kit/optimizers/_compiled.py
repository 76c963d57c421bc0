"""Compilation of the update of all weights into one kernel: the only file of this wing that imports tensorflow.

Written as equations, an update is a chain of about ten elementwise operations, each of which reads and writes
all weights. XLA fuses the chain into one pass over memory. Keras can compile the whole training step, and does
so on a GPU; on a CPU that slows down the matrix products, so only the update is compiled.
"""

from collections.abc import Callable

import tensorflow as tf


def compile_apply(apply: Callable[..., None]) -> Callable[..., None]:
    """Compile `apply(gradients, indices)`, once for each value of `indices`, a tuple of ints."""
    return tf.function(apply, jit_compile=True, autograph=False)


def is_distributed() -> bool:
    """Return whether the gradients will be summed over replicas, which a compiled kernel cannot do."""
    return tf.distribute.has_strategy()
