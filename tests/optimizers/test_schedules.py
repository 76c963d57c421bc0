import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import optimizers as oracle
from support.twins import wrong_class

from tf_kit import optimizers

CASES = {
    "RobbinsMonro": (
        optimizers.RobbinsMonro,
        oracle.robbins_monro,
        {"initial": 0.3, "power": 0.7, "delay": 5},
    ),
    "LinearDecay": (
        optimizers.LinearDecay,
        oracle.linear_decay,
        {"initial": 0.3, "num_steps": 20, "final": 0.1},
    ),
    "WarmupCosine": (
        optimizers.WarmupCosine,
        oracle.warmup_cosine,
        {"peak": 0.3, "warmup_steps": 7, "num_steps": 20, "initial": 0.05, "final": 0.1},
    ),
    "WarmupCosine at once": (
        optimizers.WarmupCosine,
        oracle.warmup_cosine,
        {"peak": 0.3, "warmup_steps": 0, "num_steps": 20, "initial": 0.0, "final": 0.0},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_formula(name):
    schedule_class, formula, arguments = CASES[name]
    schedule = schedule_class(**arguments)
    expected = [formula(k, **arguments) for k in range(30)]
    np.testing.assert_allclose([float(schedule(k)) for k in range(30)], expected, rtol=1e-5, atol=1e-7)
    graph = tf.function(schedule)
    in_graph = [float(graph(tf.constant(k, tf.int64))) for k in range(30)]
    np.testing.assert_allclose(in_graph, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "token", "wrong"),
    [
        ("RobbinsMonro", "-self.power", "self.power"),
        ("RobbinsMonro", "1 + ", ""),
        ("LinearDecay", "(1 - a)", "(1 + a)"),
        ("LinearDecay", "1.0)  # (1)", "2.0)  # (1)"),
        ("WarmupCosine", "ops.cos", "ops.sin"),
        ("WarmupCosine", "(k - self.warmup_steps)", "k"),
        ("WarmupCosine", "rising, falling", "falling, rising"),
    ],
)
def test_wrong_twin_differs_from_the_formula(name, token, wrong):
    schedule_class, formula, arguments = CASES[name]
    schedule = wrong_class(schedule_class, "__call__", token, wrong)(**arguments)
    expected = [formula(k, **arguments) for k in range(30)]
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(values(schedule, 30), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_serializes_and_deserializes(name):
    schedule_class, _, arguments = CASES[name]
    schedule = schedule_class(**arguments)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert type(again) is schedule_class
    assert again.get_config() == schedule.get_config() == arguments


def test_is_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizers.SGD(optimizers.WarmupCosine(0.4, 10, 110)), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.optimizer.iterations.assign(60)
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.2)


def values(schedule, num_steps=40):
    return [float(schedule(k)) for k in range(num_steps)]


def test_equal_the_schedules_of_keras():
    keras_schedules = keras.optimizers.schedules
    pairs = [
        (optimizers.RobbinsMonro(0.3, 1.0, 5), keras_schedules.InverseTimeDecay(0.3, 5, 1.0)),
        (optimizers.LinearDecay(0.3, 20, 0.1), keras_schedules.PolynomialDecay(0.3, 20, 0.1)),
        (
            optimizers.WarmupCosine(0.4, 10, 30, initial=0.1, final=0.04),
            keras_schedules.CosineDecay(0.1, 20, alpha=0.1, warmup_target=0.4, warmup_steps=10),
        ),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(values(ours), values(theirs), rtol=1e-5, atol=1e-7)


def noisy_descent(rates, chains=400):
    """Root mean square distance from the minimum of θ²/2 after SGD with unit noise on each gradient."""
    rng = np.random.default_rng(0)
    theta = np.full(chains, 5.0)
    for rate in rates:
        theta = theta - rate * (theta + rng.normal(size=chains))
    return np.sqrt(np.mean(theta**2))


def test_robbins_monro_converges_where_other_rates_do_not():
    """(2) and (3): for powers in (1/2, 1] the distance keeps falling; a constant rate hovers, power 2 stops short."""

    def distances(rates):
        return noisy_descent(rates[:400]), noisy_descent(rates)

    def robbins_monro(power):
        return np.asarray(optimizers.RobbinsMonro(0.5, power, 20)(np.arange(10_000)))

    for power in (0.6, 0.8, 1.0):
        early, late = distances(robbins_monro(power))
        assert late < 0.6 * early
        assert late < 0.15
    hover_early, hover_late = distances(np.full(10_000, 0.5))
    assert hover_late > 0.9 * hover_early > 0.4  # ε/(2 − ε) is the stationary variance
    short_early, short_late = distances(0.1 / (1 + np.arange(10_000) / 5) ** 2)
    assert short_late > 0.98 * short_early > 1


def test_partial_sums_distinguish_the_powers():
    """Over ten times as many steps, Σηₖ still grows at p = 1, and Σηₖ² no longer does at p = 0.75."""
    k = np.arange(1_000_000)
    harmonic = np.asarray(optimizers.RobbinsMonro(1.0, 1.0, 1)(k), "float64")
    growth = harmonic[100_000:].sum() / harmonic[10_000:100_000].sum()
    np.testing.assert_allclose(growth, 1.0, rtol=1e-3)  # log 10 each
    squares = np.asarray(optimizers.RobbinsMonro(1.0, 0.75, 1)(k), "float64") ** 2
    shrink = squares[100_000:].sum() / squares[10_000:100_000].sum()
    np.testing.assert_allclose(shrink, 10**-0.5, rtol=1e-2)  # the tail of Σ k^(−1.5) is 2/√k


@pytest.mark.parametrize("power", [0.5, 0.3, 1.0001, 2, float("nan"), "1"])
def test_robbins_monro_refuses_other_powers(power):
    message = (
        r"`RobbinsMonro.power` must be a number in \(0\.5, 1\] so that Σηₖ diverges and Σηₖ² converges\. "
        rf"Received: power={power!r}\. Use `LinearDecay` outside this class\."
    )
    with pytest.raises(ValueError, match=message):
        optimizers.RobbinsMonro(0.1, power)


@pytest.mark.parametrize("power", [0.500001, 0.75, 1, 1.0])
def test_robbins_monro_accepts_its_interval(power):
    assert float(optimizers.RobbinsMonro(0.1, power)(0)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("schedule_class", "arguments", "message"),
    [
        (optimizers.RobbinsMonro, {"initial": 0}, "initial=0"),
        (optimizers.RobbinsMonro, {"initial": 0.1, "delay": 0}, "delay=0"),
        (optimizers.LinearDecay, {"initial": -1, "num_steps": 5}, "initial=-1"),
        (optimizers.LinearDecay, {"initial": 0.1, "num_steps": 0}, "num_steps=0"),
        (optimizers.LinearDecay, {"initial": 0.1, "num_steps": 5, "final": -1}, "final=-1"),
        (optimizers.WarmupCosine, {"peak": 0, "warmup_steps": 1, "num_steps": 5}, "peak=0"),
        (optimizers.WarmupCosine, {"peak": 1, "warmup_steps": -1, "num_steps": 5}, "warmup_steps=-1"),
        (optimizers.WarmupCosine, {"peak": 1, "warmup_steps": 1, "num_steps": 2.5}, "num_steps=2.5"),
        (
            optimizers.WarmupCosine,
            {"peak": 1, "warmup_steps": 1, "num_steps": 5, "initial": -1},
            "initial=-1",
        ),
        (optimizers.WarmupCosine, {"peak": 1, "warmup_steps": 1, "num_steps": 5, "final": -1}, "final=-1"),
        (optimizers.WarmupCosine, {"peak": 1, "warmup_steps": 5, "num_steps": 5}, "warmup_steps=5"),
    ],
)
def test_refuses_values_outside_their_range(schedule_class, arguments, message):
    with pytest.raises(ValueError, match=rf"`{schedule_class.__name__}\.\w+` must .* Received: {message}\."):
        schedule_class(**arguments)
