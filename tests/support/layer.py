"""The contract of every public layer: what a user of Keras takes for granted, checked in one call.

from support.layer import check_layer

def test_contract():
    check_layer(lambda: Dropout(0.5, seed=0), np.ones((4, 3), "float32"), training_random=True)
"""

import contextlib
import inspect
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_kit.errors import InputError

TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-5, "float64": 1e-5}


def check_layer(factory, inputs, training_random=False):
    """Runs the whole contract.

    Args:
        factory: function without arguments that returns a new layer, ready for use (adapted, if it adapts). Two
            layers from it must be alike: give random layers a seed.
        inputs: one float batch (n, …), small; n at least 2.
        training_random: True if the layer draws random numbers when training=True.
    """
    inputs = np.asarray(inputs)
    check_shape(factory, inputs)
    for dtype in TOLERANCE:
        check_dtype_kept(factory, inputs, dtype)
    check_mixed_precision(factory, inputs)
    check_integers(factory, inputs)
    check_config_round_trip(factory, inputs)
    check_keras_file(factory, inputs)
    check_fit_step(factory, inputs)
    check_inference_keeps_state(factory, inputs)
    check_same_seed_same_result(factory, inputs, training_random)
    check_eager_graph_and_data(factory, inputs, training=False)
    check_eager_graph_and_data(factory, inputs, training=True)


def check_shape(factory, inputs):
    """Symbolic output shape, with and without a known batch size, equals the eager one."""
    eager = run(new(factory), inputs).shape
    for batch_size in (None, len(inputs)):
        symbol = keras.Input(inputs.shape[1:], batch_size=batch_size)
        symbolic = tuple(new(factory)(symbol).shape)
        assert symbolic[1:] == eager[1:], f"symbolic {symbolic}, eager {eager}"
        assert symbolic[0] in (None, eager[0]), f"symbolic {symbolic}, eager {eager}"
    declared = tuple(new(factory).compute_output_shape((None, *inputs.shape[1:])))
    assert declared[1:] == eager[1:], f"compute_output_shape {declared}, eager {eager}"


def check_dtype_kept(factory, inputs, dtype):
    """A layer made under a dtype policy computes, stores and returns that dtype, close to the float32 result."""
    reference = new(factory)
    expected = run(reference, inputs)
    with policy(dtype):
        layer = new(factory)
        for training in (False, True):
            outputs = call(layer, tf.cast(inputs, dtype), training)
            assert keras.backend.standardize_dtype(outputs.dtype) == dtype, f"{dtype} became {outputs.dtype}"
    for weight in layer.trainable_variables:
        assert weight.dtype == dtype, f"{weight.path} is {weight.dtype} under {dtype}"
    with policy(dtype):
        layer = built(factory, inputs)
        copy_variables(reference, layer)  # random initial weights of another dtype are other weights
        outputs = run(layer, inputs.astype("float32"))
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(outputs / scale, expected / scale, atol=TOLERANCE[dtype], err_msg=dtype)


def check_mixed_precision(factory, inputs):
    """mixed_float16: computes in float16, keeps its weights in float32."""
    with policy("mixed_float16"):
        layer = new(factory)
        outputs = call(layer, inputs, training=False)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    for weight in layer.trainable_variables:
        assert weight.dtype == "float32", f"{weight.path} is {weight.dtype} under mixed_float16"
    assert np.isfinite(keras.ops.convert_to_numpy(outputs)).all()


def check_integers(factory, inputs):
    """Integers give floats, those of the same numbers as floats; or they are refused in words."""
    whole = np.round(5 * np.abs(inputs)).astype("uint8")
    for training in (True, False):
        try:
            outputs = call(new(factory), whole, training)
        except InputError:
            return
        assert keras.backend.is_float_dtype(outputs.dtype), f"uint8 became {outputs.dtype}"
        expected = call(new(factory), whole.astype("float32"), training)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def check_config_round_trip(factory, inputs):
    """The class is registered, its config plain JSON; a layer made from it has the same weights and results."""
    layer = new(factory)
    registered = keras.saving.get_registered_name(type(layer))
    assert registered.startswith("tf_kit>"), f"{registered} is not registered in the package tf_kit"
    run(layer, inputs)
    config = keras.saving.serialize_keras_object(layer)
    twin = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(twin) is type(layer)
    assert twin.get_config() == layer.get_config()
    changed = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16", "trainable": False})
    config = changed.get_config()
    again = type(layer).from_config(config)
    assert config == changed.get_config(), "from_config changed the dictionary that it was given"
    assert (again.dtype_policy.name, again.trainable) == ("mixed_bfloat16", False)
    run(twin, inputs)
    assert [each.shape for each in twin.variables] == [each.shape for each in layer.variables]
    copy_variables(layer, twin)
    np.testing.assert_array_equal(run(twin, inputs), run(layer, inputs))


