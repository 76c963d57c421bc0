"""Random numbers of all examples of a training step: a function of the seed, the step and the place in the batch."""

from collections.abc import Sequence

import tensorflow as tf

from tf_kit.randomness import philox
from tf_kit.typing import Tensor


class ExampleRandom:
    """Draws for the examples of one step that do not depend on the number of replicas.

    Every call draws for the whole global batch and keeps the rows of this replica's examples. So example i gets the
    i-th row whether one device holds all rows or four devices hold a quarter each. Nothing is stored: step t of a
    resumed run draws the same numbers as step t of an uninterrupted run.

    Args:
        seed: seed of the run, int or int64 tensor.
        step: number of the training step, int or integer tensor.
        count: number of examples on this replica.
        offset: place of this replica's first example in the global batch. Defaults to 0.
        total: number of examples in the global batch. Defaults to None, `count`.

    Example:
        >>> whole = ExampleRandom(seed=7, step=3, count=4).uniform((2,))
        >>> last_two = ExampleRandom(seed=7, step=3, count=2, offset=2, total=4).uniform((2,))
        >>> bool((whole[2:] == last_two).numpy().all())
        True
    """

    def __init__(
        self,
        seed: int | Tensor,
        step: int | Tensor,
        count: int | Tensor,
        offset: int | Tensor = 0,
        total: int | Tensor | None = None,
    ) -> None:
        self.seed, self.step = seed, tf.cast(step, tf.int64)
        self._count, self._offset = count, offset
        self._total = count if total is None else total
        self._num_draws = 0

    @property
    def index(self) -> Tensor:
        """Place of each example in the global batch, int64 tensor (count,)."""
        return tf.cast(self._offset, tf.int64) + tf.range(tf.cast(self._count, tf.int64))

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Draw uniform numbers from [0, 1) for each example, float32 tensor (count, *shape)."""
        return self._rows(philox.uniform, shape)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Draw standard normal numbers for each example, float32 tensor (count, *shape)."""
        return self._rows(philox.normal, shape)

    def shared_uniform(self, shape: Sequence[int]) -> Tensor:
        """Draw uniform numbers from [0, 1) for the step as a whole, equal on all replicas: float32, `shape`."""
        return philox.uniform(shape, self._key())

    def shared_normal(self, shape: Sequence[int]) -> Tensor:
        """Draw standard normal numbers for the step as a whole, equal on all replicas: float32, `shape`."""
        return philox.normal(shape, self._key())

    def _rows(self, draw, shape):
        numbers = draw((self._total, *shape), self._key())
        return numbers if self._total is self._count else numbers[self._offset : self._offset + self._count]

    def _key(self):
        self._num_draws += 1
        seed = tf.cast(self.seed, tf.int64) + tf.constant(self._num_draws << 32, tf.int64)
        return tf.stack([seed, self.step])
