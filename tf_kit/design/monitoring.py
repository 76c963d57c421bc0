"""Monitoring: record a training run and diagnose its problems (topic 13).

`TrainingMonitor` records the training curve ("Monitor your training curve") together with the size of the
gradient and of the steps in each layer, which the loss alone does not show. `diagnose` reads such a record and
names the problem:

    diverging    the loss ends above its start, or rises back towards it
    saturated    the loss stays high because no gradient passes, or because it no longer changes
    noisy        the loss jumps up and down instead of settling
    too slow     the loss falls steadily, but would need many times as many epochs
    overfitting  the validation loss turns up or stays far above the training loss
    healthy      none of these

Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 11.4.1 (learning rates and their curves)
and section 11.5 (a step should move the weights by about 1 %, a figure of Bottou's).
"""

import csv as csv_files
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tf_kit.checks import refuse
from tf_kit.keras_internals import given_loss_weights
from tf_kit.networks.gradient_probe import GradientProbe
from tf_kit.typing import ArrayLike
from tf_kit.whole_files import replacing


class TrainingMonitor(keras.callbacks.Callback):
    """Keras callback that records a training run, layer by layer, without changing it.

    Pass it to `fit` with a fixed probe batch of a few hundred examples. Before the first step and after each
    epoch it measures the cost and its gradient on the probe batch, in inference mode. In the first step of each
    epoch it measures how far each layer moves. Weights, moving statistics and random states are not affected:
    the run reaches the same weights as without it, bit for bit.

        gradient_norm_l = ‖∂J/∂θ_l‖           on the probe batch          (1)
        update_ratio_l  = ‖Δθ_l‖ / ‖θ_l‖      in the epoch's first step   (2)

    where θ_l are the trainable weights of layer l as one vector, and J = the compiled loss, with its `loss_weights`,
    plus penalties. A ratio of 1e-3 to 1e-2 is usual; below 1e-5 the layer hardly learns, above 1e-1 its weights jump
    around.

    After `fit`, `history` maps each name to a float64 array of E + 1 values, one before training and one after
    each of the E epochs; values that do not exist before training are NaN:

        epoch                    number of completed epochs
        loss, val_loss           as `fit` reports them
        error, val_error         1 − accuracy, if an accuracy metric is compiled
        probe_loss               J on the probe batch
        gradient_norm/<layer>    (1)
        update_ratio/<layer>     (2)

    Layers of a model inside the model are named "inner/layer".

    Args:
        x, y: probe batch, arrays as for `fit`.
        loss: Keras loss or its name, if the model is compiled without one. Defaults to None, the compiled
            loss.
        csv: file to which the record is written after each epoch, one line per epoch; missing folders are
            made. A run resumed with `initial_epoch` keeps the lines of the earlier epochs. Defaults to None, no file.

    Raises:
        ValueError: at the start of training, if there is no loss or there are no trainable weights.

    Example:
        >>> import keras, numpy as np
        >>> from tf_kit.design import TrainingMonitor
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="unit")])
        >>> model.compile(keras.optimizers.SGD(0.1), "mse")
        >>> monitor = TrainingMonitor(x, x[:, :1])
        >>> history = model.fit(x, x[:, :1], epochs=4, verbose=0, callbacks=[monitor])
        >>> bool(monitor.history["gradient_norm/unit"][-1] < 0.3 * monitor.history["gradient_norm/unit"][0])
        True
        >>> len(monitor.history["loss"]), bool(np.isnan(monitor.history["loss"][0]))
        (5, True)

    Convention: with `steps_per_execution=k` the ratio is that of the first k steps together.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 11.5.
    """

    history: dict[str, np.ndarray]
    _rows: list[dict[str, float]]
    _parts: dict[str, list[keras.Variable]]
    _before: dict[str, list[np.ndarray]] | None
    _ratios: dict[str, float]

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: keras.losses.Loss | str | None = None,
        csv: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.loss = loss
        self.csv = csv
        self.history = {}
        self._rows = []
        # Model, loss and loss weights of the probe, and the variables of its gradients.
        self._probed: tuple[Any, ...] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._rows, self._parts, self._before, self._ratios = [], {}, None, {}
        loss = self.model.loss if self.loss is None else self.loss
        if loss is None:
            refuse("TrainingMonitor.loss", "be given", "a model compiled without a loss", "Pass loss=…")
        if self.csv:
            Path(self.csv).parent.mkdir(parents=True, exist_ok=True)
        weights = given_loss_weights(self.model) if self.loss is None else None
        if not self._can_probe(loss, weights):
            self._probe = GradientProbe(self.model, loss, loss_weights=weights)
            self._probed = (self.model, loss, weights, self._probe.variables)

    def _can_probe(self, loss, weights):
        """Return whether the probe of the last run, which was traced once, measures this run too."""
        if self._probed is None:
            return False
        model, *losses, variables = self._probed
        same = list(map(id, variables)) == list(map(id, self._probe.variables))  # none was frozen since
        return model is self.model and losses == [loss, weights] and same

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._rows:
            return
        if epoch > 0 and self.csv and os.path.exists(self.csv):
            old = read_history(self.csv)
            rows = [dict(zip(old, values, strict=True)) for values in zip(*old.values(), strict=True)]
            self._rows = [row for row in rows if row["epoch"] <= epoch]
        else:
            self._record(epoch, {}, {})

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch == 0:
            self._find_parts()
            self._before = self._weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._before is not None:
            self._ratios = {
                name: _norm([new - old for new, old in zip(after, self._before[name], strict=True)])
                / (_norm(self._before[name]) or math.nan)
                for name, after in self._weights().items()
            }  # (2)
            self._before = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._record(epoch + 1, logs or {}, self._ratios)

    def _find_parts(self):
        self._parts = self._parts or dict(_trainable_parts(self.model))
        if not self._parts:
            refuse("TrainingMonitor", "record a model with trainable weights", self.model.name)

    def _weights(self):
        return {
            name: [ops.convert_to_numpy(variable).astype("float64") for variable in part]
            for name, part in self._parts.items()
        }

    def _record(self, epoch, logs, ratios):
        cost, gradients = self._probe(self.x, self.y)  # builds the model if necessary
        self._find_parts()
        by_variable = dict(zip(map(id, self._probe.variables), gradients, strict=True))
        row = {"epoch": epoch, "loss": logs.get("loss"), "val_loss": logs.get("val_loss")}
        for prefix in ("", "val_"):
            row[f"{prefix}error"] = _error(logs, prefix)
        row["probe_loss"] = cost
        for name, part in self._parts.items():
            row[f"gradient_norm/{name}"] = _norm([by_variable[id(variable)] for variable in part])  # (1)
        row.update({f"update_ratio/{name}": ratios.get(name) for name in self._parts})
        self._rows.append({key: math.nan if value is None else float(value) for key, value in row.items()})
        self.history = {key: np.array([each.get(key, math.nan) for each in self._rows]) for key in row}
        if self.csv:
            with replacing(self.csv) as path, path.open("w", newline="", encoding="utf-8") as file:
                writer = csv_files.DictWriter(file, self.history)
                writer.writeheader()
                writer.writerows(
                    {key: each.get(key, math.nan) for key in self.history} for each in self._rows
                )


