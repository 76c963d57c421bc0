"""What every optimizer of the kit owes its user, checked for one class by `check_optimizer`.

A `factory` is the class, or a function that passes its keyword arguments on to it. Called without arguments
it must give a rate at which a small model trains.
"""

import contextlib
import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tf_kit.errors import InputError

SHAPES = ((2, 3), (4,))  # two variables, one of them a vector: what is excluded by rank shows
SIZES = (6, 4)


def make_variables(start, dtype=None):
    parts = np.split(np.asarray(start), np.cumsum(SIZES)[:-1])
    return [
        keras.Variable(part.reshape(shape), dtype=dtype) for part, shape in zip(parts, SHAPES, strict=True)
    ]


def read(variables):
    return np.concatenate([variable.numpy().ravel() for variable in variables])


def trace(optimizer, start, gradient, num_steps, graph=True):
    """The weights after each step, (num_steps, n), of an optimizer going down `gradient` from `start`."""
    variables = make_variables(start)
    optimizer.build(variables)

    def step():
        theta = ops.concatenate([ops.reshape(variable, (-1,)) for variable in variables])
        slopes = ops.split(gradient(theta), np.cumsum(SIZES)[:-1])
        optimizer.apply(
            [ops.reshape(slope, shape) for slope, shape in zip(slopes, SHAPES, strict=True)], variables
        )

    if graph:
        step = tf.function(step)
    path = []
    for _ in range(num_steps):
        step()
        path.append(read(variables))
    return np.array(path)


def feed(optimizer, start, gradients, dtype=None):
    """The weights after each of the given gradients, (num_steps, n), and the variables as they end."""
    variables = make_variables(start, dtype)
    path = []
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(part) for part in make_variables(gradient, dtype)], variables)
        path.append(read(variables))
    return np.array(path), variables


def _start(seed=0):
    return np.random.default_rng(seed).normal(size=sum(SIZES)).astype("float32")


def _gradients(num_steps, seed=1):
    return np.random.default_rng(seed).normal(size=(num_steps, sum(SIZES))).astype("float32")


def _model(optimizer, **compile_args):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **compile_args)
    return model


def _data():
    rng = np.random.default_rng(2)
    return rng.normal(size=(16, 5)).astype("float32"), rng.integers(0, 3, 16)


