import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from support.twins import wrong_twin

from tf_kit import optimizers
from tf_kit.design import memory, memory_bill


def nbytes(variables):
    return sum(keras.ops.convert_to_numpy(v).nbytes for v in variables)


def mlp():
    return keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(30), layers.ReLU(), layers.Dense(10)]
    )


def residual_network():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(2):
        y = layers.Activation("relu")(layers.BatchNormalization()(x))
        y = layers.Conv2D(4, 3)(layers.ZeroPadding2D(1)(y))
        x = layers.Add()([x, layers.Dropout(0.3)(y)])
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def shared_and_nested():
    tower = keras.Sequential([keras.Input((5,)), layers.Dense(7, activation="tanh")], name="tower")
    left, right = keras.Input((5,)), keras.Input((5,))
    both = layers.Concatenate()([tower(left), tower(right)])  # the tower is called twice
    return keras.Model([left, right], layers.Dense(2)(both))


@keras.saving.register_keras_serializable(package="tests")
class Residual(layers.Layer):
    """Layer x + f(x), where f is a layer within it."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(units)

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, inputs):
        return inputs + self.inner(inputs)


class OwnModel(keras.Model):
    """User-defined model whose `call` has no argument `training`."""

    def __init__(self, unused=None):
        super().__init__()
        self.unused = unused
        self.first = layers.Dense(6)
        self.block = Residual(6)
        self.norm = layers.LayerNormalization()

    def call(self, inputs):
        return self.norm(self.block(self.first(inputs)))


def own_model(unused=None):
    model = OwnModel(unused)
    model(np.zeros((1, 4), "float32"))
    return model


def text_model():
    tokens = keras.Input((12,), dtype="int32", name="tokens")
    x = layers.Embedding(50, 8)(tokens)
    x = x + layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model({"tokens": tokens}, layers.LSTM(3)(x))


MODELS = [mlp, residual_network, shared_and_nested, own_model, text_model]


def sizes(bill):
    return {layer.name: layer.activations_bytes // 4 // bill.batch_size for layer in bill.layers}


# Counts that are easy by hand, each as a check that a wrong twin must fail.


def check_mlp(module):
    bill = module.memory_bill(mlp(), batch_size=7, optimizer="adam")
    weights = 64 * 30 + 30 + 30 * 10 + 10
    assert bill.num_weights == weights
    assert bill.num_activations == 30 + 10
    assert bill.weights_bytes == bill.gradients_bytes == 4 * weights
    assert bill.slots_bytes == 2 * 4 * weights + 12
    assert bill.inputs_bytes == 7 * 64 * 4
    assert bill.activations_bytes == 7 * (30 + 10) * 4
    assert bill.outputs_bytes == 7 * (30 + 30 + 10) * 4
    assert bill.total_bytes == 4 * weights * 4 + 12 + 7 * (64 + 40) * 4


def check_residual_network(module):
    bill = module.memory_bill(residual_network(), batch_size=2)
    image = 8 * 8 * 4
    assert bill.num_activations == image * (3 + 2) + 4 * 4 * 4 + 4 + 10  # convolutions, sums, pools, logits
    assert bill.outputs_bytes == 2 * 4 * (bill.num_activations + 2 * (3 * image + 10 * 10 * 4))
    trained = sum(int(np.prod(v.shape)) for v in residual_network().trainable_weights)
    assert bill.gradients_bytes == 4 * trained
    assert bill.weights_bytes == 4 * (trained + 2 * 2 * 4)  # with the moving statistics


def check_shared(module):
    bill = module.memory_bill(shared_and_nested(), batch_size=3)
    assert bill.weights_bytes == 4 * (5 * 7 + 7 + 14 * 2 + 2)  # the tower's weights once
    assert bill.activations_bytes == 3 * 4 * (7 + 7 + 14 + 2)  # its activations twice
    assert bill.inputs_bytes == 3 * 4 * (5 + 5)


def check_layer_within_layer(module):
    bill = module.memory_bill(own_model(), batch_size=3)
    assert bill.num_activations == 6 + (6 + 6)  # first, inner and the sum; normalization in place
    assert [layer.activations_bytes // 12 for layer in bill.layers] == [6, 6, 6, 0]
    assert sum(layer.weights_bytes for layer in bill.layers) == bill.weights_bytes


def check_layers_of_one_unit(module):
    """They have kernels of one number, but their outputs are not written over their inputs."""
    units = [layers.Dense(1), layers.ReLU(), layers.Dense(1), layers.PReLU()]
    bill = module.memory_bill(keras.Sequential([keras.Input((3,)), *units]), batch_size=5)
    assert [layer.activations_bytes // 20 for layer in bill.layers] == [1, 0, 1, 0]
    convolution = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(1, 1), layers.ReLU()])
    assert module.memory_bill(convolution, batch_size=5).num_activations == 4 * 4


CHECKS = [check_mlp, check_residual_network, check_shared, check_layer_within_layer, check_layers_of_one_unit]


@pytest.mark.parametrize("check", CHECKS)
def test_count(check):
    check(memory)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_mlp, "if kind in _VIEWS", "if kind not in _VIEWS"),
        (check_mlp, "if not call.in_place]", "if call.in_place]"),
        (check_mlp, "fresh.build(model.trainable_variables)", "fresh.build(model.trainable_variables[1:])"),
        (check_mlp, "KerasTensor((batch_size, *", "KerasTensor((1, *"),
        (check_residual_network, "nbytes(model.trainable_weights)", "nbytes(model.weights)"),
        (check_residual_network, "elementwise or kind in _PADDING", "elementwise"),
        (check_residual_network, "len(read) == 1", "len(read) >= 1"),
        (check_layer_within_layer, "and not _has_kernel(operation)", ""),
        (check_layers_of_one_unit, '"kernel" in v.name or ', ""),
        (check_shared, "_nbytes(model.weights),  # (1)", "sum(_nbytes(c.operation.weights) for c in calls),"),
        (check_layer_within_layer, "if id(tensor) not in seen]", "]"),
        (check_layer_within_layer, "claimed.update(map(id, own))", "claimed.update([])"),
    ],
)
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(memory, right, wrong))


@pytest.mark.slow
def test_slide_of_the_50_layer_network():
    """Slide: 26 M weights, 16 M activations, 168 MB, without gradients, slots and minibatch."""
    model = keras.applications.ResNet50(weights=None)
    bill = memory_bill(model, batch_size=1)
    assert round(bill.num_weights / 1e6) == 26
    assert round(bill.num_activations / 1e6) == 16
    assert round((bill.weights_bytes + bill.activations_bytes) / 1e6) == 168
    # The parts that the slide leaves out are most of the bill.
    assert memory_bill(model, batch_size=32, optimizer="adam").total_bytes > 14 * 168e6

    kept = numbers_kept_for_the_backward_pass(model, (1, 224, 224, 3))
    assert round(kept / 1e6) == 21
    assert bill.activations_bytes < 4 * kept < bill.outputs_bytes


def numbers_kept_for_the_backward_pass(model, shape):
    """Count the numbers that TensorFlow's backward graph reads from the forward graph, except weights."""

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=True))
        return tape.gradient(loss, model.trainable_variables)

    operations = step.get_concrete_function(tf.TensorSpec(shape)).graph.get_operations()
    forward = {op.name for op in operations if "gradient_tape" not in op.name and op.type != "AddN"}
    sources = ("Placeholder", "Const", "ReadVariableOp")
    kept = {
        tensor.name: int(np.prod(tensor.shape))
        for op in operations
        if "gradient_tape" in op.name
        for tensor in op.inputs
        if tensor.op.name in forward and tensor.op.type not in sources
    }
    return sum(kept.values())


