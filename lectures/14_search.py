# %%
"""Does random search find better hyper-parameters than a grid of the same size?

A small network has three hyper-parameters, of which the learning rate matters most by far. A grid of 27 trials tries
three learning rates, each nine times; 27 random trials try 27. Both search the same ranges, and the search is repeated
with shifted ranges, so that the positions of the grid are neither lucky nor unlucky. A search is worth as much as its
best trial on validation.

Claim: with equal budgets, random search finds the network with the lower validation error, on average over the
searches, and the gap is largest with few trials. The learning rate explains more of the differences between trials
than the two other hyper-parameters together.

Slide: "Hyperparameter Tuning": grid or randomized search.
Reference: Bergstra, Bengio 2012, "Random Search for Hyper-Parameter Optimization".
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from tf_kit import design, lectures, networks, plotting
from tf_kit.lectures.words import enumerated

TITLE = "Random search and grid search"
SECONDS = 40

SPAN = 6.0  # width of the range of learning rates, in powers of ten
SHIFT = SPAN / 4  # largest shift of the range from its middle, 0.01: half a step of the coarsest grid


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    searches: int = lectures.option(12, "Searches per kind and budget.", at_least=2)
    largest: int = lectures.option(4, "Values per hyper-parameter in the largest grid.", at_least=3)
    labels: int = lectures.option(
        300, "Largest number of training examples, one per class at least.", at_least=2
    )
    units: int = lectures.option(32, "Hidden units.", at_least=1)
    steps: int = lectures.option(60, "Steps of gradient descent per trial.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(searches=6, largest=3)


# %% [markdown]
# A trial is gradient descent with momentum, always from the same initial weights. The hyper-parameters are tensors, so
# the training is compiled once for all trials.


# %%
class Trials:
    """Trains a network with a candidate's hyper-parameters and returns its validation error in percent."""

    def __init__(self, config):
        train, val, _ = lectures.load_data(config.data, labels=config.labels)
        self.val = val.x, val.y
        self.model = networks.mlp((config.units,), train.num_classes, "tanh", train.x.shape[1:])
        self.start = self.model.get_weights()
        x, y = tf.constant(train.x), tf.constant(train.y)
        kernels = [w.name == "kernel" for w in self.model.trainable_variables]

        def cost(theta, l2):
            logits, _ = self.model.stateless_call(theta, [], x)
            J = tf.reduce_mean(keras.ops.sparse_categorical_crossentropy(y, logits, from_logits=True))
            return J + l2 / 2 * sum(
                tf.reduce_sum(w**2) for w, used in zip(theta, kernels, strict=True) if used
            )

        @tf.function
        def descend(theta, learning_rate, l2, momentum):
            v = [tf.zeros_like(w) for w in theta]
            for _ in tf.range(config.steps):
                with tf.GradientTape() as tape:
                    tape.watch(theta)
                    J = cost(theta, l2)
                g = tape.gradient(J, theta)
                v = [momentum * each - learning_rate * gradient for each, gradient in zip(v, g, strict=True)]
                theta = [w + each for w, each in zip(theta, v, strict=True)]
            return theta

        self.descend = descend

    def __call__(self, candidate):
        chosen = [tf.constant(candidate[name], tf.float32) for name in ("learning_rate", "l2", "momentum")]
        theta = self.descend([tf.constant(w) for w in self.start], *chosen)
        logits, _ = self.model.stateless_call(theta, [], self.val[0])
        return 100 * float(np.mean(np.argmax(logits, axis=-1) != self.val[1]))


# %% [markdown]
# Nobody knows beforehand where in the range the good learning rates lie, so each search shifts the range. The grid
# takes the middles of equal parts of each range.


# %%
def ranges(shift):
    """Return the ranges of a search; `shift`, in powers of ten, moves the learning rates away from 0.01."""
    low = -2 - SPAN / 2 + shift
    return {
        "learning_rate": design.LogUniform(10**low, 10 ** (low + SPAN)),
        "l2": design.LogUniform(1e-7, 1e-2),
        "momentum": design.Uniform(0.0, 0.95),
    }


def middles(of, parts):
    """Return the middles of equal parts of a range, on its linear or logarithmic scale."""
    places = (np.arange(parts) + 0.5) / parts
    if isinstance(of, design.LogUniform):
        return list(of.low * (of.high / of.low) ** places)
    return list(of.low + (of.high - of.low) * places)


