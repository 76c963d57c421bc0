"""Checkpoints of a stage: weights, optimizer slots, random state, and how far the training has come."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.runs.files import DAMAGED, checksum, finite, replacing, set_aside, write_json

_START_ANEW = "Start a new run in another folder"
STATES = ("state.json", "state-before.json")  # records of the last two checkpoints


class StageState:
    """State of a stage: its last two checkpoints, the best one, and the history of its finished epochs.

    A checkpoint is a file of arrays, `epoch-00003.npz` after epoch 3, `epoch-00003-step-00000120.npz` after 120 steps
    of epoch 4, `epoch-00005-end.npz` after a stage of five epochs with callbacks. `state.json` records the last one
    with its checksum, `state-before.json` the one before. Both are replaced by a rename after the arrays are on the
    disk, so a kill at any moment leaves the last checkpoint. A damaged file is set aside as `damaged-…`, and the
    checkpoint before is used; without an intact one the stage starts again.

    Args:
        folder: folder of the stage's checkpoints.
        keep_best: metric whose best epoch is kept too, or None.
        best_is: `"largest"` or `"smallest"`.
        say: function that is called with one line about each damaged file.

    Attributes:
        epoch: number of finished epochs.
        step: number of finished steps of the epoch after them.
        seconds: duration of these steps.
        history: metric → list over the finished epochs, None where an epoch did not measure it.
        best_epoch: best epoch by `keep_best`, from 1, or None.
        order: number of the stage in its run, from 0; None while nothing is saved.
        stage: name of the stage, or None while nothing is saved.
        stopped: whether a callback has ended the stage, after whichever epoch.
        awaits_best: whether the first validation, which measures `keep_best`, may come in a later epoch.
        recorded: epoch and step of the last checkpoint, which may be earlier than `epoch` and `step`.
    """

    def __init__(
        self,
        folder: Path,
        keep_best: str | None = None,
        best_is: str = "largest",
        say: Callable[[str], Any] = lambda line: None,
    ) -> None:
        self.folder, self.keep_best = folder, keep_best
        self._sign = 1.0 if best_is == "largest" else -1.0
        state = self._last_intact(say) or {}
        self.epoch: int = state.get("epoch", 0)
        self.step: int = state.get("step", 0)
        self.seconds: float = state.get("seconds", 0.0)
        self.history: dict[str, list[float | None]] = state.get("history", {})
        self.best_epoch: int | None = state.get("best_epoch")
        self.order: int | None = state.get("order")
        self.stage: str | None = state.get("stage")
        self.stopped: bool = state.get("stopped", False)
        self.awaits_best = False
        self._files: dict[str, str] = state.get("files", {})
        self.recorded = self.epoch, self.step
        self._best_arrays: dict[str, np.ndarray] | None = None  # of the best epoch, until the next checkpoint
        if keep_best:
            self.best_epoch = self._best()  # the stage may have begun with another metric

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint."""
        return self.epoch > 0 or self.step > 0

    @property
    def has_best(self) -> bool:
        """Whether the variables of the best epoch so far are kept, which those of other epochs are not."""
        return self.best_epoch is None or self._file(self.best_epoch).name in self._files

    def restore_last(self, model: keras.Model) -> None:
        """Give the model the variables of the last checkpoint, if there is one."""
        if self.begun:
            load_variables(model, self._file(self.epoch, self.step))

    def restore_end(self, model: keras.Model) -> bool:
        """Give the model the variables that `save_end` wrote; return whether it has."""
        found = self._end().name in self._files
        if found:
            load_variables(model, self._end())
        return found

    def restore_metrics(self, model: keras.Model) -> None:
        """Give the metrics of the model their sums over the steps of an unfinished epoch."""
        with np.load(self._file(self.epoch, self.step), allow_pickle=False) as file:
            for i, variable in enumerate(model.metrics_variables):
                variable.assign(file[f"metric_{i}"])

    def restore_best(self, model: keras.Model) -> None:
        """Give the model the variables of the best epoch."""
        if self.best_epoch is not None:
            load_variables(model, self._file(self.best_epoch))

    def save(
        self, model: keras.Model, stage: str, epoch: int, logs: Mapping[str, float], write: bool = True
    ) -> None:
        """Record a finished epoch: its variables, its metrics, whether it is the best so far, and `stopped`.

        Args:
            model, stage: the model that is trained, and the name of the stage.
            epoch: number of finished epochs.
            logs: metrics of the last one.
            write: whether to write a checkpoint. Otherwise the epoch is part of the next one. Defaults to True.
        """
        for name in [*self.history, *(name for name in logs if name not in self.history)]:
            values = self.history.setdefault(name, [None] * (epoch - 1))
            values.append(finite(float(logs[name])) if name in logs else None)
        if self.keep_best:
            self._check_measured(logs)
            self.best_epoch = self._best()
        self.epoch, self.step, self.seconds = epoch, 0, 0.0
        if write:
            self._write(model, stage)
        elif self.best_epoch == epoch:
            self._best_arrays = _arrays(model)

    def save_within(self, model: keras.Model, stage: str, step: int, seconds: float) -> None:
        """Record an unfinished epoch after `step` steps that took `seconds`, with the sums of the metrics."""
        self.step, self.seconds = step, seconds
        self._write(model, stage)

    def save_end(self, model: keras.Model, stage: str) -> None:
        """Record the variables after the end of a stage, which callbacks may have changed since its last epoch."""
        save_variables(model, self._end())
        self._files = self._files | {self._end().name: checksum(self._end())}
        self._record(stage)

    def _write(self, model, stage):
        path = self._file(self.epoch, self.step)
        save_variables(model, path, with_metrics=self.step > 0)
        files = {path.name: checksum(path)}
        best = path if self.best_epoch is None else self._file(self.best_epoch)
        if best != path:
            if best.name not in self._files and self._best_arrays is not None:
                _write_arrays(self._best_arrays, best)
                self._files[best.name] = checksum(best)
            files[best.name] = self._files[best.name]
        self._files, self._best_arrays = files, None
        self._record(stage)
        self.recorded = self.epoch, self.step

    def _record(self, stage):
        """Write `state.json`, and remove the files of arrays that neither record names."""
        state = {"stage": stage, "order": self.order, "epoch": self.epoch, "step": self.step}
        state |= {
            "seconds": self.seconds,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "files": self._files,
        }
        last, before = (self.folder / name for name in STATES)
        if last.exists():
            last.replace(before)
        write_json(last, {**state, "checksum": _checksum(state)})
        kept = {name for state in map(read_state, (last, before)) if state for name in state["files"]}
        for path in self.folder.glob("*.npz"):
            if path.name not in kept and not path.name.startswith(DAMAGED):
                path.unlink()

    def _last_intact(self, say):
        """Return the newest record whose files are intact; set the damaged ones aside."""
        found_damage = False
        for path in (self.folder / name for name in STATES):
            state, damaged = read_state(path), path
            if state is not None:
                damaged = next(
                    (self.folder / name for name in state["files"] if self._differs(name, state)), None
                )
            elif not path.exists():
                continue
            if damaged is None:
                return state
            say(f"{damaged} is damaged or missing; using the checkpoint before it")
            set_aside(damaged)
            set_aside(path)
            found_damage = True
        if found_damage:
            say(f"no checkpoint in {self.folder} is intact, so this stage starts again")
        return None

    def _check_measured(self, logs):
        """Refuse a metric that no epoch has measured, unless a later validation may."""
        if self.keep_best in self.history:
            return
        if self.awaits_best and not any(name.startswith("val_") for name in logs):
            return
        refuse(
            "Run.fit.keep_best",
            "be a metric of the training: " + ", ".join(logs),
            f"keep_best={self.keep_best!r}",
        )

    def _best(self):
        """Return the earliest of the finished epochs with the best value, from 1; None if none has a finite value."""
        values = {
            epoch: self._sign * value
            for epoch, value in enumerate(self.history.get(self.keep_best, ()), start=1)
            if value is not None
        }
        return max(values, key=lambda epoch: values[epoch], default=None)

    def _differs(self, name, state):
        path = self.folder / name
        return not path.is_file() or checksum(path) != state["files"][name]

    def _end(self):
        return self.folder / f"epoch-{self.epoch:05d}-end.npz"

    def _file(self, epoch, step=0):
        return self.folder / (f"epoch-{epoch:05d}-step-{step:08d}.npz" if step else f"epoch-{epoch:05d}.npz")


