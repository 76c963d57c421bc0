"""Tests of checkpoints of short epochs: one about every second, and a result that does not depend on their number."""

import types

import keras
import numpy as np
import pytest
from support.cases import mostly_slow
from support.twins import wrong_function

from tf_kit import whole_files
from tf_kit.errors import TrainingDiverged
from tf_kit.runs import Run, recording
from tf_kit.runs.progress import Progress
from tf_kit.training import Classifier

X = np.random.default_rng(0).random((60, 6)).astype("float32")
Y = np.arange(60) % 3
EPOCHS = 8
SPACINGS = {"every epoch": 0.0, "every third": 3.0, "the last only": np.inf}


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


@pytest.fixture
def seconds(monkeypatch):
    """A clock that an epoch, which reads it, moves by one second."""
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(recording, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: vars(clock).update(now=clock.now + 1)
    )


def classifier():
    layers = [keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.GlorotUniform(1))]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3, seed=5)]
    model = Classifier(keras.Sequential([keras.Input((6,)), *layers]), 3, seed=2)
    model.compile(keras.optimizers.SGD(3.0))  # so large that the accuracy rises and falls
    return model


def train(folder, *callbacks, keep_best="val_accuracy"):
    run, model = Run(folder, {"test": 1}, resume=True, progress=Progress(quiet=True)), classifier()
    options = {"validation_data": (X[:30], Y[:30]), "batch_size": 20, "keep_best": keep_best}
    history = run.fit(model, X, Y, stage="s", epochs=EPOCHS, callbacks=callbacks, **options)
    history.pop("seconds")
    return model.get_weights(), history


def saved(folder):
    return sorted(path.name for path in folder.glob("checkpoints/s/*.npz"))


def spy_on_checkpoints(monkeypatch):
    """List the epochs after which a checkpoint was written."""
    written, record = [], recording.StageState._record

    def spy(state, stage):
        record(state, stage)
        written.append(state.epoch)

    monkeypatch.setattr(recording.StageState, "_record", spy)
    return written


CASES = [
    *((spacing, "val_accuracy") for spacing in ("every third", "every epoch", "the last only")),
    ("every third", None),
]


@pytest.mark.parametrize(("spacing", "keep_best"), mostly_slow(CASES, 1))
def test_result_does_not_depend_on_the_number_of_checkpoints(
    spacing, keep_best, seconds, tmp_path, monkeypatch
):
    expected, all_of_it = train(tmp_path / "whole", seconds, keep_best=keep_best)
    monkeypatch.setattr(recording, "SPACING", SPACINGS[spacing])
    written = spy_on_checkpoints(monkeypatch)
    weights, history = train(tmp_path / "run", seconds, keep_best=keep_best)
    assert history == all_of_it
    assert history.get("best_epoch") != EPOCHS, "the last epoch is the best, so the test shows nothing"
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    after = {"every epoch": [1, 2, 3, 4, 5, 6, 7, 8], "every third": [3, 6, 8], "the last only": [8]}[spacing]
    assert written[: len(after)] == after  # then the end of a stage with callbacks


KILLS = {f"{spacing}, file {n}": (spacing, n) for spacing in SPACINGS for n in (1, 2, 3, 5, 7, 9, 11)}
QUICK = (("every third", 5),)


@pytest.mark.parametrize(("spacing", "files"), mostly_slow(KILLS.values(), QUICK), ids=KILLS)
def test_run_killed_while_it_writes_continues_exactly(spacing, files, seconds, tmp_path, monkeypatch):
    """A kill at any file: arrays of the epoch or of the best before it, the record, the history."""
    expected, all_of_it = train(tmp_path / "whole", seconds)
    monkeypatch.setattr(recording, "SPACING", SPACINGS[spacing])
    flush, left = whole_files._flush, [files]

    def kill(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return flush(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(whole_files, "_flush", kill)
        with pytest.raises(Killed):
            train(tmp_path / "run", seconds)
    weights, history = train(tmp_path / "run", seconds)
    assert history == all_of_it
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_callback_that_ends_the_stage_is_followed_by_a_checkpoint(seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "SPACING", np.inf)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 2 and setattr(
        stop.model, "stop_training", True
    ))  # fmt: skip
    weights, history = train(tmp_path / "run", stop)
    again, same = train(tmp_path / "run")
    assert len(history["loss"]) == 3
    assert same == history
    for ours, theirs in zip(again, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_message_names_the_checkpoint_that_is_on_the_disk(seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "SPACING", 3.0)
    poison = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epoch == 5 and poison.model.encoder.layers[0].kernel.assign(
            np.full((6, 8), np.nan)
        )
    )  # fmt: skip
    with pytest.raises(TrainingDiverged, match=r"in epoch 6, .*the checkpoint of epoch 3 is kept"):
        train(tmp_path / "run", seconds, poison)
    monkeypatch.setattr(recording, "SPACING", np.inf)
    with pytest.raises(TrainingDiverged, match=r"no checkpoint was written before"):
        train(tmp_path / "other", seconds, poison)


def test_wrong_twin_that_keeps_the_latest_weights_as_the_best_fails(seconds, tmp_path, monkeypatch):
    wrong = wrong_function(recording.StageState, "save", "elif self.best_epoch == epoch:", "else:")
    monkeypatch.setattr(recording.StageState, "save", wrong)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        test_result_does_not_depend_on_the_number_of_checkpoints(
            "the last only", "val_accuracy", seconds, tmp_path, monkeypatch
        )
