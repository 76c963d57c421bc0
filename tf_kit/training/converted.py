"""Data in the forms that trainers take: tables become arrays, and a `keras.utils.PyDataset` becomes a data set."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit.checks import refuse
from tf_kit.data.splits import values_of
from tf_kit.typing import Dataset


def converted(subject: str, x: Any) -> Any:
    """Return a table as an array (`values_of`), a `PyDataset` as a data set of its batches, anything else as it is.

    The batches of a `PyDataset` keep their order. Its `workers` read at once, in threads, and its `on_epoch_end` is
    called after its last batch; `use_multiprocessing` is not used.

    Args:
        subject: argument that is converted, for the error message: `"fit.x"`.
        x: what was given.

    Raises:
        InputError: a `PyDataset` has no batches, or one that is not x, (x, y) or (x, y, sample_weight) of arrays.

    Example:
        >>> class Halves(keras.utils.PyDataset):
        ...     def __len__(self):
        ...         return 2
        ...     def __getitem__(self, index):
        ...         return np.full((3, 1), index, "float32")
        >>> [x.numpy()[:, 0].tolist() for (x,) in converted("fit.x", Halves())]
        [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    return _data_set(subject, x) if isinstance(x, keras.utils.PyDataset) else values_of(x)


def _data_set(subject: str, x: keras.utils.PyDataset) -> Dataset:
    count = x.num_batches
    if count == 0:
        refuse(subject, "hold at least one batch", f"a {type(x).__name__} of length 0")
    samples = [_parts(subject, x[i]) for i in range(2 if count is None else min(count, 2))]
    if len({len(each) for each in samples}) > 1:
        refuse(
            subject, "have the same parts in all batches", " and ".join(f"{len(each)}" for each in samples)
        )
    specs = [_spec(of_part) for of_part in zip(*samples, strict=True)]

    def get(index):
        parts = zip(_parts(subject, x[index]), specs, strict=True)
        return tuple(np.asarray(part, spec.dtype.as_numpy_dtype) for part, spec in parts)

    def read():
        yield from _in_order(get, itertools.count() if count is None else range(count), x.workers)
        x.on_epoch_end()

    batches = tf.data.Dataset.from_generator(read, output_signature=tuple(specs))
    length = tf.data.INFINITE_CARDINALITY if count is None else count
    return batches.apply(tf.data.experimental.assert_cardinality(length))


def _in_order(function: Callable[[int], Any], indices: Iterable[int], num_threads: int) -> Iterator[Any]:
    """Yield the values of a function in the order of the indices; as many threads compute them ahead."""
    if num_threads <= 1:
        yield from map(function, indices)
        return
    pool = ThreadPoolExecutor(num_threads)
    ahead: deque[Future] = deque()
    try:
        for index in indices:
            ahead.append(pool.submit(function, index))
            if len(ahead) > num_threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(subject: str, batch: Any) -> tuple[np.ndarray, ...]:
    """Return x, (x, y) or (x, y, sample_weight) of a batch as arrays."""
    parts = list(batch) if isinstance(batch, tuple) else [batch]
    while parts and parts[-1] is None:
        parts.pop()
    if not (0 < len(parts) <= 3) or any(isinstance(part, (dict, list)) or part is None for part in parts):
        received = f"a batch ({', '.join(type(part).__name__ for part in parts)})"
        refuse(subject, "have batches x, (x, y) or (x, y, sample_weight) of one array each", received)
    return tuple(ops.convert_to_numpy(part) for part in parts)


def _spec(samples: tuple[np.ndarray, ...]) -> tf.TensorSpec:
    """Return dtype and shape of a part of the batches; what differs between the samples is None."""
    first, shapes = samples[0], [each.shape[1:] for each in samples]
    dtype = keras.config.floatx() if first.dtype == "float64" else first.dtype
    if len({len(shape) for shape in shapes}) > 1:
        return tf.TensorSpec(None, dtype)
    sides = [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True)]
    return tf.TensorSpec((None, *sides), dtype)
