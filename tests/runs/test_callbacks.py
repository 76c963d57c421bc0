"""Tests of callbacks that a user gives a run: they are called, change nothing, and a killed run continues exactly."""

import keras
import numpy as np
import pytest

from tf_kit.errors import InputError
from tf_kit.runs import Run
from tf_kit.runs.classification import finetune_run, probe_run
from tf_kit.runs.pretraining import pretrain


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


class Logger(keras.callbacks.Callback):
    """Logs what a tracking service gets: the metrics of each epoch, and the number of each step."""

    def __init__(self, kill_at=None):
        super().__init__()
        self.kill_at, self.epochs, self.steps, self.model_at_start = kill_at, [], 0, None

    def on_train_begin(self, logs=None):
        self.model_at_start = self.model

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, float(logs["loss"])))


def weights(folder, name="encoder"):
    return keras.models.load_model(folder / f"{name}.keras").get_weights()


@pytest.mark.parametrize(
    ("given", "received"),
    [
        (Logger(), "a Logger.* in brackets"),
        ([Logger], "the class Logger.*`Logger\\(\\)`"),
        ([print], "a builtin_function_or_method in the list"),
    ],
)
def test_anything_else_is_refused_before_a_folder_is_made(given, received, tmp_path):
    with pytest.raises(
        InputError, match=f"`callbacks` must be a list of Keras callbacks. Received: {received}"
    ):
        Run(tmp_path / "run", {}, callbacks=given)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_run_with_callbacks_is_the_run_without_and_resumes_exactly(tmp_path):
    small = {"epochs": 2, "batch_size": 256, "units": (16, 16), "monitor_every": 0}
    expected = pretrain("denoising", "digits", tmp_path / "without", **small)
    killed, resumed = Logger(kill_at=8), Logger()  # in the second epoch of the first of two layers
    with pytest.raises(Killed):
        pretrain("denoising", "digits", tmp_path / "run", callbacks=[killed], **small)
    results = pretrain("denoising", "digits", tmp_path / "run", resume=True, callbacks=[resumed], **small)
    for stage, values in expected["stages"].items():
        assert results["stages"][stage] | {"seconds": 0} == values | {"seconds": 0}
    for ours, theirs in zip(weights(tmp_path / "run"), weights(tmp_path / "without"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [epoch for epoch, _ in killed.epochs + resumed.epochs] == [0, 1, 0, 1]
    assert (killed.steps, resumed.steps) == (8, 5 + 2 * 5)


@pytest.mark.slow
def test_finetuning_from_scratch_and_probe_call_them(tmp_path):
    pretrain("autoencoder", "digits", tmp_path / "run", epochs=1, units=(16,), monitor_every=0)
    logger = Logger()
    results = finetune_run(
        tmp_path / "run", 2, labels=64, compare=True, callbacks=[logger], out=tmp_path / "tuned"
    )
    assert [epoch for epoch, _ in logger.epochs] == [0, 1, 0, 1]
    assert results == finetune_run(tmp_path / "run", 2, labels=64, compare=True, out=tmp_path / "again")
    probing = Logger()
    probe_run(tmp_path / "run", 1, labels=64, callbacks=[probing], out=tmp_path / "probe")
    assert len(probing.epochs) == 1
    assert probing.model_at_start is not logger.model_at_start
