"""Checks of the inputs of training: arrays or data sets, finite values, equal lengths."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any, TypeGuard

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import keras_internals
from tf_kit.checks import refuse
from tf_kit.data.splits import OF_SPARSE, is_sparse, refuse_masked, values_of
from tf_kit.networks.inspection import all_layers
from tf_kit.registration import require_tensorflow
from tf_kit.typing import ArrayLike, Dataset, Tensor

_REMEDIES: dict[type, str] = {
    list: "np.stack(x) makes one array of the arrays of a list",
    tuple: "np.stack(x) makes one array; targets are the argument y",
    dict: "Give one array, and split it inside the encoder",
    tf.RaggedTensor: "x.to_tensor() pads the rows to one length",
    tf.SparseTensor: "tf.sparse.to_dense(x) makes an array",
}

require_tensorflow()  # before a model is made, which another backend could not train


def is_array(x: Any) -> TypeGuard[ArrayLike]:
    """Return whether `x` is an array (NumPy array, tensor, memory map), not a data set or a generator.

    Example:
        >>> is_array(np.zeros(3)), is_array([1, 2])
        (True, False)
    """
    is_other = isinstance(x, tf.RaggedTensor) or is_sparse(x)
    return hasattr(x, "shape") and hasattr(x, "__getitem__") and not is_other


def _remedy(x, other):
    return OF_SPARSE if is_sparse(x) else _REMEDIES.get(type(x), other)


def check_one_input(subject: str, encoder: keras.layers.Layer) -> None:
    """Refuse what is no layer, a model with several inputs, and layers that continue from the minibatch before.

    Args:
        subject: argument that is checked, for the error message.
        encoder: layer or model.
    """
    if not isinstance(encoder, keras.layers.Layer):
        remedy = "networks.mlp(units, num_classes=None) makes one"
        if isinstance(encoder, (str, os.PathLike)):
            remedy = "keras.models.load_model reads a saved one: encoder.keras in the folder of a run"
        elif callable(encoder):
            remedy = f"Call {getattr(encoder, '__name__', 'it')}(…), which makes one"
        refuse(subject, "be a Keras layer or model", type(encoder).__name__, remedy)
    inputs = getattr(encoder, "inputs", None) or [None]
    if len(inputs) > 1:
        names = ", ".join(each.name for each in inputs)
        remedy = "Concatenate the arrays, and split them inside the model"
        refuse(subject, "have one input", f"a model with {len(inputs)} inputs, {names}", remedy)
    for layer in all_layers(encoder):
        if getattr(layer, "stateful", False):
            requirement = "compute an example from its own input, in minibatches of any size"
            received = f"the stateful layer {layer.name!r}"
            refuse(subject, requirement, received, "Make it with stateful=False")


def check_shape(subject: str, encoder: keras.layers.Layer, x: ArrayLike) -> None:
    """Refuse examples of another shape than a functional model takes; Keras adds or removes axes of length 1."""
    wanted = tuple(encoder.inputs[0].shape[1:]) if getattr(encoder, "inputs", None) else (None,)
    given = tuple(x.shape[1:])
    if None not in wanted and [each for each in wanted if each != 1] != [each for each in given if each != 1]:
        refuse(subject, f"hold examples of the encoder's input shape {wanted}", f"examples of shape {given}")


def check_size(subject: str, built_shape: Sequence[int | None], x: Any) -> None:
    """Refuse examples with another number of features than those of the shape (n, …) that a model was built for.

    Args:
        subject: argument that is checked, for the error message.
        built_shape: shape that the model was built for.
        x: array or data set; of a data set whose shape is not known, nothing is refused.
    """
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
        x = spec[0] if isinstance(spec, tuple) else spec
    if not isinstance(x, tf.TensorSpec) and not is_array(x):
        return
    shape = tf.TensorShape(x.shape)
    if shape.rank is None:
        return
    given, wanted = tuple(shape)[1:], tuple(built_shape)[1:]
    if None in (*given, *wanted):
        return
    if math.prod(given) != math.prod(side or 0 for side in wanted):
        requirement = f"hold examples of shape {wanted}, for which the model was built"
        refuse(subject, requirement, f"examples of shape {given}")


@dataclasses.dataclass(frozen=True)
class InputRange:
    """Values that the inputs of a method may have.

    Attributes:
        low, high: smallest and largest value.
        requirement: the rule, continuing "must …".
        remedy: how to get such data.
        raw: whether only data without negative values is refused for its largest value, as are unscaled pixels.
    """

    low: float
    high: float
    requirement: str
    remedy: str
    raw: bool = False


PROBABILITIES = InputRange(
    0.0,
    1.0,
    "be in [0, 1], as the probabilities of binary units are",
    'Divide images of 0…255 by 255; give visible="gaussian" for standardized data',
)

# A pixel of 0…255 exceeds 100 somewhere; a feature that is scaled, or centered, has negative values or smaller ones.
SCALED = InputRange(
    -math.inf,
    100.0,
    "be scaled to about 1: in [0, 1], or standardized",
    "Divide images of 0…255 by 255, or use design.Standardize",
    raw=True,
)


def check_range(subject: str, x: ArrayLike | Dataset, allowed: InputRange | None) -> None:
    """Refuse data with values that a method cannot learn from; of a data set the first batch is looked at.

    Args:
        subject: argument that is checked, for the error message.
        x: array of numbers, or `tf.data.Dataset` of batches.
        allowed: range of the values; None accepts everything.
    """
    if allowed is None or not (is_array(x) or isinstance(x, tf.data.Dataset)):
        return
    sample = x if is_array(x) else first_examples(x, count=1024)[0]
    if not len(sample) or not np.issubdtype(
        np.dtype(keras.backend.standardize_dtype(sample.dtype)), np.number
    ):
        return
    low, high = float(ops.min(sample)), float(ops.max(sample))
    too_high = high > allowed.high and not (allowed.raw and low < 0)
    if low < allowed.low or too_high:
        refuse(subject, allowed.requirement, f"values from {low:.4g} to {high:.4g}", allowed.remedy)


def check_tokens(subject: str, num_tokens: int, x: ArrayLike | Dataset) -> None:
    """Refuse sequences with other numbers than 0 … num_tokens − 1; of a data set the first batch is looked at.

    TensorFlow looks up −1 as the last token on some devices, and cuts fractions off.

    Args:
        subject: argument that is checked, for the error message.
        num_tokens: number of tokens.
        x: array, or `tf.data.Dataset` of batches.
    """
    if not (is_array(x) or isinstance(x, tf.data.Dataset)):
        return
    sample = ops.convert_to_numpy(x if is_array(x) else first_examples(x, count=1024)[0])
    if not sample.size or sample.dtype.kind not in "iuf":
        return
    if not (sample.min() >= 0 and sample.max() <= num_tokens - 1):  # NaN included
        received = f"tokens from {sample.min()} to {sample.max()}"
        remedy = "Padding is a token too: TokenEncoder(padding=…) names it" if sample.min() < 0 else ""
        refuse(subject, f"contain only the tokens 0 … {num_tokens - 1}", received, remedy)
    if sample.dtype.kind == "f" and (sample != np.round(sample)).any():
        refuse(subject, "hold whole numbers, which are tokens", f"{sample[sample != np.round(sample)][0]:g}")


def check_data_set(subject: str, dataset: Any, num_steps: int | None, steps_name: str) -> Dataset:
    """Return a data set of batches; refuse anything else.

    Args:
        subject: argument that is checked, for the error messages: `"fit.x"`.
        dataset: value that was given and is not an array.
        num_steps: number of steps that was given, or None.
        steps_name: name of the argument that gives it: `"steps_per_epoch"`.

    Raises:
        InputError: it is not a `tf.data.Dataset`; a batch is not x, (x, y) or (x, y, sample_weight) of one array each;
            its elements are single examples; or it is endless and no number of steps is given.
    """
    if isinstance(dataset, tf.distribute.DistributedDataset):
        return dataset
    if not isinstance(dataset, tf.data.Dataset):
        generates = "tf.data.Dataset.from_generator makes a data set of a generator"
        remedy = _remedy(dataset, generates if hasattr(dataset, "__iter__") else "")
        requirement = "be an array, or a tf.data.Dataset or keras.utils.PyDataset of batches"
        refuse(subject, requirement, type(dataset).__name__, remedy)
    spec = dataset.element_spec
    parts = spec if isinstance(spec, tuple) else (spec,)
    if not (0 < len(parts) <= 3 and all(isinstance(each, tf.TensorSpec) for each in parts)):
        received = f"batches ({', '.join(_kind(each) for each in parts)})"
        refuse(subject, "have batches x, (x, y) or (x, y, sample_weight) of one array each", received)
    if any(each.shape.rank is None for each in parts):
        remedy = "from_generator takes them as output_signature; tf.ensure_shape sets them in map"
        refuse(subject, "know the number of axes of its batches", "batches of an unknown shape", remedy)
    if any(_is_single(each, images=i == 0) for i, each in enumerate(parts)):
        shapes = ", ".join(str(tuple(each.shape)) for each in parts)
        refuse(subject, "consist of batches", f"elements of shape {shapes}", "Call dataset.batch(batch_size)")
    if len(parts) == 3 and parts[2].shape.rank != 1 and tuple(parts[2].shape[1:]) != (1,):
        requirement = "have weights of shape (n,), one for each example"
        refuse(f"{subject} (sample_weight)", requirement, f"weights of shape {tuple(parts[2].shape)}")
    endless = tf.data.experimental.cardinality(dataset) == tf.data.INFINITE_CARDINALITY
    if endless and num_steps is None:
        refuse(subject, "end", "an endless data set", f"Give {steps_name}, or leave out repeat()")
    return dataset


def _kind(spec):
    return f"array {spec.shape}" if isinstance(spec, tf.TensorSpec) else type(spec).__name__


def _is_single(spec, images):
    """Return whether elements are single examples: of too small a rank for a batch, or of the shape of an image."""
    shape = spec.shape
    looks_like_image = (
        shape.rank == 3 and shape[0] is not None and shape[0] == shape[1] and shape[2] in (1, 3)
    )
    return shape.rank < (2 if images else 1) or (images and looks_like_image)


def without_empty_batches(dataset: Dataset) -> Dataset:
    """Leave out batches without examples, whose means are NaN and whose step would move the weights all the same.

    Example:
        >>> batches = tf.data.Dataset.range(6).batch(4).map(lambda x: x[x < 4])
        >>> [len(batch) for batch in batches], [len(batch) for batch in without_empty_batches(batches)]
        ([4, 0], [4])
    """
    if isinstance(dataset, tf.distribute.DistributedDataset):
        return dataset
    spec = dataset.element_spec
    shape = (spec[0] if isinstance(spec, tuple) else spec).shape
    if not shape.rank or shape[0]:  # no batches, or all of one size
        return dataset
    return dataset.filter(lambda x, *others: tf.shape(x)[0] > 0)


@keras_internals.untuned_data_sets()
def first_examples(dataset: Dataset, count: int = 1) -> tuple[Tensor, Tensor | None]:
    """Return the first `count` examples of a data set of batches as (x, y); y is None if it has no targets."""
    check_data_set("x", dataset, count, "steps")
    for batch in without_empty_batches(dataset).take(1):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        return x[:count], None if y is None else y[:count]
    refuse("x", "hold at least one batch", "an empty data set")


def check_arrays(
    subject: str, x: ArrayLike, y: ArrayLike | None = None
) -> tuple[ArrayLike, ArrayLike | None]:
    """Return `x` and `y`, see `values_of`; refuse arrays without examples or numbers, with NaN, of unequal lengths."""
    if not is_array(x):
        refuse(f"{subject}.x", "be an array", type(x).__name__, _remedy(x, ""))
    x, y = values_of(x), values_of(y)
    kind = _kind_of_numbers(x)
    if kind == "c":
        remedy = "np.stack([x.real, x.imag], axis=-1) makes features of both parts"
        refuse(f"{subject}.x", "hold real numbers", f"x.dtype={x.dtype}", remedy)
    if kind not in "biufV":  # V: bfloat16
        remedy = 'x.astype("float32") converts numbers; a category needs a column of 0 and 1 for each value'
        refuse(f"{subject}.x", "hold numbers", f"x.dtype={x.dtype}", remedy)
    refuse_masked(f"{subject}.x", x)
    if len(x.shape) < 2 or x.shape[0] == 0:
        refuse(
            f"{subject}.x",
            "have shape (examples, features…) with at least one example",
            f"x.shape={tuple(x.shape)}",
        )
    if y is not None and len(y) != len(x):
        refuse(f"{subject}.y", "have one target for each example", f"{len(x)} examples, {len(y)} targets")
    bad = _num_not_finite(x)
    if bad:
        received = f"{bad} values that are NaN or infinite"
        refuse(f"{subject}.x", "be finite", received, "Remove or replace them")
    return x, y


def _num_not_finite(x):
    """Count the values of an array or a tensor that are NaN or infinite; others, as of files, are not read for it."""
    # A sum is faster than a test of each value, and finite only if all values are (or it overflows).
    if isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating):
        with np.errstate(all="ignore"):
            return 0 if np.isfinite(np.sum(x)) else int(np.count_nonzero(~np.isfinite(x)))
    if isinstance(x, tf.Tensor) and x.dtype.is_floating:
        finite = bool(tf.math.is_finite(tf.reduce_sum(x)))
        return 0 if finite else int(tf.math.count_nonzero(~tf.math.is_finite(x)))
    return 0


def _kind_of_numbers(x):
    """Return NumPy's letter for the kind of an array's dtype; that of another library counts as floats."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, tf.DType):
        dtype = dtype.as_numpy_dtype
    try:
        return "f" if dtype is None else np.dtype(dtype).kind
    except TypeError:
        return "f"
