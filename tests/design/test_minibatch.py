import re

import keras
import numpy as np
import pytest
from oracles import design as oracle
from support.twins import wrong_twin

from tf_kit.design import (
    epochs_to_steps,
    gradient_variance,
    minibatch,
    minibatch_variance,
    minibatches,
    name_descent,
    steps_per_epoch,
)
from tf_kit.networks import gradient_probe
from tf_kit.networks.gradient_probe import GradientProbe, flat


def linear_model(weights):
    model = keras.Sequential([keras.Input((len(weights),)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.reshape(weights, (-1, 1))])
    return model


def tiny(n=6, d=2, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + offset, rng.normal(size=(n, 1)), rng.normal(size=d)


def example_gradients(weights, x, y):
    return [oracle.least_squares_gradient(weights, x[i : i + 1], y[i : i + 1, 0]) for i in range(len(x))]


# Theorems, each as a check that a wrong twin must fail.


def check_every_batch_that_can_be_drawn(module):
    x, y, weights = tiny()
    gradients = example_gradients(weights, x, y)
    sigma2 = oracle.variance_over_all_batches(gradients, 1, replace=False)
    for size in range(1, 7):
        exact = oracle.variance_over_all_batches(gradients, size, replace=False)
        np.testing.assert_allclose(module.minibatch_variance(sigma2, size, 6), exact, rtol=1e-9, atol=1e-12)
    for size in range(1, 5):
        exact = oracle.variance_over_all_batches(gradients, size, replace=True)
        np.testing.assert_allclose(module.minibatch_variance(sigma2, size, 6, replace=True), exact, rtol=1e-9)


def check_example_variance(module):
    x, y, weights = tiny()
    gradients = example_gradients(weights, x, y)
    found = module.gradient_variance(linear_model(weights), x, y, "mse", (1, 2, 6), num_draws=2)
    sigma2 = oracle.variance_over_all_batches(gradients, 1, replace=False)
    np.testing.assert_allclose(found.example_variance, sigma2, rtol=1e-5)
    np.testing.assert_allclose(found.theory, [sigma2, sigma2 / 2 * 4 / 5, 0], rtol=1e-5)
    np.testing.assert_allclose(found.gradient_norm, np.linalg.norm(np.mean(gradients, axis=0)), rtol=1e-5)
    np.testing.assert_allclose(found.measured[2], 0, atol=1e-10)  # a full batch has no variance


def check_measured(module, replace):
    x, y, weights = tiny(n=20)
    found = module.gradient_variance(
        linear_model(weights), x, y, "mse", (1, 5, 15), num_draws=150, replace=replace
    )
    away = np.abs(found.measured - found.theory) / found.standard_error
    np.testing.assert_array_less(away, 4)
    np.testing.assert_array_less(found.standard_error, found.theory / 5)  # so the bound above is tight


def check_without_replacement(module):
    check_measured(module, replace=False)


def check_with_replacement(module):
    check_measured(module, replace=True)


def check_steps(module):
    delivered = list(minibatches(np.arange(23), batch_size=5, epochs=3))
    assert module.steps_per_epoch(23, 5) == 5
    assert module.epochs_to_steps(3, 23, 5) == len(delivered) == 15
    assert module.steps_per_epoch(23, 5, drop_remainder=True) == 4
    assert module.epochs_to_steps(3, 20, 5) == module.epochs_to_steps(3, 20, 5, drop_remainder=True) == 12


def check_names(module):
    names = [module.name_descent(size, 4).split()[0] for size in (1, 2, 3, 4)]
    assert names == ["stochastic", "minibatch", "minibatch", "full-batch"]
    assert module.name_descent(1, 1) == "full-batch gradient descent"


CHECKS = [
    check_every_batch_that_can_be_drawn,
    check_example_variance,
    check_without_replacement,
    check_with_replacement,
    check_steps,
    check_names,
]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_theorem(check):
    check(minibatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_every_batch_that_can_be_drawn, "(n - b) / max(n - 1, 1)", "(n - b) / n"),
        (check_every_batch_that_can_be_drawn, "return variance / b  # (2)", "return variance / b**2"),
        (check_example_variance, "squares / n", "squares / (n - 1)"),
        (check_example_variance, "delta @ (example - mean)", "delta @ delta"),
        (check_without_replacement, "size, replace=replace)) - mean", "size, replace=True)) - mean"),
        (check_with_replacement, "(example_variance, size, n, replace)", "(example_variance, size, n)"),
        (check_with_replacement, "distances.std(ddof=1) / math.sqrt(num_draws)", "distances.std(ddof=1)"),
        (check_steps, "-(-n // b)", "n // b"),
        (check_names, "if b == 1 else", "if b == 2 else"),
    ],
)
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(minibatch, right, wrong))


def test_slide_batch_size_is_not_a_number_of_passes():
    """Slide: "Batch size: the number of times the entire training set pass through" defines the epochs."""
    x = np.arange(20)
    passes_wanted = 5
    seen = np.concatenate(list(minibatches(x, batch_size=passes_wanted)))
    assert np.bincount(seen).tolist() == [1] * 20  # as printed: one pass, not five
    seen = np.concatenate(list(minibatches(x, batch_size=4, epochs=passes_wanted)))
    assert np.bincount(seen).tolist() == [5] * 20


def test_epochs_to_steps_counts_the_updates_of_fit():
    x, y, weights = tiny(n=23)
    model = linear_model(weights)
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=5, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == epochs_to_steps(2, 23, 5) == 2 * steps_per_epoch(23, 5)


