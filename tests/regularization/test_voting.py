"""Topic 10, the vote: averaging over masks against scaling the weights."""

import keras
import numpy as np
import pytest
from oracles import regularization as oracle
from support.twins import wrong_twin

from tf_kit.regularization import (
    BatchNorm,
    DropConnect,
    Dropout,
    predict_by_mask_sampling,
    predict_by_weight_scaling,
    voting,
)

rng = np.random.default_rng(10)
X = rng.normal(size=(6, 5))
KERNEL, BIAS = 2 * rng.normal(size=(5, 3)), rng.normal(size=3)
RATE = 0.3


def softmax_regression(dropout=Dropout, activation=None):
    model = keras.Sequential([keras.Input((5,)), dropout(RATE), keras.layers.Dense(3, activation)])
    model.set_weights([KERNEL, BIAS])
    return model


def check_weight_scaling(module):
    """For softmax regression it is the geometric mean of all 2⁵ thinned networks, by enumeration."""
    votes = module.predict_by_weight_scaling(softmax_regression(), X)
    np.testing.assert_allclose(votes, oracle.geometric_vote(X, KERNEL, BIAS, RATE), rtol=1e-4)


def check_mask_sampling(module):
    """It tends to the arithmetic mean of all 2⁵ thinned networks: within 3 standard errors of 100 masks."""
    votes = module.predict_by_mask_sampling(softmax_regression(), X, num_masks=100, seed=1)
    np.testing.assert_allclose(votes, oracle.arithmetic_vote(X, KERNEL, BIAS, RATE), atol=3 * 0.3 / 10)


@pytest.mark.parametrize("check", [check_weight_scaling, check_mask_sampling])
def test_equals_the_vote_of_all_masks(check):
    check(voting)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_weight_scaling, "map_structure(lambda array: ops.convert_to_tensor(array[rows]), x)",
         "map_structure(lambda array: ops.convert_to_tensor(0.7 * array[rows]), x)"),
        (check_weight_scaling, "else ops.softmax(outputs)", "else ops.sigmoid(outputs)"),
        (check_mask_sampling, "total + np.concatenate(batches)", "np.concatenate(batches)"),
        (check_mask_sampling, "inputs * scale + offset", "inputs + offset"),
        (check_mask_sampling, "(seed, k)", "(seed, 0)"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(voting, right, wrong))


def test_the_two_votes_differ():
    geometric, arithmetic = (
        vote(X, KERNEL, BIAS, RATE) for vote in (oracle.geometric_vote, oracle.arithmetic_vote)
    )
    assert np.abs(geometric - arithmetic).max() > 0.05


class Subclassed(keras.Model):
    """Dropout of Keras nested in a list, batch norm, noise, and a dropout used twice."""

    def __init__(self):
        super().__init__()
        self.body = [keras.layers.Dense(16, "relu"), BatchNorm(), keras.layers.GaussianNoise(1.0)]
        self.shared = Dropout(0.5)
        self.block = keras.Sequential(
            [keras.layers.Dense(16), keras.layers.AlphaDropout(0.2), DropConnect(16, 0.2)]
        )
        self.head = keras.layers.Dense(3, "softmax")

    def call(self, inputs, training=None):
        x = inputs
        for layer in self.body:
            x = layer(x, training=training)
        x = self.shared(x, training=training)
        return self.head(self.shared(self.block(x, training=training), training=training))