def read_state(path: Path) -> dict[str, Any] | None:
    """Read the record of a checkpoint: stage, epoch, history and more; None if it is missing or damaged."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return state if _checksum(state) == state["checksum"] else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _checksum(state):
    kept = {name: value for name, value in state.items() if name != "checksum"}
    return checksum(json.dumps(kept, sort_keys=True).encode())


def save_variables(model: keras.Model, path: str | Path, with_metrics: bool = False) -> None:
    """Write every variable that training changes: weights, optimizer slots, random state.

    The weight files of Keras leave out the state of random generators, so dropout would not continue exactly.

    Args:
        model: compiled model.
        path: path of the `.npz` file.
        with_metrics: whether to write the sums of the metrics too, for an unfinished epoch. Defaults to False.
    """
    arrays = _arrays(model)
    if with_metrics:
        arrays |= {f"metric_{i}": _array(each) for i, each in enumerate(model.metrics_variables)}
    _write_arrays(arrays, path)


def _arrays(model):
    return {f"arr_{i}": _array(variable) for i, variable in enumerate(_variables(model))}


def _write_arrays(arrays, path):
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)


def load_variables(model: keras.Model, path: str | Path) -> None:
    """Give the variables of `model` the values that `save_variables` wrote.

    Raises:
        InputError: the file is damaged, or belongs to another model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"arr_{i}"] for i in range(sum(name.startswith("arr_") for name in file.files))]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        refuse(path, "be a readable .npz file", "a damaged or missing file", _START_ANEW)
    variables = _variables(model)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        refuse(
            path,
            "hold the variables of this model",
            f"{len(arrays)} arrays for {len(variables)} variables, or other shapes",
            _START_ANEW,
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _variables(model):
    optimizer = getattr(model, "optimizer", None)  # which a model has after `compile` only
    return [*model.variables, *(optimizer.variables if optimizer is not None else ())]


def _array(variable):
    array = variable.numpy()
    return array.astype("float32") if array.dtype.name == "bfloat16" else array
