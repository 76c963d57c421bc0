"""The part of each global minibatch that one machine's replicas train on."""

import dataclasses
import functools

from tf_kit.checks import count, refuse
from tf_kit.typing import Dataset


@dataclasses.dataclass(frozen=True)
class Share:
    """Replicas of one machine among all replicas that share a minibatch.

    A global minibatch of n examples is divided among R replicas in order, into contiguous parts of the same size:

        m = ⌈n / R⌉                                                       (1)
        part r = examples r·m ≤ i < min((r + 1)·m, n),  r = 0 … R − 1      (2)

    The last parts may be shorter or empty; together the parts contain each example of the minibatch once. They
    depend only on n and R, so the machines need not communicate to agree on them.

    Args:
        first: number of this machine's first replica, counted from 0.
        count: number of replicas on this machine, at least 1.
        num_replicas: R, number of replicas on all machines.

    Raises:
        ValueError: a number is out of range, or the replicas of this machine are not among the R.

    Example:
        >>> import tensorflow as tf
        >>> batches = tf.data.Dataset.range(10).batch(8)                  # 8 examples, then 2
        >>> for machine in range(2):
        ...     print([part.tolist() for part in Share(2 * machine, 2, 4).of(batches).as_numpy_iterator()])
        [[0, 1], [2, 3], [8], [9]]
        [[4, 5], [6, 7], [], []]

    Convention: `tf.distribute` divides a batch among the replicas of one machine in the same way.
    """

    first: int
    count: int
    num_replicas: int

    def __post_init__(self) -> None:
        count("Share.first", self.first, at_least=0)
        count("Share.count", self.count)
        count("Share.num_replicas", self.num_replicas)
        if self.first + self.count > self.num_replicas:
            refuse(
                "Share",
                f"lie within the {self.num_replicas} replicas",
                f"replicas {self.first} to {self.first + self.count - 1}",
            )

    def of(self, batches: Dataset) -> Dataset:
        """Replace each element of the data set `batches` by `count` elements: the parts (2) of this machine's replicas.

        Args:
            batches: data set of global minibatches, each a tensor or a structure of tensors.

        Returns:
            `tf.data.Dataset` with `count` times as many elements.
        """
        import tensorflow as tf

        def part(batch, replica):
            n = tf.shape(tf.nest.flatten(batch)[0])[0]
            m = -(-n // self.num_replicas)  # (1)
            low, high = tf.minimum(replica * m, n), tf.minimum((replica + 1) * m, n)
            return tf.nest.map_structure(lambda tensor: tensor[low:high], batch)  # (2)

        def parts(*batch):
            batch = batch[0] if len(batch) == 1 else batch
            replicas = range(self.first, self.first + self.count)
            each = [tf.data.Dataset.from_tensors(part(batch, replica)) for replica in replicas]
            return functools.reduce(tf.data.Dataset.concatenate, each)

        dealt = batches.flat_map(parts)
        length = batches.cardinality()
        if length >= 0:
            dealt = dealt.apply(tf.data.experimental.assert_cardinality(length * self.count))
        return dealt