@pytest.mark.parametrize("make", [softmax_regression, Subclassed])
def test_fixed_by_the_seed_alone_and_leaves_no_trace(make):
    model = make()
    model(X)
    before = [np.array(variable.numpy()) for variable in (*model.weights, *seeds(model))]
    first = predict_by_mask_sampling(model, X, num_masks=5, seed=3)
    for variable, value in zip((*model.weights, *seeds(model)), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    np.testing.assert_array_equal(model.predict(X, verbose=0), model.predict(X, verbose=0))
    weights = model.get_weights()
    model(X, training=True)  # moves every seed
    model.set_weights(weights)
    again = predict_by_mask_sampling(model, X, num_masks=5, seed=3, batch_size=4)
    np.testing.assert_allclose(again, first, rtol=1e-4)
    others = predict_by_mask_sampling(model, X, num_masks=5, seed=4)
    assert np.abs(others - first).max() > 1e-3
    np.testing.assert_allclose(first.sum(axis=1), 1, rtol=1e-5)


def seeds(model):
    layers = model._flatten_layers()
    return [layer.seed_generator.state for layer in layers if hasattr(layer, "seed_generator")]


def test_batch_norm_keeps_its_moving_statistics():
    """One mask of rate ~0 is prediction: batch norm uses what it has learnt, not this batch."""
    model = keras.Sequential([BatchNorm(), Dropout(1e-9), keras.layers.BatchNormalization()])
    model(X)
    np.testing.assert_allclose(
        predict_by_mask_sampling(model, X + 100, num_masks=1, from_logits=False),
        model.predict(X + 100, verbose=0),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "layer",
    [keras.layers.Dropout(0.5), keras.layers.GaussianDropout(0.5), keras.layers.AlphaDropout(0.5), Dropout(0.5),
     keras.layers.SpatialDropout1D(0.5)],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_a_thinned_network_treats_every_example_alike(layer):
    """Equal examples get equal votes, in units (and only some of them) that differ from prediction."""
    model = keras.Sequential([layer])
    x = np.repeat(rng.normal(size=(1, 4, 50)), 3, axis=0)
    votes = predict_by_mask_sampling(model, x, num_masks=1, from_logits=False)
    np.testing.assert_array_equal(votes, np.repeat(votes[:1], 3, axis=0))
    assert 0.2 < np.mean(np.abs(votes - x) > 1e-6) <= 1
    if isinstance(layer, (Dropout, keras.layers.Dropout)):
        kept = votes != 0
        assert 0.3 < kept.mean() < 0.7
        np.testing.assert_allclose(votes[kept], 2 * x[kept], rtol=1e-5)
    if not isinstance(
        layer, keras.layers.AlphaDropout
    ):  # which keeps the moments of all units, not each unit
        many = predict_by_mask_sampling(model, x[:1], num_masks=50, from_logits=False)
        assert np.abs(many - x[:1]).mean() < 0.3 * np.abs(votes[:1] - x[:1]).mean()  # masks average out


def test_takes_several_inputs():
    a, b = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([a, b], keras.layers.Dense(2, "softmax")(Dropout(0.5)(a + b)))
    assert predict_by_mask_sampling(model, [X, X], num_masks=2, batch_size=4).shape == (6, 2)


@pytest.mark.parametrize(
    ("activation", "loss", "from_logits", "are_logits"),
    [
        (None, None, None, True),
        ("softmax", None, None, False),
        ("softmax", None, True, True),
        (None, None, False, False),
        (None, keras.losses.CategoricalCrossentropy(from_logits=True), None, True),
        ("softmax", "categorical_crossentropy", None, False),
        (None, "mse", None, False),
        (None, keras.losses.Huber(), None, False),
    ],
)
def test_tells_logits_from_probabilities(activation, loss, from_logits, are_logits):
    model = softmax_regression(activation=activation)
    if loss is not None:
        model.compile("sgd", loss)
    outputs = model.predict(X, verbose=0)
    expected = oracle.softmax(outputs) if are_logits else outputs
    votes = predict_by_weight_scaling(model, X, from_logits=from_logits, batch_size=4)
    np.testing.assert_allclose(votes, expected, rtol=1e-5)


def test_one_logit_is_a_sigmoid():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    expected = 1 / (1 + np.exp(-model.predict(X, verbose=0)))
    np.testing.assert_allclose(predict_by_weight_scaling(model, X), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: predict_by_mask_sampling(softmax_regression(), X, num_masks=0), "num_masks=0"),
        (lambda: predict_by_mask_sampling(softmax_regression(), X, seed=-1), "seed=-1"),
        (
            lambda: predict_by_mask_sampling(keras.Sequential([keras.layers.Dense(1)]), X),
            "model .* without such a layer",
        ),
        (
            lambda: predict_by_mask_sampling(
                keras.Sequential([keras.layers.LSTM(2, dropout=0.5)]), X[:, :, None]
            ),
            "layer 'lstm",
        ),
        (lambda: predict_by_weight_scaling(softmax_regression(), X, batch_size=0), "batch_size=0"),
    ],
)
def test_errors(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()
