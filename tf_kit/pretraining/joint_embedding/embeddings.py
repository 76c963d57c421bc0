"""Checks and normalizations of embeddings, shared by the losses."""

from keras import backend, ops

from tf_kit.checks import refuse
from tf_kit.typing import ArrayLike, Tensor

_TINY = 1e-12  # smallest squared norm to divide by, as zero has no direction


def pair(name: str, za: ArrayLike, zb: ArrayLike) -> tuple[Tensor, Tensor]:
    """Return both arrays as tensors of at least float32; refuse unequal shapes or shapes other than (n, d)."""
    za, zb = ops.convert_to_tensor(za), ops.convert_to_tensor(zb)
    if len(za.shape) != 2 or tuple(za.shape) != tuple(zb.shape):
        received = f"shapes {tuple(za.shape)} and {tuple(zb.shape)}"
        refuse(name, "be given two arrays of the same shape (n, d)", received)
    dtype = backend.result_type(za.dtype, zb.dtype, "float32")
    return ops.cast(za, dtype), ops.cast(zb, dtype)


def unit(z: Tensor) -> Tensor:
    """Scale rows to length 1; rows of zeros stay zero and have a finite gradient."""
    return z * one_over_length(z)


def one_over_length(z: Tensor) -> Tensor:
    """Compute 1/‖z‖ of each row, (n, 1), finite for rows of zeros."""
    return ops.rsqrt(ops.maximum(ops.sum(ops.square(z), axis=-1, keepdims=True), _TINY))


def centered(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return z − mean z and 1 / √(var z + 10⁻⁵) of each column, the parts of equation (1) of `barlow_twins`."""
    shifted = z - ops.mean(z, axis=0)
    return shifted, ops.rsqrt(ops.mean(ops.square(shifted), axis=0) + 1e-5)
