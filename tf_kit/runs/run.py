"""A run and its folder: config, history, checkpoints, events, figures; start, and resume after a kill.

RUN/config.json           what was asked for, and with which versions
RUN/history.csv           stage, epoch, seconds, every metric
RUN/events/               the same for TensorBoard
RUN/checkpoints/STAGE/    the last finished epoch: weights, optimizer, random state
RUN/figures/              curves and first-layer filters
RUN/results.json          what came out; written last, so a run that has it is finished

Where several machines train, the folder is the chief's: each other worker has a temporary copy of what it needs to
go on, and what it writes there is thrown away.
"""

import csv
import datetime
import json
import platform
import re
import shutil
import time
from importlib import metadata
from pathlib import Path

import keras
import tensorflow as tf

from tf_kit.checks import choice, refuse
from tf_kit.runs.checkpoint import StageState
from tf_kit.runs.files import read_json, replacing, write_json
from tf_kit.runs.progress import Progress
from tf_kit.training import workers


class Run:
    """A folder that holds everything about one run.

    Args:
        folder: where; created if need be. It must be new or empty, unless the run is resumed.
        options: what the run depends on, JSON values only. A run resumes only with the options it began with.
        resume: whether to go on with the run that `folder` holds. If it holds none, a new one starts.
        progress: a `Progress` to report to. Defaults to one bar a stage.

    Raises:
        InputError: if the folder holds another run, other options, or cannot be written.
    """

    def __init__(self, folder, options, resume=False, progress=None):
        self.folder = Path(folder)
        self.progress = progress or Progress()
        self._options = json.loads(json.dumps(options))
        workers.done_by_chief(lambda: self._begin(resume))
        self.folder = workers.folder_from_chief(self.folder, ("*.json", "checkpoints/**/*"))
        if not workers.is_chief():
            self.progress = Progress(quiet=True)

    def _begin(self, resume):
        """Makes the folder, or sees to it that it holds the same run."""
        config = self.folder / "config.json"
        if config.exists():
            self._check_same_run(config, resume)
        else:
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                refuse("--out", "be a new or empty folder", f"{self.folder}", "Choose another one")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_json(config, {"options": self._options, **_circumstances()})
            except OSError as error:
                refuse("--out", "be a folder that can be written", f"{self.folder}", error.strerror or "")

    def _check_same_run(self, config, resume):
        began = read_json(config, "config.json")["options"]
        changed = [
            name
            for name in sorted(began.keys() | self._options.keys())
            if began.get(name) != self._options.get(name)
        ]
        if resume and not changed:
            return
        remedy = "--out names another folder for a new run"
        if resume:
            name = changed[0]
            refuse(
                "--resume",
                f"be given with the options the run began with ({name}={began.get(name)!r})",
                f"{name}={self._options.get(name)!r}",
                remedy,
            )
        held = f"{self.folder}, which holds a run"
        if changed:
            held += f" with other options ({', '.join(changed)})"
        else:
            remedy = f"--resume {'shows its results' if self.results else 'goes on with it'}"
        refuse("--out", "be a new or empty folder", held, remedy)

    @property
    def results(self):
        """What `finish` recorded, or None while the run is not finished."""
        path = self.folder / "results.json"
        return read_json(path, "results.json") if path.exists() else None

    def fit(
        self,
        model,
        x,
        y=None,
        *,
        stage,
        epochs,
        keep_best=None,
        best_is="largest",
        cost=1.0,
        callbacks=(),
        verbose=0,
        **arguments,
    ):
        """`model.fit` that saves after every epoch and goes on where a killed run stopped.

        A stage that the run has finished before is not trained again: its weights are loaded. A stage that was
        broken off goes on after its last finished epoch, with the weights, the optimizer's state, the random
        numbers and the order of the data that it would have had.

        Args:
            model: a compiled `pretraining.Trainer`.
            x, y: training data. For a stream `x` is a function `(first_epoch, epochs)` that gives the data set of
                those epochs; `steps_per_epoch` is then needed.
            stage: name of this training within the run.
            epochs: epochs of the whole stage.
            keep_best: metric (`"val_accuracy"`) at whose best epoch the weights are kept; None keeps the last.
            best_is: `"largest"` or `"smallest"`. Of equal values the earliest epoch is kept.
            cost: what an epoch costs, for the progress bar.
            callbacks: as for `model.fit`. One with a method `recall` is given the history of a stage that goes on.
            **arguments: as for `model.fit`.

        Returns:
            History: metric → list over all epochs of the stage, None where an epoch has not measured it; with
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

    def history(self):
        """stage → metric → list over epochs, of all stages so far."""
        found = {}
        for path in sorted(self.folder.glob("checkpoints/*/state.json"), key=lambda p: p.stat().st_ctime):
            state = read_json(path, "state.json")
            found[state["stage"]] = state["history"]
        return found

    def write_history(self):
        """Writes `history.csv`: one row an epoch, one column a metric."""
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

    def draw(self, encoder=None, image_shape=None):
        """Draw the figures of the run, see `figures.draw`."""
        from tf_kit.runs import (
            figures,  # imports the pretraining methods, which a run of another kind does not need
        )

        figures.draw(self, encoder, image_shape)

    def finish(self, results, keep_checkpoints=False):
        """Records the results. The checkpoints, needed only to resume, are removed unless asked for."""
        if self.history():
            self.write_history()
        write_json(self.folder / "results.json", results)
        if not keep_checkpoints:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)


class _Recorder(keras.callbacks.Callback):
    """Saves, logs and counts the seconds of each epoch."""

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
