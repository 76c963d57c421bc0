"""Inputs of training: which are arrays, which are data sets, and whether they can be trained on."""

import keras
import numpy as np
import tensorflow as tf

from tf_kit.checks import refuse


def is_array(x):
    """Whether `x` is an array (NumPy's, a tensor, a memory map) and not a data set or a generator.

    >>> is_array(np.zeros(3)), is_array([1, 2])
    (True, False)
    """
    return hasattr(x, "shape") and hasattr(x, "__getitem__")


def first_examples(dataset, count=1):
    """The first `count` examples of a data set as (x, y), y None where there is none."""
    if not isinstance(dataset, tf.data.Dataset):
        refuse("x", "be an array or a tf.data.Dataset of batches", type(dataset).__name__)
    for batch in dataset.take(1):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        return x[:count], None if y is None else y[:count]
    refuse("x", "hold at least one batch", "an empty data set")


def check_arrays(subject, x, y=None):
    """`x` and `y` as they came, or `InputError` for what cannot be trained on: empty, NaN, unequal lengths."""
    if len(x.shape) < 2 or x.shape[0] == 0:
        refuse(
            f"{subject}.x",
            "have shape (examples, features…) with at least one example",
            f"x.shape={tuple(x.shape)}",
        )
    if y is not None and len(y) != len(x):
        refuse(f"{subject}.y", "have one target for each example", f"{len(x)} examples, {len(y)} targets")
    if isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating):
        with np.errstate(
            all="ignore"
        ):  # the sum is one quick pass; only if it fails are the values looked at
            bad = 0 if np.isfinite(np.sum(x)) else int(np.count_nonzero(~np.isfinite(x)))
        if bad:
            refuse(
                f"{subject}.x",
                "be finite",
                f"{bad} values that are NaN or infinite",
                "Remove or replace them",
            )
    return x, y
