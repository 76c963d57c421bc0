# %%
"""How many hidden units does a network need, and what decides it?

Networks with one hidden layer of 1 to 64 tanh units learn a sine wave from noisy examples: one wave, or three in the
same interval, from 10 to 400 examples. Each is trained until its cost no longer falls. The error is the mean squared
distance from the wave without noise, the median over several draws of the examples. A last network has 64 units and a
small l2 penalty.

Claim: both the amount of data and the function decide. For one wave two units nearly suffice: from 40 examples on they
err at most twice as much as the best size. For three waves they never do: from 40 to 400 examples the error of the best
size falls to less than a quarter, that of two units by less than half. Too many units are worst where the examples are
few, with 10 of them more than twenty times as bad as the best size, and cost little where there are many. With a
penalty the size needs no rule: 64 units then err, on both functions and for every number of examples, at most four
times as much as the best size without it, which nobody knows beforehand.

Slide: "Neural Network Design": no general rule of thumb; it depends on the amount of training data and on the
complexity of the function.
Reference: Geman, Bienenstock, Doursat 1992, "Neural networks and the bias/variance dilemma", DOI
10.1162/neco.1992.4.1.1; Bartlett 1998, "The sample complexity of pattern classification with neural networks: the size
of the weights is more important than the size of the network", DOI 10.1109/18.661502.
"""

import dataclasses
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from tf_kit import lectures, plotting

TITLE = "The size of a network"
SECONDS = 60


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    draws: int = lectures.option(8, "Draws of the examples per network.", at_least=1)
    noise: float = lectures.option(0.3, "Standard deviation of the noise on the examples.", at_least=0)
    penalty: float = lectures.option(0.03, "Weight λ of the l2 penalty of the last network.", at_least=0)
    steps: int = lectures.option(2000, "Largest number of steps of L-BFGS.", at_least=1)
    seed: int = lectures.option(0, "Seed of the examples and of the random weights.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(draws=3, steps=500)


WAVES = {"one wave": 1, "three waves": 3}
EXAMPLES = (10, 20, 40, 100, 400)
UNITS = (1, 2, 4, 8, 16, 64)
GRID = np.linspace(-1, 1, 400)


# %% [markdown]
# The cost is the mean of ½ (f(x) − y)² over the n examples plus λ/(2n) Σ w² over the weights. So the penalty counts
# less where there are more examples. A step of L-BFGS uses all examples and needs no learning rate.


# %%
def wave(x, waves):
    return np.sin(np.pi * waves * x)


def error(units, penalty, examples, waves, draw, config):
    """Train a network on a draw of examples; return its mean squared distance from the wave."""
    rng = np.random.default_rng([config.seed, draw, examples, waves])
    x = rng.uniform(-1, 1, size=examples)
    y = wave(x, waves) + config.noise * rng.normal(size=examples)
    network = MLPRegressor(
        hidden_layer_sizes=(units,),
        activation="tanh",
        solver="lbfgs",
        alpha=penalty,
        max_iter=config.steps,
        tol=1e-9,
        random_state=config.seed + draw,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is the limit
        network.fit(4 * x[:, None], y)  # from −4 to 4, where tanh of a random weight bends
    return np.mean((network.predict(4 * GRID[:, None]) - wave(GRID, waves)) ** 2)


def median(units, penalty, examples, waves, config):
    return np.median([error(units, penalty, examples, waves, k, config) for k in range(config.draws)])


def run(config):
    errors, penalized = {}, {}
    for name, waves in WAVES.items():
        errors[name] = np.array([[median(units, 0, n, waves, config) for units in UNITS] for n in EXAMPLES])
        penalized[name] = np.array([median(UNITS[-1], config.penalty, n, waves, config) for n in EXAMPLES])
    return {"errors": errors, "penalized": penalized}


# %%
def check(results):
    errors, penalized = results["errors"], results["penalized"]
    two, some = UNITS.index(2), EXAMPLES.index(40)
    one, three = errors.values()
    enough = (one[some:, two] / one[some:].min(axis=1)).max()
    assert enough < 2, f"on one wave two units err {enough:.1f} times as much as the best size"
    falls = three[some].min() / three[-1].min()
    stays = three[some, two] / three[-1, two]
    assert falls > 4, f"on three waves the error of the best size falls only {falls:.1f}-fold"
    assert stays < 2, f"on three waves the error of two units falls {stays:.1f}-fold"
    wild = {name: each[0].max() / each[0].min() for name, each in errors.items()}
    calm = {name: each[-1, -1] / each[-1].min() for name, each in errors.items()}
    ratio = {name: (penalized[name] / each.min(axis=1)).max() for name, each in errors.items()}
    for name in WAVES:
        assert wild[name] > 20, f"{name}: the worst size errs only {wild[name]:.1f} times as much as the best"
        assert calm[name] < 3, (
            f"{name}: 64 units err {calm[name]:.1f} times as much at {EXAMPLES[-1]} examples"
        )
        assert ratio[name] < 4, f"{name}: with the penalty 64 units err {ratio[name]:.2f} times as much"
    best = {name: ", ".join(str(UNITS[k]) for k in each.argmin(axis=1)) for name, each in errors.items()}
    return (
        f"With {', '.join(map(str, EXAMPLES))} examples the best numbers of units are {best['one wave']} on one wave "
        f"and {best['three waves']} on three. Two units err on one wave at most {enough:.1f} times as much as the best "
        f"size from {EXAMPLES[some]} examples on, at {EXAMPLES[-1]} examples of three waves "
        f"{three[-1, two] / three[-1].min():.0f} times. With {EXAMPLES[0]} examples the worst size errs "
        f"{wild['one wave']:,.0f} and {wild['three waves']:,.0f} times as much as the best one, with {EXAMPLES[-1]} "
        f"examples 64 units {calm['one wave']:.1f} and {calm['three waves']:.1f} times. With a penalty 64 units err at "
        f"most {ratio['one wave']:.1f} and {ratio['three waves']:.1f} times as much as the best size without it."
    )


# %%
def plot(results):
    panels = [
        {
            "series": {f"{n} examples": (UNITS, row) for n, row in zip(EXAMPLES, each, strict=True)},
            "title": name,
            "x_label": "hidden units",
            "y_label": "mean squared error",
            "log": "xy",
            "y_limits": (None, 1e4 * each.max()),  # room for the legend
        }
        for name, each in results["errors"].items()
    ]
    chosen = {}
    for name in WAVES:
        chosen[f"{name}, best size"] = EXAMPLES, results["errors"][name].min(axis=1)
        chosen[f"{name}, 64 units, penalty"] = EXAMPLES, results["penalized"][name]
    last = {
        "series": chosen,
        "title": "the best size, or a penalty",
        "x_label": "examples",
        "y_label": "mean squared error",
        "log": "xy",
        "y_limits": (None, 30),
    }
    return plotting.graphs([*panels, last], width=4.8)


# %%
if __name__ == "__main__":
    lectures.main(globals())
