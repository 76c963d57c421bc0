"""Restricted Boltzmann machine: every formula against enumeration, training against scikit-learn."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from sklearn.neural_network import BernoulliRBM
from support.twins import wrong_twin

from tf_kit import data
from tf_kit.pretraining import RBM, ExampleRandom, rbm

VISIBLE, HIDDEN = 4, 3


def parameters(scale=1.5, seed=0):
    """W (visible, hidden), b, c."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(scale=scale, size=(VISIBLE, HIDDEN)),
        rng.normal(scale=0.5, size=VISIBLE),
        rng.normal(scale=0.5, size=HIDDEN),
    )


def machine(W, b, c, module=rbm, **arguments):
    model = module.RBM(num_hidden=len(c), **arguments)
    model.build((None, len(b)))
    model.encoder.layers[-1].set_weights([W, c])
    model.visible_bias.assign(b)
    return model


def tensor(x):
    return tf.constant(np.asarray(x, "float32"))


def inputs_for(visible):
    return (
        oracle.all_binary(VISIBLE) if visible == "bernoulli" else np.random.default_rng(1).normal(size=(9, 4))
    )


# Each check must fail for a wrong twin of the module.


def check_energy(module):
    W, b, c = parameters()
    for visible in ("bernoulli", "gaussian"):
        model = machine(W, b, c, module, visible=visible)
        v = inputs_for(visible)
        for h in oracle.all_binary(HIDDEN):
            expected = [oracle.energy(each, h, W, b, c, visible) for each in v]
            np.testing.assert_allclose(model.energy(tensor(v), tensor(h)), expected, rtol=1e-5, atol=1e-5)


def check_free_energy(module):
    W, b, c = parameters()
    for visible in ("bernoulli", "gaussian"):
        model = machine(W, b, c, module, visible=visible)
        v = inputs_for(visible)
        expected = [oracle.free_energy(each, W, b, c, visible) for each in v]
        np.testing.assert_allclose(model.free_energy(tensor(v)), expected, rtol=1e-5, atol=1e-5)


def check_hidden_given_visible(module):
    W, b, c = parameters()
    for visible in ("bernoulli", "gaussian"):
        model = machine(W, b, c, module, visible=visible)
        v = inputs_for(visible)
        expected = [oracle.hidden_given_visible(each, W, b, c, visible) for each in v]
        np.testing.assert_allclose(model.hidden_probabilities(tensor(v)), expected, rtol=1e-5)
        np.testing.assert_allclose(model(tensor(v)), expected, rtol=1e-5)  # the representation


def check_visible_given_hidden(module):
    W, b, c = parameters()
    h = oracle.all_binary(HIDDEN)
    expected = [oracle.visible_given_hidden(each, W, b, c) for each in h]
    np.testing.assert_allclose(machine(W, b, c, module).visible_means(tensor(h)), expected, rtol=1e-5)


def check_gibbs_step(module):
    """A step from v ends in v′ with probability Σ_h P(v′ | h) P(h | v)."""
    W, b, c = parameters()
    n, states = 4000, oracle.all_binary(VISIBLE)
    start = np.repeat(states, n, axis=0)
    end = machine(W, b, c, module).gibbs_step(tensor(start), ExampleRandom(0, 0, len(start)))
    place = np.asarray(end) @ [8, 4, 2, 1]
    seen = np.stack([np.bincount(each.astype(int), minlength=16) for each in place.reshape(16, n)]) / n
    expected = oracle.gibbs_transition(W, b, c)
    bound = 5 * np.sqrt(expected * (1 - expected) / n) + 1 / n
    np.testing.assert_array_less(np.abs(seen - expected), bound)


def loss_gradient(model, v, random):
    """∂/∂(W, b, c) of the mean of the model's own training loss."""
    dense = model.encoder.layers[-1]
    with tf.GradientTape() as tape:
        values, _ = model.per_example(tensor(v), None, random, training=True)
        loss = tf.reduce_mean(values["loss"])
    return tape.gradient(loss, [dense.kernel.value, model.visible_bias.value, dense.bias.value])


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts])


PATTERNS = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]], "float64")
SLOW = parameters(scale=2.5, seed=5)  # chains need about ten steps to become independent of their start
NUM_CHAINS = 21_000
BOUND = 5 * 0.5 / np.sqrt(NUM_CHAINS)  # each entry is a mean of numbers in [0, 1] with deviation at most ½


