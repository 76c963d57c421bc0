"""Sharing of traced functions between models of one structure, such as the seeds and rows of a table.

Tracing and preparing the graph of a training takes TensorFlow a quarter of a second, on small data longer than the
training itself. A traced function gets its variables as arguments that are filled in at each call. So the function
of one model trains another model of the same structure if it is called with the variables of the other.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import types
from collections.abc import Iterator

import keras
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.typing import Tensor

_shared: contextvars.ContextVar[dict | None] = contextvars.ContextVar("_shared", default=None)

# Entries of a configuration that change weights or names but no step of a training.
_WITHOUT_EFFECT = {"name", "build_config", "build_input_shape"}
_OWN = ("keras", "tf_kit", "builtins")  # packages whose objects are determined by their configuration


@contextlib.contextmanager
def shared_traces() -> Iterator[None]:
    """Within this context, models of one structure on one device train by the same traced functions.

    The functions, and with them the variables of the models that were traced, are released at the end.

    Example:
        >>> from tf_kit import data, networks, pretraining
        >>> x = data.load("digits", seed=0)[0].x
        >>> with shared_traces():    # the second seed starts at once
        ...     for seed in (0, 1):
        ...         encoder = networks.mlp((8,), num_classes=None, seed=seed)
        ...         blocks = pretraining.pretrain_greedily(encoder, x, epochs=1, seed=seed)
    """
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def current() -> dict | None:
    """Return the functions of the current context by the structure of their model; None outside a context."""
    return _shared.get()


def structure(model: keras.Model) -> str | None:
    """Return a text that is the same for models whose training steps differ in nothing but values of variables.

    The text holds the configuration of the model, its loss, metrics and optimizer without names, initializers and
    the seed of the `Trainer` (which is a variable), the shapes of all variables, and which of them decay. None stands
    for a model that its configuration does not determine: one with a layer, function or loss that is not part of
    Keras or of the kit; and for a model that was made under a strategy.
    """
    if keras_internals.strategy_at_creation(model) is not None:
        return None
    if not all(map(_is_determined, keras_internals.flatten_layers(model))):
        return None
    try:
        config = keras.saving.serialize_keras_object(model)
        config["config"].pop("seed", None)
        cleaned = _cleaned(config)
        text = json.dumps(cleaned, sort_keys=True)
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return None
    for index, name in enumerate(_names(config)):
        text = text.replace(json.dumps(name), f'"#{index}"')
    trained = {id(variable) for variable in model.trained_variables}
    variables = [
        (tuple(each.shape), str(each.dtype), id(each) in trained) for each in _keras_variables(model)
    ]
    decayed = keras_internals.decayed(model.optimizer, model.trained_variables)
    return repr((text, variables, decayed, bool(model.jit_compile), keras.config.floatx()))


def variables_of(model: keras.Model) -> list[tf.Variable]:
    """Return all variables that a step of a `Trainer` may use, in an order that its structure determines."""
    return [*(variable.value for variable in _keras_variables(model)), model.traced_pieces.seed]


def rebound(
    captures: list[Tensor], owner: list[tf.Variable], other: list[tf.Variable]
) -> list[Tensor] | None:
    """Replace the variables of one model among the captures of a traced function by those of another.

    Args:
        captures: captured inputs of the function.
        owner: variables of the model that was traced.
        other: variables of the other model, in the same order.

    Returns:
        The captures for the other model; None if the function has captured anything else.
    """
    places = {id(variable.handle): place for place, variable in enumerate(owner)}
    found = [places.get(id(capture)) for capture in captures]
    if any(place is None for place in found):
        return None
    return [other[place].handle for place in found if place is not None]


def _keras_variables(model):
    unique = {}
    for variable in [*model.variables, *model.metrics_variables, *model.optimizer.variables]:
        unique.setdefault(id(variable), variable)
    return list(unique.values())


def _is_determined(layer):
    """Return whether the class of a layer, and the functions that it holds, are those of Keras and the kit."""
    functions = [value for value in vars(layer).values() if isinstance(value, types.FunctionType)]
    return all((each.__module__ or "").split(".")[0] in _OWN for each in (type(layer), *functions))


def _cleaned(node):
    """Return a configuration without what has no effect on a step; raise ValueError for a foreign object."""
    if isinstance(node, dict):
        module = node.get("module")
        if node.get("class_name") == "__lambda__" or (module and module.split(".")[0] not in _OWN):
            raise ValueError("an object that its configuration does not determine")
        if module == "keras.initializers":
            return None
        return {key: _cleaned(value) for key, value in node.items() if key not in _WITHOUT_EFFECT}
    if isinstance(node, (list, tuple)):
        return [_cleaned(each) for each in node]
    return node


def _names(node, found=None):
    """Return the names of layers in the order in which a configuration lists them."""
    found = {} if found is None else found
    if isinstance(node, dict):
        if isinstance(node.get("name"), str):
            found.setdefault(node["name"])
        for value in node.values():
            _names(value, found)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _names(value, found)
    return found
