"""Convolutional networks: units that look at a small window and share their weights over the image.

Reference: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document Recognition".
"""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from tf_kit import replicas
from tf_kit.checks import count, refuse
from tf_kit.networks.inspection import all_layers
from tf_kit.networks.perceptron import hidden_activation


def cnn(
    filters: Sequence[int] = (16, 32, 64),
    units: Sequence[int] = (128,),
    num_classes: int | None = 10,
    activation: str | Callable[[], keras.layers.Layer] = "relu",
    normalization: Callable[[], keras.layers.Layer] | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> keras.Sequential:
    """Convolutional network: each layer halves the image and looks at it with more filters.

    For images of a few dozen pixels a side. A layer's windows of 3×3 pixels are two pixels apart, so it needs no
    pooling: height and width shrink as ⌈h / 2⌉, ⌈h / 4⌉, … Fully connected layers follow, since where a stroke
    lies in an image tells digits and clothes apart.

        z^(l+1)_{ijc} = Σ_{u,v ∈ {0,1,2}} Σ_d W^(l)_{uvdc} α^(l)_{2i+u−p, 2j+v−p, d} + b^(l)_c   (1)
        α^(l+1) = f(norm(z^(l+1)))                                                               (2)
        α^(l+1) = f(norm(W^(l) flatten(α^(l)) + b^(l)))                                          (3)
        logits  = W^(L−1) α^(L−1) + b^(L−1)                                                      (4)

    where α^(1) is the image; outside it lie zeros, and p is 0 for an even side and 1 for an odd one, as Keras's
    "same" padding has it; f = `activation` and norm = `normalization`. With a normalization there is no bias,
    which it would take out again. Kernels start from He's normal distribution, made for rectifiers, the logits'
    from the Glorot uniform one; each layer draws from a seed of its own made from `seed`.

    Args:
        filters: filters of each convolution, first to last.
        units: units of the fully connected layers behind them; may be empty. Defaults to one layer of 128.
        num_classes: outputs of the layer `logits`; None leaves it out, and the network is an encoder. Defaults
            to 10.
        activation: as for `mlp`. Defaults to "relu".
        normalization: a layer class, or a function without arguments that returns a new layer, one for each
            layer: `regularization.BatchNorm`. Defaults to None.
        input_shape: shape of one image, such as (28, 28, 1); None leaves it to the first batch.
        seed: a whole number that fixes the initial weights.

    Returns:
        A `keras.Sequential`: images (n, h, w, c) to logits (n, num_classes), or to the last activation, one
        vector an image, when `num_classes` is None.

    Raises:
        ValueError: when an argument is outside its range.

    Example:
        >>> from tf_kit.networks import cnn
        >>> encoder = cnn((8, 16), units=(), num_classes=None, input_shape=(28, 28, 1))
        >>> encoder.output_shape == (None, 7 * 7 * 16)
        True
        >>> encoder.count_params() == (9 * 1 + 1) * 8 + (9 * 8 + 1) * 16
        True

    Reference: Springenberg, Dosovitskiy, Brox, Riedmiller 2015, "Striving for Simplicity: The All Convolutional
    Net" (strides instead of pooling); He, Zhang, Ren, Sun 2015, "Delving Deep into Rectifiers", equation 10.
    """
    if not _is_sequence(filters) or not filters:
        refuse("cnn.filters", "be a tuple of one whole number or more", f"filters={filters!r}")
    if not _is_sequence(units):
        refuse("cnn.units", "be a tuple of whole numbers", f"units={units!r}")
    filters = [count("cnn.filters", each) for each in filters]
    units = [count("cnn.units", each) for each in units]
    if num_classes is not None:
        num_classes = count("cnn.num_classes", num_classes, remedy="None leaves the layer of logits out")
    if normalization is not None and (
        not callable(normalization) or isinstance(normalization, keras.layers.Layer)
    ):
        remedy = "Give the class, as in normalization=regularization.BatchNorm"
        refuse("cnn.normalization", "return a new layer for each layer", repr(normalization), remedy)
    new_activation = hidden_activation("cnn", activation)
    num_layers = len(filters) + len(units) + 1
    seeds = np.random.SeedSequence(count("cnn.seed", seed, at_least=0)).generate_state(num_layers)

    layers = []
    if input_shape is not None:
        shape = tuple(count("cnn.input_shape", side) for side in input_shape)
        if len(shape) != 3:
            refuse("cnn.input_shape", "be (height, width, channels)", f"input_shape={tuple(input_shape)}")
        layers.append(keras.Input(shape))

    def start(index):
        return {
            "use_bias": normalization is None,
            "kernel_initializer": keras.initializers.HeNormal(seed=int(seeds[index])),
        }

    def after(name):
        return [*([] if normalization is None else [normalization()]), new_activation(name)]

    for index, size in enumerate(filters):
        name = f"conv_{index + 1}"
        convolution = Convolution(size, 3, 2, padding="same", name=name, **start(index))  # (1)
        layers += [convolution, *after(name)]  # (2)
    layers.append(keras.layers.Flatten(name="flatten"))
    for index, size in enumerate(units):
        name = f"hidden_{index + 1}"
        dense = keras.layers.Dense(size, name=name, **start(len(filters) + index))
        layers += [dense, *after(name)]  # (3)
    if num_classes is not None:
        glorot = keras.initializers.GlorotUniform(seed=int(seeds[-1]))
        layers.append(keras.layers.Dense(num_classes, kernel_initializer=glorot, name="logits"))  # (4)
    return keras.Sequential(layers, name="encoder" if num_classes is None else "cnn")


@keras.saving.register_keras_serializable(package="tf_kit")
class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` that keeps its output shape where a replica gets no example of a minibatch.

    On a processor, TensorFlow gives the convolution of no images the shape of its inputs, (0, h, w, d), whatever
    the filters and strides; the sums over replicas that follow then fail. Where replicas share minibatches, an
    empty part is convolved with one black image, which is cut off again.

    Args: as for `keras.layers.Conv2D`.
    Input shape, output shape: (n, h, w, d) to (n, h', w', filters), n ≥ 0.
    """

    same_as = keras.layers.Conv2D  # what `scaling.prune` and `scaling.quantize` take it for

    def call(self, inputs):
        return _convolve_some(super().call, inputs)


KERAS_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def bear_empty_parts(model):
    """Lets the convolutions of Keras in a model do what `Convolution` does for a replica that gets no example.

    Changes how the very layers are called, and nothing of what they compute, hold or save.
    """
    for layer in all_layers(model):
        patched = isinstance(layer, Convolution) or isinstance(layer.call, functools.partial)
        if isinstance(layer, KERAS_CONVOLUTIONS) and not patched:
            layer.call = functools.partial(_convolve_some, layer.call)


def _convolve_some(convolve, inputs):
    """`convolve(inputs)`, where replicas share minibatches also of no inputs."""
    if replicas.context() is None:
        return convolve(inputs)
    n = ops.shape(inputs)[0]
    missing = ops.cast(ops.equal(n, 0), "int32")
    black = ops.zeros((missing, *inputs.shape[1:]), inputs.dtype)
    return convolve(ops.concatenate([inputs, black]))[:n]


def _is_sequence(value):
    return isinstance(value, Sequence) and not isinstance(value, str)
