"""Perceptron, multilayer perceptron, and forward propagation that keeps every intermediate value (topic 01).

Notation of the slides: layer 1 is the input, α^(1) = x; W^(l), b^(l) lead from layer l to layer l + 1;
z^(l+1) = W^(l) α^(l) + b^(l) and α^(l+1) = f(z^(l+1)).

Slide: "Model parameters: weights W^(1), …, W^(L)" counts one matrix too many. Layer L is the output, so W^(L−1) is the
last, as in the sum of the penalty, which ends at L − 1; the same holds for the biases.

Reference: Rosenblatt, 1958, The perceptron, doi:10.1037/h0042519; Rumelhart, Hinton, Williams, 1986, Learning
representations by back-propagating errors, doi:10.1038/323533a0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tf_kit.checks import choice, count, refuse
from tf_kit.dtypes import as_floats
from tf_kit.networks.activations import ACTIVATIONS, ActivationLayer
from tf_kit.networks.stages import sequence_of_layers
from tf_kit.typing import ArrayLike, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class Threshold(ActivationLayer):
    """Step function of the first perceptrons: 1 for z ≥ 0, 0 for z < 0.

    Its true slope is 0 wherever it exists, so gradient descent could not train through it. In the backward pass it is
    therefore treated as the identity (a straight-through estimate). With that, stochastic gradient descent on
    ½(h − y)² is the perceptron learning rule (see `Perceptron`). Training and inference are the same.

        f(z)  = 1 if z ≥ 0, else 0                                       (1)
        f'(z) = 1, by convention                                         (2)

    where z = `inputs`, any shape, finite.

    Input shape: any. Output shape: the same.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import Threshold
        >>> [float(a) for a in Threshold()(np.array([-0.5, 0.0, 0.5]))]
        [0.0, 1.0, 1.0]

    Reference: Rosenblatt, 1958, The perceptron, doi:10.1037/h0042519; Bengio, Léonard, Courville, 2013, Estimating
    or propagating gradients through stochastic neurons, section 4, arXiv:1308.3432, for the straight-through
    estimate.
    """

    def call(self, inputs: Tensor) -> Tensor:
        z = as_floats(inputs, self.compute_dtype)
        step = ops.cast(z >= 0, z.dtype)  # (1)
        return step + (z - ops.stop_gradient(z))  # (2): adds 0, passes the gradient

    def derivative(self, z: ArrayLike) -> Tensor:
        """Return 1, the slope that backpropagation uses."""
        return ops.ones_like(self._floats(z))  # (2)


UNIT_ACTIVATIONS = {"threshold": Threshold, **ACTIVATIONS}


@keras.saving.register_keras_serializable(package="tf_kit")
class Perceptron(keras.layers.Layer):
    """Perceptron: a single unit, which applies a function to the weighted sum of its inputs.

    It solves exactly the two-class problems that a hyperplane separates: AND and OR, but not XOR. With "threshold"
    it is Rosenblatt's perceptron, with "sigmoid" logistic regression. Weights start at 0, since a single unit has no
    symmetry to break. Training and inference are the same.

        h = f(w · x + b)                                                 (1)

    With "threshold", stochastic gradient descent on ½(h − y)² with one example per batch is the perceptron learning
    rule:

        w ← w + η (y − h) x,   b ← b + η (y − h)                         (2)

    where x = `inputs`, w (d, 1) and b (1,) are the weights, f = `activation`, y is 0 or 1.

    Args:
        activation: "threshold", "sigmoid", "tanh", "relu" or "leaky_relu". Defaults to "threshold".

    Input shape: (…, d). Output shape: (…, 1).

    Raises:
        ValueError: `activation` is another name.

    Example:
        >>> import keras, numpy as np
        >>> from tf_kit.networks import Perceptron, SquaredError
        >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
        >>> model = keras.Sequential([keras.Input([2]), Perceptron("threshold")])
        >>> model.compile(keras.optimizers.SGD(1.0), SquaredError())
        >>> _ = model.fit(x, np.array([[0], [0], [0], [1]]), batch_size=1, epochs=10, verbose=0)
        >>> [int(h) for h in model(x)[:, 0]]
        [0, 0, 0, 1]

    Reference: Rosenblatt, 1958, The perceptron, doi:10.1037/h0042519; Minsky, Papert, 1969, Perceptrons, for its
    limits.
    """

    def __init__(self, activation: str = "threshold", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = choice("Perceptron.activation", activation, tuple(UNIT_ACTIVATIONS))
        self.function = UNIT_ACTIVATIONS[activation](dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], 1), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")

    def call(self, inputs: Tensor) -> Tensor:
        return self.function(ops.matmul(inputs, self.kernel) + self.bias)  # (1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


def mlp(
    units: Sequence[int] = (1000, 1000),
    num_classes: int | None = 10,
    activation: str | Callable[[], keras.layers.Layer] = "sigmoid",
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> keras.Sequential:
    """Multilayer perceptron: a stack of fully connected layers that ends in logits.

    The basic network of the lecture, for classification of any inputs that can be flattened. Each hidden layer is a
    linear `Dense` named `hidden_1`, `hidden_2`, …, followed by a separate activation layer, so that every z and every
    activation is available (see `forward`). The last layer, `logits`, has no activation, since softmax or sigmoid
    belongs to the loss.

        α^(1)   = flatten(x)                                             (1)
        α^(l+1) = f(W^(l) α^(l) + b^(l))                                 (2)
        logits  = W^(L−1) α^(L−1) + b^(L−1)                              (3)

    where f = `activation`. Weights start from the Glorot uniform distribution, biases from 0. Each layer draws from
    its own seed, derived from `seed`, so the hidden layers depend neither on `num_classes` nor on the number of
    layers that follow.

    Args:
        units: units of each hidden layer, first to last; may be empty (logistic regression). Defaults to two layers
            of 1000.
        num_classes: number of outputs of the layer `logits`; None for an encoder without that layer. Defaults to 10.
        activation: "sigmoid", "tanh", "relu" or "leaky_relu", or a layer class or function without arguments that
            returns a new layer, as in `lambda: LeakyReLU(0.2)`. Defaults to "sigmoid".
        input_shape: shape of one example, such as (28, 28, 1). Defaults to None, the shape of the first batch.
        seed: whole number that fixes the initial weights. Defaults to 0.

    Returns:
        `keras.Sequential` that maps examples (n, …) to logits (n, num_classes), or to the last hidden activation
        (n, units[-1]) if `num_classes` is None.

    Raises:
        ValueError: an argument is out of range, or there are neither hidden layers nor logits.

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
        refuse("mlp.units", "have a hidden layer if num_classes is None", "units=()", "Give units=(1000,)")
    new_activation = hidden_activation("mlp", activation)
    # One seed for each layer; the first seeds do not depend on the number of seeds.
    seeds = np.random.SeedSequence(count("mlp.seed", seed, at_least=0)).generate_state(len(units) + 1)

    def dense(size, index, name):
        glorot = keras.initializers.GlorotUniform(seed=int(seeds[index]))
        return keras.layers.Dense(size, kernel_initializer=glorot, name=name)

    layers = []
    if input_shape is not None:
        shape = _sequence("mlp.input_shape", input_shape)
        layers.append(keras.Input([count("mlp.input_shape", side) for side in shape]))
    layers.append(keras.layers.Flatten(data_format="channels_last", name="flatten"))  # (1)
    for index, size in enumerate(units):
        name = f"hidden_{index + 1}"
        layers += [dense(size, index, name), new_activation(name)]  # (2)
    if num_classes is not None:
        layers.append(dense(num_classes, len(units), "logits"))  # (3)
    return keras.Sequential(layers, name="encoder" if num_classes is None else "mlp")


