"""Topic 21: size of a model, and bits packed into bytes."""

import keras
import numpy as np
import pytest
from keras import layers

from tf_kit.scaling import nonzero_fraction, prune, quantize, size_on_disk
from tf_kit.scaling.compression.size import pack, unpack


def model_of(*stack):
    return keras.Sequential([keras.Input((30,)), *stack])


def test_size_equals_that_of_the_file(tmp_path):
    model = model_of(layers.Dense(40))
    model.save(tmp_path / "model.keras")
    assert size_on_disk(model) == (tmp_path / "model.keras").stat().st_size


def test_optimizer_is_not_counted():
    model = model_of(layers.Dense(200))
    before = size_on_disk(model)
    model.compile("adam", "mse")
    model.fit(np.ones((2, 30)), np.ones((2, 200)), verbose=0)
    assert size_on_disk(model) == pytest.approx(before, abs=200)
    assert model.compiled
    assert model.optimizer.built
    model.fit(np.ones((2, 30)), np.ones((2, 200)), verbose=0)  # the model can still be trained


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpack_inverts_pack(bits):
    numbers = np.random.default_rng(bits).integers(2**bits, size=37)
    packed = pack(numbers, bits)
    assert packed.nbytes == -(-37 * bits // 8)
    np.testing.assert_array_equal(unpack(packed, bits, 37), numbers)


def test_nonzero_fraction_counts_kernels_only():
    model = model_of(layers.Dense(10), layers.BatchNormalization(), layers.Dense(5))
    assert nonzero_fraction(model) == 1.0  # biases and moving means are zero
    kernel = model.layers[0].kernel
    kernel.assign(np.where(np.arange(300).reshape(30, 10) < 70, 0.0, kernel))
    assert nonzero_fraction(model) == (300 - 70 + 50) / 350
    pruned = prune(model, 0.6)
    assert nonzero_fraction(pruned) == pytest.approx(0.4)
    assert nonzero_fraction(quantize(pruned)) <= nonzero_fraction(pruned)


@pytest.mark.parametrize("call", [size_on_disk, nonzero_fraction])
def test_unusable_models_are_refused(call):
    with pytest.raises(ValueError, match=r"be built|have a layer with a kernel"):
        call(keras.Sequential([layers.Dense(3)]))
