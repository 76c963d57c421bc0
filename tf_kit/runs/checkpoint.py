"""Checkpoints of a stage: weights, optimizer slots and random state after its last finished epoch."""

import shutil
import zipfile

import numpy as np

from tf_kit.checks import refuse
from tf_kit.runs.files import read_json, replacing, write_json


class StageState:
    """What `state.json` of a stage says, and the weight files it names. Every change of it is one rename."""

    def __init__(self, folder, keep_best, best_is):
        self.folder, self.keep_best = folder, keep_best
        self._sign = 1.0 if best_is == "largest" else -1.0
        path = folder / "state.json"
        state = read_json(path, "state.json") if path.exists() else {}
        self.epoch = state.get("epoch", 0)
        self.history = state.get("history", {})
        self.best_epoch = state.get("best_epoch")

    def restore_last(self, model):
        if self.epoch:
            load_variables(model, self._file("epoch", self.epoch))

    def restore_best(self, model):
        load_variables(model, self._file("best", self.best_epoch))

    def save(self, model, stage, epoch, logs):
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
                "Run.fit.keep_best", "be a metric of the training: " + ", ".join(logs), f"{self.keep_best!r}"
            )
        earlier = self.history[self.keep_best][:-1]
        return not earlier or self._sign * logs[self.keep_best] > max(self._sign * value for value in earlier)

    def _file(self, kind, epoch):
        return self.folder / f"{kind}-{epoch:05d}.npz"


def save_variables(model, path):
    """Writes every variable that training changes, whole or not at all: weights, optimizer slots, random state.

    (Keras's own weight files leave out the state of random generators, so dropout would not continue exactly.)
    """
    arrays = [variable.numpy() for variable in _variables(model)]
    arrays = [array.astype("float32") if array.dtype.name == "bfloat16" else array for array in arrays]
    unfinished = replacing(path)
    with unfinished.open("wb") as file:
        np.savez(file, *arrays)
    unfinished.replace(path)


def load_variables(model, path):
    """Gives the variables of `model` the values that `save_variables` wrote, or `InputError` if they do not fit."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
    except (OSError, ValueError, zipfile.BadZipFile):
        refuse("checkpoint", "be a readable .npz file", f"{path}", "Start a new run in another folder")
    variables = _variables(model)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        refuse(
            "checkpoint",
            "hold the variables of this model",
            f"{path} with {len(arrays)} arrays for {len(variables)} variables",
            "Start a new run in another folder",
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _variables(model):
    return [*model.variables, *(model.optimizer.variables if model.optimizer is not None else ())]
