"""Arguments of `fit` and `evaluate`: each is brought into one form, or refused in one line."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tf_kit.checks import count, number, refuse
from tf_kit.training.converted import converted
from tf_kit.training.inputs import check_arrays, check_data_set, is_array
from tf_kit.typing import ArrayLike, Dataset

Arrays: TypeAlias = tuple[ArrayLike, ...]  # (x,), (x, y) or (x, y, sample_weight), of n examples each


def check_examples(
    method: str,
    x: ArrayLike,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[int, float] | None = None,
) -> Arrays:
    """Return (x,), (x, y) or (x, y, weights) for arrays; refuse lengths and shapes that do not fit together.

    Args:
        method: method whose arguments are checked, for the error messages: `"fit"`.
        x: inputs, (n, …).
        y: targets, (n, …), or None.
        sample_weight: weights of the examples, (n,) or (n, 1), or None.
        class_weight: weight of each class, or None; a class that it does not hold has weight 1.
    """
    y = np.asarray(y) if isinstance(y, (list, tuple)) else y
    x, y = check_arrays(method, x, y)
    if class_weight is not None:
        if sample_weight is not None:
            remedy = "Multiply both into sample_weight"
            refuse(f"{method}.class_weight", "be left out if sample_weight is given", "both", remedy)
        sample_weight = _weights_of_classes(f"{method}.class_weight", y, class_weight)
    arrays = (x,) if y is None else (x, y)
    return arrays if sample_weight is None else (*arrays, _weights(method, x, y, sample_weight))


def check_counts(method: str, **given: int | None) -> None:
    """Refuse numbers of steps or examples that are not whole numbers of at least 1; None means the default.

    Example:
        >>> check_counts("evaluate", steps=0)
        Traceback (most recent call last):
        tf_kit.errors.InputError: `evaluate.steps` must be a whole number of at least 1. Received: steps=0.
    """
    for name, value in given.items():
        if value is not None:
            count(f"{method}.{name}", value)


def check_shuffle(given: Any) -> None:
    """Refuse orders of the examples that only Keras knows, such as "batch"."""
    if not (given is None or isinstance(given, (bool, np.bool_)) or given in (0, 1)):
        refuse(
            "fit.shuffle", "be True or False", f"shuffle={given!r}", "True draws a new order for each epoch"
        )


def _weights(method, x, y, sample_weight):
    shape = np.shape(sample_weight)
    if y is None or shape not in ((len(x),), (len(x), 1)):
        targets = "without targets, " if y is None else "and "
        received = f"{len(x)} examples {targets}{math.prod(shape[:1])} weights of shape {shape}"
        refuse(f"{method}.sample_weight", "have one weight for each example with its target", received)
    given = np.asarray(sample_weight)
    try:
        weights = given.astype("float32").reshape(-1)
    except (TypeError, ValueError):
        weights = np.full(given.size, np.nan)
    if not np.isfinite(weights).all():
        received = f"weights such as {given.reshape(-1)[~np.isfinite(weights)][0]!r}"
        refuse(f"{method}.sample_weight", "be finite numbers", received)
    return weights


def _checked_class_weights(subject, class_weight):
    wanted = "be a dictionary from class numbers to weights"
    if not isinstance(class_weight, Mapping) or not class_weight:
        refuse(subject, wanted, f"{class_weight!r}")
    wrong = [
        k for k in class_weight if isinstance(k, bool) or not isinstance(k, numbers.Integral) or int(k) < 0
    ]
    if wrong:
        refuse(
            subject, wanted, f"the class {wrong[0]!r}", "Classes are whole numbers from 0, as in the labels"
        )
    return {int(k): number(f"{subject}[{k}]", weight, at_least=0) for k, weight in class_weight.items()}


def check_class_weight(subject: str, class_weight: Any, num_classes: int | None) -> None:
    """Refuse weights of classes that do not exist; None stands for all equal, or an unknown number of classes.

    Example:
        >>> check_class_weight("fit.class_weight", {11: 3.0}, 10)
        Traceback (most recent call last):
        tf_kit.errors.InputError: `fit.class_weight` must have weights of the classes 0 … 9. Received: class 11.
    """
    if class_weight is None or num_classes is None:
        return
    highest = max(_checked_class_weights(subject, class_weight))
    if highest >= num_classes:
        refuse(subject, f"have weights of the classes 0 … {num_classes - 1}", f"class {highest}")


def _weights_of_classes(subject, y, class_weight):
    if y is None:
        refuse(subject, "be left out without labels", f"{class_weight!r}")
    labels, weights = np.asarray(y).reshape(-1), np.ones(len(y), "float32")
    for label, weight in _checked_class_weights(subject, class_weight).items():
        weights[labels == label] = weight
    return weights


def with_class_weights(subject: str, dataset: Dataset, class_weight: Mapping[int, float] | None) -> Dataset:
    """Return a data set of (x, y) with the weight of each example's class as the third part of its batches.

    Args:
        subject: argument that is checked, for the error messages.
        dataset: data set of batches.
        class_weight: weight of each class, or None for the data set as it is.
    """
    if class_weight is None:
        return dataset
    weights = _checked_class_weights(subject, class_weight)
    parts = dataset.element_spec if isinstance(dataset.element_spec, tuple) else (dataset.element_spec,)
    if len(parts) != 2:
        given = "labels" if len(parts) < 2 else "weights"
        requirement = "be given with batches (x, y), of inputs and labels"
        refuse(subject, requirement, f"batches {'without' if len(parts) < 2 else 'with'} {given}")
    classes = np.array(sorted(weights), "int64")
    values = np.array([weights[each] for each in classes], "float32")

    def weigh(x, y):
        labels = tf.cast(tf.reshape(y, (-1,)), tf.int64)
        place = tf.minimum(tf.searchsorted(classes, labels), len(classes) - 1)
        return x, y, tf.where(tf.gather(classes, place) == labels, tf.gather(values, place), 1.0)

    return dataset.map(weigh)


def split(arrays: Arrays, validation_split: float) -> tuple[Arrays, Arrays | None]:
    """Return the arrays to train on and the last examples, which are held out, or None.

    Args:
        arrays: arrays of n examples each.
        validation_split: fraction of the examples to hold out, in [0, 1).
    """
    fraction = number("fit.validation_split", validation_split, at_least=0, below=1)
    if not fraction:
        return arrays, None
    kept = math.floor(len(arrays[0]) * (1 - fraction))
    if kept in (0, len(arrays[0])):
        requirement = "leave examples on both sides"
        refuse(
            "fit.validation_split", requirement, f"validation_split={fraction} of {len(arrays[0])} examples"
        )
    return tuple(array[:kept] for array in arrays), tuple(array[kept:] for array in arrays)


def evaluation_size(given: Any, batch_size: int | None, num_steps: int | None) -> int:
    """Return the examples per step of an evaluation of arrays.

    With a number of steps it decides which examples are used, so it is that of Keras.

    Args:
        given: tuple of arrays of n examples, or a data set, which has batches already.
        batch_size: examples per training step; None or 0 stands for none.
        num_steps: number of steps that was given, or None.

    Example:
        >>> evaluation_size((np.zeros((100, 3)),), None, 4), evaluation_size((np.zeros((100, 3)),), 32, None)
        (25, 1024)
    """
    if num_steps is None or not isinstance(given, tuple):
        return max(batch_size or 0, 1024)
    return batch_size or -(-len(given[0]) // num_steps)


def spec_of_pair(dataset: Dataset) -> tuple[tf.TensorSpec, tf.TensorSpec] | None:
    """Return shapes and dtypes of x and y of a data set of (x, y), without reading it.

    Returns:
        (x, y); None for batches of x alone, and for (x, y, sample_weight), where y may stand for the place only.
    """
    if not isinstance(dataset, tf.data.Dataset) or not isinstance(dataset.element_spec, tuple):
        return None
    return dataset.element_spec if len(dataset.element_spec) == 2 else None


def validation_of(given: Any, num_steps: int | None, check: Callable[..., Arrays] = check_examples) -> Any:
    """Return the argument `validation_data` as a tuple of arrays or a data set; refuse anything else.

    Args:
        given: tuple or list (x,), (x, y) or (x, y, sample_weight), an array, or a data set of batches.
        num_steps: argument `validation_steps`.
        check: function that checks arrays, with the arguments of `check_examples`.
    """
    given = converted("fit.validation_data", given)
    if is_array(given):
        given = (given,)
    if isinstance(given, (tuple, list)) and 0 < len(given) <= 3 and is_array(given[0]):
        return check("fit.validation_data", *given)
    return check_data_set("fit.validation_data", given, num_steps, "validation_steps")


def refuse_beside_data_set(method: str, **arguments: Any) -> None:
    """Refuse arguments for arrays that were given together with a data set.

    Args:
        method: method whose arguments are checked.
        arguments: name → value; None, 0 and 0.0 mean that it was not given.
    """
    for name, given in arguments.items():
        if given is None or (isinstance(given, float) and not given):
            continue
        if name in ("y", "sample_weight"):
            requirement = "be part of the data set, in batches (x, y) or (x, y, sample_weight)"
            refuse(f"{method}.{name}", requirement, f"both a data set and {name}")
        remedies = {
            "validation_split": "Hold examples out with dataset.take and dataset.skip: validation_data=…",
            "batch_size": "dataset.batch(batch_size) gives it",
        }
        refuse(f"{method}.{name}", "be left out for a data set", f"{name}={given!r}", remedies.get(name, ""))


def num_batches(x: ArrayLike | Dataset, num_steps: int | None) -> int | None:
    """Return the steps per epoch for the progress bar, or None if only the training will show them."""
    if num_steps is None and isinstance(x, tf.data.Dataset):
        size = int(tf.data.experimental.cardinality(x))
        return size if size >= 0 else None
    return num_steps


def unpack(batch: Any) -> tuple[Any, Any, Any]:
    """Return x, y and the weights (n,) of a batch; None for a part that it does not have."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    # Weights (n, 1) multiplied by losses (n,) would give (n, n).
    return x, y, None if weights is None else keras.ops.reshape(weights, (-1,))
