"""What a layer makes of a whole set of examples."""

import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit.training.inputs import is_array


def represent(layer, x, cache=None, batch_size=1024):
    """f(x) for all examples, in inference mode: an array for an array, a data set for a data set.

    Args:
        layer: layer or model f. A data set is mapped with the weights that it has now.
        x: array (n, …) or `tf.data.Dataset` of batches.
        cache: file in which a data set's output is kept, so that f runs once for each example.
        batch_size: examples at a time, for arrays.
    """
    if is_array(x):
        parts = [
            ops.convert_to_numpy(ops.cast(layer(x[i : i + batch_size], training=False), "float32"))
            for i in range(0, len(x), batch_size)
        ]
        return np.concatenate(parts)

    if not layer.built:
        spec = x.element_spec
        layer.build((spec[0] if isinstance(spec, tuple) else spec).shape)
    with tf.device("CPU"):  # where data sets are mapped, and cannot read variables that lie on another device
        kept = [
            [tf.convert_to_tensor(ops.convert_to_numpy(variable)) for variable in variables]
            for variables in (layer.trainable_variables, layer.non_trainable_variables)
        ]

    def map_batch(*batch):
        h, _ = layer.stateless_call(*kept, batch[0], training=False)
        h = ops.cast(h, "float32")
        return (h, *batch[1:]) if len(batch) > 1 else h

    mapped = x.map(map_batch)
    if cache:
        mapped = mapped.cache(str(cache))
        mapped.reduce(
            0, lambda batches, *_: batches + 1
        )  # a file that a reader leaves half full is thrown away
    return mapped
