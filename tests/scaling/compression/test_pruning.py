"""Topic 21: pruning removes the smallest weights, and they stay zero."""

import keras
import numpy as np
import pytest
from keras import layers
from oracles import scaling as oracle
from support.cases import mostly_slow
from support.layer import check_layer
from support.twins import wrong_twin

from tf_kit.networks.inspection import all_layers
from tf_kit.regularization import EarlyStopping
from tf_kit.scaling import (
    GradualPruning,
    PrunedConv1D,
    PrunedConv2D,
    PrunedConv3D,
    PrunedDense,
    nonzero_fraction,
    prune,
)
from tf_kit.scaling.compression import pruning

rng = np.random.default_rng(21)
X = rng.normal(size=(24, 6)).astype("float32")
Y = rng.integers(3, size=24)


def mlp():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="tanh", name="hidden"), layers.Dense(3, name="logits")]
    )


def convolutional():
    """Nested model with normalization and a layer that is called twice."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6, 6, 2))
    stem = keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization()]
    )
    twice = layers.Dense(4, name="twice")
    h = twice(twice(stem(inputs)))
    return keras.Model(inputs, layers.Dense(2, name="logits")(layers.Flatten()(h)))


def compiled(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    return model


def fit(model, epochs=2, **kwargs):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, **kwargs)


def pruned_layers(model):
    return [layer for layer in model.layers if hasattr(layer, "mask")]


def stored_kernels(model):
    """Values of the variables, without the masks of the layers."""
    return [layer._kernel.numpy() for layer in pruned_layers(model)]


def check_equals_the_oracle(module):
    model = mlp()
    kernels = [layer.kernel.numpy() for layer in model.layers]
    for scope, together in (("global", True), ("layer", False)):
        for sparsity in (0.3, 0.77, 0):
            smaller = module.prune(model, sparsity, scope)
            expected = oracle.pruned(kernels, sparsity, together)
            for layer, kernel in zip(smaller.layers, expected, strict=True):
                np.testing.assert_array_equal(layer.kernel, kernel.astype("float32"))


def check_zeros_survive_averages(module):
    """Averages of weights are taken before a constraint is applied, and copied to the weights at the end."""
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5)
    model = compiled(module.prune(mlp(), 0.5), optimizer)
    fit(model)
    assert sum(int((kernel != 0).sum()) for kernel in stored_kernels(model)) <= 36


def check_gradual_zeros_survive(module):
    """Also for weights that already have momentum and an average when they are pruned."""
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.5)
    model = compiled(module.prune(mlp(), 0), optimizer)
    fit(model, 4, callbacks=[module.GradualPruning(0.5, end_step=9, frequency=2)])
    assert sum(int((kernel != 0).sum()) for kernel in stored_kernels(model)) == 36


def check_schedule(module):
    schedule = module.GradualPruning(0.9, end_step=1100, begin_step=100, initial_sparsity=0.2, frequency=50)
    for step in range(100, 1101, 50):
        expected = oracle.gradual_sparsity(step, 0.2, 0.9, 100, 20, 50)
        np.testing.assert_allclose(schedule.sparsity_at(step), expected, rtol=1e-12)


CHECKS = [check_equals_the_oracle, check_zeros_survive_averages, check_gradual_zeros_survive, check_schedule]


@pytest.mark.parametrize("check", CHECKS)
def test_pruning(check):
    check(pruning)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_equals_the_oracle, '[:num_zeros]] = False', '[num_zeros:]] = False'),
        (check_equals_the_oracle, 'np.abs(ops.convert_to_numpy(layer.kernel), dtype="float32")',
         "ops.convert_to_numpy(layer.kernel) + 9"),
        (check_equals_the_oracle, 'if scope == "layer":', 'if scope == "global":'),
        (check_equals_the_oracle, "round(sparsity * every.size)", "int(sparsity * every.size)"),
        (check_zeros_survive_averages, "return self._masked(super().kernel)", "return super().kernel"),
        (check_gradual_zeros_survive, "_forget(self.model.optimizer, stored_kernel(layer), layer.mask)", "pass"),
        (check_schedule, "(1 - progress) ** 3", "(1 - progress) ** 2"),
        (check_schedule, "self.initial_sparsity - self.final_sparsity", "self.final_sparsity"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    twin = wrong_twin(pruning, right, wrong)
    with pytest.raises((AssertionError, RecursionError)):
        check(twin)


def test_largest_weights_are_kept():
    model = mlp()
    weights = np.concatenate([layer.kernel.numpy().ravel() for layer in model.layers])
    smaller = prune(model, 0.75)
    kept = np.concatenate([layer.kernel.numpy().ravel() for layer in smaller.layers])
    assert np.count_nonzero(kept) == 18
    np.testing.assert_array_equal(kept[kept != 0], weights[kept != 0])
    assert np.abs(weights[kept == 0]).max() < np.abs(kept[kept != 0]).min()


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "averages": lambda: keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "decay": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1, clipnorm=0.1),
    "accumulation": lambda: keras.optimizers.RMSprop(0.1, momentum=0.9, gradient_accumulation_steps=2),
    "sign": lambda: keras.optimizers.Lion(0.01),
    "whole matrices": lambda: keras.optimizers.Muon(0.1),
}


@pytest.mark.parametrize("name", mostly_slow(OPTIMIZERS, quick=2))
def test_zeros_stay_zero_with_any_optimizer(name):
    model = compiled(prune(mlp(), 0.5), OPTIMIZERS[name]())
    before = stored_kernels(model)
    fit(model)
    for old, new in zip(before, stored_kernels(model), strict=True):
        np.testing.assert_array_equal(new[old == 0], 0)
        assert np.any(new[old != 0] != old[old != 0])


def test_zeros_stay_zero_in_a_file_and_in_later_training(tmp_path):
    model = compiled(prune(mlp(), 0.5), keras.optimizers.Adam(0.1))
    fit(model)
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    zero = [kernel == 0 for kernel in stored_kernels(model)]
    loaded.fit(X, Y, verbose=0)
    for old, new in zip(zero, stored_kernels(loaded), strict=True):
        np.testing.assert_array_equal(new == 0, old)


@pytest.mark.slow
def test_weights_file_and_compiled_training(tmp_path):
    model = prune(mlp(), 0.5)
    model.compile("adam", "mse")
    model.fit(X, np.eye(3)[Y], verbose=0)
    assert nonzero_fraction(model) == 0.5
    model.save_weights(tmp_path / "pruned.weights.h5")
    other = prune(mlp(), 0)
    other.load_weights(tmp_path / "pruned.weights.h5")
    np.testing.assert_array_equal(other(X), model(X))


def test_given_model_does_not_change():
    model = compiled(mlp(), "sgd")
    before = model.get_weights()
    smaller = prune(model, 0.9)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, old)
    assert smaller.compiled
    assert smaller.optimizer is not model.optimizer
    assert [layer.name for layer in smaller.layers] == ["hidden", "logits"]


def test_sparsity_zero_gives_the_same_network():
    for model, x in ((mlp(), X), (convolutional(), rng.normal(size=(3, 6, 6, 2)))):
        np.testing.assert_allclose(prune(model, 0)(x), model(x), atol=1e-6)


def test_nested_and_shared_layers_are_pruned():
    model = convolutional()
    smaller = prune(model, 0.5, scope="layer")
    assert nonzero_fraction(smaller) == pytest.approx(0.5)
    assert len(smaller.get_layer("twice")._inbound_nodes) == 2
    trained = [weight for weight in smaller.weights if weight.name != "mask"]
    assert len(trained) == len(model.weights)


def test_only_named_layers_are_pruned():
    smaller = prune(mlp(), 0.5, layers=["hidden"])
    assert [type(layer).__name__ for layer in smaller.layers] == ["PrunedDense", "Dense"]
    assert np.count_nonzero(smaller.get_layer("hidden").kernel) == 24


def test_pruned_weights_stay_pruned():
    once = prune(mlp(), 0.5)
    twice = prune(once, 0.75)
    for first, second in zip(stored_kernels(once), stored_kernels(twice), strict=True):
        assert not np.any(second[first == 0])
    assert nonzero_fraction(prune(twice, 0.1)) == 0.25


def test_equal_magnitudes_are_pruned_in_order():
    masks = pruning.largest([np.ones((2, 2)), np.ones(4)], 0.5, "global")
    np.testing.assert_array_equal(masks[0], False)
    np.testing.assert_array_equal(masks[1], True)


def test_constraint_of_the_kernel_is_kept():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, kernel_constraint="non_neg", name="logits")])
    smaller = compiled(prune(model, 0.5), keras.optimizers.SGD(1.0))
    fit(smaller)
    (kernel,) = stored_kernels(smaller)
    assert kernel.min() == 0
    assert np.count_nonzero(kernel) <= 9


def test_gradual_pruning_follows_its_schedule():
    model = compiled(prune(mlp(), 0), keras.optimizers.Adam(0.01))
    callback = GradualPruning(0.75, end_step=7, begin_step=1, frequency=2)
    shares = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: shares.append(1 - nonzero_fraction(model))
    )
    fit(model, 3, callbacks=[callback, record])
    expected = [oracle.gradual_sparsity(step, 0, 0.75, 1, 3, 2) for step in (1, 1, 3, 3, 5, 5, 7, 7, 7)]
    np.testing.assert_allclose(shares, expected, atol=0.5 / 72)
    assert list(callback.sparsities) == [1, 3, 5, 7]


def test_a_layer_that_two_nested_models_share_counts_once():
    start = keras.initializers.RandomUniform
    shared = layers.Dense(6, kernel_initializer=start(-0.01, 0.01, seed=1))
    inputs = keras.Input((6,))
    first, second = (keras.Sequential([keras.Input((6,)), shared]) for _ in range(2))
    last = layers.Dense(6, kernel_initializer=start(-1, 1, seed=2))
    model = keras.Model(inputs, last(first(inputs) + second(inputs)))
    assert nonzero_fraction(prune(model, 0.5)) == 0.5
    pruned = compiled(prune(model, 0), keras.optimizers.SGD(0.0))
    fit(pruned, 1, callbacks=[GradualPruning(0.5, end_step=1)])
    masks = [layer.mask.numpy() for layer in all_layers(pruned) if hasattr(layer, "mask")]
    assert len(masks) == 2
    assert sum(map(np.count_nonzero, masks)) == 36
    assert nonzero_fraction(pruned) == 0.5


@pytest.mark.slow
def test_gradual_pruning_prunes_each_model_that_it_is_given():
    callback = GradualPruning(0.5, end_step=4, frequency=2)
    first, second = prune(mlp(), 0), prune(mlp(), 0)
    for model in (first, second, second):  # the last time it is compiled again, and begins at its first step
        fit(compiled(model, keras.optimizers.Adam(0.01)), 3, callbacks=[callback])
        np.testing.assert_allclose(nonzero_fraction(model), 0.5, atol=0.5 / 72)
        assert list(callback.sparsities) == [0, 2, 4]


@pytest.mark.slow
def test_gradual_pruning_is_resumable():
    def share_after(*fits):
        model = compiled(prune(mlp(), 0), keras.optimizers.Adam(0.01))
        for epochs in fits:
            keras.utils.set_random_seed(0)
            fit(model, epochs, shuffle=False, callbacks=[GradualPruning(0.75, end_step=12, frequency=1)])
        return model.get_weights()

    for one, other in zip(share_after(3), share_after(1, 2), strict=True):
        np.testing.assert_array_equal(one, other)


def test_restored_weights_have_their_mask():
    model = compiled(prune(mlp(), 0), keras.optimizers.SGD(0.5))
    stopper = EarlyStopping("loss", patience=9, mode="max")  # the worst epoch, which is an early one
    fit(model, 4, callbacks=[GradualPruning(0.75, end_step=9, frequency=3), stopper])
    for layer, kernel in zip(model.layers, stored_kernels(model), strict=True):
        np.testing.assert_array_equal(kernel != 0, layer.mask.numpy() & (kernel != 0))
        np.testing.assert_array_equal(layer.kernel, kernel)


def half_masked(layer, shape):
    def factory():
        new = layer()
        new.build((None, *shape))
        new.keep(np.arange(new.mask.numpy().size).reshape(new.mask.shape) % 2 == 0)
        return new

    return factory


def test_dense_layer_keeps_the_contract():
    check_layer(lambda: PrunedDense(3), rng.normal(size=(3, 4)).astype("float32"))


@pytest.mark.parametrize(
    ("layer", "shape"), [(PrunedConv1D, (5, 2)), (PrunedConv2D, (5, 4, 2)), (PrunedConv3D, (4, 4, 4, 2))]
)
def test_convolutions_equal_those_of_keras(layer, shape, tmp_path):
    """The outputs are those of the Keras layer with the masked kernel, also after loading from a file."""
    model = keras.Sequential([keras.Input(shape), half_masked(lambda: layer(3, 2), shape)()])
    plain = keras.Sequential([keras.Input(shape), layer.__mro__[2](3, 2)])
    kernel, bias = model.layers[0].kernel.numpy(), np.arange(3.0)
    model.layers[0].bias.assign(bias)
    plain.set_weights([kernel, bias])
    x = rng.normal(size=(2, *shape))
    np.testing.assert_allclose(model(x), plain(x), atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def unknown_weights():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="dense")])
    model.set_weights([np.array([[np.nan, 1.0], [2.0, np.nan]]), np.zeros(2)])
    return model


class CustomModel(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune(mlp(), 1.0), r"prune.sparsity.*\[0, 1\).*sparsity=1.0"),
        (lambda: prune(mlp(), 0.5, scope="net"), "'global', 'layer'.*scope='net'"),
        (lambda: prune(mlp(), 0.5, layers=["first"]), "'hidden', 'logits'.*layers='first'"),
        (lambda: prune(mlp(), 0.99), "leave every layer a weight.*0.99, which empties"),
        (lambda: prune(keras.Sequential([layers.Dense(2)]), 0.5), "be built"),
        (lambda: prune(keras.Sequential([keras.Input((2,)), layers.ReLU()]), 0.5), "have a Dense"),
        (lambda: prune(unknown_weights(), 0.5), r"prune.model.*kernels of numbers.*2 nan in layer dense"),
        (lambda: GradualPruning(0.5, end_step=0), "end_step=0"),
        (lambda: GradualPruning(0.5, 10, begin_step=10), "at least 11.*end_step=10"),
        (lambda: GradualPruning(0.5, 10, initial_sparsity=0.6), "initial_sparsity=0.6"),
        (lambda: GradualPruning(1, 10), "final_sparsity=1"),
        (lambda: GradualPruning(0.5, 10, frequency=0), "frequency=0"),
        (lambda: fit(compiled(mlp(), "sgd"), callbacks=[GradualPruning(0.5, 10)]), r"prune\(model, 0\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_custom_model_is_refused():
    model = CustomModel()
    model.build((None, 2))
    with pytest.raises(ValueError, match=r"functional model.*CustomModel"):
        prune(model, 0.5)
