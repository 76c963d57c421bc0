"""Topic 21: operations, bytes, joules and grams, against counting one by one; and the counters of the machine."""

import os
import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from oracles import scaling as oracle
from support.twins import wrong_twin

from tf_kit.scaling import CONSTANTS, energy, energy_bill, measured_joules, prune, quantize


def stack(shape, *layers_):
    return keras.Sequential([keras.Input(shape), *layers_])


def mlp():
    return stack((10,), layers.Dense(7, activation="relu", name="hidden"), layers.Dense(3, name="logits"))


def flops(model, **kwargs):
    return energy_bill(model, 1, training=False, **kwargs).total_flops


def check_dense(module):
    for training, slots, batch_size, steps in ((False, 0, 1, 1), (True, 0, 4, 3), (True, 2, 32, 5)):
        bill = module.energy_bill(mlp(), batch_size, steps, training, slots)
        expected = [
            oracle.dense_joules(10, 7, batch_size, steps, training, slots),
            oracle.dense_joules(7, 3, batch_size, steps, training, slots),
        ]
        np.testing.assert_allclose([layer.total_joules for layer in bill.layers], expected, rtol=1e-12)
        products = oracle.dense_products(10, 7) + oracle.dense_products(7, 3)
        assert bill.total_flops == 2 * products * batch_size * steps * (3 if training else 1)


def check_convolutions(module):
    def products(shape, layer):
        return module.energy_bill(stack(shape, layer), 1, training=False).total_flops / 2

    image = (9, 8, 6)
    count = oracle.convolution_products
    assert products(image, layers.Conv2D(5, 3)) == count(9, 8, 6, 5, 3, 1)
    assert products(image, layers.Conv2D(4, 3, strides=2, groups=2)) == count(9, 8, 6, 4, 3, 2, groups=2)
    assert products(image, layers.DepthwiseConv2D(3, depth_multiplier=2)) == count(
        9, 8, 6, 12, 3, 1, groups=6
    )
    pointwise = count(7, 6, 6, 5, 1, 1)
    assert products(image, layers.SeparableConv2D(5, 3)) == count(9, 8, 6, 6, 3, 1, groups=6) + pointwise
    # A transposed convolution scatters: each pixel of its input meets every weight once.
    assert products((4, 4, 6), layers.Conv2DTranspose(5, 3)) == 4 * 4 * 6 * 5 * 3 * 3
    assert products((9, 6), layers.Dense(5)) == 9 * oracle.dense_products(6, 5)
    assert products((9, 6), layers.EinsumDense("abc,cde->abde", (None, 4, 5))) == 9 * 6 * 4 * 5
    assert products((9, 4, 5), layers.EinsumDense("abde,dec->abc", (None, 6))) == 9 * 4 * 5 * 6


def check_carbon(module):
    bill = module.energy_bill(mlp(), 1, num_steps=10**6, carbon_intensity=360.0)
    np.testing.assert_allclose(bill.co2_grams, bill.total_joules * 1e-4, rtol=1e-12)


CHECKS = [check_dense, check_convolutions, check_carbon]


@pytest.mark.parametrize("check", CHECKS)
def test_check(check):
    check(energy)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_dense, "(3 + 2 * num_slots)", "(2 + 2 * num_slots)"),
        (check_dense, "passes = 1 if not training else 3", "passes = 1 if not training else 2"),
        (check_dense, "multiplied * (add + multiply)", "multiplied * multiply"),
        (check_dense, '1.3e-9 / 8', "1.3e-9"),
        (check_dense, "n * (work.num_inputs + work.num_outputs)", "(work.num_inputs + work.num_outputs)"),
        (check_dense, "flops=round(2 * multiplied)", "flops=round(multiplied)"),
        (check_convolutions, "if axis in output", "if axis not in output"),
        (check_convolutions, "math.prod(kernel_shape[-2:])", "kernel_shape[-1]"),
        (check_convolutions, "return _size(inputs) // kernel_shape[-1]", "return _size(outputs) // kernel_shape[-1]"),
        (check_convolutions, '"kernel", "depthwise_kernel", "pointwise_kernel"', '"kernel", "pointwise_kernel"'),
        (check_carbon, "3.6e6", "3.6e3"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(energy, right, wrong))


def test_published_count():
    """Howard et al. 2017, table 4: 569 million multiply-adds in MobileNet at 224 × 224."""
    assert round(flops(keras.applications.MobileNet(weights=None)) / 2 / 1e6) == 569


