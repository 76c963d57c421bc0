"""Tests of the progress of training where there is no terminal: lines with the epoch and the time left."""

import io
import pickle
import re

import keras
import numpy as np
import pytest

from tf_kit import networks
from tf_kit.data import waiting
from tf_kit.experiments import cells
from tf_kit.runs import progress
from tf_kit.training import Classifier

X = np.random.default_rng(0).random((64, 5)).astype("float32")
Y = np.arange(64) % 3


@pytest.fixture
def clock(monkeypatch):
    """Time that goes on by ten seconds whenever it is read."""
    now = [0.0]

    def read():
        now[0] += 10.0
        return now[0]

    monkeypatch.setattr(progress.time, "perf_counter", read)
    return now


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def run(shown, epochs, first=0, steps=4):
    """The calls that a training of some epochs makes."""
    callback = shown.start("pretraining", epochs, first)
    callback.set_params({"steps": steps})
    for epoch in range(first, epochs):
        callback.on_epoch_begin(epoch)
        for step in range(steps):
            callback.on_train_batch_end(step, {"loss": 0.5})
        callback.on_epoch_end(epoch, {"loss": 0.25})
    callback.on_train_end({"loss": 0.25})


def test_a_long_stage_says_how_far_it_is(clock, capsys):
    run(progress.Progress(), epochs=3)
    *within, last = lines(capsys)
    assert len(within) >= 3
    epochs = [
        re.fullmatch(r"pretraining, epoch (\d) of 3: loss 0\.\d+, about .* left", line)[1] for line in within
    ]
    assert epochs == sorted(epochs)
    assert epochs[-1] == "3"
    assert re.fullmatch(r"pretraining: 3 epochs in .*, loss 0\.25", last)


def test_time_left_is_that_of_the_rate_so_far(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    shown = progress.Progress()
    callback = shown.start("pretraining", 10, first_epoch=4)
    callback.set_params({"steps": 2})
    callback.on_epoch_begin(4)
    now[0] = 29.0
    callback.on_train_batch_end(0, {"loss": 1.0})
    assert lines(capsys) == []
    now[0] = 40.0  # an epoch takes 40 seconds, and five and none is left of this one
    callback.on_train_batch_end(1, {"loss": 1.0})
    assert lines(capsys) == ["pretraining, epoch 5 of 10: loss 1, about 3 min 20 s left"]
    callback.on_epoch_end(4, {"loss": 1.0})
    assert lines(capsys) == [], "one line is enough"


def test_time_left_of_a_command_counts_its_other_stages(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    shown = progress.Progress(total=20)
    callback = shown.start("layer 1", 10)
    callback.set_params({"steps": None})
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0, {"loss": 1.0})  # of a stream, whose length nobody knows
    now[0] = 31.0
    callback.on_epoch_end(0, {"loss": 1.0})
    assert lines(capsys) == ["layer 1, epoch 1 of 10: loss 1, about 9 min 49 s left"]


def test_short_or_quiet_stages_say_nothing_within(clock, capsys, monkeypatch):
    run(progress.Progress(quiet=True), epochs=3)
    assert lines(capsys) == []
    monkeypatch.undo()
    run(progress.Progress(), epochs=3)
    assert len(lines(capsys)) == 1


def test_training_prints_them(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "SECONDS", 0.0)
    model = Classifier(networks.mlp((4,), num_classes=None, input_shape=(5,)), 3)
    model.compile(keras.optimizers.SGD(0.1))
    callback = progress.Progress().start("fine-tuning", 2)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
    *within, last = lines(capsys)
    assert within[0].startswith("fine-tuning, epoch 1 of 2: accuracy ")
    assert within[-1].startswith("fine-tuning, epoch 2 of 2: accuracy ")
    assert last.startswith("fine-tuning: 2 epochs in ")


def test_processes_tell_the_one_that_prints(clock, capsys):
    pipe = io.BytesIO()
    run(cells._Sent(pipe), epochs=2)
    assert lines(capsys) == []
    pipe.seek(0)
    shown, names = progress.Progress(total=10), []
    while pipe.tell() < len(pipe.getbuffer()):
        name, arguments = pickle.load(pipe)
        names.append(name)
        getattr(shown, name)(*arguments)
    assert {"within", "advance", "ended"} == set(names)
    *within, last = lines(capsys)
    assert len(within) == names.count("within")
    assert all(re.fullmatch(r"pretraining, epoch [12] of 2: loss .*, about .* left", line) for line in within)
    assert last.startswith("pretraining: 2 epochs in ")