def test_minibatches_is_the_function_of_data():
    from tf_kit import data

    assert minibatches is data.minibatches


def test_epochs_have_each_example_once_in_different_orders():
    """Slide: never forget to shuffle your data each epoch."""
    first, second = np.split(np.concatenate(list(minibatches(np.arange(50), batch_size=8, epochs=2))), 2)
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)


# The probe.


def noisy_network():
    """Network with dropout, batch normalization, a penalty and a constraint, which a probe could disturb."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.GaussianNoise(0.1, seed=1),
            keras.layers.Dense(5, kernel_regularizer="l2", kernel_constraint="unit_norm"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=2),
            keras.layers.Dense(3),
        ]
    )


def check_probe(module):
    from tf_kit.networks import gradient_norms

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.integers(3, size=9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = noisy_network()
    _, gradients = module.GradientProbe(model, loss)(x, y)
    theirs = gradient_norms(model, x, y, loss)
    np.testing.assert_allclose(
        np.linalg.norm(flat(gradients)), np.linalg.norm(list(theirs.values())), rtol=1e-5
    )


@pytest.mark.slow
def test_probe_agrees_with_gradient_norms():
    check_probe(gradient_probe)
    with pytest.raises(AssertionError):
        check_probe(wrong_twin(gradient_probe, "training=False", "training=True"))


def test_probe_agrees_with_central_differences():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 1))
    model = keras.Sequential(
        [keras.Input((4,), dtype="float64"), keras.layers.Dense(3, "tanh", kernel_regularizer="l2"),
         keras.layers.Dense(1)]
    )  # fmt: skip
    probe = GradientProbe(model, "mse")
    _, gradients = probe(x, y)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        before = keras.ops.convert_to_numpy(variable)
        direction = rng.normal(size=before.shape)
        costs = []
        for step in (1e-2, -1e-2):
            variable.assign(before + step * direction)
            costs.append(probe(x, y)[0])
        variable.assign(before)
        np.testing.assert_allclose((costs[0] - costs[1]) / 2e-2, np.sum(gradient * direction), atol=2e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_probe_does_not_change_the_model(compiled):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.integers(3, size=9)
    model = noisy_network()
    if compiled:
        model.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    optimizer = model.optimizer if compiled else None
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    state = np.random.get_state()[1].copy()
    gradient_variance(model, x, y, "sparse_categorical_crossentropy", (1, 3), num_draws=2)
    for one, other in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, keras.ops.convert_to_numpy(other))
    np.testing.assert_array_equal(state, np.random.get_state()[1])
    assert not compiled or model.optimizer is optimizer


def test_draws_depend_only_on_the_seed():
    x, y, weights = tiny(n=20)
    one, same, other = (
        gradient_variance(linear_model(weights), x, y, "mse", (3,), num_draws=5, seed=seed).measured
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert one != other


@pytest.mark.parametrize("replace", [False, True])
def test_equal_examples_give_no_noise(replace):
    x, y = np.full((8, 2), 3e3), np.full((8, 1), -5e3)
    found = gradient_variance(linear_model([0.1, 0.2]), x, y, "mse", (1, 4), num_draws=3, replace=replace)
    np.testing.assert_allclose(found.measured / found.gradient_norm**2, 0, atol=1e-12)
    assert found.example_variance / found.gradient_norm**2 < 1e-12


def test_one_example_is_a_full_batch():
    x, y, weights = tiny(n=1)
    found = gradient_variance(linear_model(weights), x, y, "mse", (1,), num_draws=2)
    assert found.measured[0] == found.theory[0] == 0


def test_str_is_a_table():
    x, y, weights = tiny(n=20)
    lines = str(gradient_variance(linear_model(weights), x, y, "mse", (1, 4), num_draws=2)).splitlines()
    assert lines[0].split() == ["batch", "size", "measured", "±", "error", "theory", "noise/signal"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "4"]


def frozen():
    model = linear_model([1.0])
    model.trainable = False
    return model


X = np.zeros((4, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minibatch_variance(-1, 1, 4), "example_variance=-1"),
        (lambda: minibatch_variance(1, 0, 4), "batch_size=0"),
        (lambda: minibatch_variance(1, 5, 4), "batch_size=5"),
        (lambda: minibatch_variance(1, 1, 0), "num_examples=0"),
        (lambda: gradient_variance(linear_model([1.0]), X, X[:3], "mse"), "4 examples, 3 targets"),
        (lambda: gradient_variance(linear_model([1.0]), X[:0], X[:0], "mse"), "0 examples"),
        (lambda: gradient_variance(linear_model([1.0]), X, X, "mse", (5,)), "batch_size=5"),
        (lambda: gradient_variance(linear_model([1.0]), X, X, "mse", ()), "batch_sizes=()"),
        (lambda: gradient_variance(linear_model([1.0]), X, X, "mse", 2), "batch_sizes=2"),
        (lambda: gradient_variance(linear_model([1.0]), X, X, "mse", (1,), num_draws=1), "num_draws=1"),
        (lambda: gradient_variance(linear_model([1.0]), X, X, "mse", (1,), seed=-1), "seed=-1"),
        (lambda: gradient_variance(frozen(), X, X, "mse", (1,)), "have trainable weights"),
        (lambda: steps_per_epoch(0, 5), "num_examples=0"),
        (lambda: steps_per_epoch(4, 2.5), "batch_size=2.5"),
        (lambda: steps_per_epoch(4, 5, drop_remainder=True), "batch_size=5"),
        (lambda: epochs_to_steps(0, 4, 2), "epochs=0"),
        (lambda: name_descent(5, 4), "batch_size=5"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
