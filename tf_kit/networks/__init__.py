"""Networks: units, activations, losses, backpropagation, and how gradients flow through depth."""

from tf_kit.networks.activations import ActivationLayer, LeakyReLU, ReLU, Sigmoid, Tanh
from tf_kit.networks.perceptron import mlp

__all__ = ["ActivationLayer", "LeakyReLU", "ReLU", "Sigmoid", "Tanh", "mlp"]
