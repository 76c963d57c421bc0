"""Training whose numbers have gone wrong: found within seconds, and stopped before anything wrong is saved."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tf_kit.errors import TrainingDiverged
from tf_kit.runs.checkpoint import StageState

FAR_OUT = 1e4  # root mean square of a healthy variable, at most, for data of size 1
_PAUSE = 5.0  # seconds between two checks of all variables, which read every weight once


class Guard(keras.callbacks.Callback):
    """Callback that raises `TrainingDiverged` when the loss or a variable of the model goes wrong.

    The loss is checked after each step, or each piece of steps that run together. All variables are checked after the
    first of these, every five seconds and at the end of each epoch, where the validation loss is checked too:

        a value is NaN or infinite     or     √(mean w²) > 10⁴ · scale, for a trained variable w      (1)

    Args:
        stage: name of the training, for the message.
        state: state of the stage, whose last checkpoint is kept.
        scale: size of the data: the largest number in it, or 1 if that is larger. Defaults to 1.
    """

    works_in_pieces = True

    def __init__(self, stage: str, state: StageState, scale: float = 1.0) -> None:
        super().__init__()
        self.stage, self.state, self.most = stage, state, FAR_OUT * scale
        self._epoch, self._done, self._checked = state.epoch, state.step, -math.inf

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._done = self.state.step if epoch == self.state.epoch else 0
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        steps = f"step {batch + 1}" if batch == self._done else f"steps {self._done + 1} to {batch + 1}"
        self._check_loss("loss", logs, steps)
        if time.monotonic() - self._checked > _PAUSE:
            self.check(steps)
        self._done = batch + 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.check(f"step {self._done}")
        self._check_loss("val_loss", logs, f"step {self._done}")

    def check(self, steps: str) -> None:
        """Check all variables of the model.

        Args:
            steps: the last steps of this epoch, for the message.
        """
        found = first_variable_gone_wrong(self.model, self.most)
        self._checked = time.monotonic()
        if found is not None:
            self._stop(found, steps)

    def _check_loss(self, name, logs, steps):
        loss = float(np.mean((logs or {}).get(name, 0.0)))
        if not math.isfinite(loss):
            found = first_variable_gone_wrong(self.model, self.most)
            where = f"the {name} is {loss}"
            self._stop(f"{where}, and {found}" if found else f"{where}, while all weights are finite", steps)

    def _stop(self, found, steps):
        kept = "no checkpoint was written before"
        epoch, step = self.state.recorded
        if epoch or step:
            within = f", step {step} of epoch {epoch + 1}" if step else ""
            kept = f"the checkpoint of epoch {epoch}{within} is kept"
        rate = learning_rate_of(self.model)
        here = f" (here {rate:.3g})" if rate else ""
        raise TrainingDiverged(
            f"{self.stage} stopped in epoch {self._epoch + 1}, {steps}: {found}; {kept}. Start a new run with a "
            f"smaller learning rate{here}, or look for values in the data that are far out of range"
        )


def first_variable_gone_wrong(model: keras.Model, most: float = math.inf) -> str | None:
    """Describe the first variable of a model, in the order of its layers, whose values have gone wrong, or None.

    Args:
        model: a model or a layer.
        most: largest root mean square of a trainable variable. Defaults to no limit.

    Example:
        >>> layer = keras.layers.Dense(1, name="dense")
        >>> layer.build((None, 1))
        >>> first_variable_gone_wrong(layer)
        >>> layer.set_weights([np.array([[np.nan]]), np.zeros(1)])
        >>> first_variable_gone_wrong(layer)
        'dense/kernel holds nan'
        >>> layer.set_weights([np.array([[1e6]]), np.zeros(1)])
        >>> first_variable_gone_wrong(layer, most=1e4)
        'dense/kernel has grown to 1e+06'
    """
    trained = {id(variable) for variable in model.trainable_variables}
    # The layers of the encoder come first, in the order in which the data pass them.
    encoder = getattr(model, "encoder", None)
    ordered = [*(() if encoder is None else encoder.variables), *model.variables]
    for variable in {id(variable): variable for variable in ordered}.values():
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        values = variable.numpy().astype("float32", copy=False)
        size = math.sqrt(float(np.mean(np.square(values, dtype="float64")))) if values.size else 0.0
        if not math.isfinite(size):
            wrong = values[~np.isfinite(values)]
            return f"{variable.path} holds {wrong[0]:g}"
        if size > most and id(variable) in trained:
            return f"{variable.path} has grown to {size:.3g}"
    return None


def learning_rate_of(model: keras.Model) -> float | None:
    """Return the present learning rate of a compiled model."""
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def scale_of(*arrays: Any) -> float:
    """Return the largest magnitude in some arrays, or 1 if that is larger; other data than arrays count as 1.

    Example:
        >>> scale_of(np.array([3.0, -500.0]), None), scale_of(np.array([0.5]))
        (500.0, 1.0)
    """
    largest = 1.0
    for array in arrays:
        if getattr(array, "shape", None) and np.issubdtype(np.asarray(array[:1]).dtype, np.number):
            sample = np.abs(np.asarray(array[:: max(1, len(array) // 1000)], "float64"))
            largest = max(largest, float(np.max(sample, where=np.isfinite(sample), initial=0.0)))
    return largest
