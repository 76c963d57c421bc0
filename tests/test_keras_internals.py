"""Every private name of Keras and TensorFlow that the kit relies on exists and does what its function promises."""

import contextlib
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit import keras_internals

X, Y = np.ones((4, 3), "float32"), np.zeros((4, 1), "float32")


class Custom(keras.Model):
    """A model with a layer inside a layer, and one in a list."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(2)])
        self.others = [keras.layers.Dense(1)]

    def call(self, inputs):
        return self.others[0](self.inner(inputs))


def chain():
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(2)(inputs)))


def compiled(optimizer="sgd", **options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **options)
    return model


def built(optimizer):
    """An optimizer and the two variables that it was built for."""
    variables = [keras.Variable(np.ones(2, "float32")) for _ in range(2)]
    optimizer.build(variables)
    return optimizer, variables


# Settings of a process


def test_clear_session_keeps_the_settings_and_forgets_the_models():
    def settings():
        filters = keras.config.is_traceback_filtering_enabled()
        return keras.config.dtype_policy().name, keras.config.is_interactive_logging_enabled(), filters

    def drawn():
        keras.utils.set_random_seed(3)
        first = np.asarray(keras.random.normal((2,)))
        clear()
        return first, np.asarray(keras.random.normal((2,)))

    before, clear = settings(), lambda: None
    _, second = drawn()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras.config.disable_interactive_logging()
        keras.config.disable_traceback_filtering()
        changed, clear = settings(), keras_internals.clear_session
        with keras.saving.custom_object_scope({"Custom": Custom}):
            keras.layers.Dense(1)
            np.testing.assert_array_equal(drawn()[1], second)
            assert keras.saving.get_registered_object("Custom") is Custom
        assert settings() == changed != before
        assert keras.layers.Dense(1).name == "dense", "names are counted from the start"
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.enable_interactive_logging()
        keras.config.enable_traceback_filtering()
    assert settings() == before


# Layers and models


def test_flatten_layers_finds_each_sublayer_once():
    model = Custom()
    found = keras_internals.flatten_layers(model)
    assert found[0] is model
    expected = [model, model.inner, *model.inner.layers, *model.others]
    assert sorted(map(id, found)) == sorted(map(id, expected))


def test_nodes_by_depth_lists_the_calls_of_layers():
    for model in (chain(), keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])):
        last = keras_internals.nodes_by_depth(model)[0][0]
        assert last.operation is model.layers[-1]
        assert not last.is_input
        assert [tensor.shape for tensor in last.outputs] == [(None, 1)]
        assert len(last.input_tensors) == 1
    assert keras_internals.nodes_by_depth(Custom()) is None
    assert keras_internals.nodes_by_depth(keras.Sequential([keras.layers.Dense(1)])) is None


def test_has_own_build():
    class Built(Custom):
        def build(self, input_shape):
            pass

    assert keras_internals.has_own_build(Built())
    assert keras_internals.has_own_build(keras.layers.Dense(1))
    assert not keras_internals.has_own_build(Custom())


def test_schedule_of_an_optimizer():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert keras_internals.schedule_of(keras.optimizers.SGD(schedule)) is schedule
    assert keras_internals.schedule_of(keras.optimizers.SGD(0.1)) is None


def test_matrices_among_weights():
    attention = keras.layers.MultiHeadAttention(2, 3)
    attention.build((None, 4, 5), (None, 4, 5))
    found = {each.path.split("/", 1)[1] for each in attention.weights if keras_internals.is_matrix(each)}
    names = ("query", "key", "value", "attention_output")
    assert found == {f"{name}/kernel" for name in names}


def test_mask_of_a_tensor():
    x = np.array([[[1.0], [0.0]]])
    assert keras_internals.mask_of(keras.layers.Masking()(x)).numpy().tolist() == [[True, False]]
    assert keras_internals.mask_of(keras.layers.ReLU()(x)) is None
    masked = keras_internals.with_mask(keras.ops.convert_to_tensor(x), keras.ops.array([[True, False]]))
    assert keras_internals.mask_of(masked).numpy().tolist() == [[True, False]]
    assert keras_internals.mask_of(keras_internals.with_mask(keras.ops.convert_to_tensor(x), None)) is None


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (keras.layers.Dense(2), (None, 3)),
        (keras.layers.Conv1D(2, 3), (None, 8, 3)),
        (keras.layers.Conv2D(2, 3), (None, 8, 8, 3)),
    ],
)
def test_stored_kernel_is_the_weight(layer, shape):
    layer.build(shape)
    assert keras_internals.stored_kernel(layer) is layer.trainable_weights[0]


def test_seed_generators_are_those_of_the_layer():
    layer = keras.layers.Dropout(0.5)
    assert keras_internals.seed_generators(layer) == [layer.seed_generator]
    assert keras_internals.seed_generators(keras.layers.Dense(1)) == []


# Compiled models


def test_compiled_metrics():
    model = compiled(metrics=["mae"])
    assert not keras_internals.compiled_metrics(model).built
    model.train_on_batch(X, Y)
    assert keras_internals.compiled_metrics(model).built
    assert keras_internals.compiled_metrics(compiled()) is None


def test_tracked_metrics():
    model, layer = Custom(), keras.layers.Dense(1)
    layer.seen, model.own = keras.metrics.Mean(name="seen"), keras.metrics.Mean(name="own")
    inner = keras.Sequential([layer])
    inner.compile("sgd", "mse", metrics=["mae"])
    model.others = [inner, layer]
    model.compile("sgd", "mse", metrics=["mae"])
    assert [each.name for each in keras_internals.tracked_metrics(model)] == ["own", "seen"]


def test_given_loss():
    loss = keras.losses.Huber()
    model = keras.Sequential([keras.layers.Dense(1)])
    assert keras_internals.given_loss(model) is None
    model.compile("sgd", loss)
    assert keras_internals.given_loss(model) is loss
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd")
    assert keras_internals.given_loss(model) is None


def test_given_loss_weights():
    model = keras.Sequential([keras.layers.Dense(1)])
    assert keras_internals.given_loss_weights(model) is None
    model.compile("sgd", lambda y, outputs: outputs - y, loss_weights=[3.0])
    assert keras_internals.given_loss_weights(model) == [3.0]
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd")
    assert keras_internals.given_loss_weights(model) is None


def test_build_from_batch_creates_all_variables():
    model = Custom()
    model.compile("adam", "mse", metrics=["mae"])
    keras_internals.build_from_batch(model, (tf.constant(X), tf.constant(Y), None))
    assert all(layer.built for layer in keras_internals.flatten_layers(model))
    assert keras_internals.compiled_metrics(model).built
    assert len(model.trainable_variables) == 4
    assert keras_internals.optimized_variables(model.optimizer) == model.trainable_variables


def test_built_before_training_replaces_the_build_in_fit():
    class Model(keras_internals.BuiltBeforeTraining, keras.Sequential):
        def _symbolic_build(self, iterator=None, data_batch=None):
            raise AssertionError("fit builds the model")

    class Plain(keras.Sequential):
        _symbolic_build = Model._symbolic_build

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        models = [kind([keras.Input((3,)), keras.layers.Dense(1)]) for kind in (Model, Plain)]
        for model in models:
            model.compile("sgd", "mse")
    models[0].fit(X, Y, verbose=0)
    with pytest.raises(AssertionError, match="fit builds the model"):
        models[1].fit(X, Y, verbose=0)


def test_keep_losses_of_replicas_apart():
    model = keras.Sequential([keras.layers.Dense(1, activity_regularizer="l2")])
    model(X)
    keras_internals.keep_losses_of_replicas_apart(model)
    model(X)
    with ThreadPoolExecutor(1) as replica:
        assert replica.submit(lambda: list(model.losses)).result() == []
        replica.submit(model, X).result()
        assert len(replica.submit(lambda: list(model.losses)).result()) == 1
    keras_internals.keep_losses_of_replicas_apart(model)
    assert len(model.losses) == 1


def test_assert_compiled():
    keras_internals.assert_compiled(compiled(), "fit")
    with pytest.raises(ValueError, match="compile"):
        keras_internals.assert_compiled(chain(), "fit")


def test_restored_epoch_is_set_by_keras(tmp_path):
    class Stops(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise InterruptedError

    model, backup = compiled(), keras.callbacks.BackupAndRestore(str(tmp_path))
    assert keras_internals.restored_epoch(model) is None
    with pytest.raises(InterruptedError):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[backup, Stops()])
    backup.on_train_begin()
    assert keras_internals.restored_epoch(model) == 1
    keras_internals.set_restored_epoch(model, None)
    assert keras_internals.restored_epoch(model) is None


def test_metrics_after_training():
    model = compiled(metrics=["mae"])
    history = model.fit(X, Y, verbose=0).history
    found = keras_internals.metrics_after(model, {"loss": 0.0, "mae": 0.0})
    assert {name: [float(value)] for name, value in found.items()} == history
    assert keras_internals.metrics_after(model, {"other": 1.0}) == {"other": 1.0}
    assert keras_internals.in_order_of_metrics(model, {"mae": 2.0, "loss": 1.0}) == [1.0, 2.0]


def test_strategy_at_creation():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = compiled()
    assert keras_internals.strategy_at_creation(compiled()) is None
    assert keras_internals.strategy_at_creation(model) is strategy
    with keras_internals.without_strategy(model):
        assert model.distribute_strategy is tf.distribute.get_strategy()
    assert model.distribute_strategy is strategy


# Optimizers


def test_decayed():
    variables = [keras.Variable(X, name="kernel"), keras.Variable(X, name="bias")]
    assert keras_internals.decayed(keras.optimizers.SGD(), variables) is None
    optimizer = keras.optimizers.SGD(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    for each in (optimizer, keras.optimizers.LossScaleOptimizer(optimizer)):
        assert keras_internals.decayed(each, variables) == [True, False]


def test_variables_and_slots_of_an_optimizer():
    optimizer, variables = built(keras.optimizers.Adam())
    assert keras_internals.optimized_variables(optimizer) == variables
    assert [keras_internals.variable_index(optimizer, each) for each in variables] == [0, 1]
    slots = keras_internals.slots_of(optimizer, variables[1])
    assert [id(slot) for slot in slots] == [id(optimizer.variables[i]) for i in (4, 5)]
    optimizer.apply([tf.zeros(2), tf.ones(2)])
    assert all(np.all(slot.numpy() != 0) for slot in slots)
    assert all(np.all(slot.numpy() == 0) for slot in keras_internals.slots_of(optimizer, variables[0]))


def test_num_steps_taken_counts_calls_not_updates():
    optimizer, _ = built(keras.optimizers.SGD(gradient_accumulation_steps=2))
    for _ in range(3):
        optimizer.apply([tf.ones(2), tf.ones(2)])
    assert int(keras_internals.num_steps_taken(optimizer).value) == 3
    assert int(optimizer.iterations) == 1


def test_gradients_already_summed_replaces_the_sum():
    optimizer, variables = built(keras.optimizers.SGD(1.0))
    sums = []
    optimizer._all_reduce_sum_gradients = lambda pairs: sums.append(1) or pairs
    optimizer.apply([tf.ones(2), tf.ones(2)])
    assert len(sums) == 1  # the update does sum by this method
    del optimizer._all_reduce_sum_gradients
    with keras_internals.gradients_already_summed(optimizer):
        with keras_internals.gradients_already_summed(optimizer):  # as replicas do that run in turns
            pass
        assert vars(optimizer)["_all_reduce_sum_gradients"] is list
        optimizer.apply([tf.ones(2), tf.ones(2)])
    assert "_all_reduce_sum_gradients" not in vars(optimizer)
    np.testing.assert_array_equal(variables[0], [-1, -1])


def test_sum_gradients_over_one_replica_changes_nothing():
    optimizer, variables = built(keras.optimizers.SGD())
    values = [variable.value for variable in variables]
    pairs = keras_internals.sum_gradients(optimizer, [(tf.ones(2), values[0]), (2 * tf.ones(2), values[1])])
    np.testing.assert_array_equal([gradient for gradient, _ in pairs], [[1, 1], [2, 2]])
    assert [id(value) for _, value in pairs] == list(map(id, values))


def test_chosen_update_step_is_called_for_each_variable():
    class Halving(keras_internals.ChosenUpdateStep, keras.optimizers.SGD):
        def chosen_step(self, gradient, variable, learning_rate):
            return self.halve if float(gradient[0]) > 1 else self.update_step

        def halve(self, gradient, variable, learning_rate):
            variable.assign(variable / 2)

    optimizer, variables = built(Halving(0.5))
    optimizer.apply([tf.fill([2], 3.0), tf.ones(2)])
    np.testing.assert_array_equal(variables[0], [0.5, 0.5])
    np.testing.assert_array_equal(variables[1], [0.5, 0.5])
    optimizer.apply([tf.ones(2), tf.fill([2], 3.0)])
    np.testing.assert_array_equal(variables[0], [0, 0])
    np.testing.assert_array_equal(variables[1], [0.25, 0.25])


def test_updates_replaced_gets_clipped_gradients():
    optimizer, variables = built(keras.optimizers.SGD(0.5, clipvalue=1.0))
    seen = []
    with keras_internals.updates_replaced(optimizer, lambda *arguments: seen.append(arguments)):
        optimizer.apply([tf.fill([2], 3.0), tf.ones(2)])
    (gradients, updated, learning_rate), *rest = seen
    assert rest == []
    np.testing.assert_array_equal(gradients, np.ones((2, 2)))
    assert list(updated) == variables
    assert float(learning_rate) == 0.5
    np.testing.assert_array_equal(variables[0], [1, 1])
    optimizer.apply([tf.ones(2), tf.ones(2)])
    np.testing.assert_array_equal(variables[0], [0.5, 0.5])


def test_accumulation_in_steps_equals_that_of_keras():
    """`replace_apply` with the five functions for it computes what Keras's own accumulation computes."""
    options = {"clipvalue": 1.5, "weight_decay": 0.1, "use_ema": True, "gradient_accumulation_steps": 2}
    (ours, variables), (theirs, expected) = (built(keras.optimizers.Adam(0.1, **options)) for _ in range(2))

    def apply(gradients, variables):
        accumulators = keras_internals.accumulators_of(ours, variables)
        if int(keras_internals.num_steps_taken(ours).value + 1) % 2:
            keras_internals.accumulate(ours, gradients, accumulators)
        else:
            means = [(a + g) / 2 for a, g in zip(accumulators, gradients, strict=True)]
            keras_internals.update(ours, means, variables)
            keras_internals.reset_accumulators(ours)
        keras_internals.update_weight_averages(ours)

    keras_internals.replace_apply(ours, apply)
    for step in range(4):
        gradients = [tf.constant([1.0, 4.0]) * (step + 1), tf.constant([-2.0, 0.5])]
        ours.apply(gradients)
        theirs.apply(gradients)
    for one, other in zip([*variables, *ours.variables], [*expected, *theirs.variables], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


# TensorFlow


def test_workers_of_a_strategy():
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # of one machine
    assert {"_num_workers", "_id_in_cluster"} <= set(vars(strategy.extended))
    for each in (strategy, tf.distribute.get_strategy()):
        assert keras_internals.num_workers(each) == 1
        assert keras_internals.worker_index(each) == 0


@pytest.mark.slow
def test_custom_gradients_released():
    """They hold the graph in which they were traced; the gradient itself is that of the custom function."""

    @tf.custom_gradient
    def doubled(x):
        return x, lambda upstream: 2 * upstream

    def trace(release):
        @tf.function
        def gradient(x):
            with release(), tf.GradientTape() as tape:
                tape.watch(x)
                y = doubled(x)
                return tape.gradient(y, x)

        assert float(gradient(tf.constant(1.0))) == 2
        return weakref.ref(gradient.get_concrete_function(tf.TensorSpec((), tf.float32)).graph)

    graphs = [
        trace(release) for release in (contextlib.nullcontext, keras_internals.custom_gradients_released)
    ]
    gc.collect()
    assert graphs[0]() is not None
    assert graphs[1]() is None


def test_called_graph():
    inner = tf.function(lambda x: x * x, autograph=False)
    graph = tf.function(lambda x: inner(x) + 1, autograph=False).get_concrete_function(tf.ones((2, 3))).graph
    called = [
        operation.node_def.attr["f"].func.name
        for operation in graph.get_operations()
        if operation.node_def.attr["f"].HasField("func")
    ]
    within = keras_internals.called_graph(graph, called[0])
    products = [each for each in within.get_operations() if each.type == "Mul"]
    assert products[0].outputs[0].shape == (2, 3)
    assert keras_internals.called_graph(graph, "no_such_function") is None


def test_called_with_other_captures():
    one, other = tf.Variable(2.0), tf.Variable(3.0)
    traced = tf.function(
        lambda x: {"y": x * one}, input_signature=[tf.TensorSpec(())]
    ).get_concrete_function()
    (captured,) = traced.captured_inputs
    assert captured is one.handle
    found = keras_internals.called_with(traced, [tf.constant(5.0)], [other.handle])
    assert float(found["y"]) == 15.0


def test_every_sixteenth_traced_function_frees_kernels(monkeypatch):
    from tensorflow.python.eager import context

    freed = []
    monkeypatch.setattr(context.Context, "clear_kernel_cache", lambda self: freed.append(self))
    for _ in range(48):
        keras_internals.count_traced_function()
    assert len(freed) == 3


def test_knows_a_graph_that_xla_compiles():
    seen = []

    def look(x):
        seen.append(keras_internals.is_compiled_by_xla())
        return x

    for jit_compile in (True, False):
        tf.function(look, jit_compile=jit_compile)(tf.ones(2))
    assert seen == [True, False]


def test_launched_kernel_computes_in_a_graph_and_leaves_the_call_of_a_function_out():
    kernel = tf.function(lambda x, n: {"sum": tf.reduce_sum(x) * n, "same": x}, jit_compile=True)
    around = tf.function(lambda x: keras_internals.launched(kernel, (x, 3)))
    signature = tf.TensorSpec((None, 2))
    assert [each.type for each in around.get_concrete_function(signature).graph.get_operations()].count(
        "XlaLaunch"
    ) == 1
    assert around.get_concrete_function(signature).structured_outputs["same"].shape == (None, 2)
    found = around(tf.constant([[1.0, 2.0]]))
    assert float(found["sum"]) == 9.0
    np.testing.assert_array_equal(found["same"], [[1.0, 2.0]])


def test_launched_kernel_that_captures_is_called_as_usual():
    captured = tf.constant(2.0)
    kernel = tf.function(lambda x: captured * x, jit_compile=True)
    assert float(tf.function(lambda x: keras_internals.launched(kernel, (x,)))(tf.constant(3.0))) == 6.0


@pytest.mark.slow
@pytest.mark.parametrize("as_data_set", [False, True])
def test_trainings_of_new_models_free_kernels_in_time(as_data_set, monkeypatch):
    from tf_kit import networks, pretraining

    counted = []
    monkeypatch.setattr(keras_internals, "count_traced_function", lambda: counted.append(1))
    model = pretraining.finetune(networks.mlp((2,), num_classes=None, input_shape=(3,)), 2)
    labels = np.zeros(4, "int64")
    data = (tf.data.Dataset.from_tensor_slices((X, labels)).batch(2),) if as_data_set else (X, labels)
    for _ in range(2):
        model.fit(*data, verbose=0)
    assert len(counted) == 1, "once for the one function of both trainings"
