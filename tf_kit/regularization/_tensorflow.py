"""What needs TensorFlow itself: sums over replicas, a row's place in the global batch, XLA."""

import keras


def sum_over_replicas(values):
    """The sum of each tensor in the list `values` over the replicas of the current strategy.

    Every replica gets the same sums, and gradients flow back through them: the derivative of the summed
    losses with respect to a replica's own addend is the sum of the replicas' derivatives. Without a strategy,
    or outside its replicas, `values` comes back as it is.
    """
    replica = _replica()
    if replica is None:
        return values
    import tensorflow as tf

    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)


def place_in_global_batch(num_examples):
    """(index of this replica's first example in the global batch, number of examples in the global batch).

    A strategy deals a batch out in contiguous parts of unequal length, so the parts' lengths are gathered.

    >>> place_in_global_batch(32)
    (0, 32)
    """
    replica = _replica()
    if replica is None:
        return 0, num_examples
    import tensorflow as tf

    counts = replica.all_gather(tf.reshape(num_examples, (1,)), axis=0)
    firsts = tf.cumsum(counts, exclusive=True)
    return firsts[replica.replica_id_in_sync_group], tf.reduce_sum(counts)


def compiled(function):
    """`function` compiled by XLA into one fused kernel a shape, on TensorFlow; elsewhere as it is."""
    if keras.backend.backend() != "tensorflow":
        return function
    kernel = None

    def run(*tensors):  # a plain function: a layer that holds a tf.function would export it with the model
        nonlocal kernel
        if kernel is None:
            import tensorflow as tf

            kernel = tf.function(function, jit_compile=True, autograph=False)
        return kernel(*tensors)

    return run


def _replica():
    """The replica this call runs in, or None where there is only one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return replica if replica is not None and replica.num_replicas_in_sync > 1 else None
