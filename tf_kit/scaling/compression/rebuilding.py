"""Copies of a model in which some layers are replaced by layers of another kind."""

from collections.abc import Callable
from typing import Any

import keras

from tf_kit.checks import refuse
from tf_kit.networks.inspection import layers_within


def rebuild(
    subject: str,
    model: keras.Model,
    replacement: Callable[[keras.layers.Layer], keras.layers.Layer | None],
) -> tuple[keras.Model, list[tuple[keras.layers.Layer, keras.layers.Layer]]]:
    """Copy a model and replace some of its layers.

    Args:
        subject: argument that errors name.
        model: built Sequential or functional model.
        replacement: function that returns the new layer for a layer, or None to copy it.

    Returns:
        The copy, compiled like the model, with a new optimizer; and the pairs (layer, new layer) of the replaced
        layers, whose weights the caller copies. All other weights are copied here.
    """
    if not getattr(model, "built", False):
        refuse(subject, "be built", f"{model!r}", "Give the model a keras.Input or call it once")
    if not hasattr(model, "inputs"):
        remedy = "Give the functional models that it consists of"
        refuse(subject, "be a Sequential or a functional model", f"a {type(model).__name__}", remedy)
    quantized = [layer.name for layer in layers_within(model) if getattr(layer, "stores_levels", False)]
    if quantized:
        received = f"{quantized[0]}, which is quantized"
        refuse(subject, "have float kernels", received, "Give the original model; prune before you quantize")
    copies = {}  # a layer that is called twice is copied once

    def clone(layer):
        if id(layer) not in copies:
            new = replacement(layer)
            replaced = new is not None
            copies[id(layer)] = (
                layer,
                new if replaced else type(layer).from_config(layer.get_config()),
                replaced,
            )
        return copies[id(layer)][1]

    rebuilt = keras.models.clone_model(model, clone_function=clone, recursive=True)
    for layer, new, replaced in copies.values():
        if not replaced and isinstance(layer, keras.layers.Layer):  # `h * 2` is a node without weights
            new.set_weights(layer.get_weights())
    return rebuilt, [(layer, new) for layer, new, replaced in copies.values() if replaced]


def config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return the config for a layer of another kind, without low-rank adaptations, which the copied kernel includes."""
    return {name: value for name, value in layer.get_config().items() if not name.startswith("lora_")}
