"""Batches of float64 examples, from an array or from anything that yields arrays."""

import math
from collections.abc import Iterable, Iterator, Mapping

import keras
import numpy as np
from keras import ops

from tf_kit.checks import refuse
from tf_kit.data.splits import refuse_masked, values_of
from tf_kit.typing import ArrayLike, Dataset

CHUNK_BYTES = 32 * 2**20  # size of the pieces in which an array or memory map is read


def batches(
    subject: str, data: ArrayLike | Dataset | keras.utils.PyDataset | Iterable
) -> Iterator[np.ndarray]:
    """Yield non-empty float64 batches of rank 2 or more; `subject` is named in errors."""
    for batch in pieces(subject, data):
        refuse_masked(subject, batch[0] if isinstance(batch, list | tuple) and len(batch) else batch)
        batch = batch[0] if isinstance(batch, list | tuple) else batch
        _refuse_names_and_gaps(subject, batch)
        batch = ops.convert_to_numpy(batch)
        if batch.ndim < 2 or batch.dtype.kind not in "biuf":
            refuse(
                subject,
                "be given batches of numbers with examples in rows, (n, …)",
                f"a batch of shape {batch.shape} and dtype {batch.dtype}",
                "A dataset of single examples needs .batch(256) first",
            )
        batch = batch.astype("float64")
        if not np.isfinite(batch).all():
            refuse(subject, "be given finite numbers", "NaN or infinity", "Drop or fill these examples")
        if len(batch):
            yield batch


def pieces(subject: str, data: ArrayLike | Dataset | keras.utils.PyDataset | Iterable) -> Iterator[ArrayLike]:
    """Return an iterator over the batches of `data`, or over pieces of an array."""
    data = values_of(data)  # a table would be read as the names of its columns
    _refuse_names_and_gaps(subject, data)
    if hasattr(data, "shape") and hasattr(data, "dtype"):  # NumPy, memory map, HDF5, tensor
        if len(data.shape) < 2:
            refuse(subject, "be given examples in rows, (n, …)", f"an array of shape {tuple(data.shape)}")
        array: ArrayLike = data
        step = max(CHUNK_BYTES // (8 * max(math.prod(array.shape[1:]), 1)), 1)
        return (array[start : start + step] for start in range(0, array.shape[0], step))
    if (
        isinstance(data, tuple) and data and all(hasattr(each, "shape") for each in data)
    ):  # (x, y), not batches
        received = f"a tuple of arrays of shapes {', '.join(str(tuple(each.shape)) for each in data)}"
        refuse(subject, "be given x alone", received, "Give x without y; a list is taken as batches")
    if isinstance(data, keras.utils.PyDataset):  # its iterator never ends
        return (data[index] for index in range(data.num_batches or 0))
    if hasattr(data, "cardinality") and int(data.cardinality()) == -1:
        refuse(subject, "be given finite data", "an endless dataset", "Remove repeat(), or use take(100)")
    if not hasattr(data, "__iter__"):
        refuse(subject, "be given an array or batches of arrays", f"{type(data).__name__} {data!r}")
    return iter(data)


def _refuse_names_and_gaps(subject, data):
    """Refuse a dictionary of arrays, and a sparse or ragged tensor."""
    if isinstance(data, Mapping):
        received, remedy = f"a dictionary of {', '.join(map(repr, data))}", "Give one of its arrays"
        refuse(subject, "be given an array or batches of arrays", received, remedy)
    if any(hasattr(data, name) for name in ("dense_shape", "row_splits", "tocsr")):
        refuse(
            subject,
            "be given dense arrays",
            f"a sparse or ragged {type(data).__name__}",
            "Make it dense first",
        )
