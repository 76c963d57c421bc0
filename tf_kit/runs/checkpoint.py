"""Checkpoints of a stage: weights, optimizer slots and random state after its last finished epoch."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.runs.files import read_json, replacing, write_json

_START_ANEW = "Start a new run in another folder"


class StageState:
    """State of a stage: `state.json`, and the weight files that it names.

    `state.json` is replaced by a rename after the weight files are complete, so a kill at any moment leaves the state
    of the last finished epoch.

    Args:
        folder: folder of the stage's checkpoints.
        keep_best: metric whose best epoch is kept too, or None.
        best_is: `"largest"` or `"smallest"`.

    Attributes:
        epoch: number of finished epochs.
        history: metric → list over the finished epochs, None where an epoch did not measure it.
        best_epoch: best epoch by `keep_best`, from 1, or None.
    """

    def __init__(self, folder: Path, keep_best: str | None, best_is: str) -> None:
        self.folder, self.keep_best = folder, keep_best
        self._sign = 1.0 if best_is == "largest" else -1.0
        path = folder / "state.json"
        state = read_json(path, "state.json") if path.exists() else {}
        self.epoch = state.get("epoch", 0)
        self.history = state.get("history", {})
        self.best_epoch = state.get("best_epoch")

    def restore_last(self, model: keras.Model) -> None:
        """Give the model the variables of the last finished epoch, if there is one."""
        if self.epoch:
            load_variables(model, self._file("epoch", self.epoch))

    def restore_best(self, model: keras.Model) -> None:
        """Give the model the variables of the best epoch."""
        load_variables(model, self._file("best", self.best_epoch))

    def save(self, model: keras.Model, stage: str, epoch: int, logs: Mapping[str, float]) -> None:
        """Record a finished epoch: its variables, its metrics, and whether it is the best so far."""
        for name in [*self.history, *(name for name in logs if name not in self.history)]:
            values = self.history.setdefault(name, [None] * (epoch - 1))
            values.append(float(logs[name]) if name in logs else None)
        save_variables(model, self._file("epoch", epoch))
        if self.keep_best and self._is_best(logs):
            self.best_epoch = epoch
            shutil.copyfile(self._file("epoch", epoch), replacing(self._file("best", epoch)))
            replacing(self._file("best", epoch)).replace(self._file("best", epoch))
        self.epoch = epoch
        record = {"stage": stage, "epoch": epoch, "history": self.history, "best_epoch": self.best_epoch}
        write_json(self.folder / "state.json", record)
        kept = {self._file("epoch", epoch), self._file("best", self.best_epoch or 0)}
        for path in set(self.folder.glob("*.npz")) - kept:
            path.unlink()

    def _is_best(self, logs):
        if self.keep_best not in logs:
            refuse(
                "Run.fit.keep_best",
                "be a metric of the training: " + ", ".join(logs),
                f"keep_best={self.keep_best!r}",
            )
        earlier = self.history[self.keep_best][:-1]
        return not earlier or self._sign * logs[self.keep_best] > max(self._sign * value for value in earlier)

    def _file(self, kind, epoch):
        return self.folder / f"{kind}-{epoch:05d}.npz"


def save_variables(model: keras.Model, path: Path) -> None:
    """Write every variable that training changes: weights, optimizer slots, random state.

    The weight files of Keras leave out the state of random generators, so dropout would not continue exactly.
    """
    arrays = [variable.numpy() for variable in _variables(model)]
    arrays = [array.astype("float32") if array.dtype.name == "bfloat16" else array for array in arrays]
    unfinished = replacing(path)
    with unfinished.open("wb") as file:
        np.savez(file, *arrays)
    unfinished.replace(path)


def load_variables(model: keras.Model, path: Path) -> None:
    """Give the variables of `model` the values that `save_variables` wrote.

    Raises:
        InputError: the file is damaged, or belongs to another model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
    except (OSError, ValueError, zipfile.BadZipFile):
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
    return [*model.variables, *(model.optimizer.variables if model.optimizer is not None else ())]
