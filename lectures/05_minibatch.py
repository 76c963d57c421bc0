# %%
"""How does the gradient's noise fall with the batch size, and which step sizes let SGD converge?

The first part measures a network's gradients: how far, on average, is the gradient of a minibatch from that of all
examples? In the second part, stochastic gradient descent with one example per step runs on a problem whose minimum is
known, the mean image of the data. Its rates stay constant, fall as Robbins and Monro require, or fall too fast.

Claim: the squared distance between the gradients falls as σ²/B · (N − B)/(N − 1): while B is much smaller than N, four
times the examples halve the noise. With a constant rate η, the squared distance from the minimum settles at
ησ²/(2 − η). With powers 3/4 and 1 of the step it keeps falling. With power 2 the descent comes to rest on the way.

Slide: "Optimization": stochastic gradient descent, GD versus SGD; "Minibatch".
Reference: Robbins, Monro 1951, "A stochastic approximation method", DOI 10.1214/aoms/1177729586; Bottou, Curtis,
Nocedal 2018, "Optimization methods for large-scale machine learning", sections 4 and 5, arXiv:1606.04838.
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.design import gradient_variance, minibatch_variance
from tf_kit.optimizers import RobbinsMonro

TITLE = "Minibatches and step sizes"
SECONDS = 10


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(500, "Size of the network's training set.", at_least=20)
    draws: int = lectures.option(200, "Minibatches drawn per size.", at_least=10)
    steps: int = lectures.option(100_000, "Steps of SGD, with one example each.", at_least=100)
    runs: int = lectures.option(20, "Runs of SGD to average over.", at_least=1)
    seed: int = lectures.option(0, "Seed of all random draws.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(examples=300, draws=60, steps=10_000)


SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


# %% [markdown]
# The gradient of a minibatch is a mean over B examples drawn from N. For any network its variance is that of a sample
# mean: σ²/B, and less near B = N, where the minibatch is nearly the whole set.


# %%
def gradient_noise(train, config):
    """Measure and predict the squared distance of minibatch gradients at the initial weights of a network."""
    model = networks.mlp((32,), train.num_classes, "relu", train.x.shape[1:], config.seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    few = lectures.first_examples(train, config.examples)
    x, y = few.x, few.y
    sizes = [size for size in SIZES if size < len(x)]
    return gradient_variance(model, x, y, loss, sizes, config.draws, seed=config.seed), len(x)


# %% [markdown]
# SGD minimizes L(θ), the mean over the examples of ½ ‖θ − x‖². One example gives the gradient θ − x, and the minimum is
# the mean image. The rate is η₀ (1 + k/τ)^(−p). `RobbinsMonro` refuses powers outside (1/2, 1], so p = 2 is computed
# here.
#
# The two conditions, Σηₖ = ∞ and Σηₖ² < ∞, are sufficient, not necessary. They hold for p = 3/4 and p = 1. For p = 0
# the second fails, for p = 2 the first.


# %%
def rates(steps, initial=0.2, delay=10.0):
    """Return the rate of each schedule at each step: name → (steps,)."""
    k = np.arange(steps)
    return {
        "constant 0.2": np.full(steps, initial),
        "constant 0.02": np.full(steps, initial / 10),
        "power 3/4": np.array(RobbinsMonro(initial, 0.75, delay)(k), "float64"),
        "power 1": np.array(RobbinsMonro(initial, 1.0, delay)(k), "float64"),
        "power 2: too fast": initial * (1 + k / delay) ** -2,
    }


def distances(x, rate, runs, seed, marks):
    """Run SGD from a black image; return the mean squared distance from the minimum after each step in `marks`."""
    rng = np.random.default_rng(seed)
    minimum, theta, found = x.mean(axis=0), np.zeros((runs, x.shape[1])), []
    wanted = set(marks.tolist())
    for k, eta in enumerate(rate, start=1):
        gradient = theta - x[rng.integers(len(x), size=runs)]
        theta -= eta * gradient
        if k in wanted:
            found.append(((theta - minimum) ** 2).sum(axis=1).mean())
    return np.array(found)


def run(config):
    train, _, _ = lectures.load_data(config.data)
    noise, n = gradient_noise(train, config)
    x = train.x.reshape(len(train), -1).astype("float64")
    variance = x.var(axis=0).sum()
    marks = np.unique(np.logspace(0, np.log10(config.steps), 120).astype(int))
    return {
        "noise": noise,
        "n": n,
        "marks": marks,
        "variance": variance,
        "distances": {
            name: distances(x, rate, config.runs, config.seed, marks) / variance
            for name, rate in rates(config.steps).items()
        },
    }


# %%
def check(results):
    noise = results["noise"]
    off = np.abs(noise.measured - noise.theory) / noise.standard_error
    assert off.max() < 4, f"gradient variance is {off.max():.1f} standard errors from theory"
    late = {name: each[-20:].mean() for name, each in results["distances"].items()}
    earlier = {name: each[-40:-20].mean() for name, each in results["distances"].items()}
    for name, eta in (("constant 0.2", 0.2), ("constant 0.02", 0.02)):
        hover = eta / (2 - eta)
        assert 0.7 < late[name] / hover < 1.4, (
            f"{name} settles at {late[name]:.3g} σ², in theory at {hover:.3g} σ²"
        )
    for name in ("power 3/4", "power 1"):
        assert late[name] < 0.6 * earlier[name], (
            f"{name} comes no closer: {earlier[name]:.2g}, {late[name]:.2g}"
        )
        assert late[name] < late["constant 0.02"], (
            f"{name} is at {late[name]:.2g}, farther than a constant rate"
        )
    stuck = late["power 2: too fast"]
    assert stuck > 0.8 * earlier["power 2: too fast"], "power 2 has not come to rest"
    assert stuck > 10 * late["power 1"], (
        f"power 2 rests at {stuck:.2g} σ², power 1 is at {late['power 1']:.2g} σ²"
    )
    listed = ", ".join(f"{value:.2g} ({name})" for name, value in late.items())
    ratio = noise.measured[0] / noise.measured[-1]
    return (
        f"From 1 to {noise.batch_sizes[-1]} examples the variance of the gradient falls {ratio:.0f}-fold (in theory "
        f"{noise.theory[0] / noise.theory[-1]:.0f}-fold). The squared distance from the minimum near the end of "
        f"{results['marks'][-1]:,} steps, divided by σ²: {listed}."
    )


# %%
def plot(results):
    noise, n = results["noise"], results["n"]
    sizes = np.unique(np.logspace(0, np.log10(0.95 * n), 100).astype(int))
    predicted = [minibatch_variance(noise.example_variance, int(size), n) for size in sizes]
    gradients = {
        "series": {"theory": (sizes, predicted), "measured": (noise.batch_sizes, noise.measured)},
        "title": "noise of the gradient",
        "y_label": "variance of the gradient",
        "x_label": f"batch size (of {n})",
        "log": "xy",
    }
    descent = {
        "series": {name: (results["marks"], each) for name, each in results["distances"].items()},
        "title": "descent to the minimum",
        "y_label": "squared distance from it, σ²",
        "x_label": "step",
        "log": "xy",
    }
    return plotting.graphs([gradients, descent], width=6.6)


# %% [markdown]
# Things that move: `tf-kit lecture 05 --sliders`.


# %%
SHOWN_SIZES = (1, 4, 16, 64, 256)
SHOWN_RATES = (0.02, 0.1, 0.3, 1.0)


def sliders(config):
    """Paths of two of the parameters, and the distance from the minimum, by batch size and learning rate."""
    x = lectures.load_data(config.data)[0].x
    x = x.reshape(len(x), -1)
    x = x[:, np.argsort(-x.var(axis=0))[:2]].astype("float64")  # the two pixels that vary most
    minimum, steps = x.mean(axis=0), 150

    def path(size, rate):
        rng, theta = np.random.default_rng(config.seed), np.zeros(2)
        found = [theta]
        for _ in range(steps):
            batch = x[rng.integers(len(x), size=size)]
            theta = theta - rate * (theta - batch.mean(axis=0))
            found.append(theta)
        return np.array(found)

    def draw(size, rate):
        size, rate = SHOWN_SIZES[size], SHOWN_RATES[rate]
        found = path(size, rate)
        with plt.rc_context(plotting.STYLE):
            figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
            left.plot(*found.T, "o-", color=plotting.COLORS[0], markersize=3, linewidth=1)
            left.plot(*minimum, "*", color="black", markersize=16)
            left.set(
                xlim=(-0.1, 1.1), ylim=(-0.1, 1.1), xlabel=r"$\theta_1$", ylabel=r"$\theta_2$", aspect="equal"
            )
            left.set_title(f"{steps} steps of batch size {size}", fontsize=12)
            right.plot(np.sum((found - minimum) ** 2, axis=1), color=plotting.COLORS[0])
            right.axhline(rate / (2 - rate) * x.var(axis=0).sum() / size, color="0.4", linestyle=":")
            right.set(yscale="log", ylim=(1e-6, 2), xlabel="step", ylabel="squared distance from the minimum")
            right.set_title(r"dotted: $\eta\sigma^2 / ((2-\eta)B)$", fontsize=12)
        return figure

    knobs = {
        "batch size": [str(each) for each in SHOWN_SIZES],
        "learning rate": [f"{each:g}" for each in SHOWN_RATES],
    }
    return lectures.States(knobs, draw, (0, 1))


# %%
if __name__ == "__main__":
    lectures.main(globals())
