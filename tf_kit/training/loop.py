"""The loop of `Trainer.fit`: epochs in pieces, with callbacks and validation around them.

On one device, arrays are held by TensorFlow and a piece is many steps in one graph, see `tf_kit.training.resident`.
Data sets, several replicas, several machines, eager execution, and callbacks that look at every minibatch get pieces
of `steps_per_execution` steps, as in Keras. The results are the same.
"""

from __future__ import annotations

import functools
import numbers
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias, TypeGuard

import keras
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.checks import refuse

# First step of a piece, and the function that trains on it and returns (last step, running means), or None at the
# end of the data.
Piece: TypeAlias = tuple[int, Callable[[], tuple[int, Any] | None]]


class Source(Protocol):
    """Training data of a loop."""

    @property
    def num_steps(self) -> int | None:
        """Steps per epoch, or None if the first epoch has to show it."""

    def begin(self, first_epoch: int, first_step: int) -> None:
        """Prepare to train from a step of an epoch on."""

    def pieces(self, epoch: int) -> Iterator[Piece]:
        """Yield the pieces of an epoch."""


class Batches:
    """Minibatches of a data set, from which Keras's training function takes `steps_per_execution` at a time.

    Args:
        model: a `Trainer`.
        make: function `(first_epoch, first_step)` that returns the data set from there on.
        num_steps: steps per epoch of a data set that holds all epochs; if it ends, the next epoch reads it anew, as in
            Keras. None means that each epoch reads a data set from its beginning to its end. Defaults to None.
        size: batches of a data set that each epoch reads to its end, if they are known. Defaults to None.
        first_epoch: epoch that the first batch of a data set that holds all epochs belongs to. Defaults to 0.
    """

    def __init__(
        self,
        model: keras.Model,
        make: Callable[[int, int], Any],
        num_steps: int | None = None,
        size: int | None = None,
        first_epoch: int = 0,
    ) -> None:
        self.model, self.make, self.num_steps = model, make, size if num_steps is None else num_steps
        self._holds_all_epochs = num_steps is not None
        self._first_epoch = first_epoch
        self._iterator: Any = None
        self._first = (0, 0)

    def begin(self, first_epoch: int, first_step: int) -> None:
        self.model.make_train_function()
        self._first = (first_epoch, first_step)
        self._iterator = self._begun(first_epoch, first_step)

    def pieces(self, epoch: int) -> Iterator[Piece]:
        step = self._first[1] if epoch == self._first[0] else 0
        self.model.make_train_function()  # anew, if a callback has frozen layers or compiled the model
        if self._iterator is None:
            self._iterator = self._begun_anew() if self._holds_all_epochs else self._begun(epoch, step)
        while self._iterator is not None and (self.num_steps is None or step < self.num_steps):
            yield step, functools.partial(self._run, step)
            step += self.model.steps_per_execution
        if not self._holds_all_epochs:
            self._iterator = None

    def _begun(self, epoch, step):
        dataset = self.make(epoch, step)
        if not isinstance(dataset, tf.distribute.DistributedDataset):
            dataset = self.model.distribute_strategy.experimental_distribute_dataset(dataset)
        return iter(dataset)

    def _begun_anew(self):
        return self._begun(self._first_epoch, 0)

    def _run(self, step):
        logs = self._train()
        if logs is None and step == 0 and self._holds_all_epochs:  # it ended together with the epoch before
            self._iterator = self._begun_anew()
            logs = self._train()
        if logs is not None:
            return step + self.model.steps_per_execution - 1, logs
        self._iterator = None
        if not self._holds_all_epochs:  # of an unknown number of batches, or with empty ones among them
            self.num_steps = step
        else:
            warnings.warn(
                f"The data set ended after {step} of {self.num_steps} steps. Repeat it, or lower steps_per_epoch",
                stacklevel=2,
            )
        return None

    def _train(self):
        """Run one execution; return the running means, or None at the end of the data set."""
        try:
            return self.model.train_function(self._iterator)
        except (StopIteration, tf.errors.OutOfRangeError):
            return None


