"""The update of all weights as one compiled kernel: the only file of this wing that imports tensorflow.

Written as its equations, an update is a chain of ten or so elementwise operations, each of which reads and
writes all weights. XLA fuses the chain into one pass over memory. Keras can compile the whole training step,
and does so on a GPU; on a CPU its matrix products are then slower, so the update is compiled alone.
"""

import tensorflow as tf


def compile_apply(apply):
    """`apply(gradients, indices)` compiled; `indices`, a tuple of ints, is part of what is compiled for."""
    return tf.function(apply, jit_compile=True, autograph=False)


def is_distributed():
    """Whether gradients are about to be summed over replicas, which a compiled kernel cannot do."""
    return tf.distribute.has_strategy()