def _sequence(subject, value):
    if isinstance(value, str | Mapping | set) or not np.iterable(value):
        name = subject.rsplit(".", 1)[-1]
        refuse(subject, "be a tuple of whole numbers", f"{name}={value!r}", f"Give {name}=(1000,) for one")
    return tuple(value)


def hidden_activation(
    network: str, activation: str | Callable[[], keras.layers.Layer]
) -> Callable[[str], keras.layers.Layer]:
    """Return a function from the name of a hidden layer to a new activation layer.

    Args:
        network: function whose argument is checked, for the error message: "mlp".
        activation: as for `mlp`.
    """
    if isinstance(activation, keras.layers.Layer):
        refuse(
            f"{network}.activation",
            "be a name, a layer class or a function that returns a new layer, one for each hidden layer",
            f"the single layer {activation!r}",
            "Give the class, or lambda: the layer",
        )
    if not callable(activation):
        choice(f"{network}.activation", activation, tuple(ACTIVATIONS), remedy="A layer class is allowed too")
        return lambda name: ACTIVATIONS[activation](name=f"{name}_{activation}")
    if isinstance(activation, type):
        names: dict[type, str] = {each: name for name, each in ACTIVATIONS.items()}
        suffix = names.get(activation, activation.__name__.lower())
        return lambda name: activation(name=f"{name}_{suffix}")
    return lambda name: activation()


class Propagation(NamedTuple):
    """Result of `forward`: `z` is [z^(2), …, z^(L)], `activations` is [α^(1), …, α^(L)]."""

    z: list
    activations: list


