"""Tests of a run folder: its files, its refusals, and exact continuation after a kill."""

import csv
import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.cases import mostly_slow

from tf_kit import data, networks
from tf_kit.errors import InputError
from tf_kit.pretraining import RBM, Autoencoder, Classifier, DenoisingAutoencoder, pretrain_greedily
from tf_kit.runs import Run, checkpoint, recording, write_json
from tf_kit.runs.progress import Progress

OPTIONS = {"command": "test", "units": [8, 8]}


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


class KillAfter(keras.callbacks.Callback):
    """Simulates a kill during an epoch, before its end is recorded."""

    def __init__(self, epoch, batch=2):
        super().__init__()
        self.at = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise Killed


@pytest.fixture(scope="module")
def digits():
    train, val, _ = data.load("digits", seed=0)
    return train.x[:200], train.y[:200], val.x[:100], val.y[:100]


def quiet_run(folder, **kwargs):
    return Run(folder, OPTIONS, progress=Progress(quiet=True), **kwargs)


def classifier(optimizer=None, dropout=0.3):
    encoder = keras.Sequential(
        [*networks.mlp((8,), num_classes=None, seed=0).layers, keras.layers.Dropout(dropout, seed=5)]
    )
    model = Classifier(encoder, 10, seed=3)
    model.compile(optimizer=optimizer or keras.optimizers.Adam(0.01))
    return model


def tune(run, digits, model=None, epochs=6, **kwargs):
    x, y, val_x, val_y = digits
    model = model or classifier()
    history = run.fit(
        model,
        x,
        y,
        stage="tuning",
        epochs=epochs,
        batch_size=64,
        validation_data=(val_x, val_y),
        **kwargs,
    )
    return model, history


def without_seconds(history):
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.mark.parametrize("keep_best", mostly_slow([None, "val_accuracy"], quick=1))
def test_killed_stage_continues_exactly(tmp_path, digits, keep_best):
    whole, history = tune(quiet_run(tmp_path / "whole"), digits, keep_best=keep_best)

    with pytest.raises(Killed):
        tune(quiet_run(tmp_path / "killed"), digits, keep_best=keep_best, callbacks=[KillAfter(epoch=3)])
    resumed, resumed_history = tune(quiet_run(tmp_path / "killed", resume=True), digits, keep_best=keep_best)

    assert without_seconds(resumed_history) == without_seconds(history)
    for ours, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    for ours, expected in zip(resumed.optimizer.variables, whole.optimizer.variables, strict=True):
        if keep_best is None:
            np.testing.assert_array_equal(ours.numpy(), expected.numpy())


@pytest.mark.slow
def test_wrong_twin_resumed_without_the_optimizer_differs(tmp_path, digits, monkeypatch):
    whole, _ = tune(quiet_run(tmp_path / "whole"), digits)
    with pytest.raises(Killed):
        tune(quiet_run(tmp_path / "killed"), digits, callbacks=[KillAfter(epoch=3)])
    forgetful = classifier()
    load = checkpoint.load_variables

    def load_and_forget(model, path):
        load(model, path)
        for variable in model.optimizer.variables[2:]:
            variable.assign(np.zeros(variable.shape, "float32"))

    monkeypatch.setattr(checkpoint, "load_variables", load_and_forget)
    tune(quiet_run(tmp_path / "killed", resume=True), digits, forgetful)
    differences = [
        np.abs(a - b).max() for a, b in zip(forgetful.get_weights(), whole.get_weights(), strict=True)
    ]
    assert max(differences) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("block", [DenoisingAutoencoder, RBM])
