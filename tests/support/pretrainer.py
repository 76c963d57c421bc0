"""What every pretrainer owes its user, checked for one class by `check_pretrainer`.

A `factory(encoder, seed)` returns the pretrainer around a Keras encoder; `x` are inputs (n, …) that it can
learn from, with labels `y` that it is not shown. `encoder(seed=…)` makes the encoder: eight sigmoid units, unless the
method wants another kind.
"""

import json
from types import SimpleNamespace

import keras
import numpy as np

from tf_kit import networks, optimizers
from tf_kit.pretraining import knn_accuracy


def encoder(units=8, seed=0):
    return networks.mlp((units,), num_classes=None, seed=seed)


def representation(model, x):
    return keras.ops.convert_to_numpy(model(x))


def check_config(factory, encoder=encoder):
    """The config is JSON, and gives the same pretrainer back, by class and through Keras."""
    model = factory(encoder(), seed=3)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    for again in (type(model).from_config(model.get_config()), keras.saving.deserialize_keras_object(config)):
        assert type(again) is type(model)
        assert again.get_config() == model.get_config()
        assert again.seed == 3
    changed = {**model.get_config(), "dtype": "mixed_bfloat16", "trainable": False}
    again = type(model).from_config(type(model).from_config(changed).get_config())
    assert (again.dtype_policy.name, again.trainable) == ("mixed_bfloat16", False)


def check_encoder(factory, x, encoder=encoder):
    """`model(x)` is the representation of the very encoder that was given; inference changes nothing."""
    given = encoder()
    model = factory(given, seed=0)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    assert model.encoder is given
    losses = [model.evaluate(x, verbose=0, return_dict=True)["loss"] for _ in range(2)]
    assert losses[0] == losses[1]
    check_each_of_several(model, x[:4])
    before = model.get_weights()
    np.testing.assert_array_equal(representation(model, x), representation(given, x))
    np.testing.assert_allclose(model.predict(x, verbose=0), representation(model, x), rtol=1e-5, atol=1e-6)
    model.evaluate(x, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.fit(x, batch_size=32, verbose=0)
    assert any(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    np.testing.assert_array_equal(representation(model, x), representation(given, x))


def check_each_of_several(model, x):
    """Within `TimeDistributed` it returns the outputs of each, with the shape and dtype that it declares."""
    pairs = np.stack([x, x[::-1]], axis=1)
    inputs = keras.Input(pairs.shape[1:], dtype="int32" if x.dtype.kind == "i" else "float32")
    outputs = keras.layers.TimeDistributed(model)(inputs)
    each = np.stack([representation(model, x), representation(model, x[::-1])], axis=1)
    assert tuple(outputs.shape) == (None, *each.shape[1:])
    np.testing.assert_allclose(keras.Model(inputs, outputs)(pairs), each, rtol=1e-4, atol=1e-5)
    declared, given = (
        model.compute_output_spec(keras.KerasTensor((None, *x.shape[1:]), inputs.dtype)),
        model(x),
    )
    assert (declared.shape[1:], declared.dtype) == (
        given.shape[1:],
        keras.backend.standardize_dtype(given.dtype),
    )


def trained(model, x, first, last):
    return model.fit(x, batch_size=32, initial_epoch=first, epochs=last, verbose=0).history


def check_seed_and_resuming(factory, x, path, encoder=encoder):
    """The same seed gives the same weights to the last bit, whatever global seed is set and whether or not the training
    is cut by a file, which keeps the outputs; another seed gives others."""

    def made(seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        model = factory(encoder(seed=0), seed=seed)
        model.compile(optimizers.Adam(0.01), run_eagerly=True)
        return model

    whole, part, other = made(1, 0), made(1, 99), made(2, 0)
    history = trained(whole, x, 0, 2)
    first = trained(part, x, 0, 1)
    trained(other, x, 0, 1)
    assert any(
        np.any(ours != theirs) for ours, theirs in zip(part.get_weights(), other.get_weights(), strict=True)
    )
    part.save(path)
    resumed = keras.saving.load_model(path)
    assert type(resumed) is type(part)
    np.testing.assert_array_equal(representation(resumed, x), representation(part, x))
    for model in (resumed, part):
        second = trained(model, x, 1, 2)
        assert {name: first[name] + second[name] for name in first} == history
        for ours, expected in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, expected)


def check_half_precision(factory, x, encoder=encoder):
    """In mixed bfloat16 the loss is computed in float32, near that of float32, and a fit step changes weights."""
    exact = factory(encoder(), seed=0)
    exact.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    expected = exact.evaluate(x, verbose=0, return_dict=True)["loss"]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = factory(encoder(), seed=0)
        model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
        np.testing.assert_allclose(
            model.evaluate(x, verbose=0, return_dict=True)["loss"], expected, rtol=0.05
        )
        before = model.get_weights()
        history = model.fit(x, batch_size=32, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        assert all(weight.dtype == "float32" for weight in before)
        assert any(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    finally:
        keras.config.set_dtype_policy("float32")


def check_learning(factory, x, y, epochs, optimizer, gain, encoder=encoder):
    """Neighbors in the trained representation share their class more often than in the untrained one, by `gain`."""
    half = len(x) // 2
    train, test = SimpleNamespace(x=x[:half], y=y[:half]), SimpleNamespace(x=x[half:], y=y[half:])
    given = encoder()
    untrained = knn_accuracy(given, train, test, k=5)
    model = factory(given, seed=0)
    model.compile(optimizer)
    losses = model.fit(train.x, batch_size=32, epochs=epochs, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    trained = knn_accuracy(model.encoder, train, test, k=5)
    assert trained > untrained + gain, (untrained, trained)


def check_form(factory, x, path, encoder=encoder):
    """Every check but that of learning; `path` is a file name ending in `.keras` that may be written."""
    check_config(factory, encoder)
    check_encoder(factory, x[:40], encoder)
    check_seed_and_resuming(factory, x[:40], path, encoder)
    check_half_precision(factory, x[:40], encoder)


def check_pretrainer(factory, x, y, path, epochs=15, optimizer=None, gain=0.05):
    """Every check above; `path` is a file name ending in `.keras` that may be written."""
    check_form(factory, x, path)
    check_learning(factory, x, y, epochs, optimizer or optimizers.Adam(0.01), gain)