def check_config(factory):
    """The config is JSON, and gives the same optimizer back, by class and through Keras."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = factory(learning_rate=schedule, global_clipnorm=2.0, use_ema=True, name="mine")
    own = set(inspect.signature(type(optimizer).__init__).parameters) - {"self", "kwargs"}
    assert own <= set(optimizer.get_config())
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    for again in (type(optimizer).from_config(optimizer.get_config()), keras.optimizers.deserialize(config)):
        assert type(again) is type(optimizer)
        assert again.get_config() == optimizer.get_config()


def check_arguments_of_keras(factory):
    """What Keras would take in silence is refused by name."""
    for name in ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor"):
        for wrong in (-1, float("nan"), float("inf"), "1", True):
            with pytest.raises(InputError, match=f"{name}={wrong!r}"):
                factory(**{name: wrong})
        refused = pytest.raises(InputError, match=f"{name}=0")
        with contextlib.nullcontext() if name == "weight_decay" else refused:
            factory(**{name: 0})
    for name, wrong in (
        ("ema_momentum", (-0.1, 1.1, float("nan"), "0.9")),
        ("gradient_accumulation_steps", (1, -2, 2.5, "2", True)),
        ("ema_overwrite_frequency", (-1, 2.0, "2", True)),
    ):
        for each in wrong:
            with pytest.raises(InputError, match=f"{name}={each!r}"):
                factory(**{name: each}, use_ema=True)
    for steps in (None, 0, 2, np.int64(2)):
        named = dict.fromkeys(("gradient_accumulation_steps", "ema_overwrite_frequency"), steps)
        json.dumps(factory(**named, use_ema=True).get_config())


def check_fit(factory, path):
    """`fit` makes the same steps in a graph and eagerly; saved and loaded, it goes on to the last bit."""
    x, y = _data()
    model, eager = _model(factory()), _model(factory(), run_eagerly=True)
    for each in (model, eager):
        each.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), eager.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)

    model.save(path)
    loaded = keras.saving.load_model(path)
    assert type(loaded.optimizer) is type(model.optimizer)
    for ours, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    before = model.get_weights()
    for each in (model, loaded):
        each.fit(x[:8], y[:8], batch_size=8, verbose=0)
    for old, ours, theirs in zip(before, model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.any(old != ours)


def check_schedule(factory):
    """A schedule walks the same path as its values set by hand."""
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.1, 3, 1.0)
    by_schedule, _ = feed(factory(learning_rate=schedule), _start(), _gradients(5))
    constant, _ = feed(factory(learning_rate=0.1), _start(), _gradients(5))
    assert np.abs(by_schedule - constant).max() > 1e-4
    optimizer, variables = factory(learning_rate=0.1), make_variables(_start())
    for k, gradient in enumerate(_gradients(5)):
        optimizer.learning_rate = 0.1 / (1 + k / 3)
        optimizer.apply([ops.convert_to_tensor(part) for part in make_variables(gradient)], variables)
        np.testing.assert_allclose(read(variables), by_schedule[k], rtol=1e-5, atol=1e-6)


def check_clipping(factory):
    """A clipped step is the step of the clipped gradient."""
    (gradient,) = 3 * _gradients(1)
    norms = [np.linalg.norm(part) for part in np.split(gradient, [SIZES[0]])]
    assert min(norms) > 2
    clipped = {
        "clipvalue": np.clip(gradient, -2, 2),
        "clipnorm": gradient * np.repeat([2 / norm for norm in norms], SIZES),
        "global_clipnorm": gradient * 2 / np.linalg.norm(gradient),
    }
    # a short gradient first: the first step of some optimizers does not depend on the scale
    for name, by_hand in clipped.items():
        ours, _ = feed(factory(**{name: 2.0}), _start(), [0.1 * gradient, gradient])
        theirs, _ = feed(factory(), _start(), [0.1 * gradient, by_hand])
        unclipped, _ = feed(factory(), _start(), [0.1 * gradient, gradient])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-7)
        assert np.abs(ours[1] - unclipped[1]).max() > 1e-5


def check_weight_decay(factory):
    """Decay is decoupled: shrink by 1 − εd, then make the step of the same gradient."""
    gradients = _gradients(1)
    decayed, _ = feed(factory(learning_rate=0.1, weight_decay=0.5), _start(), gradients)
    by_hand, _ = feed(factory(learning_rate=0.1, weight_decay=0.0), _start() * (1 - 0.1 * 0.5), gradients)
    np.testing.assert_allclose(decayed, by_hand, rtol=1e-5, atol=1e-7)


def check_average(factory):
    """`use_ema` keeps the exponential average of the weights, and hands it over at the end."""
    optimizer = factory(use_ema=True, ema_momentum=0.6)
    path, variables = feed(optimizer, _start(), _gradients(4))
    average = path[0]
    for weights in path[1:]:
        average = 0.6 * average + 0.4 * weights
    optimizer.finalize_variable_values(variables)
    np.testing.assert_allclose(read(variables), average, rtol=1e-5, atol=1e-6)
    assert np.abs(average - path[-1]).max() > 1e-5


def check_average_of_a_part(factory):
    """At the end each weight gets its own average, also when only some are still trained."""
    optimizer = factory(use_ema=True, ema_momentum=0.6)
    first, second = (keras.Variable(np.full(3, value, "float32")) for value in (1.0, 5.0))
    optimizer.build([first, second])
    path = []
    for _ in range(3):
        optimizer.apply([ops.ones(3)], [second])
        path.append(second.numpy())
    optimizer.finalize_variable_values([second])
    np.testing.assert_array_equal(first.numpy(), np.ones(3))
    average = 0.6 * (0.6 * path[0] + 0.4 * path[1]) + 0.4 * path[2]
    np.testing.assert_allclose(second.numpy(), average, rtol=1e-5)


def check_accumulation(factory):
    """Two half steps are one step with the mean gradient."""
    gradients = _gradients(4)
    path, _ = feed(factory(gradient_accumulation_steps=2), _start(), gradients)
    whole, _ = feed(factory(), _start(), gradients.reshape(2, 2, -1).mean(axis=1))
    np.testing.assert_array_equal(path[0], _start())
    np.testing.assert_allclose(path[1::2], whole, rtol=1e-4, atol=1e-6)
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.1, 1, 1.0)  # it counts updates
    path, _ = feed(factory(learning_rate=schedule, gradient_accumulation_steps=2), _start(), gradients)
    whole, _ = feed(factory(learning_rate=schedule), _start(), gradients.reshape(2, 2, -1).mean(axis=1))
    np.testing.assert_allclose(path[1::2], whole, rtol=1e-4, atol=1e-6)


def check_embedding(factory):
    """The gradient of an embedding, a list of rows with one named twice, gives the step of their sum."""
    table = np.random.default_rng(3).normal(size=(4, 2)).astype("float32")
    rows = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]], "float32")
    slices = tf.IndexedSlices(tf.constant(rows), tf.constant([2, 2, 0]), tf.constant([4, 2]))
    for options in ({}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}):
        weights = []
        for gradient in (slices, tf.convert_to_tensor(slices)):
            variable, optimizer = keras.Variable(table), factory(**options)
            for scale in (0.3, 1.0):
                optimizer.apply([ops.multiply(gradient, scale)], [variable])
            weights.append(variable.numpy())
        np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-7)


def check_mixed_precision(factory):
    """Under mixed float16, Keras wraps the optimizer in its loss scaling, and training makes progress."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x, y = _data()
        model = _model(factory())
        before = model.get_weights()
        losses = [model.train_on_batch(x, y) for _ in range(3)]
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert np.all(np.isfinite(losses))
    for old, new in zip(before, model.get_weights(), strict=True):
        assert new.dtype == np.float32
        assert np.any(old != new)


def check_half_precision(factory):
    """float16 and bfloat16 weights follow the float32 path up to the rounding of the weights themselves."""
    gradients = 1e-3 * _gradients(4)  # their squares are below what float16 holds
    for dtype, rounding in (("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
        start = make_variables(_start(), dtype)  # both paths from the rounded weights
        options = {"learning_rate": 0.1, "use_ema": True}
        half, variables = feed(factory(**options), read(start).astype("float32"), gradients, dtype)
        full, _ = feed(factory(**options), read(start).astype("float32"), gradients)
        assert all(keras.backend.standardize_dtype(variable.dtype) == dtype for variable in variables)
        error = np.abs(half.astype("float32") - full)
        assert error.max() < 10 * rounding * (1 + np.abs(full).max()), (dtype, error.max())


def check_optimizer(factory, path):
    """Every check above; `path` is a file name ending in `.keras` that may be written."""
    check_config(factory)
    check_arguments_of_keras(factory)
    check_schedule(factory)
    check_clipping(factory)
    check_weight_decay(factory)
    check_average(factory)
    check_average_of_a_part(factory)
    check_accumulation(factory)
    check_embedding(factory)
    check_half_precision(factory)
    check_fit(factory, path)
    check_mixed_precision(factory)
