"""Autoencoders and Boltzmann machines keep the contract of pretrainers."""

import keras
import pytest
from contracts.pretrainer import check_pretrainer

from tf_kit import data
from tf_kit.pretraining import RBM, Autoencoder, DenoisingAutoencoder


def with_decoder(encoder, seed):
    glorot = keras.initializers.GlorotUniform(seed)
    decoder = keras.Sequential([keras.layers.Dense(64, kernel_initializer=glorot)])
    return Autoencoder(encoder, decoder=decoder, loss="squared_error", seed=seed)


def untied(encoder, seed):
    arguments = {"tied": False, "loss": "squared_error", "corruption": "salt_and_pepper", "rate": 0.1}
    return DenoisingAutoencoder(encoder, seed=seed, **arguments)


def contrastive(encoder, seed):
    return RBM(encoder=encoder, gibbs_steps=2, seed=seed)


def persistent(encoder, seed):
    return RBM(encoder=encoder, persistent=True, num_chains=32, seed=seed)


SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam


@pytest.mark.parametrize(
    ("factory", "optimizer"),
    [
        (with_decoder, ADAM(0.01)),
        (untied, ADAM(0.01)),
        (DenoisingAutoencoder, ADAM(0.01)),
        (contrastive, SGD(0.2, momentum=0.5)),
        (persistent, SGD(0.2, momentum=0.5)),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_keeps_the_contract(factory, optimizer, tmp_path):
    train = data.load("digits", seed=0)[0]
    check_pretrainer(factory, train.x, train.y, tmp_path / "model.keras", optimizer=optimizer)
