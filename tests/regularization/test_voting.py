"""Topic 10: prediction by averaging over masks and by scaling the weights."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from oracles import regularization as oracle
from support.twins import wrong_twin

from tf_kit.networks import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from tf_kit.networks.inspection import all_layers
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
    head = keras.layers.Dense(3, activation, name="logits")
    model = keras.Sequential([keras.Input((5,)), dropout(RATE), head])
    model.set_weights([KERNEL, BIAS])
    return model


def check_weight_scaling(module):
    """For softmax regression it equals the geometric mean of all 2⁵ thinned networks, by enumeration."""
    predictions = module.predict_by_weight_scaling(softmax_regression(), X)
    np.testing.assert_allclose(predictions, oracle.geometric_mean(X, KERNEL, BIAS, RATE), rtol=1e-4)


def check_mask_sampling(module):
    """It approaches the arithmetic mean of all 2⁵ thinned networks: within 3 standard errors of 100 masks."""
    predictions = module.predict_by_mask_sampling(softmax_regression(), X, num_masks=100, seed=1)
    np.testing.assert_allclose(predictions, oracle.arithmetic_mean(X, KERNEL, BIAS, RATE), atol=3 * 0.3 / 10)


@pytest.mark.parametrize("check", [check_weight_scaling, check_mask_sampling])
def test_equals_the_average_over_all_masks(check):
    check(voting)


@pytest.mark.slow
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
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(voting, right, wrong))


def test_geometric_and_arithmetic_means_differ():
    geometric, arithmetic = (
        mean(X, KERNEL, BIAS, RATE) for mean in (oracle.geometric_mean, oracle.arithmetic_mean)
    )
    assert np.abs(geometric - arithmetic).max() > 0.05


class Subclassed(keras.Model):
    """Model with Keras dropout in a nested model, batch normalization, noise, and a dropout used twice."""

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
def test_depends_only_on_the_seed_and_does_not_change_the_model(make):
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
    return [layer.seed_generator.state for layer in all_layers(model) if hasattr(layer, "seed_generator")]


def test_batch_norm_uses_its_moving_statistics():
    """One mask of a rate near 0 equals prediction, where batch normalization ignores the statistics of the batch."""
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
def test_one_mask_applies_to_all_examples(layer):
    """Equal examples get equal predictions, which differ from inference in some units."""
    model = keras.Sequential([layer])
    x = np.repeat(rng.normal(size=(1, 4, 50)), 3, axis=0)
    predictions = predict_by_mask_sampling(model, x, num_masks=1, from_logits=False)
    np.testing.assert_array_equal(predictions, np.repeat(predictions[:1], 3, axis=0))
    assert 0.2 < np.mean(np.abs(predictions - x) > 1e-6) <= 1
    if isinstance(layer, (Dropout, keras.layers.Dropout)):
        kept = predictions != 0
        assert 0.3 < kept.mean() < 0.7
        np.testing.assert_allclose(predictions[kept], 2 * x[kept], rtol=1e-5)
    if not isinstance(
        layer, keras.layers.AlphaDropout
    ):  # which keeps the moments of all units, not each unit
        many = predict_by_mask_sampling(model, x[:1], num_masks=50, from_logits=False)
        assert np.abs(many - x[:1]).mean() < 0.3 * np.abs(predictions[:1] - x[:1]).mean()  # masks average out


def test_accepts_several_inputs():
    a, b = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([a, b], keras.layers.Dense(2, "softmax")(Dropout(0.5)(a + b)))
    assert predict_by_mask_sampling(model, [X, X], num_masks=2, batch_size=4).shape == (6, 2)


def test_accepts_whole_numbers():
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), Dropout(0.5), keras.layers.Dense(2, "softmax")]
    )
    x = np.arange(30).reshape(6, 5) % 7
    floats = keras.Sequential([keras.Input((5,)), *model.layers])
    expected = predict_by_mask_sampling(floats, x.astype("float32"), num_masks=3)
    np.testing.assert_allclose(predict_by_mask_sampling(model, x, num_masks=3), expected, rtol=1e-6)


def custom_loss(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def with_loss(loss):
    model = softmax_regression()
    model.compile("sgd", loss)
    return model


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
        *(
            (None, loss, None, False)
            for loss in (
                keras.losses.mean_squared_error,
                "MeanSquaredError",
                "MSE",
                ["mse"],
                "poisson",
                "LogCosh",
                "Huber",
                keras.losses.MeanSquaredError(name="fit"),
                keras.losses.Poisson(),
                keras.losses.CosineSimilarity(),
                {"logits": "mae"},
                SquaredError(),
                "categorical_crossentropy",
                keras.losses.CategoricalCrossentropy(),
            )
        ),
        (None, SoftmaxCrossEntropy(), None, True),
        (None, [SigmoidCrossEntropy()], None, True),
        (None, functools.partial(keras.losses.categorical_crossentropy, from_logits=True), None, True),
        (None, custom_loss, True, True),
        ("softmax", custom_loss, None, False),
    ],
)
def test_recognizes_logits_and_probabilities(activation, loss, from_logits, are_logits):
    model = softmax_regression(activation=activation)
    if loss is not None:
        model.compile("sgd", loss)
    outputs = np.asarray(model(X))
    expected = oracle.softmax(outputs) if are_logits else outputs
    predictions = predict_by_weight_scaling(model, X, from_logits=from_logits, batch_size=4)
    np.testing.assert_allclose(predictions, expected, rtol=1e-5)


def test_one_logit_means_a_sigmoid():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    expected = 1 / (1 + np.exp(-model.predict(X, verbose=0)))
    np.testing.assert_allclose(predict_by_weight_scaling(model, X), expected, rtol=1e-5)


def two_outputs():
    inputs = keras.Input((5,))
    dropped = Dropout(0.5)(inputs)
    return keras.Model(inputs, [keras.layers.Dense(size)(dropped) for size in (2, 3)], name="two")


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
        *(
            (lambda predict=predict: predict(two_outputs(), X), "model 'two' with 2 outputs. Give the part")
            for predict in (predict_by_mask_sampling, predict_by_weight_scaling)
        ),
        *(
            (lambda predict=predict, x=x: predict(softmax_regression(), x), received)
            for predict in (predict_by_mask_sampling, predict_by_weight_scaling)
            for x, received in ((X[:0], "0 examples"), ([X, X[:1]], "1 and 6 examples"))
        ),
        (
            lambda: predict_by_weight_scaling(with_loss(custom_loss), X),
            "loss custom_loss. Give from_logits=True",
        ),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()


class InAnyOrder(keras.Model):
    """A network whose layers are made in another order than they are called."""

    def __init__(self, order, activation=None, after=lambda z: z):
        super().__init__()
        parts = {
            "out": keras.layers.Dense(3, activation),
            "drop": Dropout(RATE),
            "flat": keras.layers.Flatten(),
        }
        for name in order.split():
            setattr(self, name, parts[name])
        self.after = after

    def call(self, x):
        return self.after(self.out(self.drop(self.flat(x))))


@pytest.mark.parametrize("predict", [predict_by_mask_sampling, predict_by_weight_scaling])
@pytest.mark.parametrize("order", ["flat drop out", "out drop flat", "drop out flat"])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_order_of_the_layers_of_a_subclass_does_not_matter(predict, order, activation):
    found = predict(InAnyOrder(order, activation=activation), X)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    logits = predict(InAnyOrder(order, activation=activation), X, from_logits=False).sum(axis=1)
    assert np.allclose(logits, 1) == (activation == "softmax")


@pytest.mark.parametrize("predict", [predict_by_mask_sampling, predict_by_weight_scaling])
def test_outputs_of_a_function_need_a_word(predict):
    """Without it those of a softmax would be taken for logits."""
    model = InAnyOrder("flat drop out", after=ops.softmax)
    with pytest.raises(ValueError, match=r"not those of one of its layers\. Give from_logits=True"):
        predict(model, X)
    np.testing.assert_allclose(predict(model, X, from_logits=False).sum(axis=1), 1, rtol=1e-5)
    functional = keras.Sequential([keras.Input((5,)), Dropout(RATE), keras.layers.Dense(3)])
    functional = keras.Model(functional.inputs, ops.softmax(functional.outputs[0]))
    with pytest.raises(ValueError, match="not those of one of its layers"):
        predict(functional, X)
    assert predict(keras.Sequential([softmax_regression()]), X).sum() == pytest.approx(6)


def test_data_sets_are_refused():
    with pytest.raises(ValueError, match="be an array, or a list or dictionary of arrays"):
        predict_by_mask_sampling(softmax_regression(), tf.data.Dataset.from_tensors(X))


@pytest.mark.parametrize("predict", [predict_by_mask_sampling, predict_by_weight_scaling])
def test_outputs_that_are_widened_are_those_of_the_last_layer(predict):
    """As those of a classifier in bfloat16."""
    model = InAnyOrder("out drop flat", after=lambda z: ops.cast(z, "float64"))
    np.testing.assert_allclose(predict(model, X).sum(axis=1), 1, rtol=1e-5)
