"""Models of one structure share traced functions and get the same numbers as without."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit import networks, pretraining
from tf_kit.training import resident, sharing

X = np.random.default_rng(0).random((40, 8)).astype("float32")
Y = np.arange(40) % 3


def numbers(seed, rate=0.01, rows=40, width=6, noise=0.25):
    """Weights and history after greedy pretraining and fine-tuning."""
    encoder = networks.mlp((width, width), num_classes=None, input_shape=(8,), seed=seed)
    blocks = pretraining.pretrain_greedily(encoder, X[:rows], epochs=2, batch_size=16, seed=seed, rate=noise)
    classifier = pretraining.finetune(encoder, 3, learning_rate=rate, seed=seed)
    history = classifier.fit(
        X[:rows], Y[:rows], epochs=2, batch_size=16, verbose=0, validation_data=(X[:9], Y[:9])
    )
    histories = [*(block.history.history for block in blocks), history.history]
    return [v.numpy() for v in [*classifier.variables, *classifier.optimizer.variables]], histories


@pytest.fixture
def tracings(monkeypatch):
    """Kinds of the steps that are traced."""
    traced, old = [], resident.TracedPieces._traced

    def counted(self, model, kind, arrays):
        traced.append((type(model).__name__, kind))
        return old(self, model, kind, arrays)

    monkeypatch.setattr(resident.TracedPieces, "_traced", counted)
    return traced


CASES = [{"seed": 0}, {"seed": 1}, {"seed": 2, "rows": 33}, {"seed": 0, "rate": 0.02}]


@pytest.mark.slow
def test_shared_functions_give_the_same_numbers(tracings):
    expected = [numbers(**case) for case in CASES]
    alone = len(tracings)
    with sharing.shared_traces():
        found = [numbers(**case) for case in CASES]
    assert alone == 4 * 4
    assert len(tracings) - alone == 4 + 2, "of the last case only the classifier differs"
    for (ours, history), (theirs, other) in zip(found, expected, strict=True):
        assert history == other
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"noise": 0.25}, {"noise": 0.5}),
        ({"optimizer": {}}, {"optimizer": {"learning_rate": 0.2}}),
        ({"optimizer": {}}, {"optimizer": {"clipnorm": 1.0}}),
        ({"activation": "sigmoid"}, {"activation": "tanh"}),
        ({"penalty": None}, {"penalty": 0.1}),
        ({"frozen": False}, {"frozen": True}),
        ({"width": 6}, {"width": 7}),
        ({"optimizer": {"weight_decay": 0.1}}, {"optimizer": {"weight_decay": 0.1}, "not_decayed": ["bias"]}),
    ],
)
def test_models_that_train_otherwise_differ_in_structure(one, other):
    def structure(
        noise=0.25,
        optimizer=(),
        activation="sigmoid",
        penalty=None,
        frozen=False,
        width=6,
        seed=0,
        not_decayed=None,
    ):
        dense = keras.layers.Dense(
            width, activation, kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None
        )
        encoder = keras.Sequential([keras.Input((8,)), dense])
        dense.trainable = not frozen
        model = pretraining.DenoisingAutoencoder(encoder, rate=noise, seed=seed, tied=False)
        model.compile(keras.optimizers.SGD(**{"learning_rate": 0.1, **dict(optimizer)}))
        model.optimizer.exclude_from_weight_decay(var_names=not_decayed)
        model.prepare_from(X)
        return sharing.structure(model)

    assert structure(**one) == structure(**one, seed=1) is not None
    assert structure(**one) != structure(**other)


def test_models_with_foreign_parts_are_not_shared():
    class Own(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    for layer in (Own(), keras.layers.Lambda(lambda x: 2 * x), keras.layers.Activation(lambda x: 2 * x)):
        model = pretraining.Classifier(keras.Sequential([keras.Input((8,)), layer]), 3)
        model.compile("sgd")
        model.prepare_from(X, Y)
        assert sharing.structure(model) is None


def test_captures_of_unknown_tensors_are_not_shared():
    one, other, foreign = tf.Variable(1.0), tf.Variable(2.0), tf.constant(3.0)
    assert sharing.rebound([one.handle], [one], [other])[0] is other.handle
    assert sharing.rebound([one.handle, foreign], [one], [other]) is None
