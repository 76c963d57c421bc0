"""Dense layers of an encoder, each with the layers around it: the stages of greedy pretraining."""

import collections
import dataclasses
import math
from typing import NoReturn

import keras

from tf_kit.checks import refuse
from tf_kit.keras_internals import nodes_by_depth, seed_generators
from tf_kit.typing import Tensor

HEAD = "logits"  # name of the last layer of a classifier in networks.mlp; not part of an encoder


@dataclasses.dataclass(frozen=True)
class Stage:
    """One dense layer of an encoder and the layers up to the next dense layer.

    Attributes:
        before: layers before the dense layer of the first stage, such as flattening; empty in the others.
        dense: the `keras.layers.Dense`.
        after: layers that follow it, such as activation, dropout and normalization.
    """

    before: tuple[keras.layers.Layer, ...]
    dense: keras.layers.Dense
    after: tuple[keras.layers.Layer, ...]

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """Layers in order; the same objects as in the encoder."""
        return (*self.before, self.dense, *self.after)

    def activate(self, z: Tensor) -> Tensor:
        """Apply the activation of the stage to pre-activations z."""
        a = self.dense.activation(z)
        for layer in self.after:
            if is_elementwise(layer):
                a = layer(a)
        return a

    @property
    def activation_name(self) -> str:
        """Name of the activation in lower case: "sigmoid", "relu", …, or "linear"."""
        functions = [self.dense.activation, *filter(is_elementwise, self.after)]
        functions = [f.activation if isinstance(f, keras.layers.Activation) else f for f in functions]
        names = [getattr(f, "__name__", type(f).__name__).lower() for f in functions]
        names = [name for name in names if name != "linear"]
        return "+".join(names) or "linear"


def is_elementwise(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is an activation: without weights or randomness, and with the shape kept."""
    has_weights = layer.weights or type(layer).build is not keras.layers.Layer.build
    return not (has_weights or is_random(layer) or is_reshaping(layer))


def is_random(layer: keras.layers.Layer) -> bool:
    """Return whether a layer changes its inputs at random, and only in training: dropout, noise."""
    random = (keras.layers.Dropout, keras.layers.GaussianNoise, keras.layers.GaussianDropout)
    return isinstance(layer, random) or hasattr(layer, "seed") or bool(seed_generators(layer))


def is_reshaping(layer: keras.layers.Layer) -> bool:
    """Return whether a layer changes the shape of its inputs but not their values."""
    return isinstance(layer, keras.layers.Flatten | keras.layers.Reshape | keras.layers.InputLayer)


def check_flat(subject: str, stage: Stage, input_shape: tuple[int | None, ...]) -> None:
    """Refuse a stage whose dense layer does not see the flattened inputs themselves, in their order.

    Args:
        subject: argument that is checked, for the error message.
        stage: first stage of an encoder.
        input_shape: shape of the inputs of the encoder, (n, …).

    Raises:
        ValueError: the dense layer has another number of inputs than an example has features, as after a
            convolution, or a layer before it reorders them.
    """
    features = math.prod(side or 0 for side in input_shape[1:])  # an unknown side does not match
    width = stage.dense.kernel.shape[0]
    reordering = [each.name for each in stage.before if _reorders(each) and len(input_shape) > 2]
    if features != width or reordering:
        received = f"inputs of {features} features and a dense layer on {width}"
        if reordering:
            received = f"the layer {reordering[0]!r}, which changes the order of the features"
        refuse(
            subject,
            "lead from its flattened inputs straight to a dense layer",
            received,
            "Autoencoder takes any encoder together with a decoder",
        )


def _reorders(layer):
    """Return whether a layer exchanges the axes of its inputs; `Flatten` does so for channels in front."""
    return isinstance(layer, keras.layers.Permute) or getattr(layer, "data_format", "") == "channels_first"


def dense_stages(encoder: keras.layers.Layer) -> list[Stage]:
    """Split an encoder into its dense stages, in order, without the head of a classifier (the layer `logits`).

    Args:
        encoder: `keras.layers.Dense`, or a `keras.Sequential` or functional chain of dense layers with activations
            between them. Models inside are replaced by their layers.

    Returns:
        One `Stage` for each dense layer.

    Raises:
        ValueError: the encoder has no dense layer, is not a plain sequence, or uses a layer with weights twice.

    Example:
        >>> from tf_kit import networks
        >>> [stage.dense.units for stage in dense_stages(networks.mlp((32, 16), num_classes=10))]
        [32, 16]
    """
    layers = sequence_of_layers(encoder)
    if layers is None:
        _refuse(encoder, f"a {type(encoder).__name__}")
    _refuse_shared(layers)
    starts = [
        i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Dense) and layer.name != HEAD
    ]
    if not starts:
        _refuse(encoder, f"{encoder.name!r} without a dense layer")
    ends = [
        next((j for j in range(i + 1, len(layers)) if isinstance(layers[j], keras.layers.Dense)), len(layers))
        for i in starts
    ]
    return [
        Stage(tuple(layers[: starts[0]]) if k == 0 else (), layers[start], tuple(layers[start + 1 : end]))
        for k, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def sequence_of_layers(model: keras.layers.Layer) -> list[keras.layers.Layer] | None:
    """Return the layers of a chain in the order of their calls, with nested models replaced by their layers.

    Args:
        model: dense layer, `keras.Sequential`, or functional model without branches and without `keras.ops` between
            its layers; models inside likewise.

    Returns:
        List of layers, in which a shared layer occurs repeatedly, or None if the model is not such a chain.

    Example:
        >>> inner = keras.Sequential([keras.layers.Dense(3, name="hidden"), keras.layers.ReLU(name="relu")])
        >>> [each.name for each in sequence_of_layers(keras.Sequential([inner, keras.layers.Dense(2, name="out")]))]
        ['hidden', 'relu', 'out']
    """
    if isinstance(model, keras.layers.Dense):
        return [model]
    calls = list(model.layers) if isinstance(model, keras.Sequential) else _chain(model)
    if calls is None:
        return None
    layers: list[keras.layers.Layer] = []
    for layer in calls:
        inner = sequence_of_layers(layer) if isinstance(layer, keras.Model) else [layer]
        if inner is None:
            return None
        layers += inner
    return layers


def _chain(model):
    """Return the layers of a functional model in the order of their calls; None if it has branches or operations."""
    by_depth = nodes_by_depth(model) if isinstance(model, keras.Model) else None
    if by_depth is None:
        return None
    layers = []
    for depth in sorted(by_depth, reverse=True):
        node, *others = by_depth[depth]
        if others or not isinstance(node.operation, keras.layers.Layer) or len(node.input_tensors) > 1:
            return None
        if not node.is_input:
            layers.append(node.operation)
    return layers


def _refuse_shared(layers):
    times = collections.Counter(map(id, layers))
    for layer in layers:
        stateless = is_elementwise(layer) or is_random(layer) or is_reshaping(layer)
        if times[id(layer)] > 1 and not stateless:
            refuse(
                "encoder",
                "use each layer with weights once, so that it can be trained on its own inputs",
                f"the layer {layer.name!r}, used {times[id(layer)]} times",
                "Make a layer for each place",
            )


def _refuse(encoder: keras.layers.Layer, received: str) -> NoReturn:
    refuse(
        "encoder",
        "be a sequence of dense layers (keras.Sequential, or one Dense)",
        received,
        "networks.mlp(units, num_classes=None) makes one",
    )