def test_killed_greedy_pretraining_continues_in_the_same_layer(tmp_path, digits, block):
    x = digits[0]

    def pretrain(run, callbacks=()):
        encoder = networks.mlp((8, 8), num_classes=None, seed=0)

        def fit(model, x, y, stage, **arguments):
            kill = callbacks if stage == "layer 2" else ()
            return run.fit(model, x, y, stage=stage, callbacks=kill, **arguments)

        extra = {"persistent": True} if block is RBM else {}
        pretrain_greedily(encoder, x, block=block, epochs=3, batch_size=64, fit=fit, **extra)
        return encoder

    whole = pretrain(quiet_run(tmp_path / "whole"))
    with pytest.raises(Killed):
        pretrain(quiet_run(tmp_path / "killed"), callbacks=[KillAfter(epoch=1, batch=1)])
    resumed = pretrain(quiet_run(tmp_path / "killed", resume=True))
    for ours, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_finished_stage_is_loaded_not_trained(tmp_path, digits):
    run = quiet_run(tmp_path / "run")
    trained, history = tune(run, digits, epochs=2)
    again, same = tune(
        quiet_run(tmp_path / "run", resume=True), digits, epochs=2, callbacks=[KillAfter(0, 0)]
    )
    assert same == history
    for ours, expected in zip(again.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


class StopAfter(keras.callbacks.Callback):
    """Stops a training, and changes its weights at the end, as callbacks that restore the best ones do."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch

    def on_train_end(self, logs=None):
        self.model.set_weights([weight / 2 for weight in self.model.get_weights()])


ENDINGS = {
    "stopped": lambda: StopAfter(1),
    "changed at the end": lambda: StopAfter(99),
    "best weights": lambda: keras.callbacks.EarlyStopping(
        "val_accuracy", mode="min", patience=1, restore_best_weights=True
    ),
}


@pytest.mark.parametrize("name", mostly_slow(ENDINGS, {"stopped"}))
@pytest.mark.parametrize("keep_best", mostly_slow([None, "val_accuracy"], quick=1))
def test_finished_stage_is_loaded_as_its_callbacks_left_it(tmp_path, digits, name, keep_best):
    ended, history = tune(
        quiet_run(tmp_path), digits, epochs=4, keep_best=keep_best, callbacks=[ENDINGS[name]()]
    )
    again, loaded = tune(
        quiet_run(tmp_path, resume=True), digits, epochs=4, keep_best=keep_best, callbacks=[ENDINGS[name]()]
    )
    assert loaded == history
    assert (len(history["loss"]) < 4) == (name != "changed at the end")
    for ours, theirs in zip(again.get_weights(), ended.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_damaged_end_of_a_stage_is_not_used(tmp_path, digits):
    _, history = tune(quiet_run(tmp_path), digits, callbacks=[StopAfter(1)])
    (end,) = tmp_path.glob("checkpoints/tuning/*-end.npz")
    end.write_bytes(b"")
    assert tune(quiet_run(tmp_path, resume=True), digits, callbacks=[StopAfter(1)])[1] == history


def test_stage_does_not_replace_the_weights_of_another_model(tmp_path, digits):
    run = quiet_run(tmp_path)
    model, _ = tune(run, digits, epochs=1)
    tune(run, digits, model, epochs=2)
    with pytest.raises(InputError, match=r"Run\.fit\.stage` must name the training of one model.*'tuning'"):
        tune(run, digits, epochs=2)
    other, _ = tune(run, digits, epochs=2, shared=True)
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_metric_to_keep_may_be_measured_later(tmp_path, digits):
    _, history = tune(quiet_run(tmp_path), digits, epochs=3, keep_best="val_accuracy", validation_freq=2)
    assert (history["best_epoch"], history["val_accuracy"][0]) == (2, None)
    with pytest.raises(InputError, match="keep_best='val_acuracy'"):
        tune(quiet_run(tmp_path / "typo"), digits, keep_best="val_acuracy", validation_freq=2)
    with pytest.raises(InputError, match="keep_best='val_accuracy'"):
        tune(quiet_run(tmp_path / "never"), digits, epochs=3, keep_best="val_accuracy", validation_freq=4)


class Adds(keras.callbacks.Callback):
    def __init__(self, **logs):
        super().__init__()
        self.logs = logs

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.logs)


def test_each_number_of_an_array_in_the_logs_is_recorded(tmp_path, digits):
    run = quiet_run(tmp_path / "run")
    adds = Adds(recall=np.array([0.25, 1.0]), one=np.float32(2), ready=True)
    _, history = tune(run, digits, epochs=1, callbacks=[adds])
    assert [history[name] for name in ("recall_0", "recall_1", "one", "ready")] == [
        [0.25],
        [1.0],
        [2.0],
        [1.0],
    ]
    with pytest.raises(InputError, match=r"must give the logs of an epoch numbers.*'good' as") as refused:
        tune(quiet_run(tmp_path / "text"), digits, epochs=1, callbacks=[Adds(note="good")])
    assert "\n" not in str(refused.value)


def test_best_epoch_is_kept(tmp_path, digits):
    seen = []
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((logs["val_accuracy"], model.get_weights()))
    )
    model = classifier(keras.optimizers.SGD(30.0))  # so large that the accuracy rises and falls
    _, history = tune(
        quiet_run(tmp_path / "run"), digits, model, keep_best="val_accuracy", callbacks=[remember]
    )
    accuracies = [accuracy for accuracy, _ in seen]
    assert accuracies[-1] < max(accuracies), "the last epoch is the best, so the test shows nothing"
    best = int(np.argmax(accuracies))
    assert history["best_epoch"] == best + 1
    for ours, expected in zip(model.get_weights(), seen[best][1], strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_run_folder_holds_all_files(tmp_path, digits):
    run = quiet_run(tmp_path / "run")
    model, history = tune(run, digits, epochs=3)
    run.draw(model.encoder, (8, 8, 1))
    config = json.loads((run.folder / "config.json").read_text())
    assert config["options"] == OPTIONS
    assert config["versions"]["keras"] == keras.__version__
    rows = list(csv.DictReader((run.folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {row["stage"] for row in rows} == {"tuning"}
    np.testing.assert_allclose([float(row["val_loss"]) for row in rows], history["val_loss"], rtol=1e-5)
    assert list(run.folder.glob("events/tuning/events*"))
    assert (run.folder / "figures" / "curves.png").stat().st_size > 1000
    assert (run.folder / "figures" / "filters.png").stat().st_size > 1000
    assert len(list(run.folder.glob("checkpoints/tuning/*.npz"))) == 2
    assert run.results is None
    run.finish({"answer": 42})
    assert run.results == {"answer": 42}
    assert not (run.folder / "checkpoints").exists()
    assert [path for path in run.folder.rglob("*") if "unfinished" in path.name] == []


def test_folder_in_use_is_refused(tmp_path):
    quiet_run(tmp_path / "run")
    with pytest.raises(InputError, match="`resume=True` continues it"):
        quiet_run(tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    for resume in (False, True):
        with pytest.raises(InputError, match="new or empty folder"):
            quiet_run(tmp_path / "full", resume=resume)
    assert (tmp_path / "full" / "thesis.tex").read_text() == "precious"
    with pytest.raises(InputError, match=r"new or empty folder|can be written"):
        quiet_run(tmp_path / "full" / "thesis.tex" / "run")


def test_other_options_do_not_resume(tmp_path):
    quiet_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"Received: units=\[9\], but the run began with \[8, 8\]"):
        Run(tmp_path / "run", {**OPTIONS, "units": [9]}, resume=True)


def test_damaged_config_is_refused_in_one_line(tmp_path):
    quiet_run(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(InputError, match="readable JSON"):
        quiet_run(tmp_path / "run", resume=True)


def test_unknown_metric_to_keep_is_refused(tmp_path, digits):
    with pytest.raises(InputError, match="val_accuracy"):
        tune(quiet_run(tmp_path / "run"), digits, keep_best="val_eror")


MEASURED = {"a": [1.0, 5.0, 2.0, None], "b": [3.0, 4.0, 2.0, 6.0], "c": [0.0, 0.0, 0.0, 0.0]}


def begun(folder, epochs, keep_best, best_is="largest"):
    """A stage of which some epochs are saved: the kernel of the model is the number of the epoch."""
    run, model = quiet_run(folder), small()
    state = checkpoint.StageState(folder / "checkpoints" / "s", keep_best, best_is)
    state.folder.mkdir(parents=True)
    state.order = 0
    for epoch in range(1, epochs + 1):
        model.encoder.set_weights([np.full((2, 1), float(epoch))])
        logs = {name: values[epoch - 1] for name, values in MEASURED.items() if values[epoch - 1] is not None}
        state.save(model, "s", epoch, {**logs, "seconds": 1.0})
    return run


def small():
    model = Autoencoder(keras.layers.Dense(1, use_bias=False))
    model.compile("sgd")
    model.prepare(np.ones((4, 2), "float32"))
    return model


@pytest.mark.parametrize("then", [None, ("a", "largest"), ("b", "smallest")])
@pytest.mark.parametrize(
    "now", [None, *((name, best) for name in MEASURED for best in ("largest", "smallest"))]
)
def test_resumed_stage_ends_with_the_epoch_that_it_is_to_keep_or_is_refused(tmp_path, then, now):
    """Whatever it began to keep: the weights of other epochs than the last are gone."""
    run = begun(tmp_path / "run", 4, *(then or (None,)))
    model, options = small(), {} if now is None else {"keep_best": now[0], "best_is": now[1]}

    def best_of(name, best_is):
        known = {epoch: value for epoch, value in enumerate(MEASURED[name], start=1) if value is not None}
        return (max if best_is == "largest" else min)(known, key=known.get)

    kept = {4, best_of(*then)} if then else {4}
    wanted = best_of(*now) if now else 4
    if wanted in kept:
        run.fit(model, np.ones((4, 2), "float32"), stage="s", epochs=4, **options)
        np.testing.assert_array_equal(model.encoder.get_weights()[0], np.full((2, 1), wanted))
    else:
        message = f"keep_best={now[0]!r}, by which the best epoch is {wanted}, whose weights were not kept"
        with pytest.raises(InputError, match=message):
            run.fit(model, np.ones((4, 2), "float32"), stage="s", epochs=4, **options)


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("loss", 2),
        ("val_loss", 2),
        ("reconstruction_loss", 2),
        ("val_mean_absolute_error", 2),
        ("val_accuracy", 3),
        ("rankme", 3),
        ("val_knn_accuracy", 3),
    ],
)
@pytest.mark.parametrize("best_is", [None, "largest", "smallest"])
def test_best_epoch_has_the_smallest_loss_and_the_largest_other_metric(tmp_path, name, best, best_is):
    run, model = quiet_run(tmp_path), small()
    folder = tmp_path / "checkpoints" / "s"
    folder.mkdir(parents=True)
    kept = {None: best, "largest": 3, "smallest": 2}[best_is]
    state = checkpoint.StageState(folder, name, "smallest" if kept == 2 else "largest")
    state.order = 0
    for epoch, value in enumerate([2.0, 1.0, 3.0, 2.5], start=1):
        model.encoder.set_weights([np.full((2, 1), float(epoch))])
        state.save(model, "s", epoch, {name: value, "seconds": 1.0})
    given = {} if best_is is None else {"best_is": best_is}
    history = run.fit(model, np.ones((4, 2), "float32"), stage="s", epochs=4, keep_best=name, **given)
    assert history["best_epoch"] == kept
    np.testing.assert_array_equal(model.encoder.get_weights()[0], np.full((2, 1), float(kept)))


@pytest.mark.parametrize("wrong", [7, ["loss"], True])
def test_metric_to_keep_that_is_no_name_is_refused(tmp_path, digits, wrong):
    with pytest.raises(InputError, match=r"`Run.fit.keep_best` must .* Received: keep_best="):
        tune(quiet_run(tmp_path / "run"), digits, keep_best=wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 2}, "epochs=2, but the stage 's' has trained 3"),
        ({"epochs": 3, "keep_best": "unknown"}, "keep_best='unknown'"),
        ({"epochs": 4, "keep_best": "a"}, "best epoch is 2, whose weights were not kept"),
    ],
)
def test_end_that_a_begun_stage_cannot_have_is_refused(tmp_path, options, message):
    run = begun(tmp_path / "run", 3, None)
    with pytest.raises(InputError, match=message):
        run.fit(small(), np.ones((4, 2), "float32"), stage="s", **options)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, digits):
    """A run of which one epoch of the stage "Stufe A" is saved."""
    run, model = quiet_run(tmp_path_factory.mktemp("run") / "run"), classifier()
    model.prepare_from(*digits[:2])
    folder = run.folder / "checkpoints" / "stufe-a"
    folder.mkdir(parents=True)
    checkpoint.StageState(folder).save(model, "Stufe A", 1, {"loss": 1.0, "seconds": 1.0})
    return run


def dataset(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(64)


REFUSED_FITS = {
    "name of another stage": ({"stage": "stufe-a"}, "stage='stufe-a', but the run has 'Stufe A'"),
    "name in other letters": ({"stage": "проба"}, "with a letter a-z or a digit.*'проба'"),
    "empty name": ({"stage": ""}, "stage=''"),
    "no name": ({"stage": None}, "stage=None"),
    "no epochs": ({"epochs": 0}, "epochs=0"),
    "epochs below 0": ({"epochs": -1}, "epochs=-1"),
    "first epoch": ({"initial_epoch": 1}, "left out, because a stage.*initial_epoch=1"),
    "first step": ({"initial_step": 3}, "left out, because a stage.*initial_step=3"),
    "model of Keras": ({"model": keras.Sequential()}, "`Run.fit.model`.*a Sequential"),
    "data set": ({"x": dataset, "y": None}, r"function \(first_epoch, epochs\) to continue.*a data set"),
    "data set with steps": (
        {"x": lambda x, y: dataset(x, y).repeat(), "y": None, "steps_per_epoch": 2}, "a data set"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_FITS)
def test_fit_is_refused_in_one_line(interrupted, digits, case):
    given, message = REFUSED_FITS[case]
    given = {"model": classifier(), "x": digits[0], "y": digits[1], "stage": "Stufe A", "epochs": 2} | given
    if callable(given["x"]):
        given["x"] = given["x"](*digits[:2])
    with pytest.raises(InputError, match=message) as refused:
        interrupted.fit(**given)
    assert "\n" not in str(refused.value)
    assert list(interrupted.history()) == ["Stufe A"]


REFUSED_RUNS = {
    "number as folder": ({"folder": 5}, "folder=5"),
    "empty folder": ({"folder": ""}, "folder=''"),
    "no options": ({"options": None}, "`Run.options` must be a dictionary.*a NoneType"),
    "array as option": ({"options": {"a": np.arange(3)}}, "a ndarray as 'a'.*tolist"),
    "set as option": ({"options": {"a": {1, 2}}}, "a set as 'a'"),
    "object as option": ({"options": {"a": {"b": object()}}}, "a dict as 'a'"),
    "list as data": ({"data": [np.zeros(3)]}, "dictionary of arrays.*a list"),
    "None as data": ({"data": {"x": np.zeros(3), "y": None}}, "a NoneType as 'y'"),
}


@pytest.mark.parametrize("case", REFUSED_RUNS)
def test_run_is_refused_in_one_line(tmp_path, case):
    given, message = REFUSED_RUNS[case]
    with pytest.raises(InputError, match=message) as refused:
        Run(**{"folder": tmp_path / "run", "options": {}} | given)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_options_that_are_not_finite_resume(tmp_path):
    options = {"rate": float("nan"), "limits": [np.float32(-np.inf), 1.0]}
    Run(tmp_path / "run", options)
    Run(tmp_path / "run", options, resume=True)
    with pytest.raises(InputError, match=r"rate=1\.0, but the run began with None"):
        Run(tmp_path / "run", options | {"rate": 1.0}, resume=True)


def test_results_that_json_does_not_have_are_refused(tmp_path):
    run = quiet_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"`Run\.finish\.results` must hold JSON values.*a ndarray as 'a'"):
        run.finish({"a": np.arange(3)})
    assert run.finish({"a": np.float32(3), "path": Path("b")}) == {"a": 3.0, "path": "b"}


def test_home_in_the_name_of_a_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert quiet_run("~/run").folder == tmp_path / "run"
    assert not Path("~").exists()


def test_json_is_never_incomplete(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    assert json.loads(path.read_text()) == {"old": 1}


def test_checkpoint_of_another_model_is_refused(tmp_path, digits):
    tune(quiet_run(tmp_path / "run"), digits, epochs=1)
    other = classifier(keras.optimizers.SGD(0.1))
    with pytest.raises(InputError, match=r"^`.*epoch-00001\.npz` must hold the variables of this") as caught:
        tune(quiet_run(tmp_path / "run", resume=True), digits, other, epochs=2)
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def deny(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", deny)
    with pytest.raises(
        InputError, match=r"`Run\.folder` must be a folder that can be written.*Permission denied"
    ):
        quiet_run(tmp_path / "run")


def test_first_different_entry_of_an_option_is_named(tmp_path):
    encoder = {"kind": "mlp", "units": [8]}
    Run(tmp_path / "run", {"encoder": encoder})
    with pytest.raises(InputError, match=r"with encoder\.units=\[8\], not \[9\]"):
        Run(tmp_path / "run", {"encoder": encoder | {"units": [9]}})
    with pytest.raises(InputError, match=r"Received: seed=1, but the run began with None"):
        Run(tmp_path / "run", {"encoder": encoder, "seed": 1}, resume=True)


def test_events_are_those_of_tensorflow(tmp_path):
    """An epoch is written in one message; TensorBoard finds in it what `tf.summary.scalar` writes."""
    logs = {"loss": 0.25, "val_accuracy": math.nan, "seconds": 1e-3}
    ours = recording.Events(tmp_path / "ours", {})
    ours.write(3, logs)
    ours.close()
    with tf.summary.create_file_writer(str(tmp_path / "theirs")).as_default(step=3):
        for name, value in logs.items():
            tf.summary.scalar(name, value)
    written = [
        [
            (event.step, value.tag, tf.make_ndarray(value.tensor), str(value.metadata))
            for path in (tmp_path / each).glob("events*")
            for event in tf.compat.v1.train.summary_iterator(str(path))
            for value in event.summary.value
        ]
        for each in ("ours", "theirs")
    ]
    assert repr(written[0]) == repr(written[1])
    assert len(written[0]) == 3
