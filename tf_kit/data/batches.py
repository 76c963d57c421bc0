"""Minibatches of arrays in an order that depends on the seed and the epoch alone."""

from tf_kit.checks import count, refuse

_STREAM = 0x5F10  # sets these draws apart from others that are made from (seed, epoch)


def minibatches(x, y=None, *, batch_size, seed=0, epochs=1, first_epoch=0, shuffle=True, share=None):
    """Minibatches of arrays, epoch after epoch, each epoch in an order of its own.

    Stochastic gradient descent takes its examples in a fresh random order each epoch. Here that order is a
    function of the seed and the epoch alone: a run resumed at epoch e sees what it would have seen, and the
    number of replicas plays no part. The arrays are held once, however many epochs are asked for.

        π_e = epoch_order(n, seed, e)                                  (1)
        B_{e,k} = {x[π_e[j]] : k·b ≤ j < min((k + 1)·b, n)}            (2)

    where n is the number of examples, b = batch_size, and k runs from 0 to ⌈n/b⌉ − 1. The last minibatch of
    an epoch is short when b does not divide n; none is dropped.

    Args:
        x: array of n examples, or a tuple or dict of such arrays. A tensor is not copied, an array is, once.
        y: array of n targets, or None for minibatches of `x` alone.
        batch_size: examples in a minibatch, at least 1.
        seed: whole number that fixes all orders.
        epochs: the epoch to stop before, counted from 0 as in `model.fit`.
        first_epoch: the epoch to begin with; `model.fit` calls it `initial_epoch`.
        shuffle: False keeps the order of the arrays in every epoch.
        share: a `Share`, for training on several machines: the replicas whose parts of each minibatch are read,
            one element each, and nothing else is. None reads minibatches whole.

    Returns:
        `tf.data.Dataset` of (epochs − first_epoch)·⌈n/b⌉ elements `(x, y)`, or `x` where `y` is None. For
        several epochs: `model.fit(dataset, epochs=epochs, initial_epoch=first_epoch, steps_per_epoch=⌈n/b⌉,
        shuffle=False)`.

    Raises:
        ValueError: where there are no examples, lengths differ, or a number is out of range.

    Example:

        >>> import numpy as np
        >>> x = np.arange(5)
        >>> [batch.numpy().tolist() for batch in minibatches(x, batch_size=2, shuffle=False)]
        [[0, 1], [2, 3], [4]]
        >>> whole = minibatches(x, batch_size=2, epochs=3)
        >>> tail = minibatches(x, batch_size=2, epochs=3, first_epoch=2)
        >>> [int(b[0]) for b in whole][6:] == [int(b[0]) for b in tail]
        True

    Slide: "Batch size: the number of times the entire training set pass through" defines the epochs; the
    batch size is the number of examples in one update.
    Reference: Bottou, 2012, "Stochastic Gradient Descent Tricks", section 4.1
    """
    import tensorflow as tf

    batch_size = count("minibatches.batch_size", batch_size)
    first_epoch = count("minibatches.first_epoch", first_epoch, at_least=0)
    epochs = count("minibatches.epochs", epochs, at_least=first_epoch + 1)
    seed = count("minibatches.seed", seed, at_least=0)

    with tf.device("CPU"):
        arrays = tf.nest.map_structure(tf.convert_to_tensor, x if y is None else (x, y))
    n = _common_length(tf.nest.flatten(arrays))
    whole = n // batch_size * batch_size

    def order(epoch):
        return draw_order(n, seed, epoch) if shuffle else tf.range(n)  # (1)

    def cut(order):  # (2)
        batches = tf.data.Dataset.from_tensor_slices(tf.reshape(order[:whole], (-1, batch_size)))
        return batches.concatenate(tf.data.Dataset.from_tensors(order[whole:])) if whole < n else batches

    def take(indices, arrays):
        return tf.nest.map_structure(lambda array: tf.gather(array, indices), arrays)

    indices = tf.data.Dataset.range(first_epoch, epochs).map(order).prefetch(1).flat_map(cut)
    if share is not None:
        indices = share.of(indices)
    # The arrays travel as an element, not as a capture of `take`: a captured array is kept after training.
    held = tf.data.Dataset.from_tensors(arrays).repeat()
    batches = tf.data.Dataset.zip(indices, held).map(take, num_parallel_calls=tf.data.AUTOTUNE)
    length = (epochs - first_epoch) * -(-n // batch_size) * (1 if share is None else share.count)
    batches = batches.apply(tf.data.experimental.assert_cardinality(length))
    return batches.with_options(_options()).prefetch(tf.data.AUTOTUNE)


def epoch_order(n, seed, epoch):
    """The order in which `minibatches` visits n examples in one epoch, as an array of their indices.

        key_i = random 64 bits from (seed, epoch, i)
        π = argsort(key)

    A counter-based generator gives the keys, so an order depends on nothing that was drawn before it.

    Args:
        n: number of examples.
        seed: whole number that fixes all orders.
        epoch: epoch, counted from 0.

    Returns:
        int32 array (n,), a permutation of 0 … n − 1.

    Example:

        >>> sorted(epoch_order(4, seed=0, epoch=7).tolist())
        [0, 1, 2, 3]
        >>> epoch_order(99, 0, epoch=7).tolist() == epoch_order(99, 0, epoch=7).tolist()
        True
        >>> epoch_order(99, 0, epoch=7).tolist() == epoch_order(99, 0, epoch=8).tolist()
        False

    Reference: Salmon, Moraes, Dror and Shaw, 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"
    """
    import tensorflow as tf

    n = count("epoch_order.n", n)
    seed = count("epoch_order.seed", seed, at_least=0)
    epoch = count("epoch_order.epoch", epoch, at_least=0)
    with tf.device("CPU"):
        return draw_order(n, seed, epoch).numpy()


def draw_order(n, seed, epoch, block=0):
    """`epoch_order` as a TensorFlow operation; `block` tells apart the blocks of an epoch that is streamed."""
    import tensorflow as tf

    pair = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    stream = tf.cast(_STREAM + block, tf.int32)  # a number of another dtype would give other draws
    pair = tf.random.experimental.stateless_fold_in(pair, stream, alg="philox")
    keys = tf.random.stateless_uniform((n,), pair, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return tf.argsort(keys)


def _common_length(arrays):
    shapes = [tuple(array.shape) for array in arrays]
    if not shapes or any(not shape or shape[0] == 0 for shape in shapes):
        refuse("minibatches.x", "hold at least one example", f"shapes {shapes}")
    if len({shape[0] for shape in shapes}) > 1:
        refuse("minibatches", "be given arrays of one length", f"shapes {shapes}")
    return shapes[0][0]


def _options():
    import tensorflow as tf

    options = tf.data.Options()
    # Rewriting the graph would write the arrays out and read them back; there is nothing here to optimize.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
