"""Random numbers that belong to examples: a function of the seed, the step and the place in the global batch."""

import tensorflow as tf


class ExampleRandom:
    """Draws for the examples of one step, the same however many replicas share the batch.

    Every call draws for the whole global batch and keeps the rows of this replica's examples, so that example i
    gets the i-th row whether one device holds all rows or four hold a quarter each. Nothing is stored: step t of
    a resumed run draws what step t of the uninterrupted run drew.

    Args:
        seed: seed of the run.
        step: number of the training step, int or integer tensor.
        count: examples on this replica.
        offset: place of this replica's first example in the global batch.
        total: examples in the global batch. Defaults to `count`.

    Example:

    >>> whole = ExampleRandom(seed=7, step=3, count=4).uniform((2,))
    >>> last_two = ExampleRandom(seed=7, step=3, count=2, offset=2, total=4).uniform((2,))
    >>> bool((whole[2:] == last_two).numpy().all())
    True
    """

    def __init__(self, seed, step, count, offset=0, total=None):
        self.seed, self.step = seed, tf.cast(step, tf.int64)
        self._count, self._offset = count, offset
        self._total = count if total is None else total
        self._num_draws = 0

    @property
    def index(self):
        """The place of each example in the global batch, int64, (count,)."""
        return tf.cast(self._offset, tf.int64) + tf.range(tf.cast(self._count, tf.int64))

    def uniform(self, shape):
        """Uniform numbers in [0, 1), float32, shape (count, *shape)."""
        return self._rows(tf.random.stateless_uniform, shape)

    def normal(self, shape):
        """Standard normal numbers, float32, shape (count, *shape)."""
        return self._rows(tf.random.stateless_normal, shape)

    def shared_uniform(self, shape):
        """Uniform numbers that belong to no example, equal on all replicas: float32, exactly `shape`."""
        return tf.random.stateless_uniform(shape, self._key(), alg="philox")

    def shared_normal(self, shape):
        """Standard normal numbers that belong to no example, equal on all replicas: float32, exactly `shape`."""
        return tf.random.stateless_normal(shape, self._key(), alg="philox")

    def _rows(self, draw, shape):
        numbers = draw((self._total, *shape), self._key(), alg="philox")
        return numbers if self._total is self._count else numbers[self._offset : self._offset + self._count]

    def _key(self):
        self._num_draws += 1
        return tf.stack([tf.constant(self.seed + (self._num_draws << 32), tf.int64), self.step])