def check_keras_file(factory, inputs):
    """A model with the layer comes back from a .keras file, without custom_objects, with the same results."""
    model = keras.Sequential([keras.Input(inputs.shape[1:]), new(factory)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(run(loaded, inputs), run(model, inputs))
    for before, after in zip(values(model.variables), values(loaded.variables), strict=True):
        np.testing.assert_array_equal(after, before)


def check_fit_step(factory, inputs):
    """One compiled step of fit: finite loss, and the weights of the layer move."""
    layer = new(factory)
    head = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    model = keras.Sequential([keras.Input(inputs.shape[1:]), layer, keras.layers.Flatten(), head])
    before = values(layer.trainable_variables)
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    targets = np.arange(len(inputs), dtype="float32")[:, None] - 0.5
    history = model.fit(inputs, targets, batch_size=len(inputs), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all(), history.history
    after = values(layer.trainable_variables)
    moved = [np.any(new_value != old) for new_value, old in zip(after, before, strict=True)]
    assert not moved or any(moved), f"no weight of {layer.name} moved in a step of fit"


def check_inference_keeps_state(factory, inputs):
    """training=False changes no variable, moving statistics and random states included, and repeats itself."""
    layer = new(factory)
    layer.build((None, *inputs.shape[1:]))
    before = values(layer.variables)
    first, second = run(layer, inputs), run(layer, inputs)
    np.testing.assert_array_equal(second, first)
    for variable, after, old in zip(layer.variables, values(layer.variables), before, strict=True):
        np.testing.assert_array_equal(after, old, err_msg=f"{variable.path} changed at inference")


def check_same_seed_same_result(factory, inputs, training_random):
    """Two layers from the factory agree; a random one draws anew at each call, another repeats itself."""
    layer, twin = new(factory), new(factory)
    first, second = (run(layer, inputs, training=True) for _ in range(2))
    np.testing.assert_array_equal(run(twin, inputs, training=True), first)
    np.testing.assert_array_equal(run(twin, inputs, training=True), second)
    if training_random:
        assert np.any(first != second), "two calls with training=True drew the same random numbers"
    else:
        np.testing.assert_array_equal(second, first)


def check_eager_graph_and_data(factory, inputs, training):
    """The same values eagerly, in tf.function, and in the map of a tf.data pipeline."""
    eager = run(new(factory), inputs, training)
    layer = built(factory, inputs)
    graph = tf.function(lambda batch: call(layer, batch, training))(inputs)
    layer = built(factory, inputs)
    dataset = tf.data.Dataset.from_tensors(inputs).map(lambda batch: call(layer, batch, training))
    (mapped,) = list(dataset)
    scale = max(1.0, np.abs(eager).max())
    for name, outputs in (("tf.function", graph), ("tf.data", mapped)):
        message = f"{name} with training={training}"
        outputs = np.asarray(outputs, "float64")
        np.testing.assert_allclose(outputs / scale, eager / scale, atol=1e-6, err_msg=message)


def new(factory):
    """A new layer, with initial weights that do not depend on what ran before."""
    keras.utils.set_random_seed(0)
    return factory()


def built(factory, inputs):
    layer = new(factory)
    if not layer.built:
        layer.build((None, *inputs.shape[1:]))
    return layer


def call(layer, inputs, training):
    """`layer(inputs)`, with `training` where its call has that argument."""
    has_training = "training" in inspect.signature(layer.call).parameters
    return layer(inputs, training=training) if has_training else layer(inputs)


def run(layer, inputs, training=False):
    """The outputs as float64."""
    return keras.ops.convert_to_numpy(call(layer, inputs, training)).astype("float64")


def values(variables):
    """What the variables hold now."""
    return [each.value.numpy().copy() for each in variables]


def copy_variables(source, target):
    for old, new_variable in zip(source.variables, target.variables, strict=True):
        new_variable.assign(old)


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
