"""Minibatches of arrays in an order that depends only on the seed and the epoch."""

from typing import Any

import numpy as np

from tf_kit.checks import count, refuse
from tf_kit.data.sharing import Share
from tf_kit.data.untuned import untuned
from tf_kit.typing import ArrayLike, Dataset, Tensor

_STREAM = 0x5F10  # makes these random numbers differ from others that are drawn from (seed, epoch)


def minibatches(
    x: Any,
    y: ArrayLike | None = None,
    *,
    batch_size: int,
    seed: int = 0,
    epochs: int = 1,
    first_epoch: int = 0,
    first_step: int = 0,
    shuffle: bool = True,
    share: Share | None = None,
) -> Dataset:
    """Cut arrays into minibatches, in a new random order in each epoch.

    Stochastic gradient descent visits the examples in a new random order in each epoch. Here the order is a
    function of the seed and the epoch only: a run resumed at epoch e sees the same minibatches as one that was
    never interrupted, and the number of replicas changes nothing. The arrays are held in memory once, for any
    number of epochs.

        π_e = epoch_order(n, seed, e)                                  (1)
        B_{e,k} = {x[π_e[j]] : k·b ≤ j < min((k + 1)·b, n)}            (2)

    where n is the number of examples, b = batch_size, and k runs from 0 to ⌈n/b⌉ − 1. The last minibatch of
    an epoch is shorter if b does not divide n; none is dropped.

    Args:
        x: array of n examples, or a tuple or dict of such arrays. Tensors are not copied, arrays are copied once.
        y: array of n targets, or None for minibatches of `x` alone. Defaults to None.
        batch_size: examples per minibatch, at least 1.
        seed: whole number, at least 0, that fixes the orders of all epochs. Defaults to 0.
        epochs: number of the epoch to stop before, counted from 0 as in `model.fit`. Defaults to 1.
        first_epoch: number of the epoch to start with; `model.fit` calls it `initial_epoch`. Defaults to 0.
        first_step: minibatch of the first epoch to start with, counted from 0. Defaults to 0.
        shuffle: False keeps the order of the arrays in every epoch. Defaults to True.
        share: `Share` of this machine, for training on several machines: only the parts of its replicas are
            read, one element per replica. None reads whole minibatches. Defaults to None.

    Returns:
        `tf.data.Dataset` of (epochs − first_epoch)·⌈n/b⌉ − first_step elements `(x, y)`, or `x` if `y` is None. For
        several epochs: `model.fit(dataset, epochs=epochs, initial_epoch=first_epoch, steps_per_epoch=⌈n/b⌉,
        shuffle=False)`.

    Raises:
        ValueError: there are no examples, lengths differ, or a number is out of range.

    Example:
        >>> import numpy as np
        >>> x = np.arange(5)
        >>> [batch.numpy().tolist() for batch in minibatches(x, batch_size=2, shuffle=False)]
        [[0, 1], [2, 3], [4]]
        >>> whole = minibatches(x, batch_size=2, epochs=3)
        >>> tail = minibatches(x, batch_size=2, epochs=3, first_epoch=2)
        >>> [int(b[0]) for b in whole][6:] == [int(b[0]) for b in tail]
        True

    Slide: "Batch size: the number of times the entire training set pass through" defines the number of epochs;
    the batch size is the number of examples per update.
    Reference: Bottou, 2012, Stochastic gradient descent tricks, section 4.1, doi:10.1007/978-3-642-35289-8_25
    """
    import tensorflow as tf

    batch_size = count("minibatches.batch_size", batch_size)
    first_epoch = count("minibatches.first_epoch", first_epoch, at_least=0)
    epochs = count("minibatches.epochs", epochs, at_least=first_epoch + 1)
    seed = count("minibatches.seed", seed, at_least=0)

    with tf.device("CPU"):
        arrays = tf.nest.map_structure(tf.convert_to_tensor, x if y is None else (x, y))
    n = _common_length(tf.nest.flatten(arrays))
    steps = -(-n // batch_size)
    first_step = count("minibatches.first_step", first_step, at_least=0)
    if first_step >= steps:
        refuse(
            "minibatches.first_step", f"be less than the {steps} minibatches of an epoch", f"{first_step=}"
        )
    whole = n // batch_size * batch_size

    def order(epoch):
        return draw_order(n, seed, epoch) if shuffle else tf.range(n)  # (1)

    def cut(order):  # (2)
        batches = tf.data.Dataset.from_tensor_slices(tf.reshape(order[:whole], (-1, batch_size)))
        return batches.concatenate(tf.data.Dataset.from_tensors(order[whole:])) if whole < n else batches

    def take(indices, arrays):
        return tf.nest.map_structure(lambda array: tf.gather(array, indices), arrays)

    indices = tf.data.Dataset.range(first_epoch, epochs).map(order).prefetch(1).flat_map(cut).skip(first_step)
    if share is not None:
        indices = share.of(indices)
    # The arrays are an element of the data set, not captured by `take`: captured arrays stay in memory after training.
    held = tf.data.Dataset.from_tensors(arrays).repeat()
    batches = tf.data.Dataset.zip(indices, held).map(take, num_parallel_calls=tf.data.AUTOTUNE)
    length = ((epochs - first_epoch) * steps - first_step) * (1 if share is None else share.count)
    batches = batches.apply(tf.data.experimental.assert_cardinality(length))
    return untuned(batches.with_options(_options()).prefetch(tf.data.AUTOTUNE))


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Order in which `minibatches` visits n examples in one epoch, as indices.

        key_i = random 64 bits from (seed, epoch, i)                   (1)
        π = argsort(key)                                               (2)

    The keys come from a counter-based generator, so the order does not depend on earlier draws.

    Args:
        n: number of examples, at least 1.
        seed: whole number, at least 0, that fixes the orders of all epochs.
        epoch: number of the epoch, counted from 0.

    Returns:
        int32 array (n,), a permutation of 0 … n − 1.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> sorted(epoch_order(4, seed=0, epoch=7).tolist())
        [0, 1, 2, 3]
        >>> epoch_order(99, 0, epoch=7).tolist() == epoch_order(99, 0, epoch=7).tolist()
        True
        >>> epoch_order(99, 0, epoch=7).tolist() == epoch_order(99, 0, epoch=8).tolist()
        False

    Reference: Salmon, Moraes, Dror, Shaw, 2011, Parallel random numbers: as easy as 1, 2, 3,
    doi:10.1145/2063384.2063405
    """
    import tensorflow as tf

    n = count("epoch_order.n", n)
    seed = count("epoch_order.seed", seed, at_least=0)
    epoch = count("epoch_order.epoch", epoch, at_least=0)
    with tf.device("CPU"):
        return draw_order(n, seed, epoch).numpy()


def draw_order(n: Tensor, seed: Tensor, epoch: Tensor, block: Tensor = 0) -> Tensor:
    """Compute `epoch_order` as a TensorFlow operation; each `block` of a streamed epoch has a different order."""
    import tensorflow as tf

    pair = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    stream = tf.cast(_STREAM + block, tf.int32)  # another dtype would give other random numbers
    pair = tf.random.experimental.stateless_fold_in(pair, stream, alg="philox")
    keys = tf.random.stateless_uniform(
        (n,), pair, minval=None, maxval=None, dtype=tf.int64, alg="philox"
    )  # (1)
    return tf.argsort(keys)  # (2)


def _common_length(arrays):
    shapes = [tuple(array.shape) for array in arrays]
    if () in shapes:
        remedy = "A list is taken for several arrays, np.asarray(…) makes one of it"
        refuse("minibatches", "be given arrays of n examples", "a single value", remedy)
    if not shapes or any(shape[0] == 0 for shape in shapes):
        refuse("minibatches.x", "hold at least one example", f"shapes {shapes}")
    if len({shape[0] for shape in shapes}) > 1:
        refuse("minibatches", "be given arrays of one length", f"shapes {shapes}")
    return shapes[0][0]


def _options():
    import tensorflow as tf

    options = tf.data.Options()
    # The graph optimizer would serialize the arrays and read them back, for no gain.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