def run_epochs(
    model: keras.Model,
    source: Source,
    callbacks: keras.callbacks.CallbackList,
    *,
    epochs: int,
    initial_epoch: int = 0,
    initial_step: int = 0,
    validate: Callable[[keras.callbacks.CallbackList], dict[str, float]] | None = None,
    validation_freq: int | list[int] = 1,
) -> keras.callbacks.History:
    """Train a model as Keras's `fit` does, on any source of minibatches.

    Args:
        model: compiled `Trainer`, whose variables exist.
        source: training data.
        callbacks: callbacks of the training, with the history.
        epochs: number of the epoch to stop before.
        initial_epoch, initial_step: epoch and step to begin with, both from 0. A callback that restores a training,
            `keras.callbacks.BackupAndRestore`, replaces them.
        validate: function of the callbacks that returns the validation metrics. Defaults to None.
        validation_freq: epochs between two validations, or the list of epochs, from 1, that end with one.

    Returns:
        The history of the model.
    """
    keras_internals.set_restored_epoch(model, None)
    model.stop_training = False
    callbacks.on_train_begin()
    restored = keras_internals.restored_epoch(model)
    first, step = initial_epoch, initial_step
    if restored is not None:
        first, step = restored, keras_internals.restored_step(callbacks)
        if source.num_steps is not None and step >= source.num_steps:
            first, step = first + 1, 0
    last_logs: dict[str, Any] | None = None
    if first < epochs:
        source.begin(first, step)
    for epoch in range(first, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        model.train_what_is_trainable()
        logs = _run_epoch(model, source, callbacks, epoch)
        last_logs = dict(keras_internals.metrics_after(model, logs))
        if validate is not None and is_due(epoch, validation_freq):
            last_logs.update({f"val_{name}": value for name, value in validate(callbacks).items()})
        callbacks.on_epoch_end(epoch, last_logs)
        if model.stop_training:
            break
    if epochs > 0:
        keras_internals.set_averages(model.optimizer, model.trained_variables)
    callbacks.on_train_end(last_logs)
    return model.history


def _run_epoch(model, source, callbacks, epoch):
    logs = {}
    for step, run in source.pieces(epoch):
        callbacks.on_train_batch_begin(step)
        done = run()
        if done is None:
            break
        last, logs = done
        callbacks.on_train_batch_end(last, logs)
        if model.stop_training:
            break
    return logs


def is_due(epoch: int, validation_freq: int | list[int]) -> bool:
    """Return whether an epoch, counted from 0, ends with a validation.

    Args:
        epoch: number of the epoch.
        validation_freq: epochs between two validations, or the list of epochs, from 1, that end with one.

    Raises:
        InputError: `validation_freq` is neither.
    """
    if _is_epoch(validation_freq):
        return (epoch + 1) % validation_freq == 0
    if isinstance(validation_freq, (list, tuple, set)) and all(map(_is_epoch, validation_freq)):
        return epoch + 1 in validation_freq
    return refuse(
        "fit.validation_freq",
        "be a whole number of at least 1, or a list of epochs from 1",
        f"validation_freq={validation_freq!r}",
    )


def _is_epoch(given: Any) -> TypeGuard[int]:
    return isinstance(given, numbers.Integral) and not isinstance(given, bool) and int(given) > 0


# Reported by trainers and their monitors, better if larger.
_RISING = ("accuracy", "val_accuracy", "val_knn_accuracy", "rankme", "feature_deviation")


def callback_list(
    model: keras.Model, given: Any, *, epochs: int, num_steps: int | None, verbose: Any, history: bool = True
) -> keras.callbacks.CallbackList:
    """Return the callbacks of a training with those that Keras adds: the history, and the progress bar if wanted."""
    if isinstance(given, keras.callbacks.CallbackList):
        return given
    for each in () if given is None else given if isinstance(given, (list, tuple)) else (given,):
        check_callback("callbacks", each)
        # Keras finds the direction of a measure among compiled metrics only, and refuses to guess that of another.
        if getattr(each, "mode", "") == "auto" and getattr(each, "monitor", "") in _RISING:
            each.mode = "max"
    return keras.callbacks.CallbackList(
        given,
        add_history=history,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=num_steps,
        model=model,
    )


def check_callback(subject: str, given: Any) -> None:
    """Refuse anything but a Keras callback.

    Example:
        >>> check_callback("callbacks", {})
        Traceback (most recent call last):
        tf_kit.errors.InputError: `callbacks` must be a list of Keras callbacks. Received: a dict in the list.
    """
    requirement = "be a list of Keras callbacks"
    if isinstance(given, type):
        refuse(subject, requirement, f"the class {given.__name__}", f"Call it: `{given.__name__}()`")
    if not isinstance(given, keras.callbacks.Callback):
        refuse(subject, requirement, f"a {type(given).__name__} in the list")


def looks_at_minibatches(callbacks: keras.callbacks.CallbackList, mode: str = "train") -> bool:
    """Return whether a callback wants to be called for every minibatch, not for every piece of an epoch.

    A callback class with the attribute `works_in_pieces = True` is content with pieces, and so are those of Keras
    that show progress or save after each epoch.

    Args:
        callbacks: list of callbacks.
        mode: `"train"` or `"test"`. Defaults to `"train"`.
    """
    return any(_looks(each, mode) for each in callbacks.callbacks)


def _looks(callback, mode):
    if getattr(callback, "works_in_pieces", False) or isinstance(callback, keras.callbacks.ProgbarLogger):
        return False
    saving = (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)
    if isinstance(callback, saving) and callback.save_freq == "epoch":
        return False
    hooks = [f"on_{mode}_batch_begin", f"on_{mode}_batch_end"]
    hooks += ["on_batch_begin", "on_batch_end"] if mode == "train" else []
    default = keras.callbacks.Callback
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(default, hook) for hook in hooks
    )
