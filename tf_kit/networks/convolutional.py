"""Convolutional networks: units that see a small window of an image and share their weights across it.

Reference: LeCun, Bottou, Bengio, Haffner, 1998, Gradient-based learning applied to document recognition,
doi:10.1109/5.726791.
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
from tf_kit.typing import Tensor


def cnn(
    filters: Sequence[int] = (16, 32, 64),
    units: Sequence[int] = (128,),
    num_classes: int | None = 10,
    activation: str | Callable[[], keras.layers.Layer] = "relu",
    normalization: Callable[[], keras.layers.Layer] | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> keras.Sequential:
    """Convolutional network: each layer halves the height and width of the image and applies more filters.

    For images with a few dozen pixels per side. The windows of 3×3 pixels of a layer are two pixels apart, so no
    pooling is needed: height and width shrink to ⌈h / 2⌉, ⌈h / 4⌉, … Fully connected layers follow, since digits and
    clothes differ in where their strokes lie.

        z^(l+1)_{ijc} = Σ_{u,v ∈ {0,1,2}} Σ_d W^(l)_{uvdc} α^(l)_{2i+u−p, 2j+v−p, d} + b^(l)_c   (1)
        α^(l+1) = f(norm(z^(l+1)))                                                               (2)
        α^(l+1) = f(norm(W^(l) flatten(α^(l)) + b^(l)))                                          (3)
        logits  = W^(L−1) α^(L−1) + b^(L−1)                                                      (4)

    where α^(1) is the image, surrounded by zeros, and p is 0 for an even side and 1 for an odd one, as in the "same"
    padding of Keras; f = `activation` and norm = `normalization`. With a normalization there is no bias, since the
    normalization would remove it. Kernels start from the He normal distribution, made for rectifiers, those of the
    logits from the Glorot uniform distribution. Each layer draws from its own seed, derived from `seed`.

    Args:
        filters: number of filters of each convolution, first to last. Defaults to (16, 32, 64).
        units: units of the fully connected layers that follow; may be empty. Defaults to one layer of 128.
        num_classes: number of outputs of the layer `logits`; None for an encoder without that layer. Defaults to 10.
        activation: as for `mlp`. Defaults to "relu".
        normalization: layer class, or function without arguments that returns a new layer, such as
            `regularization.BatchNorm`; called once for each layer. Defaults to None.
        input_shape: shape of one image, such as (28, 28, 1). Defaults to None, the shape of the first batch.
        seed: whole number that fixes the initial weights. Defaults to 0.

    Returns:
        `keras.Sequential` that maps images (n, h, w, c) to logits (n, num_classes), or to the last activation, one
        vector per image, if `num_classes` is None.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> from tf_kit.networks import cnn
        >>> encoder = cnn((8, 16), units=(), num_classes=None, input_shape=(28, 28, 1))
        >>> encoder.output_shape == (None, 7 * 7 * 16)
        True
        >>> encoder.count_params() == (9 * 1 + 1) * 8 + (9 * 8 + 1) * 16
        True

    Reference: Springenberg, Dosovitskiy, Brox, Riedmiller, 2015, Striving for simplicity: the all convolutional net,
    arXiv:1412.6806, for strides instead of pooling; He, Zhang, Ren, Sun, 2015, Delving deep into rectifiers, equation
    10, arXiv:1502.01852.
    """
    if not _is_sequence(filters) or not filters:
        refuse("cnn.filters", "be a tuple of one or more whole numbers", f"filters={filters!r}")
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
        refuse("cnn.normalization", "return a new layer each time", repr(normalization), remedy)
    new_activation = hidden_activation("cnn", activation)
    num_layers = len(filters) + len(units) + 1
    seeds = np.random.SeedSequence(count("cnn.seed", seed, at_least=0)).generate_state(num_layers)

    layers = []
    if input_shape is not None:
        shape = tuple(input_shape) if np.iterable(input_shape) else ()
        if len(shape) != 3:
            received = f"input_shape={shape or input_shape!r}"
            refuse("cnn.input_shape", "be (height, width, channels)", received)
        shape = tuple(count("cnn.input_shape", side) for side in shape)
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
        convolution = Convolution(
            size, 3, 2, padding="same", name=name, data_format="channels_last", **start(index)
        )  # (1)
        layers += [convolution, *after(name)]  # (2)
    layers.append(keras.layers.Flatten(data_format="channels_last", name="flatten"))
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
    """`keras.layers.Conv2D` with the right output shape on a replica that gets no example of a minibatch.

    On a CPU, TensorFlow gives the convolution of zero images the shape of its inputs, (0, h, w, d), regardless of
    filters and strides, and the sums over replicas that follow fail. Under a strategy with several replicas, this
    layer adds one black image to an empty minibatch and removes it from the outputs.

    Args: as for `keras.layers.Conv2D`.

    Input shape: (n, h, w, d) with n ≥ 0. Output shape: (n, h', w', filters).
    """

    same_as = keras.layers.Conv2D  # `scaling.prune` and `scaling.quantize` treat it as this layer

    def call(self, inputs: Tensor) -> Tensor:
        return _convolve(super().call, inputs)


KERAS_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def accept_empty_batches(model: keras.layers.Layer) -> None:
    """Make the convolutions of Keras in a model handle an empty minibatch as `Convolution` does.

    Replaces the method `call` of these layers. Their outputs, weights and saved files stay the same.
    """
    for layer in all_layers(model):
        patched = isinstance(layer, Convolution) or isinstance(layer.call, functools.partial)
        if isinstance(layer, KERAS_CONVOLUTIONS) and not patched:
            layer.call = functools.partial(_convolve, layer.call)


def _convolve(convolution, inputs):
    """Return `convolution(inputs)`; under a strategy with several replicas also for zero inputs."""
    if replicas.context() is None:
        return convolution(inputs)
    n = ops.shape(inputs)[0]
    missing = ops.cast(ops.equal(n, 0), "int32")
    black = ops.zeros((missing, *inputs.shape[1:]), inputs.dtype)
    return convolution(ops.concatenate([inputs, black]))[:n]


def _is_sequence(value):
    return isinstance(value, Sequence) and not isinstance(value, str)
