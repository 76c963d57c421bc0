"""Monitoring: record what a training run does, and read from it what is wrong (topic 13).

"Monitor your training curve": `TrainingMonitor` writes the curve down, with what a loss alone does not tell,
how large the gradient and the steps are in each layer. `diagnose` reads such a record and names the sickness:

    diverging    the loss ends above where it began, or climbed back towards it
    saturated    the loss stays high because no gradient passes, or because it does not move any more
    noisy        the loss jumps up and down instead of settling
    too slow     the loss falls steadily, and would need many times the epochs
    overfitting  the validation loss turns up or stays far above the training loss
    healthy      none of these

Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 11.4.1 (learning rates and their curves)
and section 11.5 (a step should move the weights by about 1 %, a figure of Bottou's).
"""

import csv as csv_files
import math
import os
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from tf_kit._checks import refuse
from tf_kit.networks.recorded_gradients import GradientProbe


class TrainingMonitor(keras.callbacks.Callback):
    """A Keras callback that records a training run, layer by layer, without touching it.

    Give it to `fit` with a fixed probe batch of some hundred examples. Before the first step and after each
    epoch it measures the cost and its gradient on the probe batch, in inference mode; once an epoch, at the
    first step, it measures how far the step moved each layer. Weights, moving statistics and random states are
    left as they would be without it: the run trains to the same weights, bit for bit.

        gradient_norm_l = ‖∂J/∂θ_l‖           on the probe batch          (1)
        update_ratio_l  = ‖Δθ_l‖ / ‖θ_l‖      in the epoch's first step   (2)

    where θ_l are the trainable weights of layer l as one vector, J = the compiled loss plus penalties. A ratio
    of 1e-3 to 1e-2 is usual; below 1e-5 the layer hardly learns, above 1e-1 it is thrown about.

    After `fit`, `history` maps each name to a float64 array of E + 1 values, one before training and one after
    each of the E epochs; what does not exist before training is NaN there:

        epoch                    epochs done
        loss, val_loss           as `fit` reports them
        error, val_error         1 − accuracy, where an accuracy metric is compiled
        probe_loss               J on the probe batch
        gradient_norm/<layer>    (1)
        update_ratio/<layer>     (2)

    A layer of a model inside the model is named "inner/layer".

    Args:
        x, y: the probe batch: arrays as `fit` takes them.
        loss: a Keras loss or its name, where the model is compiled without one. Defaults to None, the
            compiled loss.
        csv: file to which the record is written after each epoch, one line an epoch. A run that goes on with
            `initial_epoch` keeps the lines of the epochs before. Defaults to None.

    Raises:
        ValueError: when training begins, if there is no loss to measure or there are no trainable weights.

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
    Reference: Goodfellow, Bengio, Courville, 2016, section 11.5.
    """

    def __init__(self, x, y, loss=None, csv=None):
        super().__init__()
        self.x, self.y = x, y
        self.loss = loss
        self.csv = csv
        self.history = {}
        self._rows = []
        self._probed = None  # the model that the probe belongs to

    def on_train_begin(self, logs=None):
        self._rows, self._parts, self._before = [], {}, None
        if self._probed is self.model:
            return
        loss = self.model.loss if self.loss is None else self.loss
        if loss is None:
            refuse("TrainingMonitor.loss", "be given", "a model compiled without a loss", "Give loss=")
        self._probe = GradientProbe(self.model, loss)
        self._probed = self.model

    def on_epoch_begin(self, epoch, logs=None):
        if self._rows:
            return
        if epoch > 0 and self.csv and os.path.exists(self.csv):
            old = read_history(self.csv)
            rows = [dict(zip(old, values, strict=True)) for values in zip(*old.values(), strict=True)]
            self._rows = [row for row in rows if row["epoch"] <= epoch]
        else:
            self._record(epoch, {}, {})

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            self._find_parts()
            self._before = self._weights()

    def on_train_batch_end(self, batch, logs=None):
        if self._before is not None:
            self._ratios = {
                name: _norm([new - old for new, old in zip(after, self._before[name], strict=True)])
                / (_norm(self._before[name]) or math.nan)
                for name, after in self._weights().items()
            }  # (2)
            self._before = None

    def on_epoch_end(self, epoch, logs=None):
        self._record(epoch + 1, logs or {}, self._ratios)

    def _find_parts(self):
        self._parts = self._parts or dict(_trainable_parts(self.model))
        if not self._parts:
            refuse("TrainingMonitor", "watch a model with trainable weights", self.model.name)

    def _weights(self):
        return {
            name: [ops.convert_to_numpy(variable).astype("float64") for variable in part]
            for name, part in self._parts.items()
        }

    def _record(self, epoch, logs, ratios):
        cost, gradients = self._probe(self.x, self.y)  # builds the model where nothing has yet
        self._find_parts()
        by_variable = dict(zip(map(id, self.model.trainable_variables), gradients, strict=True))
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
            with open(self.csv, "w", newline="", encoding="utf-8") as file:
                writer = csv_files.DictWriter(file, self.history)
                writer.writeheader()
                writer.writerows(
                    {key: each.get(key, math.nan) for key in self.history} for each in self._rows
                )


