"""Networks: units, activations, losses, backpropagation, and how gradients flow through depth."""

from tf_kit.networks.activations import ActivationLayer, LeakyReLU, ReLU, Sigmoid, Tanh
from tf_kit.networks.losses import (
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    cost,
    l2_penalty,
)
from tf_kit.networks.perceptron import (
    Perceptron,
    Propagation,
    Threshold,
    forward,
    mlp,
    xnor_network,
    xor_network,
)

__all__ = [
    "ActivationLayer",
    "LeakyReLU",
    "Perceptron",
    "Propagation",
    "ReLU",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Tanh",
    "Threshold",
    "cost",
    "forward",
    "l2_penalty",
    "mlp",
    "xnor_network",
    "xor_network",
]
