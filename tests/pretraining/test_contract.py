"""Contract of pretrainers: one suite for every method."""

import keras
import numpy as np
import pytest
from pretraining import methods
from support.pretrainer import check_form, check_pretrainer, encoder

from tf_kit import data, regularization
from tf_kit.pretraining import (
    BYOL,
    DINO,
    NNCLR,
    RBM,
    Autoencoder,
    BarlowTwins,
    DenoisingAutoencoder,
    LeJEPA,
    MaskedAutoencoder,
    MaskedTokens,
    MaskedVectors,
    PatchEncoder,
    SimCLR,
    SimSiam,
    SupCon,
    TokenEncoder,
    VICReg,
)


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
        pytest.param(with_decoder, ADAM(0.01), marks=pytest.mark.slow),
        pytest.param(untied, ADAM(0.01), marks=pytest.mark.slow),
        (DenoisingAutoencoder, ADAM(0.01)),
        pytest.param(contrastive, SGD(0.2, momentum=0.5), marks=pytest.mark.slow),
        pytest.param(persistent, SGD(0.2, momentum=0.5), marks=pytest.mark.slow),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_keeps_the_contract(factory, optimizer, tmp_path):
    train = data.load("digits", seed=0)[0]
    check_pretrainer(factory, train.x, train.y, tmp_path / "model.keras", optimizer=optimizer)


VIEWS = regularization.compose(regularization.RandomCrop(1), regularization.AddNoise(0.1))


def joint(method, **options):
    return lambda encoder, seed: method(encoder, projector=(8, 4), augment=VIEWS, seed=seed, **options)


def patch_encoder(seed=0):
    return PatchEncoder(patch_size=2, width=8, depth=1, seed=seed)


def token_encoder(seed=0):
    return TokenEncoder(num_tokens=18, width=8, depth=1, padding=0, seed=seed)


def hidden_tokens(encoder, seed):
    return MaskedTokens(encoder, mask_token=17, specials=(1,), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "encoder"),
    [
        (joint(SimCLR), encoder),
        (joint(BYOL), encoder),
        (joint(SimSiam), encoder),
        (joint(NNCLR, queue_size=40), encoder),
        (joint(SupCon), encoder),
        (joint(BarlowTwins), encoder),
        (joint(VICReg), encoder),
        (joint(LeJEPA), encoder),
        (joint(DINO, local_views=1, num_prototypes=16), encoder),
        (MaskedVectors, encoder),
        pytest.param(MaskedAutoencoder, patch_encoder, marks=pytest.mark.slow),
        pytest.param(hidden_tokens, token_encoder, marks=pytest.mark.slow),
    ],
    ids=[*methods.JOINT, "MaskedVectors", "MaskedAutoencoder", "MaskedTokens"],
)
def test_keeps_the_contract_except_learning(factory, encoder, tmp_path):
    """Learning of digits is tested in the file of each method."""
    x = data.load("digits", seed=0)[0].x
    if factory is hidden_tokens:
        x = np.round(16 * x[..., 0].reshape(len(x), 64)[:, :12]).astype("int64")
    check_form(factory, x, tmp_path / "model.keras", encoder)