def check_contrastive_divergence(module):
    """The gradient of the loss is the mean over data minus the mean after k Gibbs steps from the data; for large k it
    is the gradient of the likelihood."""
    W, b, c = SLOW
    truth = flat(oracle.likelihood_gradient(PATTERNS, W, b, c))
    states = oracle.all_binary(VISIBLE)
    starts = np.array([np.all(state == PATTERNS, axis=1).any() / len(PATTERNS) for state in states])
    h_given_v = np.array([oracle.hidden_given_visible(state, W, b, c) for state in states])
    transition = oracle.gibbs_transition(W, b, c)
    v = np.repeat(PATTERNS, NUM_CHAINS // len(PATTERNS), axis=0)
    error = []
    for k in (1, 4, 20):
        moved = starts @ np.linalg.matrix_power(transition, k) - starts
        expected = flat([states.T @ (moved[:, None] * h_given_v), moved @ states, moved @ h_given_v])
        model = machine(W, b, c, module, gibbs_steps=k)
        ours = flat(loss_gradient(model, v, ExampleRandom(0, k, len(v))))
        np.testing.assert_array_less(np.abs(ours - expected), BOUND)
        error.append(np.abs(ours - truth).max())
    assert error[0] > 2 * error[1] > 4 * error[2]
    assert error[0] > 20 * BOUND
    assert error[2] < BOUND


def check_the_chain_is_a_constant(module):
    """∂ℓ/∂b of gaussian visible units is ṽ − v, without a gradient through the samples."""
    W, b, c = parameters()
    model = machine(W, b, c, module, visible="gaussian")
    v = np.random.default_rng(2).normal(size=(50, VISIBLE))
    end = model.gibbs_step(tensor(v), ExampleRandom(0, 0, 50))
    _, db, _ = loss_gradient(model, v, ExampleRandom(0, 0, 50))
    np.testing.assert_allclose(db, np.mean(end - v, axis=0), atol=1e-5)


def check_gradient_is_that_of_the_free_energy(module):
    """The closed form (8) against automatic differentiation of the free energy, each example with a weight."""
    W, b, c = parameters()
    weights = tensor(np.random.default_rng(4).random(6))
    for visible in ("bernoulli", "gaussian"):
        for arguments in ({}, {"gibbs_steps": 3}, {"persistent": True, "num_chains": 5}):
            model = machine(W, b, c, module, visible=visible, **arguments)
            dense = model.encoder.layers[-1]
            variables = [dense.kernel.value, model.visible_bias.value, dense.bias.value]
            v = tensor(inputs_for(visible)[:6])
            with tf.GradientTape() as tape:
                values, _ = model.per_example(v, None, ExampleRandom(3, 1, 6), training=True)
                loss = tf.reduce_sum(weights * values["loss"])
            ours = tape.gradient(loss, variables)
            chain = model._chains if model.persistent else _end_of_chain(model, v, ExampleRandom(3, 1, 6))
            with tf.GradientTape() as tape:
                negative = model.free_energy(tf.stop_gradient(tf.convert_to_tensor(chain)))
                losses = model.free_energy(v) - (tf.reduce_mean(negative) if model.persistent else negative)
                loss = tf.reduce_sum(weights * losses)
            np.testing.assert_allclose(values["loss"], losses, rtol=1e-5, atol=1e-5)
            for mine, automatic in zip(ours, tape.gradient(loss, variables), strict=True):
                np.testing.assert_allclose(mine, automatic, rtol=1e-5, atol=1e-5)


def _end_of_chain(model, v, random):
    for _ in range(model.gibbs_steps):
        v = model.gibbs_step(v, random)
    return v


def check_reconstruction(module):
    """The monitor of CD compares v with the mean of the chain's first step, given one sample of h."""
    W, b, c = parameters()
    v = np.array([[1.0, 0.0, 1.0, 1.0]] * 8)
    model = machine(W, b, c, module)
    values, _ = model.per_example(tensor(v), None, ExampleRandom(0, 0, 8), training=True)
    draw = ExampleRandom(0, 0, 8).uniform((HIDDEN,))
    h = tf.cast(draw < oracle.hidden_given_visible(v[0], W, b, c), tf.float32)
    logits = np.asarray(h) @ W.T + b
    expected = [oracle.cross_entropy(v[0], each) for each in logits]
    np.testing.assert_allclose(values["reconstruction"], expected, rtol=1e-4)


class EachUnitOnce:
    """Random numbers that choose unit 0 for the first row, unit 1 for the second, and so on."""

    def uniform(self, shape):
        assert shape == ()
        return tf.constant((np.arange(VISIBLE) + 0.5) / VISIBLE, "float32")


def check_pseudo_likelihood(module):
    W, b, c = parameters()
    model = machine(W, b, c, module)
    for v in oracle.all_binary(VISIBLE):
        estimates = model.pseudo_log_likelihood(tensor(np.tile(v, (VISIBLE, 1))), EachUnitOnce())
        np.testing.assert_allclose(
            np.mean(estimates), oracle.pseudo_log_likelihood(v, W, b, c), rtol=1e-5, atol=1e-5
        )


CHECKS = [
    check_energy,
    check_free_energy,
    check_hidden_given_visible,
    check_visible_given_hidden,
    check_gibbs_step,
    check_contrastive_divergence,
    check_the_chain_is_a_constant,
    check_gradient_is_that_of_the_free_energy,
    check_reconstruction,
    check_pseudo_likelihood,
]


@pytest.mark.parametrize("check", CHECKS)
def test_formula(check):
    check(rbm)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_energy, "self._visible_energy(v) - interaction", "self._visible_energy(v) + interaction"),
        (check_energy, "return 0.5 * ops.sum(ops.square(v - self", "return ops.sum(ops.square(v - self"),
        (check_energy, "return -ops.matmul(v, self.visible_bias)", "return ops.matmul(v, self.visible_bias)"),
        (check_free_energy, "ops.softplus(hidden_logits)", "ops.relu(hidden_logits)"),
        (check_free_energy, "- ops.sum(ops.softplus", "+ ops.sum(ops.softplus"),
        (check_hidden_given_visible, " + ops.cast(self._dense.bias, self._real)", ""),
        (check_visible_given_hidden, "kernel)) + self.visible_bias", "kernel)) - self.visible_bias"),
        (check_gibbs_step, "uniform((self.num_hidden,)) < ", "uniform((self.num_hidden,)) > "),
        (check_gibbs_step, "uniform((self.num_hidden,)) <", "0.5 <"),
        (check_gibbs_step, "uniform((self.num_visible,)) < mean", "uniform((1,)) < mean"),
        (check_gradient_is_that_of_the_free_energy, "positive - (", "positive + ("),
        (check_gradient_is_that_of_the_free_energy, "upstream[:, None] * p", "p"),
        (check_gradient_is_that_of_the_free_energy, "else rows", "else visible_bias - rows"),
        (check_gradient_is_that_of_the_free_energy, "-ops.sum(weighted", "ops.sum(weighted"),
        (check_gradient_is_that_of_the_free_energy, "softplus(logits, p)", "softplus(logits, 0.5)"),
        (check_reconstruction, "cross_entropy(v, z)", "cross_entropy(v, -z)"),
        (check_contrastive_divergence, "positive - (", "positive + ("),
        (check_contrastive_divergence, "range(self.gibbs_steps - 1)", "range(self.gibbs_steps)"),
        (check_contrastive_divergence, "_gibbs_from(self._hidden_logits(chain), r", "_gibbs_from(logits, r"),
        (check_the_chain_is_a_constant, "rows - visible_bias if", "2 * rows - visible_bias if"),
        (check_pseudo_likelihood, "self.num_visible * ops.log_sigmoid", "ops.log_sigmoid"),
        (check_pseudo_likelihood, "(1 - 2 * v)", "(2 * v - 1)"),
        (check_pseudo_likelihood, "moved) - self._free", "logits) - self._free"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(rbm, right, wrong))


