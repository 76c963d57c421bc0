"""A classifier compiles like any Keras model: with its own loss, or with one that is given."""

import keras
import numpy as np
import pytest

from tf_kit import data, networks
from tf_kit.errors import InputError
from tf_kit.pretraining import Autoencoder, Classifier


@pytest.fixture(scope="module")
def digits():
    train, _, _ = data.load("digits", seed=0)
    return train.x[:150], train.y[:150]


def classifier(**compiled):
    model = Classifier(networks.mlp((16,), num_classes=None, seed=0), 10, seed=0)
    model.compile(optimizer=keras.optimizers.SGD(0.5), **compiled)
    return model


@pytest.mark.parametrize(
    "compiled",
    [
        {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": ["accuracy"]},
        {"loss": networks.SoftmaxCrossEntropy()},
    ],
    ids=["keras", "tf_kit"],
)
def test_a_given_cross_entropy_trains_as_the_own_one(digits, compiled):
    own, given = classifier(), classifier(**compiled)
    expected = own.fit(*digits, batch_size=40, epochs=2, verbose=0).history
    history = given.fit(*digits, batch_size=40, epochs=2, verbose=0).history
    assert history.keys() == expected.keys()
    for name in history:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-5)
    for ours, theirs in zip(given.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert len(given.evaluate(*digits, verbose=0)) == 2, "loss and accuracy, each once"


def test_another_loss_trains_otherwise(digits):
    hinge = classifier(
        loss=lambda y, z: keras.ops.square(z - keras.ops.one_hot(keras.ops.cast(y, "int32"), 10))
    )
    x, y = digits
    z = hinge(x).numpy()
    expected = np.mean((z - np.eye(10)[y]) ** 2)
    np.testing.assert_allclose(hinge.evaluate(x, y, verbose=0)[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    ["sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()],
    ids=["name", "object"],
)
def test_a_loss_of_probabilities_is_refused(loss):
    with pytest.raises(InputError, match="take logits"):
        classifier(loss=loss)


def test_a_saved_classifier_keeps_its_loss(digits, tmp_path):
    model = classifier(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.evaluate(*digits, verbose=0), model.evaluate(*digits, verbose=0), rtol=1e-6
    )


def test_a_pretrainer_brings_its_own_loss(digits):
    model = Autoencoder(networks.mlp((4,), num_classes=None, seed=0))
    model.compile(optimizer="sgd", loss="mse")
    with pytest.raises(InputError, match="left out"):
        model.fit(digits[0], verbose=0)