def _trainable_parts(model, prefix=""):
    """Yield (name, variables) of each layer with trainable variables, also in nested models, shared layers once.

    Variables of a layer that the model itself does not train, as a frozen `Classifier` its encoder, are left out.
    """
    left = {id(variable) for variable in model.trainable_variables}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            parts = list(_trainable_parts(layer, f"{prefix}{layer.name}/"))
        else:
            parts = [(prefix + layer.name, layer.trainable_variables)]
        for name, variables in parts:
            own = [variable for variable in variables if id(variable) in left]
            left.difference_update(map(id, own))
            if own:
                yield name, own
    rest = [variable for variable in model.trainable_variables if id(variable) in left]
    if rest:  # variables of the model itself, outside any layer
        yield (prefix + model.name, rest)


def _norm(arrays):
    return math.sqrt(sum(float(np.sum(np.square(array))) for array in arrays))


def _error(logs, prefix):
    for name, value in logs.items():
        if name.startswith(prefix) and (prefix or not name.startswith("val_")):
            metric = name.removeprefix(prefix)
            if metric == "acc" or metric.endswith("accuracy"):
                return 1 - value
    return None


def read_history(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the record that a `TrainingMonitor` wrote to a file.

    Args:
        path: csv file of the monitor.

    Returns:
        Dictionary from name to float64 array, one value per line of the file, as `TrainingMonitor.history`.

    Raises:
        ValueError: the file is not a record of a `TrainingMonitor`.

    Example:
        >>> import pathlib, tempfile
        >>> from tf_kit.design import read_history
        >>> path = pathlib.Path(tempfile.mkdtemp(), "run.csv")
        >>> _ = path.write_text("epoch,loss\\n0,nan\\n1,0.5\\n")
        >>> read_history(path)["loss"].tolist()
        [nan, 0.5]
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            names, *lines = csv_files.reader(file)
        columns = zip(*[list(map(float, line)) for line in lines], strict=True)
        return {name: np.array(column) for name, column in zip(names, columns, strict=True)}
    except (ValueError, csv_files.Error) as error:
        refuse("read_history.path", "be a file that TrainingMonitor wrote", f"{path}: {error}")


class Diagnosis(NamedTuple):
    """Result of `diagnose`: name of the problem, reason with numbers, and remedy to try."""

    name: str
    reason: str
    remedy: str


def diagnose(
    history: dict[str, ArrayLike] | keras.callbacks.History | TrainingMonitor,
) -> Diagnosis:
    """Name the problem of a training run, or "healthy".

    Works for losses that approach 0 when all is learned, such as cross-entropy or squared error. The record of
    a `TrainingMonitor` is the most complete; the history of `fit` has no gradients and no loss before training,
    so the first epoch is taken as the start.

    Let L_1, …, L_E be the training loss, V the values of the validation loss (fewer than E with `validation_freq`),
    L_0 the loss on the probe batch before training (without a monitor: L_1), and L̄, V̄ the medians over the last
    third of the values. The first rule that holds names the problem:

        diverging     L is not finite, or L̄ > 1.05·L_0                   (1)
        saturated     L̄ > L_0/2 and ‖g_l‖ < ‖g_last‖/50 in a layer l     (2)
        diverging     L̄ − min L > L_0/4                                  (3)
        noisy         σ > L_0/50                                         (4)
        saturated     L̄ > L_0/2, the pace has fallen to under a fifth    (5)
        too slow      L̄ > L_0/2                                          (6)
        overfitting   V̄ − L̄ > 0.15·L_0, or V̄ − min V > 0.05·L_0          (7)
        healthy       otherwise                                          (8)

        σ² = mean max(0, L_{e+1} − L_e)²         over the last half      (9)

    where σ is 0 for a falling curve and the standard deviation for white noise, ‖g_l‖ is the median gradient
    norm of layer l over the last third, and the pace is the mean fall of L per epoch in the last third, compared
    with that over all epochs. (2) detects units that pass no gradient: saturated sigmoids, dead ReLUs, too many
    layers. (5) detects a loss that no longer changes, whatever the cause.

    Args:
        history: `TrainingMonitor` or its `history`, the return value of `fit` or of `read_history`, or a
            dictionary with "loss" and, for (7), "val_loss".

    Returns:
        `Diagnosis`: name, reason with the numbers that decided, remedy.

    Raises:
        ValueError: there is no loss, one is negative, or there are fewer than 6 epochs of finite loss.

    Example:
        >>> from tf_kit.design import diagnose
        >>> diagnose({"loss": [2.3, 1.2, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2]}).name
        'healthy'
        >>> diagnose({"loss": [2.3, 2.4, 2.9, 4.1, 7.0, 60.0]}).name
        'diverging'
        >>> diagnose({"loss": [2.300, 2.295, 2.290, 2.285, 2.281, 2.276]}).name
        'too slow'

    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, sections 8.1 to 8.3 and 11.4. The thresholds of
    the rules were set on runs with known faults on the digits.
    """
    history = _record_of(history)
    losses, start = history["loss"], history["loss"][0]
    if "probe_loss" in history:  # a monitor's first values were taken before training
        losses, start = losses[1:], history["probe_loss"][0]
    if not len(losses):
        refuse("diagnose.history", "hold at least one epoch", "none")
    values = np.array([start, *losses, *history.get("val_loss", ())])
    lowest = values.min(initial=0, where=np.isfinite(values))
    if lowest < 0:
        remedy = "Add a constant that makes it at least 0, such as 1 to a loss from -1 to 1"
        refuse("diagnose.history", "hold losses of at least 0, which is their aim", f"{lowest:.3g}", remedy)
    if not np.isfinite([start, *losses]).all():  # (1)
        epoch = int(np.argmin(np.isfinite(losses))) + 1
        return Diagnosis("diverging", f"the loss is not finite in epoch {epoch}", _REMEDIES["diverging"])
    if len(losses) < _LEAST_EPOCHS:
        refuse("diagnose.history", f"hold at least {_LEAST_EPOCHS} epochs", f"{len(losses)}", "Train longer")

    third = _last_third(losses)
    end = float(np.median(losses[third]))
    best = float(losses.min())
    rises = np.maximum(np.diff(losses[len(losses) // 2 - 1 :]), 0)
    noise = math.sqrt(float(np.mean(np.square(rises))))  # (9)
    pace = (losses[third][0] - losses[-1]) / (len(losses[third]) - 1)
    mean_pace = (losses[0] - losses[-1]) / (len(losses) - 1)
    starved = _starved_layer(history, third)
    fall = f"the loss began at {start:.3g} and ended at {end:.3g}"

    def found(name, reason):
        return Diagnosis(name, reason, _REMEDIES[name])

    if end > 1.05 * start:  # (1)
        return found("diverging", fall)
    stuck = end > start / 2
    if stuck and starved:  # (2)
        return found("saturated", f"{fall}, and {starved}")
    if end - best > start / 4:  # (3)
        return found("diverging", f"the loss fell to {best:.3g} and climbed back to {end:.3g}")
    if noise > start / 50:  # (4)
        return found("noisy", f"the loss jumps by {noise:.2g} (one standard deviation) from epoch to epoch")
    if stuck and pace <= mean_pace / 5:  # (5)
        return found("saturated", f"{fall}, and no longer falls")
    if stuck:  # (6)
        return found("too slow", f"{fall}, falling by {max(pace, 0):.2g} per epoch")
    overfit = _overfitting(history.get("val_loss", np.array([])), len(losses), start, end)
    if overfit:  # (7)
        return found("overfitting", overfit)
    return found("healthy", fall)  # (8)


_LEAST_EPOCHS = 6
_REMEDIES = {
    "diverging": "divide the learning rate by 10; check the scale of inputs and targets",
    "saturated": "scale the inputs and the initial weights, use ReLU or fewer layers, lower the learning rate",
    "noisy": "a smaller or decaying learning rate, or larger minibatches",
    "too slow": "multiply the learning rate by 10",
    "overfitting": "stop early, penalize or drop out, or get more data",
    "healthy": "nothing; more epochs if the validation loss still falls",
}


def _record_of(history):
    """Return any kind of history as a dictionary of arrays."""
    if isinstance(history, keras.callbacks.Callback):
        history = history.history
    if not isinstance(history, dict) or "loss" not in history or not np.size(history["loss"]):
        received = f"{sorted(history)}" if isinstance(history, dict) else f"{history!r}"
        refuse(
            "diagnose.history", 'be a dictionary with "loss"', received, "Pass the return value of model.fit"
        )
    columns = {name: _numbers(values) for name, values in history.items()}
    for name in ("loss", "val_loss", "probe_loss"):
        if name in columns and columns[name] is None:
            received = f"{name}={history[name]!r}"[:200]
            refuse("diagnose.history", "hold one number for each epoch", received)
    return {name: column for name, column in columns.items() if column is not None}


def _numbers(values):
    """Return a column as an array, or None if it is not one of numbers, such as the texts of someone's callback."""
    try:
        column = np.asarray(values, "float64")
    except (TypeError, ValueError):
        return None
    return column if column.ndim == 1 else None


def _last_third(values):
    return slice(-max(len(values) // 3, 1), None)


def _overfitting(validation, epochs, start, end):
    """Return a sentence on a validation loss that is high or rises again, or None."""
    validation = validation[-epochs:]  # without a monitor's value before training
    count_of = "epoch" if len(validation) == epochs else "validation"
    places = np.flatnonzero(~np.isnan(validation))  # a monitor records NaN where no validation was run
    validation = validation[places]
    if not len(validation):
        return None
    held_out, lowest = float(np.median(validation[_last_third(validation)])), float(validation.min())
    if held_out - end > 0.15 * start:
        return f"validation loss {held_out:.3g} against training loss {end:.3g}"
    if held_out - lowest > 0.05 * start:
        when = f"{count_of} {places[validation.argmin()] + 1}"
        return f"validation loss rose from {lowest:.3g} after {when} to {held_out:.3g}"
    return None


def _starved_layer(history, third):
    """Return a sentence on the layer with under a fiftieth of the last layer's gradient norm, or None."""
    norms = {
        name.removeprefix("gradient_norm/"): float(np.median(values[third]))
        for name, values in history.items()
        if name.startswith("gradient_norm/")
    }
    if len(norms) < 2:
        return None
    *_, last = norms.values()
    name = min(norms, key=norms.get)
    if norms[name] >= last / 50:
        return None
    return f"layer {name} gets a gradient of {norms[name]:.2g} where the last layer gets {last:.2g}"
