"""Networks: units, activations, losses, backpropagation, convolutions, transformers and gradient flow."""

from tf_kit.networks.activations import (
    ActivationLayer,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Tanh,
    dead_fraction,
    output_mean,
    saturated_fraction,
)
from tf_kit.networks.backpropagation import backpropagate, gradient_check
from tf_kit.networks.convolutional import cnn
from tf_kit.networks.gradient_flow import delta_norms, gradient_norm_by_depth, gradient_norms, initialize
from tf_kit.networks.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError, cost, l2_penalty
from tf_kit.networks.perceptron import (
    Perceptron,
    Propagation,
    Threshold,
    forward,
    mlp,
    xnor_network,
    xor_network,
)
from tf_kit.networks.resnet import resnet
from tf_kit.networks.transformer import PatchEncoder, TokenEncoder

__all__ = [
    "ActivationLayer",
    "LeakyReLU",
    "PatchEncoder",
    "Perceptron",
    "Propagation",
    "ReLU",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Tanh",
    "Threshold",
    "TokenEncoder",
    "backpropagate",
    "cnn",
    "cost",
    "dead_fraction",
    "delta_norms",
    "forward",
    "gradient_check",
    "gradient_norm_by_depth",
    "gradient_norms",
    "initialize",
    "l2_penalty",
    "mlp",
    "output_mean",
    "resnet",
    "saturated_fraction",
    "xnor_network",
    "xor_network",
]
