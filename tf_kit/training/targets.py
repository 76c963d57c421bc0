"""Targets of `fit` and `evaluate`, which a trainer that does not use them refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.checks import refuse
from tf_kit.training import arguments, inputs
from tf_kit.training.inputs import first_examples, is_array
from tf_kit.typing import ArrayLike, Dataset

if TYPE_CHECKING:
    from tf_kit.training.trainer import Trainer


def check_examples(
    trainer: Trainer,
    method: str,
    x: ArrayLike,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[int, float] | None = None,
) -> arguments.Arrays:
    """Return arrays of examples as `arguments.check_examples`; refuse targets that would not be used."""
    if y is not None:
        _refuse_unused(trainer, f"{method}.y", (x, y))
    elif trainer.needs_targets and is_array(x):
        refuse(f"{method}.y", "hold the labels", "x alone")
    if not trainer.takes_targets and y is None and sample_weight is not None:
        y = np.zeros(len(x), "int8")  # takes the place between x and the weights
    return arguments.check_examples(method, x, y, sample_weight, class_weight)


def check_validation(trainer: Trainer, given: Any, num_steps: int | None) -> Any:
    """Return the argument `validation_data` as a tuple of arrays or a data set; refuse targets that are not used."""

    def check(method: str, *arrays: Any) -> arguments.Arrays:
        return check_examples(trainer, method, *arrays)

    found = arguments.validation_of(given, num_steps, check)
    if isinstance(found, tuple):
        trainer.check_targets("fit.validation_data", *(*found, None)[:2])
    else:
        check_data_set(trainer, "fit.validation_data", found)
        trainer.check_targets("fit.validation_data", found)
    return found


def check_data_set(trainer: Trainer, subject: str, dataset: Any) -> None:
    """Refuse a data set of (x, y) whose targets would not be used; it is read only where values have to show it."""
    pair = None if trainer.takes_targets else arguments.spec_of_pair(dataset)
    if pair is None:
        return
    if trainer.reconstructs and pair[0].shape.is_compatible_with(pair[1].shape):
        pair = _first_of(dataset)  # only values show whether y is x
    if pair is not None:
        _refuse_unused(trainer, subject, pair)


@keras_internals.untuned_data_sets()
def _first_of(dataset: Dataset) -> Any:
    return next(iter(dataset.take(1)), None)


def _refuse_unused(trainer: Trainer, subject: str, pair: Any) -> None:
    """Refuse targets that `per_example` does not use: arrays or, where a shape is enough, their specification."""
    described = isinstance(pair[1], tf.TensorSpec)
    if trainer.takes_targets or (not described and trainer.uses_as_targets(*pair)):
        return
    rule = f"hold no targets, because {type(trainer).__name__} does not use them"
    remedy = "Give x alone; dataset.map(lambda x, y: x) leaves the targets of a data set out"
    shape = pair[1].shape if described else tuple(np.shape(pair[1]))
    refuse(subject, rule, f"targets of shape {shape}", remedy)


def check_labels(trainer: Trainer, method: str, num_classes: int, x: Any, y: Any) -> None:
    """Refuse labels that are not class numbers; of a data set the first 1,024 are looked at.

    Args:
        trainer: the trainer.
        method: its method that was called, such as `"fit"`.
        num_classes: number of classes.
        x, y: the arguments of the method.
    """
    subject = f"{type(trainer).__name__}.{method}.y"
    if isinstance(x, tf.data.Dataset):
        inputs.check_data_set(f"{method}.x", x, 1, "steps")
        subject = f"{type(trainer).__name__}.{method}.x (labels)"
        y = first_examples(x, count=1024)[1]
    if y is None and (is_array(x) or isinstance(x, tf.data.Dataset)):
        refuse(subject, "hold the labels", "y=None")
    labels = np.asarray(y)
    if y is None or not labels.size:
        return
    wanted = f"be class numbers 0 … {num_classes - 1}, shape (n,)"
    if labels.ndim == 0 or labels.size != len(labels):
        remedy = "np.argmax(y, axis=-1) converts one-hot rows"
        refuse(subject, wanted, f"y.shape={labels.shape}", remedy)
    if labels.dtype.kind not in "iufb":
        remedy = "np.unique(y, return_inverse=True) numbers the classes"
        refuse(subject, wanted, f"labels such as {labels.reshape(-1)[0]!r}", remedy)
    if not (labels.min() >= 0 and labels.max() < num_classes and np.all(labels == labels.round())):
        refuse(subject, wanted, f"labels from {labels.min()} to {labels.max()}")
