"""Monitors: warnings of a collapse, values in every record of training, and no change of the training."""

import csv
import dataclasses
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from pretraining import methods

from tf_kit import data, networks
from tf_kit.networks.stages import dense_stages
from tf_kit.pretraining import (
    BYOL,
    Autoencoder,
    CollapseMonitor,
    CollapseWarning,
    KNNMonitor,
    SimCLR,
    VICReg,
    alignment,
    feature_deviation,
    knn_accuracy,
    rankme,
    uniformity,
)
from tf_kit.pretraining.monitors import embeddings_of
from tf_kit.runs import Run
from tf_kit.runs.progress import Progress

ADAM = keras.optimizers.Adam
NAMES = ["rankme", "feature_deviation", "uniformity", "alignment"]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", seed=0)[:2]


def collapsing(method=VICReg, seed=0):
    """A model whose only aim is that views agree, which a constant reaches."""
    encoder = networks.mlp((64,), num_classes=None, seed=seed)
    arguments = {"projector": (32,), "augment": methods.VIEWS, "seed": seed}
    if method is VICReg:
        model = VICReg(encoder, variance_weight=0, covariance_weight=0, **arguments)
    else:  # the teacher equals the student, and there is no predictor
        model = BYOL(encoder, predictor=keras.layers.Identity(), momentum=0.0, **arguments)
    model.compile(ADAM(0.01))
    return model


