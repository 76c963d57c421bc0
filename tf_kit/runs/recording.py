"""Recording of a stage while it trains: checkpoints, `history.csv`, and events for TensorBoard."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tf_kit.errors import RunStopped
from tf_kit.runs.checkpoint import StageState
from tf_kit.runs.divergence import Guard
from tf_kit.runs.interruption import Interruption
from tf_kit.runs.progress import scalars
from tf_kit.training import workers

if TYPE_CHECKING:
    from tf_kit.runs.run import Run


SPACING = 1.0  # seconds between the checkpoints of epochs that are shorter than that


class Recorder(keras.callbacks.Callback):
    """Log each epoch, with its duration in seconds, and save at its end, or within it when it is time.

    An epoch that ends within a second of the last checkpoint is not saved by itself, unless it is the last: a file on
    the disk may cost more than such an epoch.

    Args:
        run: the run.
        stage: name of the stage.
        state: state of the stage.
        events: events of the stage.
        guard: guard that checks the variables before they are saved.
        interruption: signals to obey after saving.
        with_callbacks: whether other callbacks take part, which may change the weights at the end of the stage.
    """

    works_in_pieces = True

    def __init__(
        self,
        run: Run,
        stage: str,
        state: StageState,
        events: Events,
        guard: Guard,
        interruption: Interruption,
        with_callbacks: bool = False,
    ) -> None:
        super().__init__()
        self._with_callbacks = with_callbacks
        self._run, self._stage, self._state, self._events = run, stage, state, events
        self._guard, self._interruption = guard, interruption
        self._saved = self._began = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._began = time.perf_counter()
        if epoch == self._state.epoch and self._state.step:
            self._state.restore_metrics(self.model)
            self._began -= self._state.seconds

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        due = time.perf_counter() - self._saved >= self._run.checkpoint_seconds
        if not due and self._interruption.received is None:
            return
        done = batch + 1
        if (
            workers.several()
        ):  # they would have to agree on the step, and reading the metrics needs all of them
            self._interruption.deliver()
        elif done != self.params.get("steps"):  # else the end of the epoch saves
            self._guard.check(f"step {done}")
            self._state.save_within(self.model, self._stage, done, time.perf_counter() - self._began)
            self._after_saving(f"step {done} of epoch {self._state.epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = {"seconds": time.perf_counter() - self._began, **scalars(logs or {})}
        self._state.stopped = self.model.stop_training
        due = self._ends(epoch + 1)
        self._state.save(self.model, self._stage, epoch + 1, logs, write=due)
        self._events.write(epoch + 1, logs)
        if due:
            self._run.write_history()
            self._after_saving(f"epoch {epoch + 1}")

    def _ends(self, epoch):
        """Return whether a checkpoint is written at the end of an epoch, counted from 1."""
        last = self.model.stop_training or epoch == self.params.get("epochs")
        if last or self._interruption.received is not None or workers.several():
            return True  # several workers have no common clock
        return time.perf_counter() - self._saved >= min(SPACING, self._run.checkpoint_seconds)

    def _after_saving(self, moment):
        self._saved = time.perf_counter()
        if self._interruption.received is not None:
            self._run.progress.close()
            self._run.progress.print(f"{self._stage}: saved after {moment}")
            self._interruption.deliver()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._events.close()
        if self._with_callbacks and self._state.epoch:
            self._state.save_end(self.model, self._stage)


class Events:
    """Events of a stage for TensorBoard: one value per metric and epoch.

    Those of earlier processes are replaced by the history that was saved, because a killed process may have left out
    the last epoch, or written one whose checkpoint was damaged.

    Args:
        folder: folder of the events of the stage.
        history: history of the stage so far.
    """

    def __init__(self, folder: Path, history: Mapping[str, list[float | None]]) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        with self._stopping_if_unwritable():
            if folder.is_symlink() or folder.is_file():
                folder.unlink()
            self._writer = tf.summary.create_file_writer(os.fsencode(folder))
        for epoch in range(1, 1 + max(map(len, history.values()), default=0)):
            values = {name: values[epoch - 1] for name, values in history.items()}
            self.write(epoch, {name: value for name, value in values.items() if value is not None})

    def write(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write the metrics of an epoch, counted from 1."""
        with self._stopping_if_unwritable(), self._writer.as_default(step=epoch):
            tf.summary.experimental.write_raw_pb(_summary(logs))  # `tf.summary.scalar` takes as long for each
            self._writer.flush()

    @contextlib.contextmanager
    def _stopping_if_unwritable(self) -> Iterator[None]:
        """Within this context, turn an error of TensorFlow into a `RunStopped` of one line."""
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            reason = re.sub(
                r"\{\{.*?\}\} | \[Op:.*", "", getattr(error, "message", str(error)).splitlines()[0]
            )
            raise RunStopped(f"{self._folder} cannot be written: {reason}") from error

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def _summary(logs):
    """Return the message that `tf.summary.scalar` writes, with all metrics at once."""
    message = tf.compat.v1.Summary
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    values = {name: tf.make_tensor_proto(value, tf.float32) for name, value in logs.items()}
    return message(
        value=[message.Value(tag=name, tensor=each, metadata=metadata) for name, each in values.items()]
    ).SerializeToString()