def search(evaluate, parts, shift, seed):
    """Run a grid with `parts` values per hyper-parameter, and as many random trials."""
    space = ranges(shift)
    grid = design.grid({name: middles(of, parts) for name, of in space.items()})
    return {
        "grid": design.try_all(evaluate, grid),
        "random": design.try_all(evaluate, design.random(space, len(grid), seed=seed)),
    }


def explained(trials, name, parts=10):
    """Share of the variance of the validation error that one hyper-parameter explains.

    Var(mean error in each of the equally filled parts of the range) / Var(error).
    """
    order = np.argsort([trial.candidate[name] for trial in trials])
    errors = np.array([trial.score for trial in trials])
    means = [each.mean() for each in np.array_split(errors[order], parts)]
    return float(np.var(means) / np.var(errors))


def run(config):
    evaluate = Trials(config)
    shifts = np.linspace(-SHIFT, SHIFT, config.searches)
    best, everything = {"grid": {}, "random": {}}, []
    for parts in range(2, config.largest + 1):
        found = [search(evaluate, parts, shift, seed) for seed, shift in enumerate(shifts)]
        for kind, of in best.items():
            of[parts**3] = np.array([results[kind].best.score for results in found])
        everything += [trial for results in found for trial in results["random"]]
        if parts == 3:
            middle = found[len(found) // 2]
            shown = {
                kind: {name: np.array([trial.candidate[name] for trial in trials]) for name in ranges(0)}
                | {"error": np.array([trial.score for trial in trials])}
                for kind, trials in middle.items()
            }
    return {
        "best": best,
        "shown": shown,
        "explained": {name: explained(everything, name) for name in ranges(0)},
    }


# %%
def check(results):
    means = {kind: {n: errors.mean() for n, errors in of.items()} for kind, of in results["best"].items()}
    gaps = {n: means["grid"][n] - means["random"][n] for n in means["grid"]}
    smallest, *_, largest = gaps
    differences = enumerated({f"{n} trials": gap for n, gap in gaps.items()}, ".1f", " %")
    assert all(gap > 0 for gap in gaps.values()), f"grid error minus random error: {differences}"
    assert gaps[smallest] > gaps[largest], f"the gap does not close: {differences}"
    parts = results["explained"]
    assert parts["learning_rate"] > parts["l2"] + parts["momentum"], f"explained: {enumerated(parts, '.0%')}"
    listed = "; ".join(
        f"{n} trials: grid {means['grid'][n]:.1f} %, random {means['random'][n]:.1f} %" for n in gaps
    )
    return (
        "Yes, most of all with few trials. Validation error of the best network, mean of "
        f"{len(results['best']['grid'][smallest])} searches: {listed}. "
        f"The learning rate explains {parts['learning_rate']:.0%} of the variance between trials, "
        f"momentum {parts['momentum']:.0%} and l2 {parts['l2']:.0%}."
    )


# %%
def plot(results):
    shown, best = results["shown"], results["best"]
    errors = np.concatenate([trials["error"] for trials in shown.values()])
    scale = plt.Normalize(errors.min(), errors.max())
    with plt.rc_context({**plotting.STYLE, "font.size": 15}):
        figure, row = plt.subplots(1, 3, figsize=(15.6, 5), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12)
        for axes, (kind, of) in zip(row[:2], shown.items(), strict=True):
            x, y, error = of["learning_rate"], of["momentum"], of["error"]
            look = {"cmap": "cividis_r", "norm": scale, "edgecolors": "black", "linewidths": 0.6}
            dots = axes.scatter(x, y, 90, error, **look)
            i = np.argmin(error)
            axes.plot(x[i], y[i], "*", color=plotting.COLORS[1], markersize=22, markeredgecolor="black")
            axes.set(xscale="log", xlabel="learning rate", ylabel="momentum")
            title = f"{kind}: {len(np.unique(x))} learning rates in {len(x)} trials"
            axes.set_title(title, fontsize=14)
        figure.colorbar(dots, ax=list(row[:2]), label="validation error, %", shrink=0.9)
        for i, (kind, by_trials) in enumerate(best.items()):
            found = np.stack(list(by_trials.values()))  # (budgets, searches)
            error = found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])
            look = {"color": plotting.COLORS[i], "marker": plotting.MARKERS[i], "markersize": 9, "capsize": 5}
            row[2].errorbar(list(by_trials), found.mean(axis=1), error, label=kind, **look)
        row[2].set(xlabel="trials", ylabel="error of the best, %", ylim=(0, None), xticks=list(best["grid"]))
        row[2].legend()
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