def test_gaussian_visible_units_are_normal_around_their_mean():
    """E(v, h) − ½‖v − mean‖² does not depend on v, so P(v | h) = N(mean, I)."""
    W, b, c = parameters()
    model = machine(W, b, c, visible="gaussian")
    v = inputs_for("gaussian")
    for h in oracle.all_binary(HIDDEN):
        mean = np.asarray(model.visible_means(tensor(h[None])))[0]
        rest = [oracle.energy(each, h, W, b, c, "gaussian") - 0.5 * np.sum((each - mean) ** 2) for each in v]
        np.testing.assert_allclose(rest, rest[0], atol=1e-4)


def test_gaussian_samples_have_unit_variance():
    W, b, c = parameters()
    model = machine(0 * W, b, c, visible="gaussian")
    n = 20_000
    v = np.asarray(model.gibbs_step(tensor(np.zeros((n, VISIBLE))), ExampleRandom(0, 0, n)))
    np.testing.assert_array_less(np.abs(v.mean(axis=0) - b), 5 / np.sqrt(n))
    np.testing.assert_array_less(np.abs(v.var(axis=0) - 1), 5 * np.sqrt(2 / n))


def test_gibbs_steps_keep_the_distribution():
    W, b, c = parameters()
    p = oracle.joint(W, b, c).sum(axis=1)
    n = 50_000
    start = oracle.all_binary(VISIBLE)[np.random.default_rng(3).choice(16, size=n, p=p)]
    end = np.asarray(machine(W, b, c).gibbs(tensor(start), num_steps=5, seed=1))
    assert np.mean(np.any(end != start, axis=1)) > 0.2
    seen = np.bincount((end @ [8, 4, 2, 1]).astype(int), minlength=16) / n
    np.testing.assert_array_less(np.abs(seen - p), 5 * np.sqrt(p * (1 - p) / n) + 1 / n)