def test_energy_adds_over_layers():
    hidden, logits = mlp().layers
    parts = [energy_bill(stack((10,), hidden), 8), energy_bill(stack((7,), logits), 8)]
    whole = energy_bill(keras.Sequential([keras.Input((10,)), hidden, layers.ReLU(), logits]), 8)
    for name in (
        "total_flops",
        "moved_bytes",
        "compute_joules",
        "memory_joules",
        "total_joules",
        "co2_grams",
    ):
        np.testing.assert_allclose(
            getattr(whole, name), sum(getattr(part, name) for part in parts), rtol=1e-12
        )
    assert whole.total_joules == pytest.approx(sum(layer.total_joules for layer in whole.layers))


def test_a_minibatch_shares_the_weights():
    one, many = (energy_bill(mlp(), n, training=False) for n in (1, 64))
    assert many.compute_joules == pytest.approx(64 * one.compute_joules)
    assert many.memory_joules < 64 * one.memory_joules / 3


def test_number_formats():
    single = energy_bill(mlp(), 2, training=False).compute_joules
    for arithmetic, picojoules in (("float16", oracle.FLOAT16), ("int8", oracle.INT8)):
        joules = energy_bill(mlp(), 2, training=False, arithmetic=arithmetic).compute_joules
        np.testing.assert_allclose(joules / single, picojoules / oracle.FLOAT32)
    half = stack((10,), layers.Dense(7, dtype="mixed_bfloat16"))
    bill = energy_bill(half, 2, training=False)
    np.testing.assert_allclose(bill.compute_joules, 2 * 70 * oracle.FLOAT16 * 1e-12)
    assert bill.moved_bytes == 4 * 77 + 2 * 2 * 17


def test_quantized_and_pruned_kernels_move_fewer_bytes():
    model = stack((100,), layers.Dense(80))
    io = 4 * 180

    def moved(each, **kwargs):
        return energy_bill(each, 1, training=False, **kwargs).moved_bytes - io

    assert moved(model) == 4 * 8000 + 4 * 80
    assert moved(quantize(model)) == 8000 + 4 * 80 + 4 * 80  # levels, scales, biases
    assert moved(quantize(model, 4)) == 4000 + 4 * 80 + 4 * 80
    sparse = prune(model, 0.75)
    assert moved(sparse) == moved(model)
    assert moved(sparse, skip_zeros=True) == 4 * 2000 + 1000 + 4 * 80
    assert flops(sparse) == 4 * flops(sparse, skip_zeros=True) == flops(model)
    assert moved(quantize(sparse), skip_zeros=True) <= 2000 + 1000 + 8 * 80


def test_what_does_not_train():
    model = mlp()
    model.get_layer("hidden").trainable = False
    bill = energy_bill(model, 4)
    assert bill.layers[0].flops == 2 * 2 * 4 * 70  # forward, and the gradient of its inputs
    assert bill.layers[0].moved_bytes == 2 * 4 * (77 + 4 * 17)
    assert energy_bill(quantize(mlp()), 4).total_flops == 2 * 2 * 4 * 91


def test_shared_and_nested_layers():
    shared = layers.Dense(6, name="shared")
    tower = stack((6,), shared, layers.ReLU())
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2)(tower(tower(inputs))))
    bill = energy_bill(model, 1, num_slots=0)
    assert [layer.name for layer in bill.layers[:2]] == ["shared", "shared"]
    assert bill.layers[0].flops == bill.layers[1].flops == 3 * 2 * 36
    assert bill.layers[0].moved_bytes - bill.layers[1].moved_bytes == 3 * 4 * 42  # one update


def test_attention_and_embeddings():
    tokens = keras.Input((5,), dtype="int32")
    h = layers.Embedding(11, 8, name="embedding")(tokens)
    model = keras.Model(tokens, layers.MultiHeadAttention(2, 3, value_dim=4, name="attention")(h, h))
    bill = energy_bill(model, 1, training=False)
    projections = 5 * 8 * 2 * (3 + 3 + 4) + 5 * 2 * 4 * 8
    assert bill.total_flops == 2 * (projections + 5 * 5 * 2 * (3 + 4))
    assert not bill.uncounted


def test_layers_it_does_not_know_are_named():
    model = stack((5, 3), layers.GRU(4, name="gru"), layers.Dense(2))
    with pytest.warns(UserWarning, match=r"does not know the layers of .*gru.*kernel"):
        bill = energy_bill(model, 1, training=False)
    assert bill.total_flops == 2 * 8
    assert any("recurrent_kernel" in path for path in bill.uncounted)
    assert "not counted" in str(bill)


