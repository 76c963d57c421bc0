"""Contract of every public layer and loss of `networks`."""

import keras
import numpy as np
import pytest
from support import layer as layer_contract
from support import loss as loss_contract
from support.cases import mostly_slow
from support.layer import check_layer
from support.loss import check_loss

from tf_kit import networks

LAYERS = [
    networks.Sigmoid,
    networks.Tanh,
    networks.ReLU,
    networks.LeakyReLU,
    networks.Threshold,
    networks.Perceptron,
    lambda: networks.Perceptron("sigmoid"),
    lambda: networks.PatchEncoder(patch_size=1, width=8, depth=1, num_heads=2),
]
IMAGES = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype("float32")


@pytest.mark.parametrize("factory", mostly_slow(LAYERS, quick=4))
def test_layer_keeps_the_contract(factory):
    check_layer(factory, IMAGES)


@pytest.mark.parametrize(
    ("factory", "y_true"),
    [
        (networks.SquaredError, np.eye(4, 3)),
        (lambda: networks.SquaredError(activation="sigmoid"), np.eye(4, 3)),
        (networks.SigmoidCrossEntropy, np.eye(4, 3)),
        (networks.SoftmaxCrossEntropy, np.eye(4, 3)),
        (networks.SoftmaxCrossEntropy, np.array([0, 1, 2, 1])),
    ],
)
def test_loss_keeps_the_contract(factory, y_true):
    check_loss(factory, y_true, np.random.default_rng(1).normal(size=(4, 3)))


def test_every_public_class_is_under_contract():
    classes = {each for each in vars(networks).values() if isinstance(each, type)}
    public = {each for each in classes if issubclass(each, (keras.layers.Layer, keras.losses.Loss))}
    layers = {type(factory()) for factory in LAYERS}
    losses = {networks.SquaredError, networks.SigmoidCrossEntropy, networks.SoftmaxCrossEntropy}
    base_class, takes_integers = networks.ActivationLayer, networks.TokenEncoder
    assert public - {base_class, takes_integers} == layers | losses


class Broken(keras.layers.Layer):
    """Layer that doubles its inputs; each subclass below violates one rule of the contract."""

    def call(self, inputs):
        return 2 * inputs


class WrongShape(Broken):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)


class Float32Only(Broken):
    def call(self, inputs):
        return keras.ops.cast(inputs, "float32")


class ForgetsItsRate(Broken):
    def __init__(self, rate=1.0, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs):
        return self.rate * inputs

    def get_config(self):
        return super().get_config()


class Counts(Broken):
    def build(self, input_shape):
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.steps.assign_add(1)
        return inputs


class Unseeded(Broken):
    def call(self, inputs, training=False):
        noise = np.random.default_rng().normal()
        return inputs + noise if training else inputs


class NeverMoves(Broken):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        return keras.ops.stop_gradient(self.scale) * inputs


class EagerOnly(Broken):
    def call(self, inputs):
        return 2 * inputs if hasattr(inputs, "numpy") else inputs


@pytest.mark.parametrize(
    ("check", "broken", "extra"),
    [
        (layer_contract.check_shape, WrongShape, ()),
        (layer_contract.check_dtype_kept, Float32Only, ("float16",)),
        (layer_contract.check_mixed_precision, Float32Only, ()),
        (layer_contract.check_integers, Broken, ()),
        (layer_contract.check_config_round_trip, Broken, ()),
        (layer_contract.check_config_round_trip, lambda: Registered(3.0), ()),
        (layer_contract.check_keras_file, lambda: Registered(3.0), ()),
        (layer_contract.check_fit_step, NeverMoves, ()),
        (layer_contract.check_inference_keeps_state, Counts, ()),
        (layer_contract.check_same_seed_same_result, Unseeded, (True,)),
        (layer_contract.check_same_seed_same_result, Broken, (True,)),
        (layer_contract.check_eager_graph_and_data, EagerOnly, (False,)),
    ],
)
def test_layer_contract_rejects_broken_layers(check, broken, extra):
    with pytest.raises(AssertionError):
        check(broken, IMAGES, *extra)


Registered = keras.saving.register_keras_serializable("tf_kit", "BrokenOnPurpose")(ForgetsItsRate)


class SeesTheBatch(networks.SquaredError):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) / keras.ops.sum(y_pred**2)


class NoGradient(networks.SquaredError):
    def call(self, y_true, y_pred):
        return keras.ops.stop_gradient(super().call(y_true, y_pred)) + 0 * keras.ops.sum(y_pred, axis=-1)


class ForgetsItsActivation(networks.SquaredError):
    def get_config(self):
        return {**super().get_config(), "activation": None}


RegisteredLoss = keras.saving.register_keras_serializable("tf_kit", "BrokenLoss")(ForgetsItsActivation)


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (loss_contract.check_reductions, SeesTheBatch),
        (loss_contract.check_graph_and_gradient, NoGradient),
        (loss_contract.check_fit_step_and_keras_file, NoGradient),
        (loss_contract.check_config_round_trip, NoGradient),
        (loss_contract.check_config_round_trip, lambda: RegisteredLoss("tanh")),
    ],
)
def test_loss_contract_rejects_broken_losses(check, broken):
    y_pred = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    with pytest.raises(AssertionError):
        check(broken, np.eye(4, 3), y_pred)