def _trainable_parts(model, prefix=""):
    """(name, trainable variables) of the layers that own some; models inside opened, shared layers once."""
    named = set()
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            parts = list(_trainable_parts(layer, f"{prefix}{layer.name}/"))
        else:
            parts = [(prefix + layer.name, layer.trainable_variables)]
        for name, variables in parts:
            own = [variable for variable in variables if id(variable) not in named]
            named.update(map(id, own))
            if own:
                yield name, own
    rest = [variable for variable in model.trainable_variables if id(variable) not in named]
    if rest:  # held by the model itself, outside any layer
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


def read_history(path) -> dict[str, np.ndarray]:
    """The record that a `TrainingMonitor` wrote to `path`, as in its `history`.

    Args:
        path: the csv file.

    Returns:
        Name to float64 array, one value a line of the file.

    Raises:
        ValueError: when the file holds something else.

    Example:
        >>> import pathlib, tempfile
        >>> from tf_kit.design import read_history
        >>> path = pathlib.Path(tempfile.mkdtemp(), "run.csv")
        >>> _ = path.write_text("epoch,loss\\n0,nan\\n1,0.5\\n")
        >>> read_history(path)["loss"].tolist()
        [nan, 0.5]
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv_files.reader(file))
    try:
        names, *lines = rows
        columns = zip(*[list(map(float, line)) for line in lines], strict=True)
        return {name: np.array(column) for name, column in zip(names, columns, strict=True)}
    except ValueError as error:
        refuse("read_history.path", "be a file that TrainingMonitor wrote", f"{path}: {error}")


class Diagnosis(NamedTuple):
    """What `diagnose` found: the name of the sickness, why, and what to try."""

    name: str
    reason: str
    remedy: str


def diagnose(history) -> Diagnosis:
    """Name what is wrong with a training run.

    Works on any record of a loss that is near 0 when all is learned, such as cross-entropy or squared error.
    A `TrainingMonitor` gives it most to go by; from the history of `fit` alone it must take the first epoch
    for the beginning, and cannot see gradients.

    With L_1, …, L_E the training loss, V_e the validation loss, L_0 the loss on the probe batch before training
    (without a monitor: L_1) and L̄, V̄ the medians over the last third of the epochs, the first rule that holds
    names the run:

        diverging     L is not finite, or L̄ > 1.05·L_0                   (1)
        saturated     L̄ > L_0/2 and ‖g_l‖ < ‖g_last‖/50 in a layer l     (2)
        diverging     L̄ − min L > L_0/4                                  (3)
        noisy         σ > L_0/50                                         (4)
        saturated     L̄ > L_0/2, the pace has fallen to under a fifth    (5)
        too slow      L̄ > L_0/2                                          (6)
        overfitting   V̄ − L̄ > 0.15·L_0, or V̄ − min V > 0.05·L_0          (7)
        healthy       otherwise                                          (8)

        σ² = mean max(0, L_{e+1} − L_e)²         over the last half      (9)

    where σ is 0 on a falling curve and the standard deviation on white noise, ‖g_l‖ is the median gradient
    norm of layer l over the last third, and the pace is the mean fall of L an epoch in the last third, compared
    with that over all epochs. (2) sees units that pass no gradient: sigmoids at their ends, dead ReLUs, too
    many layers. (5) sees a loss that stands still, whatever the cause.

    Args:
        history: `TrainingMonitor.history` or the monitor itself, what `fit` returned, what `read_history`
            read, or a dictionary with "loss" and, for (7), "val_loss".

    Returns:
        `Diagnosis`: name, reason with the numbers that decided, remedy.

    Raises:
        ValueError: when there is no loss, or fewer than 6 epochs of finite loss.

    Example:
        >>> from tf_kit.design import diagnose
        >>> diagnose({"loss": [2.3, 1.2, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2]}).name
        'healthy'
        >>> diagnose({"loss": [2.3, 2.4, 2.9, 4.1, 7.0, 60.0]}).name
        'diverging'
        >>> diagnose({"loss": [2.300, 2.295, 2.290, 2.285, 2.281, 2.276]}).name
        'too slow'

    Reference: Goodfellow, Bengio, Courville, 2016, sections 8.1 to 8.3 and 11.4; the numbers in the rules were
    set on runs on the digits that were made sick on purpose.
    """
    history = _record_of(history)
    losses, start = history["loss"], history["loss"][0]
    if "probe_loss" in history:  # a monitor's first values were taken before training
        losses, start = losses[1:], history["probe_loss"][0]
    if not len(losses):
        refuse("diagnose.history", "hold at least one epoch", "none")
    if not np.isfinite([start, *losses]).all():  # (1)
        epoch = int(np.argmin(np.isfinite(losses))) + 1
        return Diagnosis("diverging", f"the loss is not finite in epoch {epoch}", _REMEDIES["diverging"])
    if len(losses) < _LEAST_EPOCHS:
        refuse("diagnose.history", f"hold at least {_LEAST_EPOCHS} epochs", f"{len(losses)}", "Train longer")

    third = slice(-max(len(losses) // 3, 2), None)
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
        return found("saturated", f"{fall}, and falls no more")
    if stuck:  # (6)
        return found("too slow", f"{fall}, falling by {max(pace, 0):.2g} an epoch")
    validation = history.get("val_loss", np.array([]))[-len(losses) :]
    if len(validation) == len(losses) and np.isfinite(validation).all():  # (7)
        held_out, lowest = float(np.median(validation[third])), float(validation.min())
        if held_out - end > 0.15 * start:
            return found("overfitting", f"validation loss {held_out:.3g} against training loss {end:.3g}")
        if held_out - lowest > 0.05 * start:
            epoch = int(validation.argmin()) + 1
            turned = f"validation loss rose from {lowest:.3g} after epoch {epoch} to {held_out:.3g}"
            return found("overfitting", turned)
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
    """Any kind of history as a dictionary of arrays."""
    if isinstance(history, keras.callbacks.Callback):
        history = history.history
    if not isinstance(history, dict) or "loss" not in history or not len(history["loss"]):
        received = f"{sorted(history)}" if isinstance(history, dict) else f"{history!r}"
        refuse("diagnose.history", 'be a dictionary with "loss"', received, "model.fit returns one")
    return {name: np.asarray(values, "float64") for name, values in history.items()}


def _starved_layer(history, third):
    """Which layer gets under a fiftieth of the last layer's gradient, in words, or None."""
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
