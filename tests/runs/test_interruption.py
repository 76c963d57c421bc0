"""Tests of stopping within an epoch: checkpoints by time, Ctrl-C and SIGTERM, and exact continuation."""

import csv
import functools
import shlex
import signal
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from cli.typed import run_main
from support.twins import wrong_twin

from tf_kit import data, networks
from tf_kit.pretraining import Classifier, DenoisingAutoencoder
from tf_kit.runs import Run, checkpoint
from tf_kit.runs.divergence import Guard
from tf_kit.runs.interruption import Interruption
from tf_kit.runs.progress import Progress
from tf_kit.training import resident, workers

X = np.random.default_rng(0).random((200, 6)).astype("float32")
Y = np.arange(200) % 3
STEPS, EPOCHS = 20, 3


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


class At(keras.callbacks.Callback):
    """Calls a function after the piece, or the step, in which some step of an epoch was finished."""

    works_in_pieces = True

    def __init__(self, epoch, step, do):
        super().__init__()
        self.at, self.do, self.epoch = (epoch, step), do, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.do is not None and self.epoch == self.at[0] and batch >= self.at[1]:
            do, self.do = self.do, None
            do()


class StepByStep(At):
    """Needs every step, so that steps do not run in pieces."""

    works_in_pieces = False


def kill():
    raise Killed


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    """Pieces of three steps."""
    monkeypatch.setattr(resident, "_FIRST", 3)
    monkeypatch.setattr(resident, "_GROWTH", 1)


def classifier(**compiled):
    layers = [keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.GlorotUniform(1))]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3, seed=5)]
    model = Classifier(keras.Sequential([keras.Input((6,)), *layers]), 3, seed=2)
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="compiled")
    model.compile(keras.optimizers.Adam(0.01), metrics=[metric], **compiled)
    return model


def of_arrays(run, *callbacks, **compiled):
    model = classifier(**compiled)
    options = {"validation_data": (X[:50], Y[:50]), "keep_best": "val_accuracy", "batch_size": 10}
    history = run.fit(model, X, Y, stage="s", epochs=EPOCHS, callbacks=callbacks, **options)
    return model, history


def of_a_stream(run, *callbacks):
    model = DenoisingAutoencoder(networks.mlp((4,), num_classes=None, input_shape=(6,), seed=0), seed=1)
    model.compile(keras.optimizers.Adam(0.01))

    def stream(first_epoch, epochs):
        return data.minibatches(X, batch_size=10, seed=7, first_epoch=first_epoch, epochs=epochs)

    history = run.fit(model, stream, stage="s", epochs=EPOCHS, steps_per_epoch=STEPS, callbacks=callbacks)
    return model, history


TRAININGS = {
    "arrays": of_arrays,
    "compiled by XLA": functools.partial(of_arrays, jit_compile=True),
    "stream": of_a_stream,
}


def quiet_run(folder, resume=True, checkpoint_seconds=0.0):
    return Run(folder, {"test": 1}, resume, Progress(quiet=True), checkpoint_seconds)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder, weights and history of each uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: (folder / name, *train(quiet_run(folder / name))) for name, train in TRAININGS.items()}


