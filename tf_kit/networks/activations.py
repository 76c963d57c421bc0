"""Activation functions, their derivatives, and measures of saturation, dead units and centering (topic 02).

Each activation is a Keras layer with a method `derivative`, so the forward formula and the factor f'(z) of
backpropagation stand side by side. `saturated_fraction`, `dead_fraction` and `output_mean` measure how activations
behave in a network.

Reference: Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks;
Maas, Hannun, Ng, 2013, Rectifier nonlinearities improve neural network acoustic models.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import number, refuse
from tf_kit.dtypes import as_floats
from tf_kit.networks.inspection import intercepted, named_layers
from tf_kit.typing import ArrayLike, Tensor


class ActivationLayer(keras.layers.Layer):
    """Elementwise function f with its derivative; base class of the activations in `networks`.

    A subclass defines `call(inputs)`, which computes α = f(z), and `derivative(z)`, which computes f'(z). Neither has
    weights or state, and both work on any shape.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def derivative(self, z: ArrayLike) -> Tensor:
        """Return f'(z), elementwise, in the dtype and shape of `z`; integers become floats."""
        raise NotImplementedError(f"{type(self).__name__} has no derivative(z)")

    def _floats(self, z):
        return as_floats(ops.convert_to_tensor(z), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable(package="tf_kit")
class Sigmoid(ActivationLayer):
    """Logistic sigmoid: maps any real number into (0, 1).

    The historical choice, interpreted as a firing rate or a probability. It saturates at both ends, its slope is at
    most 1/4, and its output is never negative, so it is not zero-centered. Training and inference are the same.

        σ(z)  = 1 / (1 + exp(−z))                                        (1)
        σ'(z) = σ(z) · σ(−z)                                             (2)

    where z = `inputs`, any shape. (2) equals σ(z)·(1 − σ(z)) but stays accurate where σ(z) rounds to 1.

    Input shape: any. Output shape: the same.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import Sigmoid
        >>> f = Sigmoid()
        >>> [round(float(a), 4) for a in f(np.array([-1e4, -1.0, 0.0, 1.0]))]
        [0.0, 0.2689, 0.5, 0.7311]
        >>> float(f.derivative(0.0))
        0.25

    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 6.3.2.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sigmoid(as_floats(inputs, self.compute_dtype))  # (1)

    def derivative(self, z: ArrayLike) -> Tensor:
        """Return σ'(z), in (0, 1/4]."""
        z = self._floats(z)
        return ops.sigmoid(z) * ops.sigmoid(-z)  # (2)


@keras.saving.register_keras_serializable(package="tf_kit")
class Tanh(ActivationLayer):
    """Hyperbolic tangent: maps any real number into (−1, 1).

    A sigmoid scaled to be zero-centered, with a slope of at most 1. It saturates as the sigmoid does. Training and
    inference are the same.

        tanh(z)  = 2·σ(2z) − 1                                           (1)
        tanh'(z) = 1 − tanh²(z) = 4·σ(2z)·σ(−2z)                         (2)

    where z = `inputs`, any shape. The second form of (2) is computed, since it stays accurate where tanh rounds
    to ±1.

    Input shape: any. Output shape: the same.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import Tanh
        >>> f = Tanh()
        >>> [round(float(a), 4) for a in f(np.array([-1e4, 0.0, 1.0]))]
        [-1.0, 0.0, 0.7616]
        >>> round(float(f.derivative(1.0)), 4)
        0.42

    Reference: LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.4,
    doi:10.1007/3-540-49430-8_2.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.tanh(as_floats(inputs, self.compute_dtype))  # (1)

    def derivative(self, z: ArrayLike) -> Tensor:
        """Return tanh'(z), in (0, 1]."""
        double = 2 * self._floats(z)
        return 4 * ops.sigmoid(double) * ops.sigmoid(-double)  # (2)


@keras.saving.register_keras_serializable(package="tf_kit")
class ReLU(ActivationLayer):
    """Rectified linear unit (ReLU): the positive part of its input.

    It does not saturate for z > 0 and costs one comparison. A unit whose z is negative on every example passes no
    gradient and stays that way: it is dead (see `dead_fraction`). Training and inference are the same.

        f(z)  = max(0, z)                                                (1)
        f'(z) = 1 if z > 0, else 0                                       (2)

    where z = `inputs`, any shape.

    Input shape: any. Output shape: the same.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import ReLU
        >>> f = ReLU()
        >>> [float(a) for a in f(np.array([-2.0, 0.0, 3.0]))]
        [0.0, 0.0, 3.0]
        >>> [float(a) for a in f.derivative([-2.0, 0.0, 3.0])]
        [0.0, 0.0, 1.0]

    Convention: f'(0) = 0, the slope on the left, as in TensorFlow and PyTorch.
    Reference: Nair, Hinton, 2010, Rectified linear units improve restricted Boltzmann machines; Krizhevsky,
    Sutskever, Hinton, 2012, ImageNet classification with deep convolutional neural networks, figure 1, for training
    six times as fast as with tanh.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(as_floats(inputs, self.compute_dtype))  # (1)

    def derivative(self, z: ArrayLike) -> Tensor:
        """Return f'(z), 0 or 1."""
        z = self._floats(z)
        return ops.where(z > 0, ops.ones_like(z), ops.zeros_like(z))  # (2)


@keras.saving.register_keras_serializable(package="tf_kit")
class LeakyReLU(ActivationLayer):
    """Leaky rectified linear unit: a small slope instead of zero for negative z.

    A unit cannot die, since some gradient passes everywhere. Training and inference are the same.

        f(z)  = z if z > 0, else a·z                                     (1)
        f'(z) = 1 if z > 0, else a                                       (2)

    where z = `inputs`, any shape, and a = `negative_slope`.

    Args:
        negative_slope: slope for z < 0, at least 0. Defaults to 0.01.

    Input shape: any. Output shape: the same.

    Raises:
        ValueError: `negative_slope` is negative or not a number.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import LeakyReLU
        >>> f = LeakyReLU(negative_slope=0.5)
        >>> [float(a) for a in f(np.array([-2.0, 0.0, 3.0]))]
        [-1.0, 0.0, 3.0]
        >>> [float(a) for a in f.derivative([-2.0, 0.0, 3.0])]
        [0.5, 0.5, 1.0]

    Convention: f'(0) = a, the slope on the left, as in TensorFlow and PyTorch. a defaults to 0.01 in PyTorch and on
    the slide, to 0.3 in the layer of Keras.
    Reference: Maas, Hannun, Ng, 2013, Rectifier nonlinearities improve neural network acoustic models, section 2.
    """

    def __init__(self, negative_slope: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative_slope = number("LeakyReLU.negative_slope", negative_slope, at_least=0)

    def call(self, inputs: Tensor) -> Tensor:
        # ops.leaky_relu rounds the slope to float32 even where z is float64.
        z = as_floats(inputs, self.compute_dtype)
        return ops.where(z > 0, z, self.negative_slope * z)  # (1)

    def derivative(self, z: ArrayLike) -> Tensor:
        """Return f'(z), a or 1."""
        z = self._floats(z)
        return ops.where(z > 0, ops.ones_like(z), self.negative_slope * ops.ones_like(z))  # (2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


ACTIVATIONS = {"sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU, "leaky_relu": LeakyReLU}


def saturated_fraction(
    model: keras.Model | ActivationLayer, x: ArrayLike, slope: float = 0.01
) -> dict[str, float] | float:
    """Fraction of activations through which almost no gradient passes.

    A unit saturates on an example where its activation is flat: at both ends of sigmoid and tanh, on the negative
    side of ReLU. There backpropagation multiplies δ by almost zero.

        saturated fraction = 1/(N·D) #{ (n, i) : |f'(z_ni)| < slope }    (1)

    where z is the input of the activation layer, N the number of examples, D the number of units. With the default
    slope the sigmoid saturates beyond |z| = 4.6, tanh beyond 3.0, leaky ReLU with a = 0.01 never.

    Args:
        model: model with activation layers of `networks`, such as `mlp` builds; or one such layer.
        x: examples for the model, (n, …); or z for the layer, any shape.
        slope: absolute derivative below which a unit counts as saturated, above 0. Defaults to 0.01.

    Returns:
        Dictionary from the name of each activation layer to its fraction in [0, 1] over all its calls, in the order of
        the layers; for a single layer only the fraction.

    Raises:
        ValueError: `slope` is not above 0, or the model has no activation layer.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import Sigmoid, saturated_fraction
        >>> saturated_fraction(Sigmoid(), np.array([-10.0, -1.0, 1.0, 10.0]))
        0.5

    Reference: Glorot, Bengio, 2010, section 3.
    """
    slope = number("saturated_fraction.slope", slope, above=0)
    return _measure("saturated_fraction", model, x, lambda _, slopes: np.abs(slopes) < slope)  # (1)


def dead_fraction(model: keras.Model | ActivationLayer, x: ArrayLike) -> dict[str, float] | float:
    """Fraction of units that pass no gradient on any example.

    A dead unit has the same output for every input and cannot recover, since its δ is 0 on every example. ReLU units
    die when a step is too large. Units with sigmoid or tanh never die in exact arithmetic.

        dead fraction = 1/D #{ i : f'(z_ni) = 0 for all n }              (1)

    where z is the input of the activation layer and D the number of its units. The units are the last axis; all
    other axes count as examples, so a channel of an image is dead if it is dead at every position.

    Args:
        model: model with activation layers of `networks`, such as `mlp` builds; or one such layer.
        x: examples for the model, (n, …); or z for the layer, (n, …, D). Use many examples, since with few a unit
            that is rarely active looks dead.

    Returns:
        Dictionary from the name of each activation layer to its fraction in [0, 1] over all its calls, in the order of
        the layers; for a single layer only the fraction.

    Raises:
        ValueError: the model has no activation layer.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import ReLU, dead_fraction
        >>> dead_fraction(ReLU(), np.array([[-1.0, -1.0], [-2.0, 3.0]]))  # the first unit is dead
        0.5

    Reference: Maas, Hannun, Ng, 2013, Rectifier nonlinearities improve neural network acoustic models, section 2.
    """

    def dead(_, slopes):
        by_unit = slopes.reshape(-1, slopes.shape[-1])
        return np.all(by_unit == 0, axis=0)  # (1)

    return _measure("dead_fraction", model, x, dead)


def output_mean(model: keras.Model | ActivationLayer, x: ArrayLike) -> dict[str, float] | float:
    """Mean output of activation layers, which is near 0 for a zero-centered activation.

    If all outputs of a layer are positive, the gradients of all incoming weights of a unit in the next layer have
    the same sign. A step then moves all these weights up or all down, and descent zigzags.

        output mean = 1/(N·D) Σ_n Σ_i f(z_ni)                            (1)

    where z is the input of the activation layer, N the number of examples, D the number of units.

    Args:
        model: model with activation layers of `networks`, such as `mlp` builds; or one such layer.
        x: examples for the model, (n, …); or z for the layer, any shape.

    Returns:
        Dictionary from the name of each activation layer to the mean over all its calls, in the order of the layers;
        for a single layer only the mean.

    Raises:
        ValueError: the model has no activation layer.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import Sigmoid, Tanh, output_mean
        >>> z = np.array([-1.0, 1.0])
        >>> output_mean(Sigmoid(), z), output_mean(Tanh(), z)
        (0.5, 0.0)

    Reference: LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.3,
    doi:10.1007/3-540-49430-8_2.
    """
    return _measure("output_mean", model, x, lambda outputs, _: outputs)  # (1)


def _measure(subject, model, x, measure):
    """Return the mean of `measure(f(z), f'(z))` in float64, for one activation layer or for all of a model."""
    if isinstance(model, ActivationLayer):
        return float(np.mean(_measured(model, x, measure)))
    found = {name: layer for name, layer in named_layers(model) if isinstance(layer, ActivationLayer)}
    if not found:
        requirement = "have activation layers of tf_kit.networks"
        refuse(f"{subject}.model", requirement, repr(model), "networks.mlp builds such models")
    inputs = _inputs_of(found.values(), model, x)
    return {
        name: float(np.mean(np.concatenate([_measured(layer, z, measure) for z in inputs[id(layer)]])))
        for name, layer in found.items()
        if id(layer) in inputs
    }


def _measured(layer, z, measure):
    """Return what is measured of each unit or activation in one call of a layer, as one axis."""
    z = ops.convert_to_tensor(np.asarray(z, "float64"))
    # `call`, since `__call__` would first round z to the dtype of the layer.
    return measure(ops.convert_to_numpy(layer.call(z)), ops.convert_to_numpy(layer.derivative(z))).ravel()


def _inputs_of(layers, model, x):
    """Return the inputs z of all calls of each layer as {id(layer): [z, …]}, from one forward pass on `x`."""
    seen = {}

    def record(layer, call):
        def recorded(inputs):
            seen.setdefault(id(layer), []).append(ops.convert_to_numpy(inputs))
            return call(inputs)

        return recorded

    with intercepted(layers, record):
        model(x, training=False)
    return seen
