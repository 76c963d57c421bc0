"""Topic 21: kernels in few bits, the bound of their error, and the size of their files."""

import keras
import numpy as np
import pytest
from keras import layers
from oracles import scaling as oracle
from support.layer import check_layer
from support.twins import wrong_twin

from tf_kit.scaling import (
    QuantizedConv1D,
    QuantizedConv2D,
    QuantizedConv3D,
    QuantizedDense,
    prune,
    quantize,
    quantize_weights,
    size_on_disk,
)
from tf_kit.scaling.compression import quantization

rng = np.random.default_rng(22)
# Channels of very different magnitude: one scale for all would round the small ones to zero.
KERNEL = rng.normal(size=(3, 2, 5)) * [1e-3, 0.1, 1, 30, 0]


def mlp(units=20):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(units, activation="relu", name="hidden"),
            layers.Dense(3, name="logits"),
        ]
    )


def check_equals_the_oracle(module):
    for bits in (2, 5, 8):
        levels, scale = module.quantize_weights(KERNEL, bits)
        expected = oracle.quantized(KERNEL, bits)
        np.testing.assert_array_equal(levels, expected[0])
        np.testing.assert_array_equal(scale, expected[1])


def check_error_bound(module):
    for bits in (2, 4, 8):
        levels, scale = module.quantize_weights(KERNEL, bits)
        error = np.abs(KERNEL - levels * scale.astype("float64"))
        assert np.all(error <= scale / 2 * (1 + 1e-6))
        assert np.abs(levels.astype(int)).max() == 2 ** (bits - 1) - 1


def check_quantized_network(module):
    """The float network with the dequantized kernels has the outputs of the quantized network."""
    model, x = mlp(), rng.normal(size=(7, 6))
    quantized = module.quantize(model, 4)
    twin = keras.models.clone_model(model)
    for layer, small in zip(twin.layers, quantized.layers, strict=True):
        levels, scale = oracle.quantized(model.get_layer(layer.name).kernel.numpy(), 4)
        layer.set_weights([levels * scale, small.bias])
    np.testing.assert_allclose(quantized(x), twin(x), atol=1e-5)


def check_file(module, folder):
    """Also with few packed bits, and with kernels of which only the nonzero weights are stored."""
    for bits in (2, 3, 8):
        for model in (mlp(), prune(mlp(), 0.9)):
            quantized = module.quantize(model, bits)
            quantized.save_weights(folder / "quantized.weights.h5")
            other = module.quantize(mlp(), bits)
            other.load_weights(folder / "quantized.weights.h5")
            for before, after in zip(quantized.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_array_equal(after, before)


CHECKS = [check_equals_the_oracle, check_error_bound, check_quantized_network]


@pytest.mark.parametrize("check", CHECKS)
def test_quantization(check):
    check(quantization)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_equals_the_oracle, "highest = 2 ** (bits - 1) - 1", "highest = 2 ** (bits - 1)"),
        (
            check_equals_the_oracle,
            "weights.shape[-1]).max(axis=0)",
            "weights.shape[-1]).max()[None].repeat(5)",
        ),
        (check_error_bound, "np.rint(weights", "np.floor(weights"),
        (check_error_bound, "np.abs(weights).reshape", "weights.reshape"),
        (check_quantized_network, '"float32") * self.scale', '"float32")'),
    ],
)
def test_wrong_twin(check, right, wrong):
    twin = wrong_twin(quantization, right, wrong)
    with pytest.raises((AssertionError, ValueError)):
        check(twin)


@pytest.mark.slow
def test_weights_file_keeps_the_levels(tmp_path):
    check_file(quantization, tmp_path)
    twin = wrong_twin(quantization, "levels[kept] -= 2 ** (self.bits - 1)", "levels[kept] -= 1")
    with pytest.raises(AssertionError):
        check_file(twin, tmp_path)


def test_quantizing_twice_changes_nothing():
    levels, scale = quantize_weights(KERNEL, 8)
    again, same = quantize_weights(levels * scale.astype("float64"), 8)
    np.testing.assert_array_equal(again, levels)
    np.testing.assert_allclose(same, scale, rtol=1e-6)


def test_outputs_are_within_their_bound():
    """Equation (2): the error of each unit is at most Σ|x| s/2."""
    model = keras.Sequential([keras.Input((50,)), layers.Dense(9, name="logits")])
    quantized, x = quantize(model, 5), rng.normal(size=(40, 50))
    error = np.abs(np.asarray(quantized(x)) - np.asarray(model(x)))
    scale = quantized.get_layer("logits").scale.numpy()
    bound = np.abs(x).sum(axis=1, keepdims=True) * scale / 2
    assert np.all(error <= bound * 1.001)
    assert error.max() > 0


