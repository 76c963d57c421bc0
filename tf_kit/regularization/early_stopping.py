"""Early stopping: keep the best weights, stop when validation stalls, train again on all data, and what it equals.

"Training step is the hyper-parameter": one run tries all of its values.

Reference: Goodfellow, Bengio, Courville 2016, section 7.8
"""

import math

import keras
import numpy as np

from tf_kit.checks import choice, count, number, refuse

_RISING = {"acc", "accuracy", "auc", "precision", "recall", "f1", "iou", "r2", "similarity"}


class EarlyStopping(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, stops after `patience` epochs without a better one, restores them.

    The best weights are restored whenever training ends, also when it ran through all its epochs.

        v* ← v,  θ* ← θ,  t* ← t,  w ← 0     when v is better than v* by more than `min_delta`
        w ← w + 1                            otherwise;  stop when w = patience      (1)

    where v is the monitored value after epoch t and θ are the model's weights (moving statistics included).

    Args:
        monitor: name of a value in the epoch's logs. Defaults to "val_loss".
        patience: epochs without improvement after which training stops, at least 1. Defaults to 10.
        min_delta: what an improvement must exceed. Defaults to 0.
        mode: "min", "max", or "auto": "max" where a word of the name is accuracy, acc, auc, precision,
            recall, f1, iou, r2 or similarity, "min" otherwise. Defaults to "auto".
        verbose: 1 prints a line when training ends. Defaults to 0.

    Attributes after training:
        best_epoch: index of the best epoch, from 0, as in `History.history`; None if no value was finite.
        best_value: the monitored value there.
        stopped_epoch: index of the epoch after which training was stopped, or None if it ran to its end.
        num_epochs: `best_epoch + 1`, the number of epochs that gave the best weights.

    Raises: ValueError: when the logs have no `monitor`.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> stopper = EarlyStopping("loss", patience=2)
        >>> stopper.set_model(model)
        >>> stopper.on_train_begin()
        >>> for epoch, loss in enumerate([0.5, 0.3, 0.4, 0.35]):
        ...     stopper.on_epoch_end(epoch, {"loss": loss})
        >>> stopper.best_epoch, stopper.best_value, stopper.stopped_epoch, model.stop_training
        (1, 0.3, 3, True)

    Convention: `keras.callbacks.EarlyStopping` restores only with `restore_best_weights=True`.
    Reference: Goodfellow, Bengio, Courville 2016, algorithm 7.1
    """

    def __init__(self, monitor="val_loss", patience=10, min_delta=0.0, mode="auto", verbose=0):
        super().__init__()
        self.monitor = monitor
        self.patience = count("EarlyStopping.patience", patience)
        self.min_delta = number("EarlyStopping.min_delta", min_delta, at_least=0)
        self.mode = choice("EarlyStopping.mode", mode, ("auto", "min", "max"))
        self.verbose = verbose
        rising = mode == "max" or (mode == "auto" and not _RISING.isdisjoint(monitor.split("_")))
        self._sign = 1 if rising else -1
        self._forget()

    @property
    def num_epochs(self):
        return None if self.best_epoch is None else self.best_epoch + 1

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.monitor not in logs:
            remedy = "Pass validation_data to fit" if self.monitor.startswith("val_") else ""
            received = f"monitor={self.monitor!r} with logs {sorted(logs)}"
            refuse("EarlyStopping.monitor", "name a value in the epoch's logs", received, remedy)
        value = float(logs[self.monitor])
        better = self.best_value is None or self._sign * (value - self.best_value) > self.min_delta
        if better and math.isfinite(value):
            self.best_value, self.best_epoch, self._waited = value, epoch, 0
            self._best_weights = self.model.get_weights()
            return
        self._waited += 1  # (1)
        if self._waited >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)
            self._best_weights = None
        if self.verbose:
            print(f"Weights of epoch index {self.best_epoch} restored: {self.monitor} = {self.best_value}")

    def _forget(self):
        self.best_value = self.best_epoch = self.stopped_epoch = self._best_weights = None
        self._waited = 0


def retrain_on_all(
    make_model,
    train,
    val,
    *,
    monitor="val_loss",
    patience=10,
    epochs=200,
    batch_size=32,
    count_by="epochs",
    seed=0,
):
    """Finds the number of epochs by early stopping, then trains that long on training and validation data.

    Early stopping withholds the validation set from training; this gives it back. The second run starts from
    the same initial weights as the first.

        t* ← the best epoch of a run on `train`, judged on `val`         (1)
        θ  ← a new run on `train` + `val`, as many epochs (or updates)   (2)

    Args:
        make_model: function without arguments that returns a new compiled model.
        train, val: pairs (x, y) of arrays, or anything with `.x` and `.y`.
        monitor, patience: of `EarlyStopping`.
        epochs: most epochs of the first run. Defaults to 200.
        batch_size: of both runs. Defaults to 32.
        count_by: "epochs" repeats the number of passes over the data, "updates" the number of updates; the
            larger set makes the second shorter. Goodfellow et al. know no reason to prefer one. Defaults to
            "epochs".
        seed: whole number set with `keras.utils.set_random_seed` before each of the two runs. Defaults to 0.

    Returns: (the model trained on all data, the `EarlyStopping` of the first run).

    Raises: ValueError: when no epoch of the first run had a finite monitored value.

    Example:
        >>> def make_model():
        ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        ...     return model
        >>> x = np.linspace(-1, 1, 40)[:, None]
        >>> train, val = (x[::2], x[::2]), (x[1::2], x[1::2])
        >>> model, stopper = retrain_on_all(make_model, train, val, epochs=3, batch_size=10)
        >>> stopper.num_epochs, int(model.optimizer.iterations)
        (3, 12)

    Reference: Goodfellow, Bengio, Courville 2016, algorithm 7.2
    """
    choice("retrain_on_all.count_by", count_by, ("epochs", "updates"))
    (x, y), (x_val, y_val) = _pair("train", train), _pair("val", val)
    stopper = EarlyStopping(monitor, patience)
    keras.utils.set_random_seed(seed)
    first = make_model()
    first.fit(
        x,
        y,
        validation_data=(x_val, y_val),
        epochs=epochs,
        batch_size=batch_size,
        callbacks=[stopper],
        verbose=0,
    )  # (1)
    if stopper.best_epoch is None:
        refuse(f"retrain_on_all: {monitor}", "be finite in some epoch", "nan", "Lower the learning rate")
    keras.utils.set_random_seed(seed)
    model = make_model()
    num_updates = stopper.num_epochs * math.ceil(len(x) / batch_size)
    limit = [_StopAfter(num_updates)] if count_by == "updates" else []
    model.fit(
        np.concatenate([x, x_val]),
        np.concatenate([y, y_val]),
        epochs=stopper.num_epochs,
        batch_size=batch_size,
        callbacks=limit,
        verbose=0,
    )  # (2)
    return model, stopper


def equivalent_l2(eigenvalues, learning_rate, num_steps):
    """The l2 penalty that gives, along each eigendirection of a quadratic loss, what early stopping gives.

    Gradient descent from zero on J = ½ (w − w*)ᵀ H (w − w*) has moved, after τ steps, a part 1 − (1 − ε h)^τ
    of the way to w* along the eigenvector with eigenvalue h; the penalty α/2 wᵀw leaves a part h / (h + α).
    Equal when

        α(h) = h (1 − ε h)^τ / (1 − (1 − ε h)^τ)                         (1)

    which tends to 1 / (ε τ) for small ε h: few steps are a strong penalty, and directions of little
    curvature, which are learned last, are shrunk most.

    Args:
        eigenvalues: h, array of any shape, of H; at least 0 and at most 1 / ε.
        learning_rate: ε, above 0.
        num_steps: τ, at least 1.

    Returns: float64 array α, shaped as `eigenvalues`; the argument of `L2`.

    Raises: ValueError: when an eigenvalue is negative, or so large that ε h > 1, where a step oversteps the
        minimum.

    Example:
        >>> equivalent_l2([0.0, 0.01, 1.0], learning_rate=0.1, num_steps=10).round(3).tolist()
        [1.0, 0.995, 0.535]

    Reference: Goodfellow, Bengio, Courville 2016, equations 7.40 to 7.45
    """
    learning_rate = number("equivalent_l2.learning_rate", learning_rate, above=0)
    num_steps = count("equivalent_l2.num_steps", num_steps)
    h = np.asarray(eigenvalues, dtype="float64")
    if not (np.all(h >= 0) and np.all(learning_rate * h <= 1)):
        received = f"eigenvalues from {h.min()} to {h.max()} with learning_rate={learning_rate}"
        remedy = f"Take learning_rate <= {1 / max(h.max(), 1e-300):.3g}"
        refuse("equivalent_l2.eigenvalues", "be in [0, 1 / learning_rate]", received, remedy)
    with np.errstate(divide="ignore"):
        log_left = num_steps * np.log1p(-learning_rate * h)
    arrived = -np.expm1(log_left)
    flat = h == 0
    return np.where(
        flat, 1 / (learning_rate * num_steps), h * np.exp(log_left) / np.where(flat, 1, arrived)
    )  # (1)


class _StopAfter(keras.callbacks.Callback):
    """Ends training after so many updates."""

    def __init__(self, num_updates):
        super().__init__()
        self.num_updates = num_updates

    def on_train_batch_end(self, batch, logs=None):
        self.num_updates -= 1
        if self.num_updates <= 0:
            self.model.stop_training = True


def _pair(name, split):
    if hasattr(split, "x") and hasattr(split, "y"):
        return split.x, split.y
    if isinstance(split, (tuple, list)) and len(split) == 2:
        return tuple(split)
    return refuse(f"retrain_on_all.{name}", "be a pair (x, y) or have .x and .y", f"{type(split).__name__}")
