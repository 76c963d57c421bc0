"""Run and its folder: config, history, checkpoints, events, figures; start, and resume after a kill.

RUN/config.json           options, fingerprint of the data, versions of the packages, machine
RUN/data.csv              size and hash of each file or array of the data
RUN/history.csv           stage, epoch, seconds, every metric
RUN/events/               the same for TensorBoard
RUN/checkpoints/STAGE/    the last two checkpoints: weights, optimizer, random state, position in the epoch
RUN/figures/              curves and first-layer filters
RUN/results.json          results; written last, so a run that has it is finished
RUN/.lock, RUN/.owner     lock of the process that uses the folder, and its name

If several machines train, the folder belongs to the chief. Every other worker has a temporary copy of the files that
it needs to continue, and its own output is discarded.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.checks import choice, count, number, refuse
from tf_kit.data.fingerprint import Fingerprint, of_arrays
from tf_kit.errors import InputError, RunStopped
from tf_kit.ownership import disown, own
from tf_kit.regularization.early_stopping import direction_of
from tf_kit.runs import recorded_data
from tf_kit.runs.callbacks import check_callbacks
from tf_kit.runs.checkpoint import STATES, StageState, read_state
from tf_kit.runs.circumstances import circumstances
from tf_kit.runs.divergence import Guard, scale_of
from tf_kit.runs.files import (
    holds_files,
    read_json,
    remove_unfinished,
    replacing,
    set_aside,
    stopping_if_unwritable,
    write_json,
)
from tf_kit.runs.interruption import Interruption
from tf_kit.runs.progress import Progress
from tf_kit.runs.recorded_options import as_json, with_defaults, with_whole_path
from tf_kit.runs.recording import Events, Recorder
from tf_kit.training import agreement, workers
from tf_kit.training.converted import converted
from tf_kit.training.loop import is_due
from tf_kit.training.trainer import Trainer
from tf_kit.typing import ArrayLike, Dataset

_NEW_FOLDER = {
    "remedy": "Another folder starts a new run",
    "typed_remedy": "`--out` with another folder starts a new run",
}

REMOVE = "Remove it, and the run computes it again when it is resumed"
_NAMES_OF_DATA = ("data", "data_dir", "labels_file", "unlabeled", "run")  # options that name the data
_KEPT = "kept"  # file in `checkpoints` of a finished run that keeps them


class Run:
    """Run with a folder that holds everything about it.

    One process at a time may use the folder. It is locked until `finish`, until the `Run` is no longer referenced, or
    until the process ends, however it ends.

    Args:
        folder: folder of the run, created if it does not exist. It must be new or empty, unless the run is resumed;
            None is refused.
        options: everything that the results depend on: JSON values, numbers of NumPy and paths. A run resumes only
            with the options that it began with. NaN and infinity count as None, which JSON has in their place.
        resume: whether to continue the run in `folder`; if there is none, a new run starts. Defaults to False.
        progress: `Progress` to report to. Defaults to None, one bar per stage.
        checkpoint_seconds: time after which a checkpoint is written within an epoch, at least 0. Defaults to 60.
        data: fingerprint of the data, or the arrays by name. A run resumes only on the data that it began with.
            Defaults to None, which does not notice that the data have changed.
        defaults: values of options that older versions did not record. A run whose record lacks one of them began
            with its default. Defaults to None, which has none.
        callbacks: Keras callbacks of every stage. They are not part of the record: a run resumes with others, or
            without. Defaults to none.

    Raises:
        InputError: an argument is not of the kind above; the folder holds another run or other files, is used by
            another process, cannot be written; or the options or the data differ.

    Attributes:
        data: the fingerprint of the data, or None.
    """

    def __init__(
        self,
        folder: str | Path | None,
        options: Mapping[str, Any],
        resume: bool = False,
        progress: Progress | None = None,
        checkpoint_seconds: float = 60.0,
        data: Fingerprint | Mapping[str, ArrayLike] | None = None,
        defaults: Mapping[str, Any] | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            refuse("Run.folder", "be the path of a folder", f"folder={folder!r}", flag="--out")
        self._callbacks = check_callbacks(callbacks)
        self.folder = Path(folder).expanduser()
        self.progress = progress or Progress()
        self.checkpoint_seconds = number("Run.checkpoint_seconds", checkpoint_seconds, at_least=0)
        self._options = as_json("Run.options", options)
        self._defaults = as_json("Run.defaults", defaults or {})
        self.data = _fingerprint(data)
        self._disown: Callable[[], Any] = lambda: None
        self._trained: dict[str, weakref.ref] = {}  # models by the slug of their stage
        strategy = tf.distribute.get_strategy()
        contents = {"contents of the data": self.data.digest} if self.data is not None else {}
        workers.check_same_configuration(strategy, agreement.without_places(self._options) | contents)
        workers.done_by_chief(lambda: self._begin(resume))
        self.folder = workers.folder_from_chief(self.folder, ("*.json", "checkpoints/**/*"))
        if not workers.is_chief():
            self.progress = Progress(quiet=True)

    def _begin(self, resume):
        """Make the folder, or check that it holds the same run; become its owner."""
        config = self.folder / "config.json"
        try:
            if self._is_finished(config):
                self._check_same_run(config, resume)
                return
            is_file = self.folder.exists() and not self.folder.is_dir()
            if is_file or (self.folder.exists() and not config.exists() and holds_files(self.folder)):
                requirement = "be a new or empty folder"
                received = f"{self.folder if self.folder.name else self.folder.resolve()}"
                refuse("Run.folder", requirement, received, **_NEW_FOLDER, flag="--out")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own()
            if config.exists():
                self._check_same_run(config, resume)
            else:
                data = {} if self.data is None else {"data": self.data.record()}
                write_json(config, {"options": self._options, **data, **circumstances()})
                if self.data is not None:
                    recorded_data.write(self.folder, self.data)
            remove_unfinished(self.folder)
        except BaseException as error:
            self._disown()
            if isinstance(error, OSError | RunStopped):
                received = f"{self.folder}: {getattr(error, 'strerror', None) or error}"
                refuse("Run.folder", "be a folder that can be written", received, flag="--out")
            raise

    def _own(self):
        lock = own(self.folder)
        if lock is not None:
            self._disown = weakref.finalize(self, disown, lock)

    def _is_finished(self, config):
        """Return whether there are results; remove checkpoints that `finish` was killed before it could remove."""
        results = self.folder / "results.json"
        if not config.exists() or not results.exists():
            return False
        checkpoints = self.folder / "checkpoints"
        if not checkpoints.exists():
            return True
        try:
            read_json(results, "results.json")
        except InputError:
            self.progress.print(f"{results} is damaged; the run continues from its checkpoints")
            set_aside(results)
            return False
        if not (checkpoints / _KEPT).exists():
            shutil.rmtree(checkpoints, ignore_errors=True)
        return True

    def _check_same_run(self, config, resume):
        recorded = read_json(config, "config.json")
        if not isinstance(recorded, dict) or not isinstance(recorded.get("options"), dict):
            requirement = "be a readable JSON file of a run, with its options"
            refuse("config.json", requirement, f"{config}", "Start a new run in another folder")
        began = with_defaults(recorded["options"], self._defaults, self._options)
        data = recorded_data.read(self.folder, recorded)
        changed = "" if data is None or self.data is None else data.text(self.data)
        # The options that follow from the data differ with them.
        named = not changed or any(began.get(name) != self._options.get(name) for name in _NAMES_OF_DATA)
        sides = map(with_whole_path, (began, self._options))
        difference = agreement.first_difference(*sides) if named else None
        if not resume:
            self._refuse_taken(difference, changed)
        if difference:
            name, before, now = difference
            requirement = "be given with the options that the run began with"
            received = f"{name}={now!r}, but the run began with {before!r}"
            remedies = {name: f"Repeat the options of the run. {text}" for name, text in _NEW_FOLDER.items()}
            refuse("Run.resume", requirement, received, **remedies, flag="--resume")
        if changed:
            received = f"{self.data.place}, where {changed}"
            remedies = {name: f"Put back what it was. {text}" for name, text in _NEW_FOLDER.items()}
            refuse("Run.data", "be the data that the run began with", received, **remedies, flag="--data")
        if self.data is not None and data is None:
            self.progress.print(f"{self.folder} {recorded_data.MISSING}")
        elif self.data is not None and data.entries is None:
            recorded_data.write(self.folder, self.data)

    def _refuse_taken(self, difference, changed):
        """Refuse a folder that holds a run, if that is not to be resumed."""
        remedies = _NEW_FOLDER
        held = f"{self.folder}, which holds a run"
        if difference:
            name, before, now = difference
            held += f" with {name}={before!r}, not {now!r}"
        elif changed:
            held += f" on {self.data.place}, where {changed}"
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
        if not path.exists():
            return None
        results = read_json(path, "results.json", REMOVE)
        if not isinstance(results, dict):
            refuse_results(self.folder)
        return results

    def fit(
        self,
        model: Trainer,
        x: ArrayLike | Dataset | Callable,
        y: ArrayLike | None = None,
        *,
        stage: str,
        epochs: int,
        keep_best: str | None = None,
        best_is: str | None = None,
        cost: float = 1.0,
        shared: bool = False,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Train a model as `model.fit` does, save after every epoch, and continue where a killed run stopped.

        Epochs that are shorter than a second are saved about once a second, and at the end of the stage. A stage that
        the run has finished, or that a callback has stopped, is not trained again: its weights are loaded. A stage that
        was interrupted continues after the last epoch that was saved, with the weights, optimizer state, random numbers
        and data order that it would have had.

        Args:
            model: compiled `training.Trainer`.
            x, y: training data. For a stream, `x` is a function `(first_epoch, epochs)` that returns the data set of
                these epochs, with `steps_per_epoch`; without it, each epoch reads the data set from its beginning. A
                data set itself trains a stage as a whole, but is refused where the stage continues, since a data set
                does not show where its order stands.
            stage: name of this training within the run. Names that differ only in capitals, or in other characters
                than a-z and 0-9, are refused.
            epochs: number of epochs of the whole stage.
            keep_best: metric, such as `"val_accuracy"`, whose best epoch gives the final weights. Defaults to None,
                the weights of the last epoch.
            best_is: `"largest"` or `"smallest"`. Of equal values, the earliest epoch is kept. Defaults to None:
                `"smallest"` for losses and errors, as `regularization.EarlyStopping` knows them by their names,
                `"largest"` for other metrics.
            cost: cost of one epoch, for the progress bar. Defaults to 1.0.
            shared: whether further models that are given for this stage get the weights of the first. Defaults to
                False: they are refused.
            callbacks: as for `model.fit`. The method `recall` of a callback, if it has one, gets the history of a
                stage that continues.
            verbose: as for `model.fit`. Defaults to 0.
            **arguments: further arguments of `model.fit`, without `initial_epoch` and `initial_step`.

        Returns:
            History: metric → list over all epochs of the stage, None where an epoch did not measure it; with
            `keep_best` also `best_epoch`, from 1.

        Raises:
            InputError: an argument is not as above, the checkpoint belongs to another model or stage, or a stage that
                has begun is to end with weights that were not kept.
        """
        x = converted("Run.fit.x", x)
        choice("Run.fit.best_is", best_is, (None, "largest", "smallest"))
        if keep_best is not None and not isinstance(keep_best, str):
            received = f"keep_best={keep_best!r}"
            refuse("Run.fit.keep_best", 'be the name of a metric, such as "val_accuracy"', received)
        for name in ("initial_epoch", "initial_step"):
            if name in arguments:
                requirement = "be left out, because a stage continues where its checkpoint is"
                refuse(f"Run.fit.{name}", requirement, f"{name}={arguments[name]!r}")
        count("Run.fit.epochs", epochs)
        if not isinstance(model, Trainer):
            remedy = "training.Classifier(encoder, num_classes) is one; keras.callbacks.BackupAndRestore serves others"
            refuse("Run.fit.model", "be a training.Trainer", f"a {type(model).__name__}", remedy)
        if not isinstance(stage, str) or not _slug(stage):
            refuse("Run.fit.stage", "be a name with a letter a-z or a digit", f"stage={stage!r}")
        folder = self.folder / "checkpoints" / _slug(stage)
        with stopping_if_unwritable(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if best_is is None:
            best_is = "smallest" if keep_best and direction_of(keep_best, model) == -1 else "largest"
        state = StageState(folder, keep_best, best_is, say=self.progress.print)
        if state.stage not in (None, stage):
            requirement = "have a name whose letters a-z and digits differ from those of all other stages"
            refuse("Run.fit.stage", requirement, f"stage={stage!r}, but the run has {state.stage!r}")
        if not shared:
            self._check_same_model(model, stage)
        done = state.epoch >= epochs or state.stopped
        self._check_same_end(state, epochs, done)
        if state.begun and not done and isinstance(x, tf.data.Dataset):
            requirement, received = (
                "be an array or a function (first_epoch, epochs) to continue",
                "a data set",
            )
            remedy = "Give the function that returns the data set of these epochs, or `lambda first_epoch, epochs: x`"
            refuse("Run.fit.x", requirement, received, f"{remedy} if x has the same order in every epoch")
        if state.order is None:
            state.order = 1 + max((each["order"] for each in self._stages()), default=-1)
        x = x(min(state.epoch, epochs - 1), epochs) if callable(x) else x
        model.prepare_from(x, y)
        state.restore_last(model)
        callbacks = [*callbacks, *self._callbacks]
        if state.begun:
            self._recall(model, state, callbacks, cost)
        if not done:
            self._train(model, x, y, state, stage, epochs, cost, callbacks, verbose=verbose, **arguments)
            self._trained[_slug(stage)] = weakref.ref(model)
        else:
            # A kill after the last checkpoint has left out the last event, and the end of `fit`.
            Events(self.folder / "events" / _slug(stage), state.history).close()
            if not state.restore_end(model) and model.optimizer is not None:
                keras_internals.set_averages(model.optimizer, model.trained_variables)
        if keep_best:
            state.restore_best(model)
            return {**state.history, "best_epoch": state.best_epoch}
        return dict(state.history)

    def _check_same_model(self, model, stage):
        """Refuse a stage in which this `Run` has trained another model, whose weights would replace those of this."""
        trained = self._trained.get(_slug(stage))
        if trained is not None and trained() is not model:
            remedy = "Give each training its own stage, or shared=True to get the weights of the first model"
            refuse(
                "Run.fit.stage", "name the training of one model", f"stage={stage!r} for another one", remedy
            )

    @staticmethod
    def _check_same_end(state, epochs, done):
        """Refuse an end of a stage that its checkpoints lack: an earlier epoch, or the best by another metric."""
        if state.epoch > epochs:
            received = f"epochs={epochs}, but the stage {state.stage!r} has trained {state.epoch}"
            refuse("Run.fit.epochs", "be at least those that are trained", received, **_NEW_FOLDER)
        unknown = done and not state.stopped and state.keep_best not in (None, *state.history)
        if unknown or not state.has_best:
            received = f"keep_best={state.keep_best!r}"
            if not unknown:
                received += f", by which the best epoch is {state.best_epoch}, whose weights were not kept"
            requirement = f"be that with which the stage {state.stage!r} began"
            refuse("Run.fit.keep_best", requirement, received, **_NEW_FOLDER)

    def _recall(self, model, state, callbacks, cost):
        """Tell the progress bar and the callbacks what an earlier process has trained."""
        self.progress.skip(state.epoch, cost)
        for callback in callbacks:
            if hasattr(callback, "recall"):
                callback.set_model(model)
                callback.recall(state.history)

    def _train(self, model, x, y, state, stage, epochs, cost, callbacks, **arguments):
        """Train the rest of a stage."""
        events = Events(self.folder / "events" / _slug(stage), state.history)
        guard = Guard(stage, state, scale_of(x, y))
        report = self.progress.start(stage, epochs, state.epoch, cost)
        validates = arguments.get("validation_data") is not None or arguments.get("validation_split")
        due = (is_due(epoch, arguments.get("validation_freq", 1)) for epoch in range(epochs))
        state.awaits_best = bool(validates) and str(state.keep_best).startswith("val_") and any(due)
        position = {"initial_epoch": state.epoch} | ({"initial_step": state.step} if state.step else {})
        with Interruption(self.progress.print) as interruption:
            recorder = Recorder(self, stage, state, events, guard, interruption, bool(callbacks))
            # The values that callbacks add to the logs are recorded too.
            callbacks = [guard, *callbacks, recorder, report]
            model.fit(x, y, epochs=epochs, callbacks=callbacks, **position, **arguments)

    def history(self) -> dict[str, dict[str, list]]:
        """History of all stages so far: stage → metric → list over epochs."""
        stages = sorted(self._stages(), key=lambda state: state["order"])
        return {state["stage"]: state["history"] for state in stages if state["history"]}

    def _stages(self):
        """Read the last record of each stage."""
        for folder in self.folder.glob("checkpoints/*/"):
            found = [state for name in STATES if (state := read_state(folder / name)) is not None]
            yield from found[:1]

    def write_history(self) -> None:
        """Write `history.csv`: one row per epoch, one column per metric."""
        rows, columns = [], ["stage", "epoch", "seconds"]
        for stage, history in self.history().items():
            columns += [name for name in history if name not in columns]
            for epoch in range(len(history["seconds"])):
                values = {name: values[epoch] for name, values in history.items()}
                row = {name: "" if value is None else f"{value:.6g}" for name, value in values.items()}
                rows.append({"stage": stage, "epoch": epoch + 1, **row})
        with (
            replacing(self.folder / "history.csv") as path,
            path.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

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
        results = as_json("Run.finish.results", results)
        if self.history():
            self.write_history()
        if keep_checkpoints and (self.folder / "checkpoints").exists():
            (self.folder / "checkpoints" / _KEPT).touch()
        write_json(self.folder / "results.json", results)
        if not keep_checkpoints:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        self._disown()
        return read_json(self.folder / "results.json", "results.json")


def refuse_results(folder: Path, fault: str = "") -> NoReturn:
    """Refuse the `results.json` of a run, which holds what no run has written."""
    requirement = "be a JSON file with the results of a run"
    refuse("results.json", requirement, f"{folder / 'results.json'}{fault}", REMOVE)


def _fingerprint(data):
    if data is None or isinstance(data, Fingerprint):
        return data
    if not isinstance(data, Mapping):
        refuse("Run.data", 'be a dictionary of arrays, such as {"x": x, "y": y}', f"a {type(data).__name__}")
    for name, array in data.items():
        if np.asarray(array).dtype.hasobject:
            refuse("Run.data", "hold arrays", f"a {type(array).__name__} as {name!r}")
    return of_arrays("the arrays", data)


def _slug(stage):
    """
    >>> _slug("layer 1/3")
    'layer-1-3'
    """
    return re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")