def fit(model, x, monitor, epochs=1, batch_size=32):
    """Fit; return the history and the warnings of a collapse."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[monitor]).history
    return history, [each for each in caught if issubclass(each.category, CollapseWarning)]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_warns_once_of_a_collapse_within_an_epoch(digits, seed):
    train, val = digits
    monitor = CollapseMonitor(val.x)
    history, caught = fit(collapsing(seed=seed), train.x, monitor, epochs=2)
    assert monitor.collapsed_in == 1
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("epoch 1: the embeddings have collapsed")
    assert f"{history['rankme'][0]:.2f} of 32" in message
    assert history["feature_deviation"][1] < history["feature_deviation"][0] < 0.05
    assert history["alignment"][1] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    methods.JOINT,
)
def test_does_not_warn_of_a_healthy_run(digits, name):
    train, val = digits
    model = methods.JOINT[name](methods.dense_encoder(), augment=methods.VIEWS)
    model.compile(ADAM(methods.LEARNING_RATE))
    monitor = CollapseMonitor(val.x)
    history, caught = fit(model, train.x, monitor, epochs=3, batch_size=128)
    assert (caught, monitor.collapsed_in) == ([], None)
    least = 0.1 if name == "DINO" else 0.2  # its embeddings come closer for some epochs before they part
    assert min(history["rankme"]) > 3
    assert min(history["feature_deviation"]) > least
    assert max(history["uniformity"]) < -least


def test_warns_of_weights_that_are_not_finite(digits):
    train, val = digits
    model = SimCLR(networks.mlp((8,), num_classes=None))
    model.compile(ADAM(0.01), run_eagerly=True)
    model.prepare(train.x[:1])
    model.projector.layers[0].kernel.assign(np.full(model.projector.layers[0].kernel.shape, np.nan))
    monitor = CollapseMonitor(val.x[:50])
    history, caught = fit(model, train.x[:50], monitor)
    assert (len(caught), monitor.collapsed_in) == (1, 1)
    assert np.all(np.isnan([history[name][0] for name in NAMES]))


@pytest.mark.slow
def test_warns_again_in_a_second_training(digits):
    train, val = digits
    monitor = CollapseMonitor(val.x[:100])
    collapsed = collapsing()
    for _ in range(2):
        assert len(fit(collapsed, train.x[:640], monitor)[1]) == 1


@pytest.mark.slow
def test_does_not_warn_again_in_a_continued_training(digits, tmp_path):
    """In this process, and in another one that resumes the run; `collapsed_in` is restored."""
    train, val = digits

    def pretrain(epochs, resume, every=1):
        monitor = CollapseMonitor(val.x[:100], every=every)
        run = Run(tmp_path / f"{every}", {"command": "test"}, resume, progress=Progress(quiet=True))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.fit(
                collapsing(),
                train.x[:640],
                stage="views",
                epochs=epochs,
                batch_size=32,
                callbacks=[monitor],
            )
        return monitor.collapsed_in, len(caught)

    assert pretrain(2, resume=False) == (1, 1)
    assert pretrain(3, resume=True) == (1, 0)
    assert pretrain(3, resume=True) == (1, 0), "also when there is nothing left to train"
    assert pretrain(2, resume=False, every=2) == (1, 1)
    assert pretrain(3, resume=True, every=2) == (1, 0), "with an epoch that is not measured in between"
    monitor, model = CollapseMonitor(val.x[:100]), collapsing()
    assert len(fit(model, train.x[:640], monitor)[1]) == 1
    model.fit(train.x[:640], epochs=2, initial_epoch=1, verbose=0, callbacks=[monitor])
    assert monitor.collapsed_in == 1


@pytest.mark.slow
def test_calls_a_function_instead_of_warning(digits):
    train, val = digits
    lines = []
    _, caught = fit(collapsing(), train.x, CollapseMonitor(val.x, say=lines.append))
    assert caught == []
    assert len(lines) == 1
    assert lines[0].startswith("epoch 1: the embeddings have collapsed")
    assert "\n" not in lines[0]


@pytest.mark.slow
def test_measures_the_first_and_the_last_epoch_and_some_between(digits):
    train, val = digits
    model = SimCLR(networks.mlp((8,), num_classes=None), projector=(4,))
    model.compile(ADAM(0.01), run_eagerly=True)
    logged = []
    monitors = [CollapseMonitor(val.x[:50], every=3), KNNMonitor(train, val, every=3)]
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logged.append(set(logs)))
    model.fit(train.x[:32], epochs=6, verbose=0, callbacks=[*monitors, record])
    names = {*NAMES, "val_knn_accuracy"}
    assert [names <= each for each in logged] == [True, False, False, True, False, True]
    assert not any(names & logged[epoch] for epoch in (1, 2, 4))


@pytest.mark.slow
def test_does_not_warn_of_a_large_common_mean(digits):
    """Sigmoid units are near ½, so one direction has most of the length. A constant is a collapse."""
    train, val = digits
    model = Autoencoder(networks.mlp((8, 8, 8), num_classes=None, activation="sigmoid"))
    model.compile(ADAM(0.001))
    monitor = CollapseMonitor(val.x)
    history, caught = fit(model, train.x, monitor)
    assert history["feature_deviation"][0] < 0.05, "for embeddings of two views it would be a collapse"
    assert (caught, monitor.collapsed_in) == ([], None)
    dense_stages(model.encoder)[-1].dense.kernel.assign(np.zeros((8, 8)))
    model.compile(ADAM(0.0))
    assert len(fit(model, train.x[:64], monitor)[1]) == 1


@pytest.mark.slow
def test_values_are_those_of_the_embeddings(digits):
    train, val = digits
    model = SimCLR(networks.mlp((8,), num_classes=None), projector=(6, 4), augment=methods.VIEWS)
    model.compile(ADAM(0.01), run_eagerly=True)
    history, _ = fit(model, train.x[:96], CollapseMonitor(val.x[:70]))
    za, zb = embeddings_of(model, val.x[:70])
    assert za.shape == zb.shape == (70, 4)
    assert history["rankme"] == [rankme(za)]
    assert history["feature_deviation"] == [feature_deviation(za)]
    assert history["uniformity"] == [uniformity(za)]
    assert history["alignment"] == [alignment(za, zb)]
    in_parts = embeddings_of(model, val.x[:70], batch_size=32)
    np.testing.assert_allclose(in_parts, (za, zb), rtol=1e-4, atol=1e-6)


def test_measures_the_representation_of_a_method_without_views(digits):
    train, val = digits
    model = Autoencoder(networks.mlp((8,), num_classes=None))
    model.compile(ADAM(0.01), run_eagerly=True)
    history, _ = fit(model, train.x[:96], CollapseMonitor(val.x[:70]))
    assert "alignment" not in history
    assert history["rankme"] == [rankme(np.asarray(model.encoder(val.x[:70])))]


def trained(callbacks, x, augment=methods.VIEWS):
    keras.utils.set_random_seed(0)
    model = SimCLR(methods.dense_encoder(), projector=(4,), augment=augment)
    model.compile(ADAM(0.01), run_eagerly=True)
    model.fit(x, batch_size=32, epochs=2, verbose=0, callbacks=callbacks)
    return model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("own_generator", [False, True])
def test_monitors_do_not_change_the_training(digits, own_generator):
    """Weights, moving statistics and random states, also those of an augmentation with its own generator."""
    train, val = digits
    augment = keras.layers.GaussianNoise(0.1, seed=1) if own_generator else methods.VIEWS
    watched = trained([CollapseMonitor(val.x[:50]), KNNMonitor(train, val)], train.x[:64], augment)
    if own_generator:
        augment = keras.layers.GaussianNoise(0.1, seed=1)
    for ours, expected in zip(watched, trained([], train.x[:64], augment), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_measures_neighbors_after_each_epoch(digits):
    train, val = digits
    model = SimCLR(networks.mlp((8,), num_classes=None), augment=methods.VIEWS)
    model.compile(ADAM(0.01), run_eagerly=True)
    history = model.fit(
        train.x[:96], batch_size=32, epochs=2, verbose=0, callbacks=[KNNMonitor(train, val, k=5)]
    )
    accuracies = history.history["val_knn_accuracy"]
    assert len(accuracies) == 2
    assert accuracies[-1] == knn_accuracy(model.encoder, train, val, k=5)


@pytest.mark.slow
def test_every_record_contains_the_values(digits, tmp_path):
    """History, CSV and TensorBoard events of the run, Keras's CSVLogger; also those of a resumed run."""
    train, val = digits

    def pretrain(folder, epochs, resume=False):
        model = SimCLR(networks.mlp((8,), num_classes=None), projector=(4,), augment=methods.VIEWS)
        model.compile(ADAM(0.01), run_eagerly=True)
        run = Run(tmp_path / folder, {"command": "test"}, resume, progress=Progress(quiet=True))
        callbacks = [
            CollapseMonitor(val.x[:50]),
            KNNMonitor(train, val),
            keras.callbacks.CSVLogger(tmp_path / f"{folder}.csv"),
        ]
        return run.fit(model, train.x[:64], stage="views", epochs=epochs, callbacks=callbacks)

    names = {*NAMES, "val_knn_accuracy"}
    history = pretrain("whole", 2)
    assert names <= history.keys()
    with (tmp_path / "whole" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in names:
        assert [float(row[name]) for row in rows] == pytest.approx(history[name], rel=1e-4)
    assert names <= set((tmp_path / "whole.csv").read_text().splitlines()[0].split(","))
    (events,) = (tmp_path / "whole" / "events" / "views").glob("events*")
    tags = {v.tag for event in tf.compat.v1.train.summary_iterator(str(events)) for v in event.summary.value}
    assert names <= tags
    pretrain("parts", 1)
    resumed = pretrain("parts", 2, resume=True)
    assert {name: resumed[name] for name in names} == {name: history[name] for name in names}


@pytest.mark.slow
def test_byol_without_teacher_and_predictor_collapses(digits):
    """Its embeddings use fewer directions in each epoch."""
    train, val = digits
    history, _ = fit(collapsing(BYOL), train.x, CollapseMonitor(val.x), epochs=3)
    assert history["feature_deviation"][-1] < 0.05


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda train, val: KNNMonitor(train, val, k=0), "k=0"),
        (lambda train, val: KNNMonitor(train, val, k=10_000), "k=10000"),
        (lambda train, val: KNNMonitor(train, train), "1197 of 1197 val examples that are also in train"),
        (lambda train, val: KNNMonitor((train.x, train.y), val), "KNNMonitor.train.*a tuple"),
        (lambda train, val: CollapseMonitor(val.x[:1]), "at least two examples"),
        (lambda train, val: CollapseMonitor(val.x * np.nan), "CollapseMonitor.x.*finite"),
        (
            lambda train, val: KNNMonitor(train, dataclasses.replace(val, x=val.x * np.nan)),
            "KNNMonitor.val.x.*finite",
        ),
        (lambda train, val: CollapseMonitor(val.x, min_rank=-1), "min_rank=-1"),
        (lambda train, val: CollapseMonitor(val.x, min_deviation=-1), "min_deviation=-1"),
        (lambda train, val: CollapseMonitor(val.x, every=0), "every=0"),
    ],
)
def test_refusals(digits, act, message):
    with pytest.raises(ValueError, match=message):
        act(*digits)


@pytest.mark.parametrize("name", ["val_knn_accuracy", "rankme", "feature_deviation"])
def test_callbacks_of_keras_know_that_larger_is_better(name, digits, tmp_path):
    train, val = digits
    small = dataclasses.replace(train, x=train.x[:64], y=train.y[:64])
    model = SimCLR(networks.mlp((8,), num_classes=None, seed=0), projector=(8,), augment=methods.VIEWS)
    model.compile(ADAM(0.01))
    monitors = [KNNMonitor(small, val), CollapseMonitor(small.x)]
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", monitor=name, save_best_only=True, save_weights_only=True
    )
    stop = keras.callbacks.EarlyStopping(name, patience=1)
    history = model.fit(small.x, epochs=3, verbose=0, callbacks=[*monitors, best, stop]).history[name]
    assert best.best == max(history)
    assert stop.best == max(history)
