"""Names for the types of public signatures.

Keras is written for several backends, so its tensors have no common static type. `Tensor` and `ArrayLike` tell a
reader which of the two a function expects; for a type checker both are `Any`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import tensorflow as tf

    Dataset: TypeAlias = tf.data.Dataset
    LayerMixin: TypeAlias = Any  # a mixin uses attributes and methods of the layer that it is combined with
else:
    Dataset = Any
    LayerMixin = object

Tensor: TypeAlias = Any  # eager or symbolic tensor of the Keras backend
ArrayLike: TypeAlias = Any  # NumPy array, tensor, or anything that NumPy converts to an array

__all__ = ["ArrayLike", "Dataset", "LayerMixin", "Tensor"]
