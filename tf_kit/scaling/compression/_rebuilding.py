"""A model again, with some of its layers replaced by layers of another kind."""

import keras

from tf_kit.checks import refuse


def rebuild(subject, model, replacement):
    """A copy of `model` in which `replacement(layer)` stands for each layer it does not return None for.

    Returns:
        The copy, compiled as the model is, with a new optimizer; and the pairs (layer, replacement), whose
        weights the caller copies. All other weights are copied here.
    """
    if not getattr(model, "built", False):
        refuse(subject, "be built", f"{model!r}", "Give it a keras.Input or call it once")
    if not hasattr(model, "inputs"):
        remedy = "Give the sub-models that it is made of"
        refuse(subject, "be a Sequential or a functional model", f"a {type(model).__name__}", remedy)
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
        if not replaced:
            new.set_weights(layer.get_weights())
    return rebuilt, [(layer, new) for layer, new, replaced in copies.values() if replaced]


def config_of(layer):
    """What another kind of layer is made from; low-rank adaptations are part of the kernel that is copied."""
    return {name: value for name, value in layer.get_config().items() if not name.startswith("lora_")}


def layers_within(model):
    """The layers of a model, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_within(layer)
        else:
            yield layer
