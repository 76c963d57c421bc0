"""Checks and normalizations of embeddings that the losses share."""

from keras import backend, ops

from tf_kit.checks import refuse

_TINY = 1e-12  # squared norm below which a vector counts as this long: zero has no direction


def pair(name, za, zb):
    """Both arrays as tensors of float32 or more, or `InputError`."""
    za, zb = ops.convert_to_tensor(za), ops.convert_to_tensor(zb)
    if len(za.shape) != 2 or tuple(za.shape) != tuple(zb.shape):
        received = f"shapes {tuple(za.shape)} and {tuple(zb.shape)}"
        refuse(name, "be given two arrays of one shape (n, d)", received)
    dtype = backend.result_type(za.dtype, zb.dtype, "float32")
    return ops.cast(za, dtype), ops.cast(zb, dtype)


def unit(z):
    """Rows of length 1; what has no length stays zero, and has a finite gradient."""
    return z * ops.rsqrt(ops.maximum(ops.sum(ops.square(z), axis=-1, keepdims=True), _TINY))


def standardized(z):
    """Columns of mean 0 and variance 1; constant ones are 0."""
    centered = z - ops.mean(z, axis=0)
    return centered * ops.rsqrt(ops.mean(ops.square(centered), axis=0) + 1e-5)