def forward(model: keras.Sequential, x: ArrayLike) -> Propagation:
    """Forward propagation that keeps every weighted sum and every activation.

    Shows the inside of a network: the hidden units as learned non-linear features, the inputs of the activations, the
    values that backpropagation needs again. Runs in inference mode, so dropout is off.

        α^(1)   = x, as it enters the first dense layer                  (1)
        z^(l+1) = W^(l) α^(l) + b^(l)                                    (2)
        α^(l+1) = f(z^(l+1))                                             (3)

    where f consists of all layers between one dense layer and the next, in inference mode: in `mlp` the activation
    layer. No layer follows the logits, so there α^(L) = z^(L).

    Args:
        model: `keras.Sequential` of dense layers with separate activation layers, such as `mlp` builds; models inside
            it are replaced by their layers.
        x: examples, (n, …).

    Returns:
        (z, activations): lists of tensors (n, units). `activations` is one longer than `z`: the first is α^(1), the
        last the output, and activations[l + 1] = f(z[l]).

    Raises:
        ValueError: `model` is not a `keras.Sequential`, or a dense layer has an activation inside.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import forward, xnor_network
        >>> z, activations = forward(xnor_network(), np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
        >>> np.array(activations[1], int).tolist()  # the hidden units: AND, NOR
        [[0, 1], [0, 0], [0, 0], [1, 0]]
        >>> np.array(z[1][:, 0], int).tolist()  # input of the output unit
        [10, -10, -10, 10]

    Reference: Rumelhart, Hinton, Williams, 1986, Learning representations by back-propagating errors, equations 1
    and 2, doi:10.1038/323533a0.
    """
    if not isinstance(model, keras.Sequential):
        refuse("forward.model", "be a keras.Sequential", repr(model), "Build it with networks.mlp")
    z, activations = [], []
    alpha = ops.convert_to_tensor(x)
    layers = sequence_of_layers(model)
    if layers is None:
        remedy = "Build it with networks.mlp"
        refuse(
            "forward.model", "be a plain sequence of layers", f"{model.name!r} with a branch inside", remedy
        )
    for layer in layers:
        dense = isinstance(layer, keras.layers.Dense)
        if dense and layer.activation is not keras.activations.linear:
            received = f"{layer.name} with activation={layer.activation.__name__!r}"
            refuse("forward.model", "have linear dense layers", received, "Use a separate activation layer")
        if dense:
            activations.append(alpha)  # (1), (3)
        alpha = layer(alpha, training=False)
        if dense:
            z.append(alpha)  # (2)
    return Propagation(z, [*activations, alpha])


def xnor_network(activation: str = "threshold") -> keras.Sequential:
    """XNOR network of the slides: two hidden units and one output unit, with weights set by hand.

    A single unit cannot compute XNOR, since no line separates (0, 0) and (1, 1) from (0, 1) and (1, 0). The two
    hidden units compute features that a line separates.

        z_1 = f(20 x_1 + 20 x_2 − 30)          x_1 AND x_2               (1)
        z_2 = f(−20 x_1 − 20 x_2 + 10)         neither                   (2)
        h   = f(20 z_1 + 20 z_2 − 10)          z_1 OR z_2                (3)

        x_1  x_2    z_1  z_2    h
        0    0      0    1      1
        0    1      0    0      0
        1    0      0    0      0
        1    1      1    0      1

    The weights are large, so that "sigmoid" gives the same table to within 0.0001.

    Args:
        activation: f, "threshold" or "sigmoid". Defaults to "threshold".

    Returns:
        `keras.Sequential` that maps zeros and ones (n, 2) to (n, 1). `forward(model, x)` shows z_1 and z_2.

    Raises:
        ValueError: `activation` is another name.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import xnor_network
        >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> [round(float(h), 3) for h in xnor_network("sigmoid")(x)[:, 0]]
        [1.0, 0.0, 0.0, 1.0]

    Convention: the slide writes z for the outputs of these hidden units; elsewhere z is the input of f.
    Reference: Rumelhart, Hinton, Williams, 1986, Learning representations by back-propagating errors,
    doi:10.1038/323533a0, for XOR with hidden units.
    """
    return _two_hidden_units("xnor", activation, output_kernel=[[20], [20]], output_bias=[-10])


def xor_network(activation: str = "threshold") -> keras.Sequential:
    """XOR network: the hidden units of `xnor_network` with the negated output unit.

        h = f(−20 z_1 − 20 z_2 + 10)           neither z_1 nor z_2       (1)

    where z_1, z_2 are equations (1) and (2) of `xnor_network`.

    Args:
        activation: f, "threshold" or "sigmoid". Defaults to "threshold".

    Returns:
        `keras.Sequential` that maps zeros and ones (n, 2) to (n, 1).

    Raises:
        ValueError: `activation` is another name.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import xor_network
        >>> [int(h) for h in xor_network()(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))[:, 0]]
        [0, 1, 1, 0]

    Reference: Minsky, Papert, 1969, Perceptrons, for the proof that one unit is not enough.
    """
    return _two_hidden_units("xor", activation, output_kernel=[[-20], [-20]], output_bias=[10])  # (1)


def _two_hidden_units(name, activation, output_kernel, output_bias):
    choice(f"{name}_network.activation", activation, ("threshold", "sigmoid"))
    unit = UNIT_ACTIVATIONS[activation]
    layers = [
        keras.Input([2]),
        keras.layers.Dense(2, name="hidden_1"),
        unit(name=f"hidden_1_{activation}"),
        keras.layers.Dense(1, name="output"),
        unit(name=f"output_{activation}"),
    ]
    model = keras.Sequential(layers, name=name)
    and_neither = [[20, -20], [20, -20]]  # columns: the units z_1, z_2
    model.set_weights([np.array(each) for each in (and_neither, [-30, 10], output_kernel, output_bias)])
    return model
