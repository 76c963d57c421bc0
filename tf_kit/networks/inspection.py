"""Walks over the layers of a model, however deep they lie, and a way to observe them at work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from tf_kit import keras_internals
from tf_kit.checks import refuse
from tf_kit.typing import Tensor


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
    """Yield the layers of a model, with nested models replaced by their layers, and a layer that they share once."""
    yield from {id(layer): layer for _, layer in named_layers(model)}.values()


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


def build_on(layer: keras.layers.Layer, input_shape: Sequence[int | None]) -> None:
    """Create the weights of a layer or model for inputs of a shape, unless they exist.

    A subclass of `keras.Model` with only `__init__` and `call` inherits a `build` that marks it as built without
    creating anything. Such a layer is called on a symbolic input instead.

    Args:
        layer: layer or model with one input.
        input_shape: (n, …), None for a size that is not known.
    """
    if layer.built:
        return
    shape = tuple(input_shape)  # a `TensorShape` would end up in the saved file, and make `export` fail
    if keras_internals.has_own_build(layer):
        layer.build(shape)
    else:
        layer(keras.KerasTensor(shape))


def output_shape(layer: keras.layers.Layer, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """Infer the shape of the outputs of a layer or model, also where it has no `compute_output_shape`.

    Args:
        layer: built layer or model with one input.
        input_shape: (n, …), None for a size that is not known.

    Raises:
        InputError: the layer returns several arrays.

    Example:
        >>> class Half(keras.Model):
        ...     def call(self, inputs):
        ...         return inputs[:, ::2]
        >>> output_shape(Half(), (None, 6))
        (None, 3)
    """
    outputs = layer.compute_output_spec(keras.KerasTensor(tuple(input_shape)))
    if not isinstance(outputs, keras.KerasTensor):
        received = f"a {type(outputs).__name__} of {len(outputs)} outputs"
        refuse(
            f"encoder {layer.name!r}", "return one array", received, "Give the part that ends in one output"
        )
    return tuple(outputs.shape)


def one_vector(subject: str, encoder: keras.layers.Layer, input_shape: Sequence[int | None]) -> tuple:
    """Build an encoder; return the shape (n, d) of its outputs, or refuse it if an output is not one vector.

    Args:
        subject: argument that is checked, for the error message.
        encoder: layer or model.
        input_shape: shape of its inputs, (n, …).
    """
    build_on(encoder, input_shape)
    shape = output_shape(encoder, input_shape)
    if len(shape) != 2:
        requirement, remedy = "map each example to one vector", "End it in Flatten or GlobalAveragePooling2D"
        refuse(subject, requirement, f"outputs of shape {shape}", remedy)
    return shape


def freeze_parts(layer: keras.layers.Layer) -> None:
    """Freeze the parts of a layer that was made with `trainable=False`, after it has been built.

    Keras passes `trainable` on to the parts when it is set, not to those that are made later. A model around the layer
    would train them.
    """
    if not layer.trainable:
        layer.trainable = True  # TensorFlow skips the assignment of a value that is set already
        layer.trainable = False


def export_signature(model: keras.Model) -> list[keras.InputSpec] | None:
    """Return the input signature for `export` of a built model, None for another one.

    Keras takes it from the first call, and refuses a model of which only other methods have been called, as in a
    training of `MaskedAutoencoder`.
    """
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    dtype = (
        "float32" if model.input_dtype in ("float16", "bfloat16") else model.input_dtype
    )  # as images are read
    return shape and [keras.InputSpec(shape=(None, *shape[1:]), dtype=dtype)]


def call_with(
    layer: keras.layers.Layer, values: Iterable[tuple[keras.Variable, Tensor]], x: Tensor, training: bool
) -> tuple[Tensor, Callable[[keras.Variable], Tensor | None]]:
    """Compute `layer(x)` with other values of its variables, and without changing them.

    `Layer.stateless_call` bypasses `__call__`, so it fails for a layer whose `call` has no argument `training`, and
    computes in another dtype under mixed precision.

    Args:
        layer: built layer or model.
        values: pairs of a variable and the value to use.
        x: inputs.
        training: whether this is a training step.

    Returns:
        The outputs, and a function from a variable of the layer to the value that the call would have given it.
    """
    with keras.StatelessScope(state_mapping=list(values)) as scope:
        outputs = layer(x, training=training)
    return outputs, scope.get_current_value


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
    layers = list({id(layer): layer for layer in layers}.values())  # a shared layer once
    replaced = [layer.__dict__.get("call") for layer in layers]  # by `accept_empty_batches`, say
    try:
        for layer in layers:
            layer.call = wrap(layer, layer.call)
        yield
    finally:
        for layer, before in zip(layers, replaced, strict=True):
            if before is None:
                layer.__dict__.pop("call", None)
            else:
                layer.call = before


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
