"""Draws of a whole tensor from a seed by Philox, with one result in every kind of graph.

`tf.random.stateless_uniform` gives the same numbers on every device, but others in a graph that XLA compiles, even with
`alg="philox"`: there TensorFlow makes the key of the generator in another way, and fractions of other bits of its
integers. In such graphs the numbers are computed here from the integers, which are the same:

    k, c = words 0-1 and words 2-3 of Philox(key = K, counter = seed)                 the key and counter of the draw
    b    = Philox(key = k, counter = (0, c)), Philox(key = k, counter = (1, c)), …    uint32 numbers
    u    = (b mod 2²³) / 2²³                                                          uniform in [0, 1)            (1)
    z    = √(−2 ln u₁) (sin 2π u₂, cos 2π u₂)                                         standard normal, by twos     (2)

where K is a constant of TensorFlow. (2) agrees with TensorFlow's kernel up to rounding, (1) to the last bit.

Reference: Salmon, Moraes, Dror, Shaw, 2011, Parallel random numbers: as easy as 1, 2, 3, doi:10.1145/2063384.2063405;
Box, Muller, 1958, A note on the generation of random normal deviates.
"""

import math
from typing import Any

import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.typing import Tensor

_KEY = (0x02461E29 << 32) | 0x3EC8F720  # K, of TensorFlow's kernel that makes a key of a seed
_PHILOX = 1  # its number among TensorFlow's generators
_SMALLEST = 1e-7  # TensorFlow's bound of u₁, whose logarithm is taken


def uniform(shape: Any, seed: Tensor) -> Tensor:
    """Draw uniform numbers from [0, 1).

    Args:
        shape: shape of the result, whole numbers or an integer tensor.
        seed: int64 tensor (2,).

    Returns:
        float32 tensor.

    Example:
        >>> compiled = tf.function(uniform, jit_compile=True)
        >>> bool(tf.reduce_all(compiled((2, 3), tf.constant([1, 2], tf.int64)) == uniform((2, 3), [1, 2])))
        True
    """
    if not keras_internals.is_compiled_by_xla():
        return tf.random.stateless_uniform(shape, seed, alg="philox")
    return tf.reshape(_fractions(_integers(_size(shape), seed)), shape)


def normal(shape: Any, seed: Tensor) -> Tensor:
    """Draw standard normal numbers; the arguments and the result are those of `uniform`."""
    if not keras_internals.is_compiled_by_xla():
        return tf.random.stateless_normal(shape, seed, alg="philox")
    size = _size(shape)
    u = tf.reshape(_fractions(_integers(size + size % 2, seed)), (-1, 2))
    radius = tf.sqrt(-2 * tf.math.log(tf.maximum(u[:, 0], _SMALLEST)))
    angle = 2 * math.pi * u[:, 1]
    pairs = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=1)  # (2)
    return tf.reshape(tf.reshape(pairs, (-1,))[:size], shape)


def _size(shape):
    return tf.reduce_prod(tf.cast(shape, tf.int32))


def _integers(size, seed):
    """Return `size` random numbers, uint32."""
    words = _philox(4, tf.constant([_KEY], tf.uint64), tf.bitcast(seed, tf.uint64))
    key, counter = tf.unstack(tf.bitcast(tf.reshape(words, (2, 2)), tf.uint64))
    return _philox(size, key[None], tf.stack([tf.zeros_like(counter), counter]))


def _philox(size, key, counter):
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[size], key=key, counter=counter, alg=_PHILOX, dtype=tf.uint32
    )


def _fractions(integers):
    """Compute (1) as TensorFlow does: the last 23 bits become the fraction of a float between 1 and 2."""
    return tf.bitcast((integers & 0x7FFFFF) | 0x3F800000, tf.float32) - 1