def test_activations_of_an_mlp_equal_the_reads_of_its_backward_pass():
    kept = numbers_kept_for_the_backward_pass(mlp(), (7, 8, 8, 1))
    bill = memory_bill(mlp(), batch_size=7)
    # The backward pass reads the inputs and the hidden layer; the logits go to the loss.
    assert 4 * kept == bill.inputs_bytes + bill.activations_bytes - 7 * 10 * 4


@pytest.mark.parametrize("new", MODELS)
def test_weights_and_slots_are_the_bytes_of_the_real_variables(new):
    model = new()
    bill = memory_bill(model, 4, optimizer="adam")
    assert bill.weights_bytes == nbytes(model.weights)
    assert bill.gradients_bytes == nbytes(model.trainable_weights)
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    assert bill.slots_bytes == nbytes(optimizer.variables)


KERAS_OPTIMIZERS = ["SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor", "Nadam",
                    "Ftrl", "Lion", "Lamb"]  # fmt: skip
OWN_OPTIMIZERS = [
    "SGD",
    "Momentum",
    "Nesterov",
    "AdaGrad",
    "RMSProp",
    "RMSPropNesterov",
    "Adam",
    "AdamW",
    "LARS",
]


@pytest.mark.parametrize(
    "new",
    [
        *[getattr(keras.optimizers, name) for name in KERAS_OPTIMIZERS],
        *[getattr(optimizers, name) for name in OWN_OPTIMIZERS],
        lambda: keras.optimizers.SGD(momentum=0.9),
        lambda: keras.optimizers.Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
        lambda: keras.optimizers.RMSprop(keras.optimizers.schedules.CosineDecay(0.1, 10), centered=True),
    ],
)
def test_slots_of_every_optimizer(new):
    model, optimizer = mlp(), new()
    bill = memory_bill(model, 4, optimizer=optimizer)
    assert not optimizer.built  # it was counted on a copy
    optimizer.build(model.trainable_variables)
    assert bill.slots_bytes == nbytes(optimizer.variables)