def test_seed_fixes_the_gibbs_steps():
    model = machine(*parameters())
    start = tensor(np.tile(PATTERNS, (20, 1)))
    first, again, other = (np.asarray(model.gibbs(start, 3, seed=seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def shared(random, num_chains):
    """The random numbers that persistent chains get from an `ExampleRandom`."""
    return types.SimpleNamespace(
        uniform=lambda shape: random.shared_uniform((num_chains, *shape)),
        normal=lambda shape: random.shared_normal((num_chains, *shape)),
    )


def test_persistent_chains_continue_from_step_to_step():
    model = machine(*parameters(), persistent=True, num_chains=30, gibbs_steps=2, seed=4)
    chains = np.asarray(model._chains)
    for step, v in enumerate((PATTERNS, 1 - PATTERNS)):
        random = shared(ExampleRandom(9, step, 3), 30)
        for _ in range(2):
            chains = model.gibbs_step(chains, random)
        model.per_example(tensor(v), None, ExampleRandom(9, step, 3), training=True)
        np.testing.assert_array_equal(model._chains, chains)
    model.per_example(tensor(PATTERNS), None, ExampleRandom(9, 2, 3), training=False)
    np.testing.assert_array_equal(model._chains, chains)


def test_persistent_chains_reach_the_likelihood_gradient():
    W, b, c = SLOW
    model = machine(W, b, c, persistent=True, num_chains=NUM_CHAINS, gibbs_steps=40)
    ours = flat(loss_gradient(model, PATTERNS, ExampleRandom(0, 0, 3)))
    truth = flat(oracle.likelihood_gradient(PATTERNS, W, b, c))
    np.testing.assert_array_less(np.abs(ours - truth), BOUND)


def test_persistent_chains_are_saved(tmp_path):
    x = np.tile(PATTERNS, (8, 1)).astype("float32")
    model = RBM(HIDDEN, persistent=True, num_chains=7, seed=0)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(x, batch_size=8, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(np.unique(model._chains.numpy())) == 2
    np.testing.assert_array_equal(loaded._chains.numpy(), model._chains.numpy())
    assert loaded.persistent
    assert loaded.num_chains == 7


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{}, {"persistent": True, "num_chains": 50}], ids=["CD", "PCD"])
def test_training_increases_the_likelihood(arguments):
    x = np.tile(PATTERNS[:2], (100, 1)).astype("float32")
    model = RBM(HIDDEN, seed=1, **arguments)
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(x, batch_size=20, epochs=40, verbose=0).history
    W, c = (np.asarray(each, "float64") for each in model.encoder.layers[-1].get_weights())
    p = oracle.joint(W, np.asarray(model.visible_bias, "float64"), c).sum(axis=1)
    log_likelihood = np.mean([np.log(p[int(v @ [8, 4, 2, 1])]) for v in PATTERNS[:2]])
    assert log_likelihood > -1.5  # from log 1/16 = −2.77, at most log ½ = −0.69
    better = 1 if model.monitor == "pseudo_likelihood" else -1
    assert better * history[model.monitor][-1] > better * history[model.monitor][0]


@pytest.mark.slow
def test_at_least_as_good_as_scikit_learn():
    """Both train 32 hidden units for 3 epochs on binarized digits, in minibatches of 20 at rate 0.1, and are compared
    by the exact mean pseudo-likelihood of the training set. scikit-learn uses 20 persistent chains."""
    x = (data.load("digits", seed=0)[0].x.reshape(-1, 64) > 0.5).astype("float32")
    theirs = BernoulliRBM(32, learning_rate=0.1, batch_size=20, n_iter=3, random_state=0).fit(x)
    bar = oracle.mean_pseudo_log_likelihood(
        x.astype("float64"), theirs.components_.T, theirs.intercept_visible_, theirs.intercept_hidden_
    )
    for arguments in ({}, {"persistent": True, "num_chains": 20}):
        ours = RBM(32, seed=0, **arguments)
        ours.compile(keras.optimizers.SGD(0.1))
        ours.fit(x, batch_size=20, epochs=3, verbose=0)
        W, c = (np.asarray(each, "float64") for each in ours.encoder.layers[-1].get_weights())
        b = np.asarray(ours.visible_bias, "float64")
        assert oracle.mean_pseudo_log_likelihood(x.astype("float64"), W, b, c) > bar


def test_both_oracles_of_the_pseudo_likelihood_agree():
    W, b, c = parameters()
    v = oracle.all_binary(VISIBLE)
    one_by_one = np.mean([oracle.pseudo_log_likelihood(each, W, b, c) for each in v])
    np.testing.assert_allclose(oracle.mean_pseudo_log_likelihood(v, W, b, c), one_by_one, rtol=1e-12)


def test_estimated_pseudo_likelihood_is_near_the_exact_one():
    W, b, c = parameters()
    model = machine(W, b, c, persistent=True)
    v = np.tile(PATTERNS, (2000, 1))
    estimates = np.asarray(model.pseudo_log_likelihood(tensor(v), seed=3))
    exact = np.mean([oracle.pseudo_log_likelihood(each, W, b, c) for each in PATTERNS])
    assert abs(estimates.mean() - exact) < 5 * estimates.std() / np.sqrt(len(v))


def test_reconstruction_keeps_the_shape():
    model = RBM(num_hidden=3)
    x = np.random.default_rng(0).random((5, 2, 2, 1)).astype("float32")
    assert model.reconstruct(x).shape == (5, 2, 2, 1)


def test_inputs_of_another_size_are_not_reshaped():
    model = machine(*parameters())
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.free_energy(np.zeros((2, 2 * VISIBLE), "float32"))


def sequence(*layers):
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_hidden=None"),
        ({"num_hidden": 0}, "num_hidden=0"),
        ({"num_hidden": 3, "gibbs_steps": 0}, "gibbs_steps=0"),
        ({"num_hidden": 3, "num_chains": 0}, "num_chains=0"),
        ({"num_hidden": 3, "visible": "poisson"}, "visible='poisson'"),
        ({"encoder": keras.layers.Dense(3, "relu")}, "activation='relu'"),
        ({"encoder": keras.layers.Dense(3)}, "activation='linear'"),
        ({"encoder": sequence(keras.layers.Dense(3), keras.layers.ReLU())}, "activation='relu'"),
        ({"encoder": sequence(*(keras.layers.Dense(3, "sigmoid") for _ in range(2)))}, "2 dense layers"),
        (
            {
                "encoder": sequence(
                    keras.layers.Dense(3),
                    keras.layers.BatchNormalization(name="norm"),
                    keras.layers.Activation("sigmoid"),
                )
            },
            r"layers \['norm'\]",
        ),
        (
            {
                "encoder": sequence(
                    keras.layers.Rescaling(2.0, name="twice"), keras.layers.Dense(3, "sigmoid")
                )
            },
            r"layers \['twice'\]",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        RBM(**arguments)


def test_gaussian_units_have_no_pseudo_likelihood():
    with pytest.raises(ValueError, match="visible='gaussian'"):
        machine(*parameters(), visible="gaussian").pseudo_log_likelihood(tensor(PATTERNS))


@pytest.mark.parametrize("options", [{}, {"persistent": True, "num_chains": 8}, {"visible": "gaussian"}])
@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_weights_of_half_precision(policy, options, monkeypatch):
    """They are trained as those of float32, up to their rounding; energies are computed in float32."""
    x = (np.random.default_rng(0).random((64, 12)) < 0.3).astype("float32")
    found, before = [], keras.config.dtype_policy()
    for name in ("float32", policy):
        try:
            keras.config.set_dtype_policy(name)
            model = RBM(8, **options)
            model.compile(keras.optimizers.SGD(0.1))
            found.append(model.fit(x, epochs=2, verbose=0).history)
        finally:
            keras.config.set_dtype_policy(before)
        assert model.visible_bias.dtype == "float32"
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=0.02, atol=0.02)