def test_file_size_follows_from_bits_and_sparsity():
    model = keras.Sequential([keras.Input((400,)), layers.Dense(500)])
    plain, num_weights = size_on_disk(model), 400 * 500
    for bits in (8, 4):
        saved = plain - size_on_disk(quantize(model, bits))
        assert saved == pytest.approx(num_weights * (4 - bits / 8) - 4 * 500, abs=1500)
    sparse = prune(model, 0.9)
    assert plain - size_on_disk(sparse) == pytest.approx(num_weights * (4 * 0.9 - 1 / 8), abs=1500)
    both = plain - size_on_disk(quantize(sparse))
    assert both == pytest.approx(num_weights * (4 - 0.1 - 1 / 8), abs=4000)


def test_keras_file_keeps_outputs_and_bits(tmp_path):
    model = quantize(prune(mlp(), 0.8), bits=4)
    model.save(tmp_path / "quantized.keras")
    loaded = keras.models.load_model(tmp_path / "quantized.keras")
    assert [layer.bits for layer in loaded.layers] == [4, 4]
    x = rng.normal(size=(4, 6))
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.get_layer("hidden")._kernel.dtype == "int8"


def test_zeros_of_a_pruned_network_stay_zero():
    smaller = prune(mlp(), 0.6)
    for pruned, quantized in zip(smaller.layers, quantize(smaller).layers, strict=True):
        assert not np.any(np.asarray(quantized.kernel)[np.asarray(pruned.kernel) == 0])


def test_biases_train_and_kernels_do_not():
    model = quantize(mlp())
    model.compile("adam", "mse")
    kernels = [layer._kernel.numpy() for layer in model.layers]
    bias = model.get_layer("logits").bias.numpy()
    model.fit(np.ones((4, 6)), np.ones((4, 3)), verbose=0)
    assert np.any(model.get_layer("logits").bias.numpy() != bias)
    for layer, kernel in zip(model.layers, kernels, strict=True):
        np.testing.assert_array_equal(layer._kernel, kernel)


def test_given_model_does_not_change():
    model = mlp()
    before = model.get_weights()
    quantize(model, 2)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, old)


def test_dense_layer_keeps_the_contract():
    check_layer(lambda: QuantizedDense(3), rng.normal(size=(3, 4)).astype("float32"))


@pytest.mark.parametrize(
    ("layer", "shape", "settings"),
    [
        (layers.Conv1D, (6, 2), {"padding": "causal"}),
        (layers.Conv2D, (5, 4, 4), {"groups": 2}),
        (layers.Conv3D, (4, 4, 4, 2), {"strides": 2, "use_bias": False}),
    ],
)
def test_convolutions_are_close_to_those_of_keras(layer, shape, settings):
    model = keras.Sequential([keras.Input(shape), layer(6, 2, **settings)])
    quantized, x = quantize(model), rng.normal(size=(2, *shape))
    assert type(quantized.layers[0]) in (QuantizedConv1D, QuantizedConv2D, QuantizedConv3D)
    np.testing.assert_allclose(quantized(x), model(x), atol=0.05)
    kernel = model.layers[0].kernel.numpy()
    scale = quantized.layers[0].scale.numpy()
    assert np.all(np.abs(quantized.layers[0].kernel - kernel) <= scale / 2 * (1 + 1e-5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize(mlp(), 9), "from 2 to 8.*bits=9"),
        (lambda: quantize(mlp(), 1), "at least 2.*bits=1"),
        (lambda: quantize(mlp(), 7.5), r"bits=7\.5"),
        (lambda: quantize(quantize(mlp())), "float kernels.*hidden"),
        (lambda: prune(quantize(mlp()), 0.5), "prune.model.*float kernels.*hidden.*before you quantize"),
        (lambda: quantize(keras.Sequential([keras.Input((2,)), layers.ReLU()])), "have a Dense"),
        (lambda: quantize(keras.Sequential([layers.Dense(2)])), "be built"),
        (lambda: quantize_weights([[1.0, np.nan]]), "be finite.*1 that are not"),
        (lambda: quantize_weights(3.0), r"\(…, channels\).*shape \(\)"),
        (lambda: quantize_weights(np.zeros((0, 3))), r"at least one number.*shape \(0, 3\)"),
        (lambda: quantize_weights([[1.0, 1e60]]), "finite in float32.*1 that are not"),
        (lambda: QuantizedDense(3, bits=16), "QuantizedDense.bits.*bits=16"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
