"""The part of each global minibatch that one machine's replicas train on."""

import dataclasses
import functools

from tf_kit.checks import count, refuse


@dataclasses.dataclass(frozen=True)
class Share:
    """The replicas of one machine among all that share a minibatch.

    A global minibatch of n examples goes to R replicas in order, in contiguous parts as nearly equal as a ceiling
    makes them:

        m = ⌈n / R⌉                                                       (1)
        part r = examples r·m ≤ i < min((r + 1)·m, n),  r = 0 … R − 1      (2)

    so the last parts may be shorter or empty, and all parts together are the minibatch, each example once. The
    parts depend on n and R alone: machines agree on them without a word.

    Args:
        first: number of this machine's first replica, from 0.
        count: replicas of this machine, at least 1.
        num_replicas: R, replicas of all machines.

    Example:

        >>> import tensorflow as tf
        >>> batches = tf.data.Dataset.range(10).batch(8)                  # 8 examples, then 2
        >>> for machine in range(2):
        ...     print([part.tolist() for part in Share(2 * machine, 2, 4).of(batches).as_numpy_iterator()])
        [[0, 1], [2, 3], [8], [9]]
        [[4, 5], [6, 7], [], []]

    Convention: `tf.distribute` deals out a batch on one machine in the same way.
    """

    first: int
    count: int
    num_replicas: int

    def __post_init__(self):
        count("Share.first", self.first, at_least=0)
        count("Share.count", self.count)
        count("Share.num_replicas", self.num_replicas)
        if self.first + self.count > self.num_replicas:
            refuse(
                "Share",
                f"lie within the {self.num_replicas} replicas",
                f"replicas {self.first} to {self.first + self.count - 1}",
            )

    def of(self, batches):
        """`count` elements for each element of the data set `batches`: the parts (2) of this machine's replicas."""
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
