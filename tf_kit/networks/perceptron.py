"""Perceptrons: one unit, many layers of them, and what the layers hold on the way (topic 01).

Notation of the slides: layer 1 is the input, α^(1) = x; W^(l), b^(l) lead from layer l to layer l + 1;
z^(l+1) = W^(l) α^(l) + b^(l) and α^(l+1) = f(z^(l+1)).

Reference: Rosenblatt, 1958, The perceptron; Rumelhart, Hinton, Williams, 1986, Learning representations by
back-propagating errors.
"""

import inspect
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tf_kit._checks import choice, count, refuse
from tf_kit.networks.activations import ACTIVATIONS


def mlp(
    units: Sequence[int] = (1000, 1000),
    num_classes: int | None = 10,
    activation: str | Callable[[], keras.layers.Layer] = "sigmoid",
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> keras.Sequential:
    """Multilayer perceptron: a stack of fully connected layers that ends in logits.

    The plain network of the lecture, for classification of anything that can be flattened. Each hidden layer
    is a linear `Dense` named `hidden_1`, `hidden_2`, … and a separate activation layer behind it, so that
    every z and every activation can be read (see `forward`). The last layer, `logits`, has no activation:
    softmax or sigmoid belongs to the loss.

        α^(1)   = flatten(x)                                             (1)
        α^(l+1) = f(W^(l) α^(l) + b^(l))                                 (2)
        logits  = W^(L−1) α^(L−1) + b^(L−1)                              (3)

    where f = `activation`. Weights start from the Glorot uniform distribution, biases from 0; each layer
    draws from its own seed, made from `seed`, so the hidden layers do not depend on `num_classes` or on how
    many layers follow.

    Args:
        units: units of each hidden layer, first to last; may be empty (logistic regression). Defaults to two
            layers of 1000.
        num_classes: outputs of the layer `logits`; None leaves it out, and the network is an encoder.
            Defaults to 10.
        activation: "sigmoid", "tanh", "relu" or "leaky_relu", or a layer class or function without arguments
            that returns a new layer, as in `lambda: LeakyReLU(0.2)`. Defaults to "sigmoid".
        input_shape: shape of one example, such as (28, 28, 1); None leaves it to the first batch.
        seed: a whole number that fixes the initial weights. Defaults to 0.

    Returns:
        A `keras.Sequential`: examples (n, …) to logits (n, num_classes), or to the last hidden activation
        (n, units[-1]) when `num_classes` is None.

    Raises:
        ValueError: when an argument is outside its range, or neither hidden layers nor logits are wanted.

    Example:
        >>> from tf_kit.networks import mlp
        >>> model = mlp(units=(3, 2), num_classes=4, activation="tanh", input_shape=(5, 5, 1))
        >>> [layer.name for layer in model.layers]
        ['flatten', 'hidden_1', 'hidden_1_tanh', 'hidden_2', 'hidden_2_tanh', 'logits']
        >>> model.count_params() == (25 + 1) * 3 + (3 + 1) * 2 + (2 + 1) * 4
        True

    Convention: kernels are stored as Keras stores them, (in, out); the slide's W^(l) is the transpose.
    Reference: Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural
    networks, equation 16.
    """
    units = [count("mlp.units", each) for each in _sequence("mlp.units", units)]
    if num_classes is not None:
        num_classes = count("mlp.num_classes", num_classes, remedy="None leaves the layer of logits out")
    elif not units:
        refuse("mlp.units", "name a hidden layer when num_classes is None", "units=()", "Give units=(1000,)")
    new_activation = _factory(activation)
    # One seed a layer; the first ones stay the same however many are asked for.
    seeds = np.random.SeedSequence(count("mlp.seed", seed, at_least=0)).generate_state(len(units) + 1)

    def dense(size, index, name):
        glorot = keras.initializers.GlorotUniform(seed=int(seeds[index]))
        return keras.layers.Dense(size, kernel_initializer=glorot, name=name)

    layers = []
    if input_shape is not None:
        shape = _sequence("mlp.input_shape", input_shape)
        layers.append(keras.Input([count("mlp.input_shape", side) for side in shape]))
    layers.append(keras.layers.Flatten(name="flatten"))  # (1)
    for index, size in enumerate(units):
        name = f"hidden_{index + 1}"
        layers += [dense(size, index, name), new_activation(name)]  # (2)
    if num_classes is not None:
        layers.append(dense(num_classes, len(units), "logits"))  # (3)
    return keras.Sequential(layers, name="encoder" if num_classes is None else "mlp")


def _sequence(subject, value):
    if isinstance(value, str) or not isinstance(value, Sequence):
        name = subject.rsplit(".", 1)[-1]
        refuse(subject, "be a tuple of whole numbers", f"{name}={value!r}", f"Give {name}=(1000,) for one")
    return value


def _factory(activation):
    """`activation` as a function from the name of a hidden layer to a new activation layer."""
    if isinstance(activation, keras.layers.Layer):
        refuse(
            "mlp.activation",
            "be a name, a layer class or a function that returns a new layer, one for each hidden layer",
            f"the single layer {activation!r}",
            "Give the class, or lambda: the layer",
        )
    if not callable(activation):
        choice("mlp.activation", activation, tuple(ACTIVATIONS), remedy="A layer class is allowed too")
        return lambda name: ACTIVATIONS[activation](name=f"{name}_{activation}")
    if inspect.isclass(activation):
        names = {each: name for name, each in ACTIVATIONS.items()}
        suffix = names.get(activation, activation.__name__.lower())
        return lambda name: activation(name=f"{name}_{suffix}")
    return lambda name: activation()
