"""Checks of the arguments of `compile`: what Keras takes counts, or is refused in one line."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse


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

    It is tried with class numbers (n,), whole and as floats, and logits (n, classes), for an n at which the shapes
    cannot be mistaken.
    """
    n = num_classes + 1
    z = ops.zeros((n, num_classes))
    for dtype in ("int64", "float32"):
        try:
            loss_of_each(loss, ops.convert_to_tensor(np.arange(n) % num_classes, dtype), z)
            return
        except Exception as error:
            failure = type(error).__name__
    name = getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__)
    remedy = "Leave it out for the cross-entropy; SparseCategoricalCrossentropy(from_logits=True) is one"
    requirement = "give each example a value, from class numbers (n,) and logits (n, classes)"
    refuse("compile.loss", requirement, f"{name}, which fails with {failure}", remedy)
