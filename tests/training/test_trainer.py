"""`Trainer`: `fit` is a function of the seed and the examples, and reports means over examples."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from oracles import pretraining as oracle
from support.cases import mostly_slow
from support.twins import wrong_twin

from tf_kit import networks
from tf_kit.data import epoch_order
from tf_kit.pretraining import (
    RBM,
    Autoencoder,
    Classifier,
    DenoisingAutoencoder,
    Pretrainer,
    Trainer,
)
from tf_kit.randomness import ExampleRandom
from tf_kit.training import trainer as trainer_module

SGD = keras.optimizers.SGD


def center(module=trainer_module, noise=0.0, l2=0.0, seed=0, optimizer=None, **compiled):
    """Model of one vector w with the cost ½‖x + noise − w‖², whose training the oracle computes exactly."""

    class Center(module.Trainer):
        def __init__(self):
            super().__init__(seed=seed)
            self.w = self.add_weight(
                shape=(3,), initializer="zeros", regularizer=keras.regularizers.L2(l2) if l2 else None
            )

        def call(self, x):
            return x - self.w

        def per_example(self, x, y, random, training):
            x = ops.cast(x, "float32")
            inputs = x + noise * random.normal((3,)) if noise and training else x
            return {"loss": 0.5 * ops.sum((inputs - self.w) ** 2, axis=-1), "first": x[:, 0]}, self.w + 0 * x

    model = Center()
    model.compile(optimizer or SGD(0.1), **{"run_eagerly": True} | compiled)
    return model


def examples(n=11, features=3, seed=1):
    return np.random.default_rng(seed).random((n, features)).astype("float32")


def orders(n, epochs, seed=0):
    return [epoch_order(n, seed, epoch) for epoch in range(epochs)]


# Each check must fail for a wrong twin of the module. 11 examples in batches of 4 are 4, 4 and 3.


def check_weights_and_history(module, graph=False):
    x = examples()
    model = center(module, l2=0.3, run_eagerly=not graph)
    history = model.fit(x, batch_size=4, epochs=3, verbose=0).history
    path, means = oracle.fit_center(x.astype("float64"), orders(11, 3), 4, 0.1, l2=0.3)
    np.testing.assert_allclose(model.w.numpy(), path[-1], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], means, rtol=1e-5)  # (1)
    np.testing.assert_allclose(history["first"], [x[:, 0].mean()] * 3, rtol=1e-5)


def check_order(module):
    x = examples()
    in_order, shuffled, other = (center(module, seed=seed) for seed in (0, 0, 1))
    in_order.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0)
    path, _ = oracle.fit_center(x.astype("float64"), [np.arange(11)] * 2, 4, 0.1)
    np.testing.assert_allclose(in_order.w.numpy(), path[-1], rtol=1e-5)
    for model in (shuffled, other):
        model.fit(x, batch_size=4, epochs=2, verbose=0)
    assert len({tuple(model.w.numpy()) for model in (in_order, shuffled, other)}) == 3


def check_example_weights(module):
    """A sample weight scales the loss of its example; the mean still runs over the examples, as in Keras."""
    x, weights = examples(), np.linspace(0, 2, 11)
    model = center(module)
    dataset = tf.data.Dataset.from_tensor_slices((x, x, weights.astype("float32"))).batch(4)
    history = model.fit(dataset, epochs=2, verbose=0).history
    path, means = oracle.fit_center(x.astype("float64"), [np.arange(11)] * 2, 4, 0.1, weights=weights)
    np.testing.assert_allclose(model.w.numpy(), path[-1], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], means, rtol=1e-5)
    np.testing.assert_allclose(history["first"], [x[:, 0].mean()] * 2, rtol=1e-5)
    arrays = center(module)
    arrays.fit(x, x, sample_weight=weights, batch_size=4, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(arrays.w.numpy(), path[-1], rtol=1e-5)


def check_clipping(module):
    x = examples()
    model = center(module, optimizer=SGD(0.1, global_clipnorm=0.2))
    model.fit(x, batch_size=4, epochs=2, verbose=0)
    path, _ = oracle.fit_center(x.astype("float64"), orders(11, 2), 4, 0.1, clip=0.2)
    np.testing.assert_allclose(model.w.numpy(), path[-1], rtol=1e-5)


def check_resuming(module):
    """fit(epochs=4) equals fit(epochs=2), then fit(initial_epoch=2, epochs=4): order, noise and History."""
    x = examples()
    whole, parts = (center(module, noise=1.0, optimizer=SGD(0.1, momentum=0.9)) for _ in range(2))
    history = whole.fit(x, batch_size=4, epochs=4, verbose=0).history["loss"]
    first = parts.fit(x, batch_size=4, epochs=2, verbose=0).history["loss"]
    second = parts.fit(x, batch_size=4, epochs=4, initial_epoch=2, verbose=0).history["loss"]
    np.testing.assert_array_equal(whole.w.numpy(), parts.w.numpy())
    assert first + second == history


def check_fresh_noise(module):
    """Each step of an epoch draws new random numbers, also if several steps make one update."""
    draws = []
    for accumulation in (None, 2):
        model = center(module, optimizer=SGD(0.1, gradient_accumulation_steps=accumulation))
        per_example = model.per_example

        def watched(x, y, random, training, per_example=per_example):
            if training:
                draws.append(float(random.uniform(())[0]))
            return per_example(x, y, random, training)

        model.per_example = watched
        model.fit(examples(), batch_size=4, epochs=2, verbose=0)
    assert draws[:6] == draws[6:]
    assert len(set(draws)) == 6


def check_validation(module):
    """Validation and evaluation return the mean over the examples plus the penalty, and change no weight."""
    x, held_out = examples(), examples(7, seed=2)
    model = center(module, l2=0.3)
    history = model.fit(x, batch_size=4, epochs=2, validation_data=(held_out,), verbose=0).history
    path, _ = oracle.fit_center(x.astype("float64"), orders(11, 2), 4, 0.1, l2=0.3)
    expected = [np.mean(0.5 * np.sum((held_out - w) ** 2, axis=1)) + 0.3 * np.sum(w**2) for w in path]
    np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)
    for inputs in (held_out, tf.data.Dataset.from_tensor_slices(held_out).batch(4)):
        result = model.evaluate(inputs, batch_size=3, verbose=0, return_dict=True)
        np.testing.assert_allclose(result["loss"], expected[-1], rtol=1e-5)
    np.testing.assert_allclose(model.w.numpy(), path[-1], rtol=1e-5)


CHECKS = [
    check_weights_and_history,
    check_order,
    check_resuming,
    check_example_weights,
    check_clipping,
    check_fresh_noise,
    check_validation,
]


@pytest.mark.parametrize("check", mostly_slow(CHECKS, quick=3))
def test_fit(check):
    check(trainer_module)


def test_fit_in_a_graph():
    check_weights_and_history(trainer_module, graph=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_weights_and_history, 'ops.sum(values["loss"]) / place', 'ops.sum(values["loss"]) / 4 + 0 * place'),
        (check_weights_and_history, "place.total_float + penalty", "place.total_float"),
        (check_weights_and_history, "mean + sums[-1]", "mean + 2 * sums[-1]"),
        (check_weights_and_history, "(mean, sample_weight=place.total_float)", "(mean)"),
        (check_weights_and_history, "sums[i] / size", "sums[i]"),
        (check_order, "shuffle=shuffle,", "shuffle=True,"),
        (check_order, "seed=self.seed,\n", "seed=0,\n"),
        (check_example_weights, '**values, "loss": values["loss"] *', '**values, "loss": values["loss"] +'),
        (check_example_weights, "return {**values,", "return {'first': values['first'] * weights,"),
        (check_resuming, "initial_epoch=initial_epoch,", "initial_epoch=0,"),
        (check_fresh_noise, "keras_internals.num_steps_taken(self.inner_optimizer).value", "0"),
        (check_fresh_noise, "keras_internals.num_steps_taken(self.inner_optimizer).value",
         "ops.cast(self.optimizer.iterations, 'int64')"),
        (check_validation, "weights), self._penalty(place)", "weights), 0.0"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(trainer_module, right, wrong))


# Trainers of the package


def encoder(seed=0):
    return networks.mlp((5, 4), num_classes=None, seed=seed)


LABELS = np.arange(30) % 3
TRAINERS = {
    "DenoisingAutoencoder": lambda seed: DenoisingAutoencoder(encoder(), seed=seed),
    "RBM": lambda seed: RBM(encoder=networks.mlp((5,), None, seed=0), gibbs_steps=2, seed=seed),
    "PCD": lambda seed: RBM(
        encoder=networks.mlp((5,), None, seed=0), persistent=True, num_chains=9, seed=seed
    ),
    "Classifier": lambda seed: Classifier(encoder(), num_classes=3, seed=seed),
}


def trainer(name, optimizer=None, seed=0, **compiled):
    model = TRAINERS[name](seed)
    model.compile(optimizer or keras.optimizers.Adam(0.01), **compiled)
    y = LABELS if name == "Classifier" else None
    return model, (examples(30, features=6), y)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINERS)
def test_new_model_continues_from_saved_weights(name, tmp_path):
    """A new model with the weights and the optimizer state of epoch 2 ends like the uninterrupted one."""
    whole, (x, y) = trainer(name, run_eagerly=True)
    history = whole.fit(x, y, batch_size=8, epochs=3, verbose=0).history
    killed, _ = trainer(name, run_eagerly=True)
    killed.fit(x, y, batch_size=8, epochs=2, verbose=0)
    killed.save_weights(tmp_path / "epoch-2.weights.h5")
    resumed, _ = trainer(name, run_eagerly=True)
    resumed.prepare(x[:1], y[:1] if y is not None else None)
    resumed.load_weights(tmp_path / "epoch-2.weights.h5")
    assert int(resumed.optimizer.iterations) == 8
    rest = resumed.fit(x, y, batch_size=8, epochs=3, initial_epoch=2, verbose=0).history
    assert rest == {name: values[2:] for name, values in history.items()}
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DenoisingAutoencoder", "Classifier"])
def test_weights_depend_on_the_seed(name):
    def train(seed):
        model, (x, y) = trainer(name, seed=seed, run_eagerly=True)
        model.fit(x, y, batch_size=8, verbose=0)
        return np.concatenate([each.ravel() for each in model.get_weights()])

    first, again, other = train(0), train(0), train(1)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["DenoisingAutoencoder", "PCD", "Classifier"])
def test_half_precision(name, policy):
    """Losses agree with float32 up to rounding; variables are float32; float16 has loss scaling."""
    losses = []
    for each in ("float32", policy):
        keras.config.set_dtype_policy(each)
        try:
            model, (x, y) = trainer(name, run_eagerly=True)
            losses.append(model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"])
            values, _ = model.per_example(x, y, ExampleRandom(0, 0, 30), training=True)
        finally:
            keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert all(variable.dtype == "float32" for variable in model.variables)
    assert values["loss"].dtype == "float32"
    assert int(model.optimizer.iterations) == 8
    np.testing.assert_allclose(*losses, rtol=0.02, atol=0.02)


@pytest.mark.slow
def test_steps_per_execution_do_not_change_the_weights():
    trained = []
    for steps in (1, 2):
        model, (x, _) = trainer("DenoisingAutoencoder", steps_per_execution=steps)
        model.fit(x, batch_size=8, epochs=2, verbose=0)
        trained.append(model.get_weights())
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


@pytest.mark.slow
def test_validation_split_takes_the_end_of_the_arrays():
    histories = []
    for arguments in ({"validation_split": 0.3}, {"validation_data": (examples(30, 6)[21:],)}):
        model, (x, _) = trainer("DenoisingAutoencoder", run_eagerly=True)
        x = x if "validation_split" in arguments else x[:21]
        histories.append(model.fit(x, batch_size=8, epochs=2, verbose=0, **arguments).history)
    assert histories[0] == histories[1]
    assert len(histories[0]["val_loss"]) == 2


@pytest.mark.slow
def test_compiled_metrics_get_the_outputs():
    metric = keras.metrics.SparseCategoricalAccuracy(name="compiled")
    model, (x, y) = trainer("Classifier", run_eagerly=True, metrics=[metric])
    history = model.fit(x, y, batch_size=8, epochs=2, validation_data=(x[:9], y[:9]), verbose=0).history
    assert history["compiled"] == history["accuracy"]
    assert history["val_compiled"] == history["val_accuracy"]
    model.compile("sgd", metrics=[keras.metrics.SparseCategoricalAccuracy(name="again")])
    result = model.evaluate(x, y, verbose=0, return_dict=True)
    assert result["again"] == result["accuracy"]


def test_sample_weights_do_not_change_the_accuracy():
    model, (x, y) = trainer("Classifier", run_eagerly=True)
    weighted = tf.data.Dataset.from_tensor_slices((x, y, np.full(30, 5.0, "float32"))).batch(8)
    plain, heavy = (model.evaluate(*each, verbose=0, return_dict=True) for each in ((x, y), (weighted,)))
    assert heavy["accuracy"] == pytest.approx(plain["accuracy"])
    assert heavy["loss"] == pytest.approx(5 * plain["loss"], rel=1e-5)


def test_arrays_of_other_types():
    """Tensors, float64 and Fortran order give the weights of the float32 array."""
    x = examples()
    trained = []
    for inputs in (x, tf.constant(x), x.astype("float64"), np.asfortranarray(x)):
        model = center()
        model.fit(inputs, batch_size=4, verbose=0)
        trained.append(model.w.numpy())
    np.testing.assert_allclose(trained, [trained[0]] * 4, rtol=1e-6)


def test_default_batch_size_is_that_of_keras():
    model = center()
    model.fit(examples(70), verbose=0)
    assert int(model.optimizer.iterations) == 3


def test_config_keeps_seed_name_and_encoder():
    model = Autoencoder(encoder(), seed=4, name="mine")
    again = Autoencoder.from_config(model.get_config())
    assert (again.seed, again.name) == (4, "mine")
    assert [layer.name for layer in again.encoder.layers] == [layer.name for layer in model.encoder.layers]


STATEFUL = keras.Sequential([keras.layers.GRU(2, stateful=True, name="memory")])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Trainer(seed=-1), "Trainer.seed"),
        (lambda: Trainer(seed=0.5), "seed=0.5"),
        (lambda: Pretrainer(encoder="mlp"), "Received: str"),
        (lambda: Pretrainer(networks.mlp((4,), num_classes=2)), "ends in the layer 'logits'"),
        (lambda: Pretrainer(STATEFUL), "stateful layer 'memory'"),
        (lambda: Classifier(STATEFUL, 3), "stateful layer 'memory'"),
        (lambda: center().fit(np.zeros((0, 3))), r"x.shape=\(0, 3\)"),
        (lambda: center().fit(np.zeros(3)), r"x.shape=\(3,\)"),
        (lambda: center().fit(np.array([[1.0, np.nan, 2.0]])), "1 values that are NaN or infinite"),
        (lambda: center().fit(np.array([[1.0, np.inf, -np.inf]])), "2 values that are NaN or infinite"),
        (lambda: center().fit(examples(), np.zeros(5)), "11 examples, 5 targets"),
        (lambda: center().fit([[1.0, 2.0, 3.0]]), "Received: list"),
        (lambda: center().fit(None), "Received: NoneType"),
        (lambda: center().fit(iter([examples()])), "tuple_iterator|list_iterator"),
        (lambda: center().fit(tf.data.Dataset.from_tensors(examples()).take(0)), "an empty data set"),
        (lambda: center().fit(tf.data.Dataset.from_tensors(examples()), examples()), "both a data set and y"),
        (
            lambda: center().fit(examples(), sample_weight=np.ones(11)),
            "11 examples without targets, 11 weights",
        ),
        (lambda: center().fit(examples(), examples(), sample_weight=[1, 2]), "11 examples and 2 weights"),
        (lambda: center().fit(examples(), batch_size=0), "batch_size=0"),
        (lambda: center().fit(examples(), steps_per_epoch=2), "steps_per_epoch=2"),
        (lambda: center(steps_per_execution=2).fit(examples(), batch_size=4), "steps_per_execution=2"),
        (lambda: center(loss="mse").fit(examples()), "loss='mse'"),
        (lambda: trainer("RBM", metrics=["mse"])[0].fit(examples()), "RBM has no outputs"),
        (lambda: trainer("RBM", metrics=["mse"])[0].evaluate(examples()), "loss, reconstruction"),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_per_example_is_abstract():
    with pytest.raises(NotImplementedError):
        Trainer().prepare(examples())
