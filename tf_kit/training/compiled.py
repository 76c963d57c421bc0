"""Checks of the arguments of `compile`: what Keras takes counts, or is refused in one line."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse

# Measures that Keras computes from class numbers and logits without an error, but as if they were one-hot rows.
_OF_ONE_HOT = (keras.metrics.CategoricalAccuracy, keras.metrics.CategoricalCrossentropy)
_FORMULAS_OF_ONE_HOT = (keras.metrics.categorical_accuracy, keras.metrics.categorical_crossentropy)
_SPARSE_CROSS_ENTROPY = keras.metrics.sparse_categorical_crossentropy
_RESOLVED = ("accuracy", "acc")  # words that Keras understands by the shapes of labels and outputs


def check_compiled(given: Mapping[str, Any]) -> None:
    """Refuse arguments of `keras.Model.compile` that would have no effect, or another one than in Keras.

    Args:
        given: name → value.
    """
    loss, loss_weights = given.get("loss"), given.get("loss_weights")
    if isinstance(loss, list | tuple | dict):
        refuse(
            "compile.loss", "be one loss", f"{type(loss).__name__} of {len(loss)}", "Give it without brackets"
        )
    if loss_weights is not None:
        received = f"loss_weights={loss_weights!r}"
        refuse("compile.loss_weights", "be None, as there is one loss", received, "Scale the learning rate")
    reduction = getattr(loss, "reduction", None)
    if reduction not in (None, "sum_over_batch_size", "mean"):
        remedy = "Leave it out; multiply the learning rate by the batch size for a sum"
        refuse("compile.loss", "have the reduction of a mean over examples", f"{reduction=}", remedy)
    count("compile.steps_per_execution", given.get("steps_per_execution", 1))


def loss_of_each(loss: Any, y: Any, z: Any) -> Any:
    """Compute the loss (n,) of each example by a Keras loss, or a function of labels and logits."""
    losses = ops.convert_to_tensor(loss.call(y, z) if isinstance(loss, keras.losses.Loss) else loss(y, z))
    return ops.mean(ops.reshape(losses, (ops.shape(z)[0], -1)), axis=-1)


def check_loss_of_labels(loss: Any, num_classes: int) -> None:
    """Refuse a loss that does not give each example a value from its class and its logits.

    It is tried with class numbers (n,), whole and as floats, and logits (n, classes).
    """
    for dtype in ("int64", "float32"):
        try:
            loss_of_each(loss, *_labels_and_logits(num_classes, dtype))
            return
        except Exception as error:
            failure = type(error).__name__
    name = _name_of(loss)
    remedy = "Leave it out for the cross-entropy; SparseCategoricalCrossentropy(from_logits=True) is one"
    requirement = "give each example a value, from class numbers (n,) and logits (n, classes)"
    refuse("compile.loss", requirement, f"{name}, which fails with {failure}", remedy)


def _labels_and_logits(num_classes, dtype):
    """Return class numbers (n,) and logits (n, classes), for an n at which the shapes cannot be mistaken."""
    n = num_classes + 1
    return ops.convert_to_tensor(np.arange(n) % num_classes, dtype), ops.zeros((n, num_classes))


def _name_of(given):
    return getattr(given, "name", None) or getattr(given, "__name__", type(given).__name__)


def check_metrics_of_labels(name: str, metrics: Any, num_classes: int) -> None:
    """Refuse measures that do not take class numbers and logits, or take them for something else.

    Each is tried, as a copy, with class numbers (n,) and logits (n, classes).

    Args:
        name: argument that has them: `"metrics"`.
        metrics: what was given, as for `keras.Model.compile`.
        num_classes: number of classes.
    """
    subject = f"compile.{name}"
    for given in keras.tree.flatten(metrics):
        if given is None or given in _RESOLVED:
            continue
        word = given if isinstance(given, str) else _name_of(given)
        if word in ("crossentropy", "ce"):  # which Keras takes for one of probabilities
            given = keras.metrics.SparseCategoricalCrossentropy()
        metric = _copied(subject, given)
        if isinstance(metric, _OF_ONE_HOT) or getattr(metric, "_fn", None) in _FORMULAS_OF_ONE_HOT:
            remedy = f"Its form for class numbers begins with sparse_ or Sparse: {_sparse(word)}"
            refuse(subject, "take class numbers", f"{word}, which takes one-hot rows", remedy)
        if _takes_probabilities(metric):
            remedy = "Make the metric with from_logits=True; the loss is reported without one"
            refuse(subject, "take logits", f"{word}, which takes probabilities", remedy)
        if metric is None:
            continue
        try:
            metric.update_state(*_labels_and_logits(num_classes, "int64"))
        except Exception as error:
            requirement = "take class numbers (n,) and logits (n, classes)"
            received = f"{word}, which fails with {type(error).__name__}"
            refuse(subject, requirement, received, "SparseTopKCategoricalAccuracy is one that does")


def _copied(subject, given):
    """Return a metric of the kind that was given, without its state; None if it cannot be copied."""
    try:
        found = keras.metrics.get(given)
    except ValueError:
        refuse(subject, "name metrics of Keras", f"{given!r}")
    if not isinstance(found, keras.metrics.Metric):
        return keras.metrics.MeanMetricWrapper(found, name="tried") if callable(found) else None
    try:
        return type(found).from_config(found.get_config())
    except Exception:  # of a class without a complete `get_config`
        return None


def _takes_probabilities(metric):
    if getattr(metric, "from_logits", None) is False:
        return True
    options = getattr(metric, "_fn_kwargs", {})
    return getattr(metric, "_fn", None) is _SPARSE_CROSS_ENTROPY and not options.get("from_logits", False)


def _sparse(word):
    return f"sparse_{word}" if word == word.lower() else f"Sparse{word}"
