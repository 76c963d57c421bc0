"""How the thinned networks of dropout vote: average over sampled masks, or one network with scaled weights.

Reference: Srivastava et al. 2014, section 7.5; Goodfellow, Bengio, Courville 2016, section 7.12
"""

from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.networks.inspection import all_layers, intercepted, last_layer
from tf_kit.regularization.dropout import DropConnect, Dropout

_ELEMENTWISE = (Dropout, keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)

_OF_REGRESSION = {
    *("mse", "mean_squared_error", "squared_error", "mae", "mean_absolute_error", "huber", "huber_loss"),
    *("log_cosh", "msle", "mean_squared_logarithmic_error", "mape", "mean_absolute_percentage_error"),
}


def predict_by_mask_sampling(model, x, num_masks=20, seed=0, *, from_logits=None, batch_size=256):
    """The averaged probabilities of `num_masks` thinned networks.

    Each mask makes one thinned network, which predicts all of x; so the answer for an example depends neither
    on the batch size nor on its neighbors. Dropout alone is random: every other layer, batch normalization
    included, works as in inference, and the model's state (weights, moving statistics, seeds) stays as it
    was.

        p(y | x) = 1/K Σₖ p(y | x, mₖ),   mₖ drawn from `seed`           (1)

    where K = `num_masks`.

    Args:
        model: any Keras model with `Dropout` or `DropConnect` of this package, or Keras's `Dropout`,
            `SpatialDropout`, `GaussianDropout` or `AlphaDropout`, at any depth.
        x: inputs of the model: an array, or a list or dict of arrays.
        num_masks: K; the lecture takes 10 to 20. Defaults to 20.
        seed: whole number; the same seed gives the same masks. Defaults to 0.
        from_logits: whether the outputs are logits, to be turned into probabilities (softmax over the last
            axis, or sigmoid for one output) before they are averaged. Defaults to what the compiled loss
            says, and where it says nothing, to whether the last layer is linear.
        batch_size: examples a forward pass; only memory depends on it. Defaults to 256.

    Returns: float array, shape of the model's output.

    Raises: ValueError: when `num_masks` is below 1, the model has no dropout layer, or drops inside a
        recurrent cell, where a mask cannot be set from outside.

    Example:
        >>> model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")])
        >>> x = np.eye(4, dtype="float32")
        >>> p = predict_by_mask_sampling(model, x, num_masks=10, seed=7)
        >>> p.shape, np.allclose(p.sum(axis=1), 1)
        ((4, 3), True)
        >>> np.array_equal(p, predict_by_mask_sampling(model, x, num_masks=10, seed=7, batch_size=1))
        True

    Reference: Srivastava et al. 2014, section 7.5
    """
    num_masks = count("predict_by_mask_sampling.num_masks", num_masks)
    seed = count("predict_by_mask_sampling.seed", seed, at_least=0)
    batch_size = count("predict_by_mask_sampling.batch_size", batch_size)
    _forward(model, x, slice(0, 1))  # builds a model that is not built
    layers = _dropout_layers(model)
    total = 0.0
    for k in range(num_masks):
        batches = []
        for rows in _batches(x, batch_size):
            with _thinned(layers, (seed, k)):
                batches.append(_probabilities(model, _forward(model, x, rows), from_logits))
        total = total + np.concatenate(batches).astype("float64")
    return (total / num_masks).astype(batches[0].dtype)  # (1)


def predict_by_weight_scaling(model, x, *, from_logits=None, batch_size=256):
    """The probabilities of the one network with all units, each weighted by its chance of being kept.

    The layers here scale while they train, so this is the plain forward pass: no second multiplication by α.
    For softmax regression with dropped inputs it is exactly the renormalized geometric mean of all 2ᵈ thinned
    networks; for deeper networks it is an approximation, and which vote is better depends on the problem.

        p(y | x) ∝ Πₘ p(y | x, m)^P(m)                                   (1)

    Args:
        model: any Keras model.
        x: inputs of the model: an array, or a list or dict of arrays.
        from_logits: as for `predict_by_mask_sampling`.
        batch_size: examples a forward pass. Defaults to 256.

    Returns: float array, shape of the model's output.

    Example:
        >>> head = keras.layers.Dense(2, kernel_initializer="zeros")
        >>> predict_by_weight_scaling(keras.Sequential([Dropout(0.5), head]), np.ones((1, 4))).tolist()
        [[0.5, 0.5]]

    Slide: "weights going out from a unit is multiplied by α" holds for training without scaling only.
    Reference: Goodfellow, Bengio, Courville 2016, equations 7.53 to 7.66
    """
    batch_size = count("predict_by_weight_scaling.batch_size", batch_size)
    batches = [
        _probabilities(model, _forward(model, x, rows), from_logits) for rows in _batches(x, batch_size)
    ]
    return np.concatenate(batches)  # (1)


def _batches(x, batch_size):
    num_examples = len(keras.tree.flatten(x)[0])
    return [slice(first, first + batch_size) for first in range(0, num_examples, batch_size)]


def _forward(model, x, rows):
    return model(
        keras.tree.map_structure(lambda array: ops.convert_to_tensor(array[rows]), x), training=False
    )


def _probabilities(model, outputs, from_logits):
    if from_logits is None:
        from_logits = _ends_in_logits(model)
    if from_logits:
        outputs = ops.sigmoid(outputs) if outputs.shape[-1] == 1 else ops.softmax(outputs)
    return np.asarray(outputs)


def _ends_in_logits(model):
    loss = getattr(model, "loss", None)
    if hasattr(loss, "from_logits"):
        return bool(loss.from_logits)
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    if name in _OF_REGRESSION:
        return False
    return getattr(last_layer(model), "activation", None) is keras.activations.linear


def _dropout_layers(model):
    layers = all_layers(model)
    for layer in layers:
        if isinstance(layer, keras.layers.RNN) and _drops_inside(layer.cell):
            remedy = "Put a Dropout layer before or after it"
            refuse(
                "predict_by_mask_sampling.model",
                "drop outside recurrent cells",
                f"layer {layer.name!r}",
                remedy,
            )
    dropping = [
        layer for layer in layers if isinstance(layer, (*_ELEMENTWISE, DropConnect)) and layer.rate > 0
    ]
    if not dropping:
        received = f"model {model.name!r} with none that drops"
        refuse("predict_by_mask_sampling.model", "contain a dropout layer", received, "Add Dropout(0.5)")
    return dropping


def _drops_inside(cell):
    cells = getattr(cell, "cells", [cell])
    return any(getattr(each, "dropout", 0) or getattr(each, "recurrent_dropout", 0) for each in cells)


@contextmanager
def _thinned(layers, network):
    """Within it the dropout layers use the masks of one thinned network, whatever `training` says."""
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
        calls += 1  # a layer that is used twice in one pass gets two masks

        def restart():
            layer.seed_generator.state.assign([int(start), 0])

        if isinstance(layer, DropConnect):
            restart()
            return layer.thinned(inputs, per_example=False)
        # For a given mask every dropout is y = a x + b, elementwise: it answers 0 with b, and 1 with a + b.
        one_example = inputs[:1]
        restart()
        offset = draw(layer, ops.zeros_like(one_example), training=True)
        restart()
        scale = draw(layer, ops.ones_like(one_example), training=True) - offset
        return inputs * scale + offset

    return call
