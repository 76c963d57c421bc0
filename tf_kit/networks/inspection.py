"""Walks over the layers of a model, however deep they lie, and a way to observe them at work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from tf_kit import keras_internals


def named_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield (name, layer) for the layers of a model, with nested models replaced by their layers.

    A layer of a nested model is named "inner/layer". A layer that several nested models share is yielded once for
    each of them. Layers inside other layers are not yielded; `all_layers` has them.

    Example:
        >>> hidden = [keras.layers.Dense(3, name="hidden"), keras.layers.ReLU(name="relu")]
        >>> inner = keras.Sequential(hidden, name="inner")
        >>> model = keras.Sequential([inner, keras.layers.Dense(2, name="logits")])
        >>> [name for name, _ in named_layers(model)]
        ['inner/hidden', 'inner/relu', 'logits']
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            for name, inner in named_layers(layer):
                yield f"{layer.name}/{name}", inner
        else:
            yield layer.name, layer


def layers_within(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model, with nested models replaced by their layers: `named_layers` without the names."""
    for _, layer in named_layers(model):
        yield layer


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer or model, its sublayers, their sublayers and so on, each once.

    The outermost comes first. Unlike `layers_within` this has the nested models too, and the layers inside layers,
    such as the dense layers of an attention.

    Example:
        >>> attention = keras.layers.MultiHeadAttention(num_heads=1, key_dim=2)
        >>> attention.build((None, 3, 4), (None, 3, 4))
        >>> model = keras.Sequential([attention])
        >>> len(list(layers_within(model))), len(all_layers(model)) > 5
        (1, True)
    """
    return keras_internals.flatten_layers(layer)


def last_layer(model: keras.layers.Layer) -> keras.layers.Layer:
    """Return the last layer of a model, or of the nested model that comes last; for a layer, the layer itself.

    Example:
        >>> inner = keras.Sequential([keras.layers.ReLU(), keras.layers.Dense(2, name="logits")])
        >>> last_layer(keras.Sequential([keras.layers.Flatten(), inner])).name
        'logits'
    """
    while getattr(model, "layers", None):
        model = model.layers[-1]
    return model


@contextlib.contextmanager
def intercepted(
    layers: Iterable[keras.layers.Layer], wrap: Callable[[keras.layers.Layer, Callable], Callable]
) -> Iterator[None]:
    """Within this context, let each layer compute `wrap(layer, call)` instead of its own `call`.

    This reaches layers inside any model. A second graph to the inside would need a functional model that uses each
    layer once.

    Args:
        layers: layers to intercept.
        wrap: function of a layer and its own `call` that returns the function to use instead.

    Example:
        >>> layer, sizes = keras.layers.Dense(3), []
        >>> def record(layer, call):
        ...     return lambda inputs: sizes.append(inputs.shape[1]) or call(inputs)
        >>> with intercepted([layer], record):
        ...     _ = keras.Sequential([layer])(keras.ops.ones((1, 5)))
        >>> sizes
        [5]
    """
    layers = list(layers)
    try:
        for layer in layers:
            layer.call = wrap(layer, layer.call)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("call", None)


@contextlib.contextmanager
def observed_calls(
    observe: Callable[[keras.Operation, tuple, dict[str, Any], Any, Sequence[keras.Operation]], None],
    kind: type[keras.Operation] = keras.Operation,
) -> Iterator[None]:
    """Within this context, call `observe` after each call of a layer or operation, of any model.

    Keras has no hook for calls, but each of them passes through the `__call__` of its kind.

    Args:
        observe: function of the callee, its positional and keyword arguments, its outputs, and the callees around it
            whose calls have not ended, outermost first.
        kind: `keras.Operation` for layers and operations, `keras.layers.Layer` for layers alone.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name="relu")], name="model")
        >>> names = []
        >>> def observe(layer, args, kwargs, outputs, around):
        ...     names.append(layer.name)
        >>> with observed_calls(observe, keras.layers.Layer):
        ...     _ = model(keras.ops.ones((1, 2)))
        >>> names
        ['relu', 'model']
    """
    original: Callable = kind.__call__
    running: list[keras.Operation] = []

    def call(callee, *args, **kwargs):
        running.append(callee)
        try:
            outputs = original(callee, *args, **kwargs)
        finally:
            running.pop()
        observe(callee, args, kwargs, outputs, running)
        return outputs

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original
