"""Number format of losses: at least float32, and float64 where a model computes in float64."""

from __future__ import annotations

import keras
from keras import ops

from tf_kit.typing import ArrayLike, Tensor


def widened(x: ArrayLike) -> Tensor:
    """Return a tensor as float32, or as float64 if it is float64: the format in which a loss is computed.

    Half precision is too coarse for the sums of a loss, and a cast of float64 to float32 would round its gradient.

    Example:
        >>> [widened(ops.zeros(2, dtype)).dtype.name for dtype in ("bfloat16", "int32", "float32", "float64")]
        ['float32', 'float32', 'float32', 'float64']
    """
    x = x if hasattr(x, "dtype") else ops.convert_to_tensor(x)
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
