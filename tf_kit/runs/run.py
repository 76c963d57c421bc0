"""Run and its folder: config, history, checkpoints, events, figures; start, and resume after a kill.

RUN/config.json           options, versions of the packages, machine
RUN/history.csv           stage, epoch, seconds, every metric
RUN/events/               the same for TensorBoard
RUN/checkpoints/STAGE/    the last finished epoch: weights, optimizer, random state
RUN/figures/              curves and first-layer filters
RUN/results.json          results; written last, so a run that has it is finished

If several machines train, the folder belongs to the chief. Every other worker has a temporary copy of the files that
it needs to continue, and its own output is discarded.
"""

from __future__ import annotations

import csv
import datetime
import json
import platform
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tf_kit.checks import choice, refuse
from tf_kit.runs.checkpoint import StageState
from tf_kit.runs.files import read_json, replacing, write_json
from tf_kit.runs.progress import Progress
from tf_kit.training import workers
from tf_kit.typing import ArrayLike

_NEW_FOLDER = {
    "remedy": "Another folder starts a new run",
    "typed_remedy": "`--out` with another folder starts a new run",
}


class Run:
    """Run with a folder that holds everything about it.

    Args:
        folder: folder of the run, created if it does not exist. It must be new or empty, unless the run is resumed;
            None is refused.
        options: everything that the results depend on, JSON values only. A run resumes only with the options that it
            began with.
        resume: whether to continue the run in `folder`; if there is none, a new run starts. Defaults to False.
        progress: `Progress` to report to. Defaults to None, one bar per stage.

    Raises:
        InputError: the folder holds another run or other files, cannot be written, or the options differ.
    """

    def __init__(
        self,
        folder: str | Path | None,
        options: Mapping[str, Any],
        resume: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if folder is None:
            refuse("Run.folder", "be the path of a folder", "folder=None", flag="--out")
        self.folder = Path(folder)
        self.progress = progress or Progress()
        self._options = json.loads(json.dumps(options))
        workers.done_by_chief(lambda: self._begin(resume))
        self.folder = workers.folder_from_chief(self.folder, ("*.json", "checkpoints/**/*"))
        if not workers.is_chief():
            self.progress = Progress(quiet=True)

    def _begin(self, resume):
        """Make the folder, or check that it holds the same run."""
        config = self.folder / "config.json"
        try:
            if config.exists():
                self._check_same_run(config, resume)
                return
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                requirement, received = "be a new or empty folder", f"{self.folder}"
                refuse("Run.folder", requirement, received, **_NEW_FOLDER, flag="--out")
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(config, {"options": self._options, **_circumstances()})
        except OSError as error:
            received = f"{self.folder}: {error.strerror}"
            refuse("Run.folder", "be a folder that can be written", received, flag="--out")

    def _check_same_run(self, config, resume):
        began = read_json(config, "config.json")["options"]
        difference = _difference(began, self._options)
        if resume and not difference:
            return
        if resume:
            name, before, now = difference
            requirement = "be given with the options that the run began with"
            received = f"{name}={now!r}, not {before!r}"
            refuse("Run.resume", requirement, received, **_NEW_FOLDER, flag="--resume")
        remedies = _NEW_FOLDER
        held = f"{self.folder}, which holds a run"
        if difference:
            name, before, now = difference
            held += f" with {name}={before!r}, not {now!r}"
        else:
            finished = self.results is not None
            remedies = {
                "remedy": f"`resume=True` {'returns its results' if finished else 'continues it'}",
                "typed_remedy": f"`--resume` {'prints its results' if finished else 'continues it'}",
            }
        refuse("Run.folder", "be a new or empty folder", held, **remedies, flag="--out")

    @property
    def results(self) -> dict[str, Any] | None:
        """Results that `finish` recorded, or None while the run is not finished."""
        path = self.folder / "results.json"
        return read_json(path, "results.json") if path.exists() else None

    def fit(
        self,
        model: keras.Model,
        x: ArrayLike | Callable,
        y: ArrayLike | None = None,
        *,
        stage: str,
        epochs: int,
        keep_best: str | None = None,
        best_is: str = "largest",
        cost: float = 1.0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Train a model as `model.fit` does, save after every epoch, and continue where a killed run stopped.

        A stage that the run has finished is not trained again: its weights are loaded. A stage that was interrupted
        continues after its last finished epoch, with the weights, optimizer state, random numbers and data order
        that it would have had.

        Args:
            model: compiled `training.Trainer`.
            x, y: training data. For a stream, `x` is a function `(first_epoch, epochs)` that returns the data set of
                these epochs; it needs `steps_per_epoch`.
            stage: name of this training within the run.
            epochs: number of epochs of the whole stage.
            keep_best: metric, such as `"val_accuracy"`, whose best epoch gives the final weights. Defaults to None,
                the weights of the last epoch.
            best_is: `"largest"` or `"smallest"`. Of equal values, the earliest epoch is kept. Defaults to
                `"largest"`.
            cost: cost of one epoch, for the progress bar. Defaults to 1.0.
            callbacks: as for `model.fit`. The method `recall` of a callback, if it has one, gets the history of a
                stage that continues.
            verbose: as for `model.fit`. Defaults to 0.
            **arguments: further arguments of `model.fit`.

        Returns:
            History: metric → list over all epochs of the stage, None where an epoch did not measure it; with
            `keep_best` also `best_epoch`, from 1.
        """
        choice("Run.fit.best_is", best_is, ("largest", "smallest"))
        folder = self.folder / "checkpoints" / _slug(stage)
        folder.mkdir(parents=True, exist_ok=True)
        state = StageState(folder, keep_best, best_is)
        x = x(min(state.epoch, epochs - 1), epochs) if callable(x) else x
        model.prepare_from(x, y)
        state.restore_last(model)
        if state.epoch:
            self.progress.skip(state.epoch, cost)
            for callback in callbacks:
                if hasattr(callback, "recall"):
                    callback.set_model(model)
                    callback.recall(state.history)
        if state.epoch < epochs:
            recorder = _Recorder(self, stage, state)
            report = self.progress.start(stage, epochs, state.epoch, cost)
            model.fit(
                x,
                y,
                epochs=epochs,
                initial_epoch=state.epoch,
                callbacks=[*callbacks, recorder, report],  # what callbacks add to the logs is recorded too
                verbose=verbose,
                **arguments,
            )
        if keep_best:
            state.restore_best(model)
            return {**state.history, "best_epoch": state.best_epoch}
        return dict(state.history)

    def history(self) -> dict[str, dict[str, list]]:
        """History of all stages so far: stage → metric → list over epochs."""
        found = {}
        for path in sorted(self.folder.glob("checkpoints/*/state.json"), key=lambda p: p.stat().st_ctime):
            state = read_json(path, "state.json")
            found[state["stage"]] = state["history"]
        return found

    def write_history(self) -> None:
        """Write `history.csv`: one row per epoch, one column per metric."""
        rows, columns = [], ["stage", "epoch", "seconds"]
        for stage, history in self.history().items():
            columns += [name for name in history if name not in columns]
            for epoch in range(len(history["seconds"])):
                values = {name: values[epoch] for name, values in history.items()}
                row = {name: "" if value is None else f"{value:.6g}" for name, value in values.items()}
                rows.append({"stage": stage, "epoch": epoch + 1, **row})
        with replacing(self.folder / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        replacing(self.folder / "history.csv").replace(self.folder / "history.csv")

    def draw(self, encoder: keras.Model | None = None, image_shape: Sequence[int] | None = None) -> None:
        """Draw the figures of the run, see `figures.draw`."""
        # Imports the pretraining methods, which not every run needs.
        from tf_kit.runs import figures

        figures.draw(self, encoder, image_shape)

    def finish(self, results: Mapping[str, Any], keep_checkpoints: bool = False) -> dict[str, Any]:
        """Record the results, and remove the checkpoints, which only a run that is not finished needs.

        Args:
            results: JSON values.
            keep_checkpoints: whether to keep the checkpoints. Defaults to False.

        Returns:
            The results as JSON stores them, like `Run.results`.
        """
        if self.history():
            self.write_history()
        write_json(self.folder / "results.json", results)
        if not keep_checkpoints:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        return read_json(self.folder / "results.json", "results.json")


class _Recorder(keras.callbacks.Callback):
    """Save and log each epoch, with its duration in seconds."""

    def __init__(self, run, stage, state):
        super().__init__()
        self._run, self._stage, self._state = run, stage, state
        self._writer = tf.summary.create_file_writer(str(run.folder / "events" / _slug(stage)))

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {"seconds": time.perf_counter() - self._began, **(logs or {})}
        self._state.save(self.model, self._stage, epoch + 1, logs)
        self._run.write_history()
        with self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()


def _difference(began, now):
    """Name and both values of the first option that differs, or None; of a dictionary, its first such entry.

    >>> _difference({"seed": 0, "encoder": {"units": [8]}}, {"seed": 0, "encoder": {"units": [9]}})
    ('encoder.units', [8], [9])
    """
    for name in sorted(began.keys() | now.keys()):
        one, other = began.get(name), now.get(name)
        if one != other:
            if isinstance(one, dict) and isinstance(other, dict):
                inner, *values = _difference(one, other)
                return f"{name}.{inner}", *values
            return name, one, other
    return None


def _slug(stage):
    """
    >>> _slug("layer 1/3")
    'layer-1-3'
    """
    return re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")


def _circumstances():
    packages = ("tf-kit", "tensorflow", "keras", "numpy")
    return {
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {name: _version(name) for name in packages} | {"python": platform.python_version()},
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
