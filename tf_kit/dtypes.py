"""Number formats: losses in at least float32, and in float64 where a model does; layers never in integers."""

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


def as_floats(inputs: Tensor, dtype: str) -> Tensor:
    """Return the inputs of a layer as they are if they are floats, otherwise cast to `dtype`.

    Keras casts the floats that a layer gets to its `compute_dtype`, but leaves integers and booleans alone. In them
    noise would round to zero, and normalized values to −1, 0 and 1.

    Args:
        inputs: tensor of any dtype.
        dtype: `compute_dtype` of the layer.

    Example:
        >>> [as_floats(ops.zeros(2, each), "float32").dtype.name for each in ("uint8", "bool", "float16")]
        ['float32', 'float32', 'float16']
    """
    return inputs if keras.backend.is_float_dtype(inputs.dtype) else ops.cast(inputs, dtype)
