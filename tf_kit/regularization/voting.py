"""Prediction with dropout: the average of sampled thinned networks, or one network with scaled weights.

Reference: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, 2014, Dropout: a simple way to prevent neural
networks from overfitting, section 7.5; Goodfellow, Bengio, Courville, 2016, Deep Learning, section 7.12.
"""

import inspect
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.dtypes import as_floats
from tf_kit.networks.inspection import all_layers, intercepted, observed_calls
from tf_kit.regularization.dropout import DropConnect, Dropout

_GIVE = "Give from_logits=True to convert the outputs to probabilities, False to leave them"
_ELEMENTWISE = (Dropout, keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)


def predict_by_mask_sampling(
    model: keras.Model,
    x: Any,
    num_masks: int = 20,
    seed: int = 0,
    *,
    from_logits: bool | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Average the probabilities of `num_masks` thinned networks.

    Each mask defines one thinned network, which predicts all of x, so the prediction for an example depends neither on
    the batch size nor on the other examples. Only dropout is random: all other layers, including batch normalization,
    run in inference mode, and the state of the model (weights, moving statistics, seeds) does not change.

        p(y | x) = 1/K Σₖ p(y | x, mₖ),   mₖ drawn from `seed`           (1)

    where K = `num_masks`.

    Args:
        model: Keras model of any kind with one output, and with layers of type `Dropout` or `DropConnect` of this
            package, or `Dropout`, `SpatialDropout`, `GaussianDropout` or `AlphaDropout` of Keras, at any depth.
        x: inputs of the model, an array or a list or dict of arrays.
        num_masks: K; the lecture uses 10 to 20. Defaults to 20.
        seed: whole number; the same seed gives the same masks. Defaults to 0.
        from_logits: whether the outputs are logits, which are converted to probabilities (softmax over the last axis,
            or sigmoid for one output) before averaging. Defaults to None: the setting of the compiled loss, False for
            a loss of Keras without such a setting, such as a squared error; without a compiled loss, whether the
            layer that makes the outputs is linear.
        batch_size: examples per forward pass; affects only memory. Defaults to 256.

    Returns:
        Float array in the shape of the model's outputs.

    Raises:
        ValueError: `num_masks` is below 1, x is empty or its arrays differ in length, the model has no
            dropout layer, it drops inside a recurrent cell, where a mask cannot be set from outside, or neither
            its loss nor its last layer shows whether the outputs are logits.

    Example:
        >>> model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")])
        >>> x = np.eye(4, dtype="float32")
        >>> p = predict_by_mask_sampling(model, x, num_masks=10, seed=7)
        >>> p.shape, np.allclose(p.sum(axis=1), 1)
        ((4, 3), True)
        >>> np.allclose(p, predict_by_mask_sampling(model, x, num_masks=10, seed=7, batch_size=1), rtol=1e-5)
        True

    Reference: Srivastava et al., 2014, Dropout: a simple way to prevent neural networks from overfitting, section
    7.5.
    """
    num_masks = count("predict_by_mask_sampling.num_masks", num_masks)
    seed = count("predict_by_mask_sampling.seed", seed, at_least=0)
    batch_size = count("predict_by_mask_sampling.batch_size", batch_size)
    rows_of_batches = _batches(x, batch_size)
    _forward(model, x, slice(0, 1))  # builds the model if necessary
    layers = _dropout_layers(model)
    from_logits = _ends_in_logits(model, x) if from_logits is None else from_logits
    total = np.zeros(())
    for k in range(num_masks):
        batches = []
        for rows in rows_of_batches:
            with _thinned(layers, (seed, k)):
                batches.append(_probabilities(model, _forward(model, x, rows), from_logits))
        total = total + np.concatenate(batches).astype("float64")
    return (total / num_masks).astype(batches[0].dtype)  # (1)


def predict_by_weight_scaling(
    model: keras.Model, x: Any, *, from_logits: bool | None = None, batch_size: int = 256
) -> np.ndarray:
    """Predict with all units, each weighted by its probability of being kept.

    Layers that scale in training need no second multiplication by α, so this is the plain forward pass. For softmax
    regression with dropped inputs it equals the renormalized geometric mean of all 2ᵈ thinned networks. For deeper
    networks it is an approximation, and it depends on the problem whether sampling masks is better.

        p(y | x) ∝ Πₘ p(y | x, m)^P(m)                                   (1)

    Args:
        model: Keras model of any kind with one output.
        x: inputs of the model, an array or a list or dict of arrays.
        from_logits: as for `predict_by_mask_sampling`.
        batch_size: examples per forward pass; affects only memory. Defaults to 256.

    Returns:
        Float array in the shape of the model's outputs.

    Raises:
        ValueError: `batch_size` is below 1, or x is empty or its arrays differ in length.

    Example:
        >>> head = keras.layers.Dense(2, kernel_initializer="zeros")
        >>> predict_by_weight_scaling(keras.Sequential([Dropout(0.5), head]), np.ones((1, 4))).tolist()
        [[0.5, 0.5]]

    Slide: "weights going out from a unit is multiplied by α" holds only for training without scaling.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equations 7.53 to 7.66.
    """
    batch_size = count("predict_by_weight_scaling.batch_size", batch_size)
    rows_of_batches = _batches(x, batch_size)
    from_logits = _ends_in_logits(model, x) if from_logits is None else from_logits
    batches = [_probabilities(model, _forward(model, x, rows), from_logits) for rows in rows_of_batches]
    return np.concatenate(batches)  # (1)


def _batches(x, batch_size):
    other = next((each for each in keras.tree.flatten(x) if not hasattr(each, "shape")), None)
    if other is not None:
        refuse("x", "be an array, or a list or dictionary of arrays", f"a {type(other).__name__}")
    lengths = {len(array) for array in keras.tree.flatten(x)}
    if len(lengths) != 1 or 0 in lengths:
        received = f"{' and '.join(map(str, sorted(lengths)))} examples"
        refuse("x", "hold at least one example, and as many in each input", received)
    (num_examples,) = lengths
    return [slice(first, first + batch_size) for first in range(0, num_examples, batch_size)]


def _forward(model, x, rows):
    return model(
        keras.tree.map_structure(lambda array: ops.convert_to_tensor(array[rows]), x), training=False
    )


def _probabilities(model, outputs, from_logits):
    _check_one_output(model, outputs)
    if from_logits:
        outputs = ops.sigmoid(outputs) if outputs.shape[-1] == 1 else ops.softmax(outputs)
    return np.asarray(outputs)


def _check_one_output(model, outputs):
    if not hasattr(outputs, "shape"):
        received = f"model {model.name!r} with {len(outputs)} outputs"
        refuse("model", "end in one output", received, "Give the part that ends in one of them")


def _last_called(model, x):
    """Return the layer whose outputs are those of the model, in whatever order it has its layers, or None."""
    called = []

    def observe(layer, args, kwargs, outputs, around):
        if layer is not model:
            called.append((layer, outputs))

    _forward(model, x, slice(0, 1))  # builds the model if necessary, with calls in a graph
    with observed_calls(observe, keras.layers.Layer):
        outputs = _forward(model, x, slice(0, 1))
    _check_one_output(model, outputs)
    same = [layer for layer, found in called if found is outputs]
    # Of a model that widens the outputs of its last layer, they have another dtype and the same values.
    equal = [layer for layer, found in reversed(called) if _equal(found, outputs)]
    return next(iter(same or equal), None)


def _equal(found, outputs):
    if getattr(found, "shape", None) != outputs.shape:
        return False
    return bool(ops.all(ops.equal(ops.cast(found, outputs.dtype), outputs)))


def _ends_in_logits(model, x):
    losses = [each for each in keras.tree.flatten(getattr(model, "loss", None)) if each is not None]
    loss = keras.losses.get(losses[0]) if losses else None
    given = getattr(loss, "keywords", {})  # of a `functools.partial`
    if hasattr(loss, "from_logits") or "from_logits" in given:
        return bool(given.get("from_logits", getattr(loss, "from_logits", False)))
    last = _last_called(model, x)
    linear = getattr(last, "activation", None) is keras.activations.linear
    if loss is None:
        if last is None:
            received = f"model {model.name!r}, whose outputs are not those of one of its layers"
            refuse("from_logits", "be given for a model without a compiled loss", received, _GIVE)
        return linear
    formula = getattr(loss, "fn", getattr(loss, "func", loss))
    of = formula if inspect.isroutine(formula) else type(formula)
    if linear and of.__module__.split(".")[0] not in ("keras", "tf_kit"):
        refuse("from_logits", "be given for a loss that does not show it", f"loss {of.__name__}", _GIVE)
    return False  # of Keras's losses, those that have no such setting take the outputs as they are


def _dropout_layers(model):
    layers = all_layers(model)
    for layer in layers:
        if isinstance(layer, keras.layers.RNN) and _drops_inside(layer.cell):
            remedy = "Use a Dropout layer before or after it"
            refuse(
                "predict_by_mask_sampling.model",
                "have no dropout inside recurrent cells",
                f"layer {layer.name!r}",
                remedy,
            )
    dropping = [
        layer for layer in layers if isinstance(layer, (*_ELEMENTWISE, DropConnect)) and layer.rate > 0
    ]
    if not dropping:
        received = f"model {model.name!r} without such a layer"
        requirement = "have a dropout layer with a rate above 0"
        refuse("predict_by_mask_sampling.model", requirement, received, "Add Dropout(0.5)")
    return dropping


def _drops_inside(cell):
    cells = getattr(cell, "cells", [cell])
    return any(getattr(each, "dropout", 0) or getattr(each, "recurrent_dropout", 0) for each in cells)


@contextmanager
def _thinned(layers, network):
    """Within this context, let dropout layers use the masks of one thinned network, also in inference mode."""
    states = [layer.seed_generator.state.numpy() for layer in layers]
    positions = {id(layer): position for position, layer in enumerate(layers)}
    try:
        with intercepted(layers, lambda layer, _: _with_fixed_masks(layer, (*network, positions[id(layer)]))):
            yield
    finally:
        for layer, state in zip(layers, states, strict=True):
            layer.seed_generator.state.assign(state)


def _with_fixed_masks(layer, place):
    draw = type(layer).call
    calls = 0

    def call(inputs, *args, **kwargs: Any) -> None:
        nonlocal calls
        start = np.random.SeedSequence((*place, calls)).generate_state(1)[0] >> 1
        calls += 1  # a layer that is called twice in one pass gets two masks

        def restart():
            layer.seed_generator.state.assign([int(start), 0])

        if isinstance(layer, DropConnect):
            restart()
            return layer.thinned(inputs, per_example=False)
        # For a given mask every dropout is y = a x + b, elementwise: it maps 0 to b, and 1 to a + b.
        inputs = as_floats(inputs, layer.compute_dtype)
        one_example = inputs[:1]
        restart()
        offset = draw(layer, ops.zeros_like(one_example), training=True)
        restart()
        scale = draw(layer, ops.ones_like(one_example), training=True) - offset
        return inputs * scale + offset

    return call
