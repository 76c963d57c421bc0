"""Early stopping with the best weights restored, retraining on all data, and the equivalent l2 penalty.

"Training step is the hyper-parameter": one run tries all of its values.

Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 7.8.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tf_kit.checks import choice, count, number, refuse
from tf_kit.typing import ArrayLike

_RISING = {"acc", "accuracy", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "similarity"}
_FALLING = {"error", "mae", "mape", "mse", "msle", "rmse", "crossentropy", "entropy", "perplexity", "hinge"}


class EarlyStopping(keras.callbacks.Callback):
    """Callback that stops training after `patience` epochs without improvement and restores the best weights.

    The best weights are restored whenever training ends, also after the last epoch. Epochs without a validation, as
    with `validation_freq=2`, are not counted.

        v* ← v,  θ* ← θ,  t* ← t,  w ← 0     when v is better than v* by more than `min_delta`
        w ← w + 1                            otherwise;  stop when w = patience      (1)

    where v is the monitored value after epoch t and θ are the weights of the model, including moving statistics.

    Args:
        monitor: name of a value in the logs of an epoch. Defaults to "val_loss".
        patience: number of epochs without improvement after which training stops, at least 1. Also the number of
            epochs that may pass before the first validation. Defaults to 10.
        min_delta: change that an improvement must exceed, at least 0. Defaults to 0.
        mode: "min", "max", or "auto": "min" for a name that ends in "loss", for a compiled metric the direction that
            Keras gives it, and for other names "max" if a word of it is accuracy, acc, auc, precision, recall, f1, iou
            or the like, "min" if it is error, mse, perplexity or the like. Defaults to "auto".
        verbose: 1 to print a line when training ends. Defaults to 0.

    Attributes after training:
        best_epoch: index of the best epoch, from 0, as in `History.history`; None if no value was finite.
        best_value: monitored value after the best epoch.
        stopped_epoch: index of the epoch after which training was stopped; None if it was not stopped early.
        num_epochs: `best_epoch + 1`, the number of epochs that led to the best weights.

    Raises:
        ValueError: the logs do not contain `monitor`, or its name does not show its direction and `mode` is "auto".

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

    Convention: `keras.callbacks.EarlyStopping` restores weights only with `restore_best_weights=True`.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, algorithm 7.1.
    """

    best_value: float | None
    best_epoch: int | None
    stopped_epoch: int | None
    _best_weights: list[np.ndarray] | None
    _sign: int | None
    _missing: float  # epochs before the first value

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.patience = count("EarlyStopping.patience", patience)
        self.min_delta = number("EarlyStopping.min_delta", min_delta, at_least=0)
        self.mode = choice("EarlyStopping.mode", mode, ("auto", "min", "max"))
        self.verbose = verbose
        self._forget()

    @property
    def num_epochs(self) -> int | None:
        return None if self.best_epoch is None else self.best_epoch + 1

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            self._missing += 1
            of_validation = self.monitor.startswith("val_")
            validated = any(name.startswith("val_") for name in logs)
            if not of_validation or validated or self._missing > self.patience:
                self._refuse_monitor(logs)
            return
        self._missing = -math.inf  # it has come once
        if self._sign is None:
            self._sign = _direction(self.monitor, self.mode, self.model)
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

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._missing > 0:
            self._refuse_monitor(logs or {})
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)
            self._best_weights = None
        if self.verbose:
            restored = (
                f"Weights of epoch index {self.best_epoch} restored: {self.monitor} = {self.best_value}"
            )
            none = f"No weights restored: {self.monitor} was not finite in any epoch"
            print(none if self.best_epoch is None else restored)

    def _forget(self):
        self.best_value = self.best_epoch = self.stopped_epoch = self._best_weights = None
        self._waited = 0
        self._missing, self._sign = 0, None

    def _refuse_monitor(self, logs):
        received = f"monitor={self.monitor!r} with logs {sorted(logs)}"
        remedy = (
            "Pass validation_data to fit, with validation_freq=1" if self.monitor.startswith("val_") else ""
        )
        refuse("EarlyStopping.monitor", "be the name of a value in the logs of an epoch", received, remedy)


def _direction(monitor, mode, model):
    """Return 1 if a large value is good, −1 if a small one is."""
    if mode != "auto":
        return 1 if mode == "max" else -1
    found = direction_of(monitor, model)
    if found is None:
        remedy = 'Give mode="max" if a large value is good, mode="min" if a small one is'
        refuse(
            "EarlyStopping.mode", "be given for a value of unknown direction", f"monitor={monitor!r}", remedy
        )
    return found


def direction_of(monitor: str, model: keras.Model) -> int | None:
    """Return 1 if a large value of a monitored name is good, −1 if a small one is, None if the name does not show it.

    The rule is that of `EarlyStopping` for `mode="auto"`.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> [direction_of(name, model) for name in ("val_loss", "val_accuracy", "mean_absolute_error", "rank")]
        [-1, 1, -1, None]
    """
    name = monitor.removeprefix("val_")
    if name.endswith("loss"):
        return -1
    for output in ("", *(f"{each}_" for each in getattr(model, "output_names", None) or ())):
        rule = keras.callbacks.EarlyStopping(name.removeprefix(output))
        rule.set_model(model)
        with contextlib.suppress(ValueError):  # not the name of a metric of the model
            rule.on_epoch_end(0, {rule.monitor: 0.0})
            return 1 if rule.monitor_op(1.0, 0.0) else -1
    words = set(name.replace("io_u", "iou").split("_"))
    if words.isdisjoint(_FALLING | _RISING):
        return None
    return -1 if words & _FALLING else 1


def retrain_on_all(
    make_model: Callable[[], keras.Model],
    train: Any,
    val: Any,
    *,
    monitor: str = "val_loss",
    patience: int = 10,
    epochs: int = 200,
    batch_size: int = 32,
    count_by: str = "epochs",
    seed: int = 0,
) -> tuple[keras.Model, EarlyStopping]:
    """Find the number of epochs by early stopping, then train that long on training and validation data together.

    Early stopping needs a validation set that is not trained on; the second run uses it. The second run starts from
    the same initial weights as the first.

        t* ← best epoch of a run on `train`, measured on `val`                      (1)
        θ  ← new run on `train` + `val` with the same number of epochs (or updates) (2)

    Args:
        make_model: function without arguments that returns a new compiled model.
        train, val: pairs (x, y) of arrays, or objects with `.x` and `.y`.
        monitor, patience: as for `EarlyStopping`.
        epochs: largest number of epochs of the first run. Defaults to 200.
        batch_size: examples per minibatch in both runs. Defaults to 32.
        count_by: "epochs" to repeat the number of passes over the data, "updates" to repeat the number of updates,
            which is fewer passes, since the data are more. Goodfellow et al. see no reason to prefer one. Defaults to
            "epochs".
        seed: whole number set with `keras.utils.set_random_seed` before each of the two runs. Defaults to 0.

    Returns:
        (model, stopper): the model trained on all data, and the `EarlyStopping` of the first run.

    Raises:
        ValueError: a number is out of range, the examples of `train` and `val` differ in shape, the monitored value was
            not finite in any epoch of the first run, or the second run cannot stop at the number of updates, because
            `steps_per_execution` updates run together.

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

    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, algorithm 7.2.
    """
    choice("retrain_on_all.count_by", count_by, ("epochs", "updates"))
    epochs = count("retrain_on_all.epochs", epochs)
    batch_size = count("retrain_on_all.batch_size", batch_size)
    seed = count("retrain_on_all.seed", seed, at_least=0)
    (x, y), (x_val, y_val) = _pair("train", train), _pair("val", val)
    shapes = [tuple(np.shape(each)[1:] for each in pair) for pair in ((x, y), (x_val, y_val))]
    if shapes[0] != shapes[1]:
        rule = f"have examples of the shapes of train, x {shapes[0][0]} and y {shapes[0][1]}"
        remedy = "np.reshape(y, (-1, 1)) makes a column"
        refuse("retrain_on_all.val", rule, f"x {shapes[1][0]} and y {shapes[1][1]}", remedy)
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
        refuse(
            "retrain_on_all.monitor", "be finite in some epoch", f"{monitor}=nan", "Lower the learning rate"
        )
    keras.utils.set_random_seed(seed)
    model = make_model()
    num_epochs = stopper.best_epoch + 1
    num_updates = num_epochs * math.ceil(len(x) / batch_size)
    updates_per_epoch = math.ceil((len(x) + len(x_val)) / batch_size)
    limit = [_StopAfter(num_updates, updates_per_epoch)] if count_by == "updates" else []
    model.fit(
        np.concatenate([x, x_val]),
        np.concatenate([y, y_val]),
        epochs=num_epochs,
        batch_size=batch_size,
        callbacks=limit,
        verbose=0,
    )  # (2)
    return model, stopper


def equivalent_l2(eigenvalues: ArrayLike, learning_rate: float, num_steps: int) -> np.ndarray:
    """L2 penalty with the same result as early stopping, for each eigendirection of a quadratic loss.

    After τ steps of gradient descent from zero on J = ½ (w − w*)ᵀ H (w − w*), the weights have moved the fraction
    1 − (1 − ε h)^τ of the way to w* along the eigenvector with eigenvalue h. With the penalty α/2 wᵀw the minimum lies
    at the fraction h / (h + α). The two are equal for

        α(h) = h (1 − ε h)^τ / (1 − (1 − ε h)^τ)                         (1)

    which tends to 1 / (ε τ) for small ε h. So few steps correspond to a strong penalty, and directions with little
    curvature, which are learned last, shrink most.

    Args:
        eigenvalues: h, eigenvalues of H, array of any shape with values in [0, 1 / ε].
        learning_rate: ε, above 0.
        num_steps: τ, at least 1.

    Returns:
        float64 array α in the shape of `eigenvalues`; the argument of `L2`.

    Raises:
        ValueError: an eigenvalue is negative, or so large that ε h > 1, so that a step goes past the minimum.

    Example:
        >>> equivalent_l2([0.0, 0.01, 1.0], learning_rate=0.1, num_steps=10).round(3).tolist()
        [1.0, 0.995, 0.535]

    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equations 7.40 to 7.45.
    """
    learning_rate = number("equivalent_l2.learning_rate", learning_rate, above=0)
    num_steps = count("equivalent_l2.num_steps", num_steps)
    h = np.asarray(eigenvalues, dtype="float64")
    if np.isnan(h).any():
        refuse("equivalent_l2.eigenvalues", "be numbers", f"{np.isnan(h).sum()} nan of {h.size}")
    if not (np.all(h >= 0) and np.all(learning_rate * h <= 1)):
        received = f"eigenvalues from {h.min()} to {h.max()} with learning_rate={learning_rate}"
        remedy = f"Use learning_rate <= {1 / max(h.max(), 1e-300):.3g}"
        if h.min() < 0:
            remedy = "np.maximum(eigenvalues, 0) removes those that are negative by rounding alone"
        refuse("equivalent_l2.eigenvalues", "be in [0, 1 / learning_rate]", received, remedy)
    with np.errstate(divide="ignore"):
        log_left = num_steps * np.log1p(-learning_rate * h)
    arrived = -np.expm1(log_left)
    flat = h == 0
    return np.where(
        flat, 1 / (learning_rate * num_steps), h * np.exp(log_left) / np.where(flat, 1, arrived)
    )  # (1)


class _StopAfter(keras.callbacks.Callback):
    """Callback that stops training after a number of updates.

    Keras calls it once per execution of `steps_per_execution` updates; the last one of an epoch may be shorter.
    """

    def __init__(self, num_updates, updates_per_epoch):
        super().__init__()
        self.num_updates = num_updates
        self.updates_per_epoch = updates_per_epoch
        self._in_earlier_epochs = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        together = getattr(self.model, "steps_per_execution", 1)
        left = (self.num_updates - 1) % self.updates_per_epoch + 1  # for the last epoch
        if left % together and left < self.updates_per_epoch:
            received = f"steps_per_execution={together}"
            rule = f"be compiled for executions that end after update {left} of {self.updates_per_epoch} in an epoch"
            remedy = "Compile with steps_per_execution=1, or use count_by='epochs'"
            refuse("retrain_on_all.make_model", rule, received, remedy)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        in_epoch = min(batch + 1, self.updates_per_epoch)
        if self._in_earlier_epochs + in_epoch >= self.num_updates:
            self.model.stop_training = True
        if in_epoch == self.updates_per_epoch:
            self._in_earlier_epochs += in_epoch


def _pair(name, split):
    if hasattr(split, "x") and hasattr(split, "y"):
        split = (split.x, split.y)
    if isinstance(split, (tuple, list)) and len(split) == 2:
        return tuple(np.asarray(each) for each in split)
    return refuse(f"retrain_on_all.{name}", "be a pair (x, y) or have .x and .y", f"{type(split).__name__}")
