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


WHOLE = {
    "SimCLR": (joint(SimCLR), encoder),
    "BYOL": (joint(BYOL), encoder),
    "SimSiam": (joint(SimSiam), encoder),
    "NNCLR": (joint(NNCLR, queue_size=40), encoder),
    "SupCon": (joint(SupCon), encoder),
    "BarlowTwins": (joint(BarlowTwins), encoder),
    "VICReg": (joint(VICReg), encoder),
    "LeJEPA": (joint(LeJEPA), encoder),
    "DINO": (joint(DINO, local_views=1, num_prototypes=16), encoder),
    "MaskedVectors": (MaskedVectors, encoder),
    "MaskedAutoencoder": (MaskedAutoencoder, patch_encoder),
    "MaskedTokens": (hidden_tokens, token_encoder),
}
LAYERS = {
    each.__name__: (each, encoder)
    for each in (with_decoder, untied, DenoisingAutoencoder, contrastive, persistent)
}
assert set(methods.JOINT) < set(WHOLE)


def digits(factory):
    """Images, or their first grey values as tokens."""
    x = data.load("digits", seed=0)[0].x
    return (
        np.round(16 * x[..., 0].reshape(len(x), 64)[:, :12]).astype("int64")
        if factory is hidden_tokens
        else x
    )


@pytest.mark.slow
@pytest.mark.parametrize(("factory", "encoder"), WHOLE.values(), ids=WHOLE)
def test_keeps_the_contract_except_learning(factory, encoder, tmp_path):
    """Learning of digits is tested in the file of each method."""
    check_form(factory, digits(factory), tmp_path / "model.keras", encoder)


@pytest.mark.slow
@pytest.mark.parametrize(("factory", "encoder"), (LAYERS | WHOLE).values(), ids=LAYERS | WHOLE)
def test_steps_that_xla_compiles_are_the_same(factory, encoder):
    """Two epochs with a short minibatch at their ends: the same draws and the same mathematics, up to rounding."""
    trained = []
    for jit_compile in (False, True):
        model = factory(encoder(), seed=3)
        model.compile(SGD(0.01), jit_compile=jit_compile)
        history = model.fit(digits(factory)[:40], batch_size=16, epochs=2, verbose=0).history
        trained.append((history, model.get_weights()))
    (expected, weights), (history, compiled) = trained
    assert set(history) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    for one, other in zip(compiled, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
