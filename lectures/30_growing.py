# %%
"""How many units and layers does a network need, and how does one find out?

The slide's recipe: start small and gradually increase. The data are two spirals, which no line separates. `design.grow`
starts without a hidden layer, doubles the units of one layer as long as the validation error falls, and then adds
layers of that width. The best of some random starts of each network is chosen by the validation error; the test error
is looked at once, at the end. The same points are then labelled anew, by which side of a line they lie on.

Claim: a network without hidden units errs on more than 30 % of the points, one with a single unit on more than 20 %.
The grown network errs on less than a tenth as many as the first, and growing stops by itself after fewer networks than
a grid over the same widths and depths would train. Where a line separates the same points, the chosen network has no
hidden layer and errs on at most 1 % of them.

Slide: "Neural Network Design": start with one layer and gradually increase; "if data is linearly separable, you don't
need any hidden layers at all".
Reference: Lang, Witbrock 1988, "Learning to tell two spirals apart"; Bengio 2012, "Practical recommendations for
gradient-based training of deep architectures", section 3.3, arXiv:1206.5533.
"""

import dataclasses
import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tf_kit import data, design, lectures, plotting

TITLE = "Growing a network"
SECONDS = 30


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    turns: float = lectures.option(1.25, "Turns of each spiral around the center.", above=0)
    points: int = lectures.option(
        900, "Points of both spirals; a third is for validation and test.", at_least=12
    )
    starts: int = lectures.option(3, "Random starts per network.", at_least=1)
    steps: int = lectures.option(400, "Steps of L-BFGS per start.", at_least=1)
    layers: int = lectures.option(4, "Largest number of hidden layers.", at_least=1)
    units: int = lectures.option(32, "Largest number of units in a layer.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(turns=1.0, points=600, starts=1, steps=150, layers=3, units=16)


# %%
def train(units, split, seed, steps):
    """Train a tanh network with all examples in each step, by L-BFGS: a step needs no learning rate."""
    network = MLPClassifier(units, "tanh", solver="lbfgs", alpha=1e-3, max_iter=steps, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is the limit
        return network.fit(centered(split.x), split.y)


def error(network, split):
    return 100 * (1 - network.score(centered(split.x), split.y))


def centered(x):
    return 4 * (np.asarray(x, "float64") - 0.5)


def by_a_line(split):
    """Return a split with the same points, those near a line left out, and the side of the line as labels."""
    across = centered(split.x) @ (0.8, 0.6)
    kept = np.abs(across) > 0.05
    return dataclasses.replace(split, x=split.x[kept], y=(across[kept] > 0).astype(int))


# %%
def grow(splits, config):
    """Return the trials, and the networks by their units."""
    train_split, val, _ = splits
    networks_of = {}

    def evaluate(candidate):
        units = candidate["units"]
        tried = [train(units, train_split, seed, config.steps) for seed in range(config.starts)]
        networks_of[units] = min(tried, key=lambda network: error(network, val))
        return error(networks_of[units], val)

    limits = {"max_layers": config.layers, "max_units": config.units}
    grown = design.grow(evaluate, num_inputs=2, patience=2, **limits)
    return grown, networks_of


def run(config):
    splits = data.load("spirals", n=config.points, turns=config.turns)
    test = splits[2]
    grown, networks_of = grow(splits, config)
    separable = [by_a_line(split) for split in splits]
    on_line, of_line = grow(separable, config)
    straight = on_line.best.candidate["units"]
    side = np.linspace(0, 1, 121)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    best = grown.best.candidate["units"]
    shown = list(dict.fromkeys([(), (4,) if (4,) in networks_of else (1,), best]))
    return {
        "tried": [(trial.candidate["units"], trial.score) for trial in grown.history],
        "best": best,
        "test": {units: error(networks_of[units], test) for units in ((), (1,), best)},
        "separable": {"best": straight, "test": error(of_line[straight], separable[2])},
        "grid": 1 + config.layers * (1 + int(np.log2(config.units))),
        "planes": {
            units: networks_of[units].predict_proba(centered(plane))[:, 1].reshape(121, 121)
            for units in shown
        },
        "x": test.x,
        "y": test.y,
    }


# %%
def named(units):
    """Name a network by the units of its hidden layers."""
    return "–".join(map(str, units)) or "none"


def check(results):
    errors, best, tried = results["test"], results["best"], len(results["tried"])
    assert errors[()] > 30, f"without hidden units {errors[()]:.1f} %"
    assert errors[1,] > 20, f"one hidden unit {errors[1,]:.1f} %"
    assert errors[best] < errors[()] / 10, (
        f"grown {errors[best]:.1f} %, without hidden units {errors[()]:.1f} %"
    )
    assert tried < results["grid"], f"{tried} networks tried, {results['grid']} in the grid"
    straight, left = results["separable"].values()
    assert straight == (), (
        f"where a line separates the points, hidden layers of {named(straight)} units were chosen"
    )
    assert left <= 1, f"where a line separates the points, the error is {left:.1f} %"
    score, lowest = dict(results["tried"])[best], min(score for _, score in results["tried"])
    assert score == lowest, (
        f"the chosen network has the validation error {score:.3g}, the best one {lowest:.3g}"
    )
    return (
        f"The test error is {errors[()]:.1f} % without hidden units, {errors[1,]:.1f} % with one, and "
        f"{errors[best]:.1f} % for the grown network with hidden layers of {named(best)} units. {tried} networks were "
        f"trained; the grid of the same widths and depths has {results['grid']}. If a line separates the points, the "
        f"network without hidden units is chosen, with a test error of {left:.1f} %."
    )


# %%
def plot(results):
    shades = LinearSegmentedColormap.from_list("classes", ["#A6D3F0", "#FFFFFF", "#F3C9A5"])
    names, scores = [named(units) for units, _ in results["tried"]], [score for _, score in results["tried"]]
    with plt.rc_context({**plotting.STYLE, "font.size": 15}):
        figure = plt.figure(figsize=(12, 4.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.9))
        axes = left.subplots()
        axes.barh(range(len(names)), scores, color=plotting.COLORS[0], alpha=0.6)
        axes.set_yticks(range(len(names)), names, fontsize=13)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(xlabel="validation error, %", ylabel="units of the hidden layers")
        for row, score in enumerate(scores):
            axes.text(score + 0.5, row, f"{score:.1f}", va="center", fontsize=12)
        axes.margins(x=0.12)
        side = np.linspace(0, 1, 121)
        planes = results["planes"]
        for axes, (units, plane) in zip(
            right.subplots(1, len(planes), squeeze=False)[0], planes.items(), strict=True
        ):
            axes.pcolormesh(side, side, plane, cmap=shades, vmin=0, vmax=1, shading="nearest")
            for k in (0, 1):
                look = {"color": plotting.COLORS[k], "markersize": 4, "alpha": 0.8}
                axes.plot(*results["x"][results["y"] == k].T, plotting.MARKERS[k], **look)
            axes.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", xticks=(0, 1), yticks=(0, 1))
            axes.set_title(f"hidden units: {named(units)}", fontsize=16)
            axes.grid(visible=False)
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
