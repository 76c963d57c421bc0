"""Topic 21: operations, bytes, joules and grams of CO2, against counting them one by one."""

import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from oracles import scaling as oracle
from support.twins import wrong_twin

from tf_kit.scaling import CONSTANTS, energy, energy_bill, operations, prune, quantize


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
    # A transposed convolution multiplies each pixel of its input with each weight once.
    assert products((4, 4, 6), layers.Conv2DTranspose(5, 3)) == 4 * 4 * 6 * 5 * 3 * 3
    assert products((9, 6), layers.Dense(5)) == 9 * oracle.dense_products(6, 5)
    assert products((9, 6), layers.EinsumDense("abc,cde->abde", (None, 4, 5))) == 9 * 6 * 4 * 5
    assert products((9, 4, 5), layers.EinsumDense("abde,dec->abc", (None, 6))) == 9 * 4 * 5 * 6


def check_carbon(module):
    bill = module.energy_bill(mlp(), 1, num_steps=10**6, carbon_intensity=360.0)
    np.testing.assert_allclose(bill.co2_grams, bill.total_joules * 1e-4, rtol=1e-12)


CHECKS = [check_dense, check_convolutions, check_carbon]


@pytest.mark.parametrize("check", CHECKS)
def test_energy_bill(check):
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
        (check_carbon, "3.6e6", "3.6e3"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    twin = wrong_twin(energy, right, wrong)
    with pytest.raises(AssertionError):
        check(twin)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("if axis in output", "if axis not in output"),
        ("math.prod(kernel_shape[-2:])", "kernel_shape[-1]"),
        ("return _size(inputs) // kernel_shape[-1]", "return _size(outputs) // kernel_shape[-1]"),
        ('"kernel", "depthwise_kernel", "pointwise_kernel"', '"kernel", "pointwise_kernel"'),
    ],
)
def test_wrong_twin_of_the_operations(monkeypatch, right, wrong):
    monkeypatch.setattr(energy, "operations", wrong_twin(operations, right, wrong))
    with pytest.raises(AssertionError):
        check_convolutions(energy)


def test_multiply_adds_of_mobilenet_equal_the_published_number():
    """Howard et al., 2017, table 4, arXiv:1704.04861: 569 million multiply-adds in MobileNet at 224 × 224."""
    assert round(flops(keras.applications.MobileNet(weights=None)) / 2 / 1e6) == 569


def test_energy_is_the_sum_over_layers():
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


def test_weights_are_read_once_per_minibatch():
    one, many = (energy_bill(mlp(), n, training=False) for n in (1, 64))
    assert many.compute_joules == pytest.approx(64 * one.compute_joules)
    assert many.memory_joules < 64 * one.memory_joules / 3


def test_number_formats_change_the_energy():
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


def test_frozen_weights_have_no_gradient_and_no_update():
    model = mlp()
    model.get_layer("hidden").trainable = False
    bill = energy_bill(model, 4)
    assert bill.layers[0].flops == 2 * 2 * 4 * 70  # forward, and the gradient of its inputs
    assert bill.layers[0].moved_bytes == 2 * 4 * (77 + 4 * 17)
    assert energy_bill(quantize(mlp()), 4).total_flops == 2 * 2 * 4 * 91


def test_shared_layers_are_counted_per_call_and_updated_once():
    shared = layers.Dense(6, name="shared")
    tower = stack((6,), shared, layers.ReLU())
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2)(tower(tower(inputs))))
    bill = energy_bill(model, 1, num_slots=0)
    assert [layer.name for layer in bill.layers[:2]] == ["shared", "shared"]
    assert bill.layers[0].flops == bill.layers[1].flops == 3 * 2 * 36
    assert bill.layers[0].moved_bytes - bill.layers[1].moved_bytes == 3 * 4 * 42  # one update


def test_attention_and_embeddings_are_counted():
    tokens = keras.Input((5,), dtype="int32")
    h = layers.Embedding(11, 8, name="embedding")(tokens)
    model = keras.Model(tokens, layers.MultiHeadAttention(2, 3, value_dim=4, name="attention")(h, h))
    bill = energy_bill(model, 1, training=False)
    projections = 5 * 8 * 2 * (3 + 3 + 4) + 5 * 2 * 4 * 8
    assert bill.total_flops == 2 * (projections + 5 * 5 * 2 * (3 + 4))
    assert not bill.uncounted
    for trainable, passes in ((True, 3), (False, 2)):  # equation (4)
        model.get_layer("embedding").trainable = trainable
        assert energy_bill(model, 1).layers[0].moved_bytes == passes * bill.layers[0].moved_bytes


