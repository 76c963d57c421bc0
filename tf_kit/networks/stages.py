"""The dense layers of an encoder, one stage each: what greedy pretraining walks through."""

import dataclasses
import math

import keras

from tf_kit.checks import refuse
from tf_kit.keras_internals import operations_by_depth

HEAD = "logits"  # the name that networks.mlp gives to a classifier's last layer; it is no part of an encoder


@dataclasses.dataclass(frozen=True)
class Stage:
    """One dense layer of an encoder with all that stands before the next one.

    Attributes:
        before: layers between the previous stage and the dense layer that hold no stage of their own (flattening).
        dense: the `keras.layers.Dense`.
        after: what follows it: activation, dropout, normalization.
    """

    before: tuple
    dense: keras.layers.Dense
    after: tuple

    @property
    def layers(self):
        """The layers in order, the encoder's very own."""
        return (*self.before, self.dense, *self.after)

    def activate(self, z):
        """The stage's activation applied to pre-activations z."""
        a = self.dense.activation(z)
        for layer in self.after:
            if is_elementwise(layer):
                a = layer(a)
        return a

    @property
    def activation_name(self):
        """Lower-case name of the activation: "sigmoid", "relu", …, or "linear"."""
        functions = [self.dense.activation, *filter(is_elementwise, self.after)]
        functions = [f.activation if isinstance(f, keras.layers.Activation) else f for f in functions]
        names = [getattr(f, "__name__", type(f).__name__).lower() for f in functions]
        names = [name for name in names if name != "linear"]
        return "+".join(names) or "linear"


def is_elementwise(layer):
    """Whether a layer is an activation: no weights, no randomness, values in place."""
    has_weights = layer.weights or type(layer).build is not keras.layers.Layer.build
    return not (has_weights or is_random(layer) or is_reshaping(layer))


def is_random(layer):
    """Whether a layer changes its inputs at random, in training only: dropout, noise."""
    random = (keras.layers.Dropout, keras.layers.GaussianNoise, keras.layers.GaussianDropout)
    return isinstance(layer, random) or "seed" in layer.get_config()


def is_reshaping(layer):
    """Whether a layer gives its inputs another shape and leaves their values."""
    return isinstance(layer, keras.layers.Flatten | keras.layers.Reshape | keras.layers.InputLayer)


def check_flat(subject, stage, input_shape):
    """Refuses inputs that do not reach the dense layer feature by feature, as behind a convolution."""
    features, width = math.prod(input_shape[1:]), stage.dense.kernel.shape[0]
    if features != width:
        refuse(
            subject,
            "lead from its flattened inputs straight to a dense layer",
            f"inputs of {features} features and a dense layer on {width}",
            "Autoencoder takes any encoder together with a decoder",
        )


def dense_stages(encoder):
    """Splits an encoder into its dense stages, in order. A classifier's head (the layer `logits`) is left out.

    Args:
        encoder: `keras.layers.Dense`, or a `keras.Sequential` of dense layers with activations between them.

    Raises:
        InputError: if the encoder has no dense layer, or is not a plain sequence.

    Example:

    >>> from tf_kit import networks
    >>> [stage.dense.units for stage in dense_stages(networks.mlp((32, 16), num_classes=10))]
    [32, 16]
    """
    if isinstance(encoder, keras.layers.Dense):
        return [Stage((), encoder, ())]
    if isinstance(encoder, keras.Sequential):
        layers = list(encoder.layers)
    elif (
        isinstance(encoder, keras.Model)
        and len(getattr(encoder, "inputs", None) or ()) == 1
        and _is_chain(encoder)
    ):
        layers = [layer for layer in encoder.layers if not isinstance(layer, keras.layers.InputLayer)]
    else:
        _refuse(encoder, f"a {type(encoder).__name__} that is none")
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


def _is_chain(model):
    """Whether a functional model is layer after layer, with no branch and no bare `keras.ops` between them."""
    return all(
        len(operations) == 1 and isinstance(operations[0], keras.layers.Layer)
        for operations in operations_by_depth(model).values()
    )


def _refuse(encoder, received):
    refuse(
        "encoder",
        "be a sequence of dense layers (keras.Sequential, or one Dense)",
        received,
        "networks.mlp(units, num_classes=None) makes one",
    )