def test_slots_of_the_compiled_optimizer_before_and_after_training():
    model = mlp()
    model.compile("adamax", "mse")
    before = memory_bill(model, 4).slots_bytes
    model.train_on_batch(np.zeros((2, 8, 8, 1)), np.zeros((2, 10)))
    assert memory_bill(model, 4).slots_bytes == before == nbytes(model.optimizer.variables)


def test_no_optimizer_means_no_slots():
    assert memory_bill(mlp(), 4).slots_bytes == 0


@pytest.mark.parametrize(("policy", "weight", "activation"), [("mixed_bfloat16", 4, 2), ("float16", 2, 2)])
def test_counts_bytes_of_each_dtype(policy, weight, activation):
    units = [layers.Dense(30, activation="relu", dtype=policy), layers.Dense(10, dtype="float32")]
    model = keras.Sequential([keras.Input((64,)), *units])
    bill = memory_bill(model, batch_size=5)
    assert bill.weights_bytes == weight * (64 * 30 + 30) + 4 * 310 == nbytes(model.weights)
    assert bill.activations_bytes == 5 * (30 * activation + 10 * 4)


def test_batch_size_scales_only_inputs_and_activations():
    one, many = (memory_bill(residual_network(), n, optimizer="sgd") for n in (1, 50))
    for part in ("activations_bytes", "outputs_bytes", "inputs_bytes"):
        assert getattr(many, part) == 50 * getattr(one, part)
    for part in ("weights_bytes", "gradients_bytes", "slots_bytes", "num_activations"):
        assert getattr(many, part) == getattr(one, part)


@pytest.mark.parametrize("new", MODELS)
def test_layers_add_up_to_the_bill(new):
    bill = memory_bill(new(), 3)
    for part in ("weights_bytes", "activations_bytes", "outputs_bytes"):
        assert sum(getattr(layer, part) for layer in bill.layers) == getattr(bill, part)


def test_frozen_layers_have_no_gradients_and_unused_layers_are_counted():
    model = mlp()
    model.layers[1].trainable = False
    assert memory_bill(model, 1).gradients_bytes == 4 * 310

    unused = layers.Dense(3)
    unused.build((None, 2))
    model = own_model(unused)
    assert memory_bill(model, 1).layers[-1] == memory.LayerBill(model.name, 4 * 9, 0, 0)


def test_functional_operations_count_like_layers():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.ops.relu(layers.Dense(6)(inputs)) + inputs)
    assert memory_bill(model, 1).num_activations == 6 + 6  # the product and the sum; relu in place


@pytest.mark.parametrize("new", [residual_network, text_model])
def test_model_does_not_change(new):
    model = new()
    call = keras.Operation.__call__
    before = [
        keras.ops.convert_to_numpy(v) for v in model.variables
    ]  # with moving statistics and the seeds of dropout
    state = np.random.get_state()[1].copy()
    memory_bill(model, 2, optimizer="adam")
    for one, other in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, keras.ops.convert_to_numpy(other))
    np.testing.assert_array_equal(state, np.random.get_state()[1])
    assert model.losses == []
    assert keras.Operation.__call__ is call


def test_calls_are_restored_after_an_error():
    class Broken(keras.Model):
        def call(self, inputs):
            raise RuntimeError("broken on purpose")

    model, call = Broken(), keras.Operation.__call__
    model.built = True
    with pytest.raises(RuntimeError, match="broken on purpose"):
        memory_bill(model, 1, x=np.zeros((1, 2)))
    assert keras.Operation.__call__ is call


def test_unknown_shapes_are_taken_from_a_batch():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(inputs))
    bill = memory_bill(model, batch_size=5, x=np.zeros((1, 10, 20, 3), "float32"))
    assert bill.num_activations == 10 * 20 * 2


def test_str_is_a_table():
    text = str(memory_bill(mlp(), 1000, optimizer="sgd"))
    assert re.search(r"weights +0\.009\n", text)
    assert re.search(r"activations +0\.160\n", text)
    assert text.count("dense") == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memory_bill(mlp(), 0), "batch_size=0"),
        (lambda: memory_bill(mlp(), 1.5), "batch_size=1.5"),
        (lambda: memory_bill(keras.Sequential([layers.Dense(2)]), 1), "be built"),
        (lambda: memory_bill(keras.Sequential([keras.Input((None,)), layers.ReLU()]), 1), "(None, None)"),
        (
            lambda: memory_bill(keras.Sequential([keras.Input((2,), batch_size=3), layers.ReLU()]), 5),
            "(3, 2)",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_refuses_a_model_of_unknown_input_shape():
    model = OwnModel()
    model.built = True
    with pytest.raises(ValueError, match="Give a batch as x"):
        memory_bill(model, 1)