def check_same(folder, model, history, expected):
    whole_folder, whole_model, whole_history = expected
    for ours, theirs in zip(model.get_weights(), whole_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in whole_history.keys() - {"seconds"}:
        assert history[name] == whole_history[name], name
    assert events(folder) == events(whole_folder)
    rows = [[row[:2] for row in csv.reader((each / "history.csv").open())] for each in (folder, whole_folder)]
    assert rows[0] == rows[1]


def events(folder):
    """(stage, tag, epoch, value) of all events but the durations, in the order in which they were written."""
    found = []
    for path in sorted(folder.glob("events/*/events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag != "seconds":
                    number = float(tf.make_ndarray(value.tensor))
                    found.append((path.parent.name, value.tag, event.step, np.float32(number)))
    return found


MOMENTS = [[(0, 3)], [(1, 1)], [(1, 18)], [(0, 9), (0, 16)], [(1, 5), (2, 2), (2, 14)]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "kills"),
    [
        ("arrays", At, MOMENTS[4:]),
        pytest.param("arrays", At, MOMENTS[:4], marks=pytest.mark.slow),
        pytest.param("arrays", StepByStep, MOMENTS[3:], marks=pytest.mark.slow),
        ("compiled by XLA", At, MOMENTS[3:]),
        ("compiled by XLA", StepByStep, MOMENTS[4:]),
        pytest.param("stream", At, MOMENTS[3:], marks=pytest.mark.slow),
        pytest.param("stream", StepByStep, MOMENTS[3:], marks=pytest.mark.slow),
    ],
)
def test_killed_training_continues_within_the_epoch(name, kind, kills, whole, tmp_path):
    for moments in kills:
        folder = tmp_path / "-".join(f"{epoch}.{step}" for epoch, step in moments)
        for moment in moments:
            with pytest.raises(Killed):
                TRAININGS[name](quiet_run(folder), kind(*moment, kill))
        state = checkpoint.StageState(folder / "checkpoints" / "s")
        epoch, step = moments[-1]
        assert (state.epoch, step - 3 <= state.step <= step) == (epoch, True) or state.step == 0
        model, history = TRAININGS[name](quiet_run(folder))
        check_same(folder, model, history, whole[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (
            "*(optimizer.variables if optimizer is not None else ())",
            "*optimizer.variables[:3]",
        ),
        ("return [*model.variables,", "return [*model.trainable_variables,"),
    ],
    ids=["the slots", "the random state"],
)
def test_wrong_twin_forgets(right, wrong, whole, tmp_path, monkeypatch):
    twin = wrong_twin(checkpoint, right, wrong)
    for name in ("save_variables", "load_variables"):
        monkeypatch.setattr(checkpoint, name, getattr(twin, name))
    with pytest.raises(Killed):
        of_arrays(quiet_run(tmp_path / "run"), At(1, 5, kill))
    model, history = of_arrays(quiet_run(tmp_path / "run"))
    with pytest.raises(AssertionError):
        check_same(tmp_path / "run", model, history, whole["arrays"])


@pytest.mark.slow
def test_wrong_twin_forgets_the_means(whole, tmp_path, monkeypatch):
    """The weights are right, the metrics of the epoch are those of its second part."""
    with pytest.raises(Killed):
        of_arrays(quiet_run(tmp_path / "run"), At(1, 5, kill))
    monkeypatch.setattr(checkpoint.StageState, "restore_metrics", lambda self, model: None)
    _, history = of_arrays(quiet_run(tmp_path / "run"))
    assert history["loss"][1] != whole["arrays"][2]["loss"][1]
    assert history["loss"][2] == whole["arrays"][2]["loss"][2]


@pytest.mark.slow
def test_checkpoints_are_written_by_time(tmp_path):
    """A kill within an epoch that is shorter than the time continues at its beginning."""
    with pytest.raises(Killed):
        of_arrays(quiet_run(tmp_path / "run", checkpoint_seconds=60), At(1, 9, kill))
    state = checkpoint.StageState(tmp_path / "run" / "checkpoints" / "s")
    assert (state.epoch, state.step) == (1, 0)


@pytest.mark.slow
def test_seconds_of_an_epoch_are_the_sum_of_its_parts(tmp_path):
    with pytest.raises(Killed):
        of_arrays(quiet_run(tmp_path / "run"), At(0, 9, kill))
    path = tmp_path / "run" / "checkpoints" / "s"
    state = checkpoint.StageState(path)
    assert state.seconds > 0
    state.save_within(classifier_like(state), "s", state.step, 1000.0)
    _, history = of_arrays(quiet_run(tmp_path / "run"))
    assert 1000 < history["seconds"][0] < 1100
    assert history["seconds"][1] < 100


def classifier_like(state):
    model = classifier()
    model.prepare_from(X, Y)
    state.restore_last(model)
    state.restore_metrics(model)
    return model


def raising(number):
    return lambda: signal.raise_signal(number)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_ctrl_c_saves_first(name, whole, tmp_path, capsys):
    run = Run(tmp_path / "run", {"test": 1}, True)
    with pytest.raises(KeyboardInterrupt):
        TRAININGS[name](run, At(1, 6, raising(signal.SIGINT)))
    err = capsys.readouterr().err
    assert "finishing the step and saving; another signal ends the process at once" in err
    state = checkpoint.StageState(tmp_path / "run" / "checkpoints" / "s")
    assert (state.epoch, state.step > 6) == (1, True)
    assert f"s: saved after step {state.step} of epoch 2" in err
    model, history = TRAININGS[name](quiet_run(tmp_path / "run"))
    check_same(tmp_path / "run", model, history, whole[name])


def test_signal_in_the_last_step_of_an_epoch_saves_the_epoch(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        of_arrays(quiet_run(tmp_path / "run"), At(1, STEPS - 1, raising(signal.SIGINT)))
    state = checkpoint.StageState(tmp_path / "run" / "checkpoints" / "s")
    assert (state.epoch, state.step) == (2, 0)


@pytest.mark.slow
def test_handlers_are_restored(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    of_arrays(quiet_run(tmp_path / "run"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.slow
def test_users_handler_decides(tmp_path, whole):
    """A handler that returns lets the training continue after it has been saved."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        model, history = of_arrays(quiet_run(tmp_path / "run"), At(1, 6, raising(signal.SIGTERM)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]
    check_same(tmp_path / "run", model, history, whole["arrays"])


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption(pytest.fail):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_install_nothing():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def enter():
        with Interruption(pytest.fail):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]


def test_second_signal_ends_the_process(monkeypatch):
    monkeypatch.setattr("os._exit", sys.exit)
    interruption = Interruption(lambda line: None)
    with interruption:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(SystemExit, match="143"):
            signal.raise_signal(signal.SIGTERM)
        interruption.received = None


@pytest.mark.slow
def test_several_machines_stop_without_saving_within_an_epoch(tmp_path, monkeypatch):
    """They would have to agree on the step."""
    run = quiet_run(tmp_path / "run")
    monkeypatch.setattr("tf_kit.runs.recording.workers", type("Several", (), {"several": lambda: True}))
    assert not workers.several()
    with pytest.raises(KeyboardInterrupt):
        of_arrays(run, At(1, 6, raising(signal.SIGINT)))
    state = checkpoint.StageState(tmp_path / "run" / "checkpoints" / "s")
    assert (state.epoch, state.step) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_command_prints_how_to_continue(number, status, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hook = Guard.on_train_batch_end

    def interrupted(self, batch, logs=None):
        hook(self, batch, logs)
        if batch > 5:
            signal.raise_signal(number)

    arguments = [
        "pretrain",
        "masked",
        "--units",
        "8",
        "--epochs",
        "1",
        "--batch-size",
        "50",
        "--out",
        "a run",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Guard, "on_train_batch_end", interrupted)
        found, out, err = run_main(monkeypatch, capsys, *arguments)
    assert (found, out) == (status, "")
    typed = f"tf-kit {shlex.join(arguments)} --resume"
    assert err.splitlines()[-1] == f"tf-kit: interrupted; --resume continues: {typed}"
    assert "pretraining: saved after step" in err
    found, _, _ = run_main(monkeypatch, capsys, *shlex.split(typed)[1:])
    assert found == 0
