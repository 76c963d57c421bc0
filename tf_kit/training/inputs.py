"""Checks of the inputs of training: arrays or data sets, finite values, equal lengths."""

from typing import Any, TypeGuard

import keras
import numpy as np
import tensorflow as tf

from tf_kit.checks import refuse
from tf_kit.typing import ArrayLike, Dataset, Tensor


def is_array(x: Any) -> TypeGuard[ArrayLike]:
    """Return whether `x` is an array (NumPy array, tensor, memory map), not a data set or a generator.

    Example:
        >>> is_array(np.zeros(3)), is_array([1, 2])
        (True, False)
    """
    return hasattr(x, "shape") and hasattr(x, "__getitem__")


def check_one_input(subject: str, encoder: keras.layers.Layer) -> None:
    """Refuse a functional model with several inputs.

    Args:
        subject: argument that is checked, for the error message.
        encoder: layer or model.
    """
    inputs = getattr(encoder, "inputs", None) or [None]
    if len(inputs) > 1:
        names = ", ".join(each.name for each in inputs)
        remedy = "Concatenate the arrays, and split them inside the model"
        refuse(subject, "have one input", f"a model with {len(inputs)} inputs, {names}", remedy)


def first_examples(dataset: Dataset, count: int = 1) -> tuple[Tensor, Tensor | None]:
    """Return the first `count` examples of a data set of batches as (x, y); y is None if it has no targets."""
    if not isinstance(dataset, tf.data.Dataset):
        refuse("x", "be an array or a tf.data.Dataset of batches", type(dataset).__name__)
    for batch in dataset.take(1):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        return x[:count], None if y is None else y[:count]
    refuse("x", "hold at least one batch", "an empty data set")


def check_arrays(
    subject: str, x: ArrayLike, y: ArrayLike | None = None
) -> tuple[ArrayLike, ArrayLike | None]:
    """Return `x` and `y` unchanged; refuse arrays without examples, with NaN, or of unequal lengths."""
    if len(x.shape) < 2 or x.shape[0] == 0:
        refuse(
            f"{subject}.x",
            "have shape (examples, features…) with at least one example",
            f"x.shape={tuple(x.shape)}",
        )
    if y is not None and len(y) != len(x):
        refuse(f"{subject}.y", "have one target for each example", f"{len(x)} examples, {len(y)} targets")
    if isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating):
        with np.errstate(all="ignore"):
            # A sum is faster than a test of each value, and finite only if all values are (or it overflows).
            bad = 0 if np.isfinite(np.sum(x)) else int(np.count_nonzero(~np.isfinite(x)))
        if bad:
            received = f"{bad} values that are NaN or infinite"
            refuse(f"{subject}.x", "be finite", received, "Remove or replace them")
    return x, y
