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
import zipfile
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_kit import _checks, plotting
from tf_kit.pretraining import workers
from tf_kit.progress import Progress

MONITORS = ("reconstruction", "pseudo_likelihood")  # an RBM's loss is no measure of progress, these are
WATCHED = {  # of the representation, not of the loss: figures/monitors.png
    "rankme": "effective rank (RankMe)",
    "feature_deviation": "deviation of features",
    "uniformity": "uniformity",
    "alignment": "alignment of two views",
    "val_knn_accuracy": "accuracy of neighbors",
}


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
                _checks.refuse("--out", "be a new or empty folder", f"{self.folder}", "Choose another one")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_json(config, {"options": self._options, **_circumstances()})
            except OSError as error:
                _checks.refuse(
                    "--out", "be a folder that can be written", f"{self.folder}", error.strerror or ""
                )

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
            _checks.refuse(
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
        _checks.refuse("--out", "be a new or empty folder", held, remedy)

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
        _checks.choice("Run.fit.best_is", best_is, ("largest", "smallest"))
        folder = self.folder / "checkpoints" / _slug(stage)
        folder.mkdir(parents=True, exist_ok=True)
        state = _StageState(folder, keep_best, best_is)
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
        with _replacing(self.folder / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        _replacing(self.folder / "history.csv").replace(self.folder / "history.csv")

    def draw(self, encoder=None, image_shape=None):
        """Draws `figures/curves.png`; `figures/monitors.png` if the representation was watched; and
        `figures/filters.png` of the encoder's first dense layer."""
        groups, watched = {}, {}
        for stage, history in self.history().items():
            series = {name: values for name, values in history.items() if name not in ("seconds", *WATCHED)}
            told = [name for name in series if name in MONITORS] or [n for n in series if "accuracy" not in n]
            groups[stage] = {name: series[name] for name in told}
            for name in WATCHED.keys() & history.keys():
                looks = {epoch: value for epoch, value in enumerate(history[name], 1) if value is not None}
                watched.setdefault(name, {})[stage] = np.array([*looks]), np.array([*looks.values()])
        if groups:
            plotting.save(plotting.panels(groups), self.folder / "figures" / "curves.png")
        if watched:
            drawn = [
                {"title": title, "x_label": "epoch", "series": watched[name]}
                for name, title in WATCHED.items()
                if name in watched
            ]
            plotting.save(plotting.graphs(drawn, columns=3), self.folder / "figures" / "monitors.png")
        if encoder is not None and image_shape is not None:
            from tf_kit.pretraining.stages import dense_stages

            kernel = keras.ops.convert_to_numpy(dense_stages(encoder)[0].dense.kernel)
            if kernel.shape[0] == np.prod(image_shape):
                plotting.save(plotting.filters(kernel, image_shape), self.folder / "figures" / "filters.png")

    def finish(self, results, keep_checkpoints=False):
        """Records the results. The checkpoints, needed only to resume, are removed unless asked for."""
        if self.history():
            self.write_history()
        write_json(self.folder / "results.json", results)
        if not keep_checkpoints:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)


class _StageState:
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
            shutil.copyfile(self._file("epoch", epoch), _replacing(self._file("best", epoch)))
            _replacing(self._file("best", epoch)).replace(self._file("best", epoch))
        self.epoch = epoch
        record = {"stage": stage, "epoch": epoch, "history": self.history, "best_epoch": self.best_epoch}
        write_json(self.folder / "state.json", record)
        kept = {self._file("epoch", epoch), self._file("best", self.best_epoch or 0)}
        for path in set(self.folder.glob("*.npz")) - kept:
            path.unlink()

    def _is_best(self, logs):
        if self.keep_best not in logs:
            _checks.refuse(
                "Run.fit.keep_best", "be a metric of the training: " + ", ".join(logs), f"{self.keep_best!r}"
            )
        earlier = self.history[self.keep_best][:-1]
        return not earlier or self._sign * logs[self.keep_best] > max(self._sign * value for value in earlier)

    def _file(self, kind, epoch):
        return self.folder / f"{kind}-{epoch:05d}.npz"


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


def save_variables(model, path):
    """Writes every variable that training changes, whole or not at all: weights, optimizer slots, random state.

    (Keras's own weight files leave out the state of random generators, so dropout would not continue exactly.)
    """
    arrays = [variable.numpy() for variable in _variables(model)]
    arrays = [array.astype("float32") if array.dtype.name == "bfloat16" else array for array in arrays]
    unfinished = _replacing(path)
    with unfinished.open("wb") as file:
        np.savez(file, *arrays)
    unfinished.replace(path)


def load_variables(model, path):
    """Gives the variables of `model` the values that `save_variables` wrote, or `InputError` if they do not fit."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
    except (OSError, ValueError, zipfile.BadZipFile):
        _checks.refuse(
            "checkpoint", "be a readable .npz file", f"{path}", "Start a new run in another folder"
        )
    variables = _variables(model)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        _checks.refuse(
            "checkpoint",
            "hold the variables of this model",
            f"{path} with {len(arrays)} arrays for {len(variables)} variables",
            "Start a new run in another folder",
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _variables(model):
    return [*model.variables, *(model.optimizer.variables if model.optimizer is not None else ())]


def save_model(model, path):
    """Writes a model as a `.keras` file, whole or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    model.save(unfinished)
    unfinished.replace(path)


def write_json(path, content):
    """Writes a JSON file, whole or not at all."""
    unfinished = _replacing(Path(path))
    unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read_json(path, what):
    """Reads a JSON file, or `InputError` if it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        _checks.refuse(
            what, "be a readable JSON file of a run", f"{path}", "Start a new run in another folder"
        )


def _replacing(path):
    """Where the new content of `path` is written before it takes its place in one rename."""
    return path.with_name(f".{path.name}.unfinished")


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