Q, V = (6, 4), (5, 4)  # 6 queries, 5 keys


@pytest.mark.parametrize(
    ("attention", "shapes", "call", "products", "read", "written"),
    [
        (layers.Attention(), (Q, V), lambda f, q, v: f([q, v]), 30 * (4 + 4), 24 + 40, 24),
        (layers.Attention(), (Q, (5, 3), V), lambda f, q, v, k: f([q, v, k]), 30 * (4 + 3), 24 + 35, 18),
        (layers.AdditiveAttention(), (Q, V), lambda f, q, v: f([q, v]), 30 * (4 + 4), 24 + 40, 24),
        (layers.GroupQueryAttention(3, 4, 2), (Q, V), lambda f, q, v: f(q, v), 30 * 4 * 6, 72 + 60, 72),
        (layers.MultiHeadAttention(2, 3), (Q, V), lambda f, q, v: f(q, v), 30 * 2 * 6, 36 + 60, 36),
        (
            layers.MultiHeadAttention(2, 3, value_dim=7),
            (Q, V),
            lambda f, q, v: f(key=v, value=v, query=q),
            30 * 2 * 10,
            36 + 100,
            84,
        ),
        (
            layers.MultiHeadAttention(2, 3),
            (Q, V, (6, 5)),
            lambda f, q, v, mask: f(q, value=v, attention_mask=mask),
            30 * 2 * 6,
            36 + 60,
            36,
        ),
        (layers.MultiHeadAttention(2, 3), ((2, 5, 4),), lambda f, x: f(x, x), 100 * 2 * 6, 60 + 120, 60),
        (
            layers.MultiHeadAttention(2, 3, attention_axes=2),
            ((2, 5, 4),),
            lambda f, x: f(x, x),
            2 * 25 * 2 * 6,
            60 + 120,
            60,
        ),
    ],
    ids=["dot", "three", "additive", "grouped", "heads", "names", "mask", "plane", "axis"],
)
def test_products_of_any_attention(attention, shapes, call, products, read, written):
    attention = type(attention).from_config(attention.get_config())
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, call(attention, *inputs))
    bill = energy_bill(model, 2, training=False).layers[-1]
    assert bill.name == attention.name
    assert (bill.flops, bill.moved_bytes) == (2 * 2 * products, 2 * 4 * (read + written))


def test_unknown_layers_are_named():
    model = stack((5, 3), layers.GRU(4, name="gru"), layers.Dense(2))
    with pytest.warns(UserWarning, match=r"does not know the layers of .*gru.*kernel"):
        bill = energy_bill(model, 1, training=False)
    assert bill.total_flops == 2 * 8
    assert any("recurrent_kernel" in path for path in bill.uncounted)
    assert "not counted" in str(bill)


class Squared(layers.Layer):
    """Custom layer with a matrix."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel) ** 2


class Custom(keras.Model):
    def __init__(self):
        super().__init__()
        self.squared, self.drop = Squared(), layers.Dropout(0.5)

    def call(self, x):
        return self.squared(self.drop(x))


def test_custom_model_is_counted_from_a_batch():
    model = Custom()
    model(np.ones((2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert energy_bill(model, 5, x=np.ones((2, 3)), training=False).total_flops == 5 * 2 * 12


def test_model_does_not_change():
    model = stack((4,), layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5))
    before = [keras.ops.convert_to_numpy(v.value) for v in model.variables]
    call = layers.Layer.__call__
    energy_bill(model, 2)
    for old, now in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(now.value, old)
    assert layers.Layer.__call__ is call


def test_constants_have_a_source_and_can_be_replaced():
    for constant in CONSTANTS.values():
        assert constant.value > 0
        assert constant.unit
        assert constant.source
    bill = energy_bill(mlp(), 1, constants={"dram_joules_per_byte": 0.0, "carbon_intensity": 1.0})
    assert bill.memory_joules == 0
    assert bill.carbon_intensity == 1.0
    assert energy_bill(mlp(), 1).carbon_intensity == CONSTANTS["carbon_intensity"].value


def test_table_lists_layers_and_total():
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
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_model_of_unknown_input_shape_is_refused():
    model = Custom()
    model(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Give a batch as x"):
        energy_bill(model, 1)