class Squared(layers.Layer):
    """A matrix layer of one's own."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel) ** 2


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.squared, self.drop = Squared(), layers.Dropout(0.5)

    def call(self, x):
        return self.squared(self.drop(x))


def test_models_of_ones_own():
    model = Own()
    model(np.ones((2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert energy_bill(model, 5, x=np.ones((2, 3)), training=False).total_flops == 5 * 2 * 12


def test_nothing_of_the_model_changes():
    model = stack((4,), layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5))
    before = [keras.ops.convert_to_numpy(v.value) for v in model.variables]
    call = layers.Layer.__call__
    energy_bill(model, 2)
    for old, now in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(now.value, old)
    assert layers.Layer.__call__ is call


def test_constants():
    """Each has a source; another chip's replace them."""
    for constant in CONSTANTS.values():
        assert constant.value > 0
        assert constant.unit
        assert constant.source
    bill = energy_bill(mlp(), 1, constants={"dram_joules_per_byte": 0.0, "carbon_intensity": 1.0})
    assert bill.memory_joules == 0
    assert bill.carbon_intensity == 1.0
    assert energy_bill(mlp(), 1).carbon_intensity == CONSTANTS["carbon_intensity"].value


def test_table():
    text = str(energy_bill(mlp(), 1000, training=False))
    assert re.search(r"hidden +0\.140", text)
    assert re.search(r"total +0\.182", text)
    assert re.search(r"J, .* g CO2", text)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_bill(mlp(), 0), "batch_size=0"),
        (lambda: energy_bill(mlp(), 1, num_steps=0), "num_steps=0"),
        (lambda: energy_bill(mlp(), 1, num_slots=-1), "num_slots=-1"),
        (lambda: energy_bill(mlp(), 1, arithmetic="int4"), "'int8'.*arithmetic='int4'"),
        (lambda: energy_bill(mlp(), 1, carbon_intensity=-1), "carbon_intensity=-1"),
        (lambda: energy_bill(mlp(), 1, constants={"sram": 1.0}), "dram_joules_per_byte.*'sram'"),
        (lambda: energy_bill(stack((2,), layers.Dense(2, dtype="float64")), 1), "in float64"),
        (lambda: energy_bill(keras.Sequential([layers.Dense(2)]), 1), "be built"),
        (lambda: energy_bill(stack((None, 2), layers.Dense(2)), 1), r"\(None, None, 2\)"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_refuses_a_model_that_hides_its_inputs():
    model = Own()
    model(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Give a batch as x"):
        energy_bill(model, 1)


def zone(folder, name, label, microjoules, highest=10**9):
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "name").write_text(f"{label}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{highest}\n")


def test_measured_joules(tmp_path):
    """Packages and memory are added; cores are part of a package, mmio shows it again; a counter may wrap."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 0)
    zone(tmp_path, "intel-rapl:0:1", "dram", 900_000, highest=1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 0)
    zone(tmp_path, "intel-rapl:1:0", "dram", 0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    with measured_joules(tmp_path) as measured:
        assert measured.total_joules is None
        zone(tmp_path, "intel-rapl:0", "package-0", 4_000_000)
        zone(tmp_path, "intel-rapl:0:0", "core", 2_000_000)
        zone(tmp_path, "intel-rapl:0:1", "dram", 100_000, highest=1_000_000)
        zone(tmp_path, "intel-rapl:1:0", "dram", 250_000)
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 3_000_000)
    assert measured.domain_joules == pytest.approx(
        {"package-0": 3.0, "dram": 0.2, "package-1": 0.0, "dram (intel-rapl:1:0)": 0.25}
    )
    assert measured.total_joules == pytest.approx(3.45)
    assert str(measured).startswith("3.45 J in")


def test_measured_joules_of_a_block_that_fails(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)

    seen = []

    def fail():
        with measured_joules(tmp_path) as measured:
            seen.append(measured)
            zone(tmp_path, "intel-rapl:0", "package-0", 2_000_000)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen[0].total_joules == 2.0


def test_without_counters_it_says_so(tmp_path):
    with measured_joules(tmp_path) as measured:
        pass
    assert measured.total_joules is None
    assert "no RAPL counters" in str(measured)
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    with measured_joules(tmp_path) as measured:
        pass
    assert measured.total_joules is None
    assert re.search(r"energy_uj cannot be read \(No such file", measured.reason)


@pytest.mark.skipif(not os.path.isdir("/sys/class/powercap/intel-rapl:0"), reason="no RAPL counters here")
def test_on_this_machine():
    with measured_joules() as measured:
        np.linalg.norm(np.ones((800, 800)) @ np.ones((800, 800)))
    assert measured.total_joules is None or measured.total_joules >= 0
