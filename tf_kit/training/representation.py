"""Output of a layer for a whole set of examples."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import folders
from tf_kit.checks import count, refuse
from tf_kit.data.splits import Split
from tf_kit.networks.inspection import build_on, call_with
from tf_kit.training.converted import converted
from tf_kit.training.inputs import check_data_set, is_array
from tf_kit.typing import ArrayLike, Dataset


def represent(
    layer: Any,
    x: ArrayLike | Dataset,
    cache: str | Path | None = None,
    batch_size: int = 1024,
) -> np.ndarray | Dataset:
    """Compute f(x) for all examples in inference mode: an array from an array, a data set from a data set.

    Args:
        layer: layer or model f; for arrays also a function with an argument `training`. A data set is mapped with the
            weights that f has at this call.
        x: array (n, …), `Split`, or `tf.data.Dataset` or `keras.utils.PyDataset` of batches.
        cache: file that keeps the output of a data set, so that f runs once for each example. Defaults to None.
        batch_size: number of examples to process at a time, for arrays. Defaults to 1024.

    Returns:
        f(x), float32. A data set of (x, y, …) becomes one of (f(x), y, …).

    Raises:
        InputError: `layer` cannot be called, or `x` is neither an array nor a data set of batches.
    """
    batch_size = count("represent.batch_size", batch_size)
    x = converted("represent.x", x.x if isinstance(x, Split) else x)
    if not callable(layer):
        remedy = "keras.models.load_model reads a saved one" if isinstance(layer, (str, os.PathLike)) else ""
        refuse("represent.layer", "be a Keras layer or model", type(layer).__name__, remedy)
    if is_array(x):
        parts = [
            ops.convert_to_numpy(ops.cast(layer(x[i : i + batch_size], training=False), "float32"))
            for i in range(0, max(len(x), 1), batch_size)  # of no examples, outputs of shape (0, …)
        ]
        return np.concatenate(parts)

    x = check_data_set("represent.x", x, 1, "steps")  # an endless one is mapped as it is read
    spec = x.element_spec
    build_on(layer, (spec[0] if isinstance(spec, tuple) else spec).shape)
    with tf.device("CPU"):  # data sets are mapped there and cannot read variables of another device
        values = [
            (variable, tf.convert_to_tensor(ops.convert_to_numpy(variable))) for variable in layer.variables
        ]

    def map_batch(*batch):
        h, _ = call_with(layer, values, batch[0], training=False)
        h = ops.cast(h, "float32")
        return (h, *batch[1:]) if len(batch) > 1 else h

    mapped = x.map(map_batch)
    if cache:
        folders.make(Path(cache).expanduser().parent)
        mapped = mapped.cache(str(Path(cache).expanduser()))
        # Read it to the end: TensorFlow discards a cache file that a reader leaves incomplete.
        mapped.reduce(0, lambda batches, *_: batches + 1)
    return mapped
