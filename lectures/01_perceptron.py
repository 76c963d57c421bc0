# %%
"""What can one layer not separate, and which hidden units solve it?

XOR: points scattered around the corners of the unit square, class 1 where exactly one coordinate is near 1. One unit
draws one line, so the demo tries all lines. Two hidden units draw two lines: first the two of the slide, set by hand,
then lines that training finds from random weights.

Claim: no line gets more than three of the four corners right, 75 %. The network of the slide gets all four. Training
finds such hidden units too, but not from every start.

Slide: "Approximating non-linear functions", "Non-linear feature learning", review question 1.
Reference: Minsky, Papert 1969, "Perceptrons"; Rumelhart, Hinton, Williams 1986, "Learning representations by
back-propagating errors", DOI 10.1038/323533a0.
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from tf_kit import data, lectures, networks, plotting

TITLE = "Limits of one layer"
SECONDS = 20


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    noise: float = lectures.option(0.1, "Standard deviation of the points around their corner.", at_least=0)
    starts: int = lectures.option(6, "Random starts of the two hidden units.", at_least=1)
    epochs: int = lectures.option(100, "Passes over the 400 training points.", at_least=1)
    seed: int = lectures.option(
        0, "Seed of the points; the starts use this seed and the ones after it.", at_least=0
    )

    @classmethod
    def quick(cls):
        return cls(starts=2, epochs=60)


# %% [markdown]
# One unit computes f(w·x + b), and its border is the line w·x + b = 0. Finding the best such line takes no training:
# turn a line full circle, shift it past every point, and count.


# %%
def best_line(x, y, directions=360):
    """Find the line that puts the most points on their correct side.

    Returns (a, b, c), with a x₁ + b x₂ + c > 0 on the side of class 1, and the share of correct points.
    """
    angles = 2 * np.pi * np.arange(directions) / directions
    normals = np.stack([np.cos(angles), np.sin(angles)])  # each points to class 1
    along = x @ normals  # (n, directions): place of each point along each normal
    order = np.argsort(along, axis=0)
    along, ones = np.take_along_axis(along, order, 0), y[order]
    right = np.cumsum(1 - ones, axis=0) + ones.sum(axis=0) - np.cumsum(ones, axis=0)
    between = np.diff(along, axis=0) > 1e-9  # a line cannot pass between equal points
    cut, turn = np.unravel_index(np.argmax(right[:-1] * between), between.shape)
    border = (along[cut, turn] + along[cut + 1, turn]) / 2
    return (*normals[:, turn], -border), right[cut, turn] / len(x)


# %% [markdown]
# Two hidden units draw two lines. Their outputs (z₁, z₂) are two new features of each point. In the plane of these
# features a single line is enough, and the output unit draws it.


# %%
def train(points, start, epochs):
    """Train a network with two hidden units from random weights."""
    model = networks.mlp((2,), num_classes=1, activation="sigmoid", input_shape=(2,), seed=start)
    model.compile(keras.optimizers.Adam(0.1), networks.SigmoidCrossEntropy())
    model.fit(points.x, points.y, batch_size=50, epochs=epochs, shuffle=False, verbose=0)
    return model


def accuracy(model, points, border):
    """Share of points classified correctly; an output above `border` means class 1."""
    return float(np.mean((np.array(model(points.x))[:, 0] > border) == points.y))


def pictured(model, points, limits=(-0.2, 1.2), resolution=141):
    """Compute the output of a trained network over the input plane and over the plane of its hidden units."""
    side = np.linspace(*limits, resolution)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    W, b, V, a = (np.asarray(each, "float64") for each in model.get_weights())  # kernels are (in, out)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    return {
        "limits": limits,
        "hidden": np.array(networks.forward(model, points.x).activations[1]),
        "lines": [(*W[:, unit], b[unit]) for unit in range(2)],
        "in_plane": sigmoid(sigmoid(plane @ W + b) @ V + a).reshape(resolution, resolution),
        "in_hidden": sigmoid(plane @ V + a).reshape(resolution, resolution),
    }


def run(config):
    parts = data.load("xor", seed=config.seed, noise=config.noise)
    train_points, _, test_points = parts
    x = np.concatenate([part.x for part in parts]).astype("float64")  # 150 points at each corner
    line, line_accuracy = best_line(x, np.concatenate([part.y for part in parts]))
    by_hand = accuracy(networks.xor_network(), test_points, border=0.5)
    models = [train(train_points, config.seed + start, config.epochs) for start in range(config.starts)]
    learned = [accuracy(model, test_points, border=0.0) for model in models]  # a logit above 0 means class 1
    return {
        "line": line,
        "line_accuracy": line_accuracy,
        "by_hand": by_hand,
        "learned": learned,
        "x": test_points.x,
        "y": test_points.y,
        "kernels": [
            np.array(layer.kernel.numpy()) for layer in networks.xor_network().layers if layer.weights
        ],
        **pictured(models[int(np.argmax(learned))], test_points),
    }


# %%
def check(results):
    learned = np.array(results["learned"])
    solved = int(np.sum(learned > 0.99))
    assert results["line_accuracy"] < 0.8, f"a line gets {100 * results['line_accuracy']:.0f} % right"
    assert results["by_hand"] > 0.99, f"the hand-set network gets {100 * results['by_hand']:.0f} % right"
    assert solved, f"no start solved it; the best reached {100 * learned.max():.0f} %"
    return (
        f"The best of all lines classifies {100 * results['line_accuracy']:.0f} % of the points correctly, the slide's "
        f"two hidden units {100 * results['by_hand']:.0f} %. Training found such units from {solved} of "
        f"{len(learned)} random starts; the worst start ended at {100 * learned.min():.0f} %."
    )


# %%
def plot(results):
    low, high = results["limits"]
    side = np.linspace(low, high, len(results["in_plane"]))
    x1, x2 = np.meshgrid(side, side)
    a, b, c = results["line"]
    one_line = 1 / (1 + np.exp(-50 * (a * x1 + b * x2 + c)))
    panels = [  # title, name of the axes, points, output over the plane, lines
        (f"best single line: {100 * results['line_accuracy']:.0f} %", "x", results["x"], one_line, []),
        (
            f"two hidden units: {100 * max(results['learned']):.0f} %",
            "x",
            results["x"],
            results["in_plane"],
            results["lines"],
        ),
        ("plane of the hidden units", "z", results["hidden"], results["in_hidden"], []),
    ]
    shades = LinearSegmentedColormap.from_list("classes", ["#A6D3F0", "#FFFFFF", "#F3C9A5"])
    with plt.rc_context({**plotting.STYLE, "axes.grid": False, "font.size": 15}):
        figure, (above, below) = plt.subplots(2, 2, figsize=(12, 10.4), layout="constrained")
        plotting.draw_network(above[0], results["kernels"], weights="values")
        above[0].set_title("the slide's network for XOR")
        shown = {}
        for axes, (title, name, points, output, lines) in zip([above[1], *below], panels, strict=True):
            axes.pcolormesh(side, side, output, cmap=shades, vmin=0, vmax=1, shading="nearest")
            axes.contour(side, side, output, levels=[0.5], colors="black", linewidths=2.2)
            for unit, (a, b, c) in enumerate(lines):
                ends = np.array([low - 1, high + 1])
                x, y = (ends, -(a * ends + c) / b) if abs(b) > abs(a) else (-(b * ends + c) / a, ends)
                (drawn,) = axes.plot(x, y, "--", color=plotting.COLORS[2 + unit], linewidth=2.6)
                shown[f"hidden unit $z_{unit + 1}$"] = drawn
            for k in (0, 1):
                look = {"color": plotting.COLORS[k], "markersize": 5, "alpha": 0.7}
                (shown[f"class {k}"],) = axes.plot(*points[results["y"] == k].T, plotting.MARKERS[k], **look)
            axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=title)
            axes.set(xlabel=f"${name}_1$", ylabel=f"${name}_2$")
            axes.locator_params(nbins=4)
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(shown))
    return figure


# %% [markdown]
# Things that move: `tf-kit lecture 01 --animate`.


# %%
class Borders(keras.callbacks.Callback):
    """Keeps the output over the plane after every second epoch."""

    def __init__(self, plane):
        super().__init__()
        self.plane, self.outputs = plane, []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % 2 == 0:
            self.outputs.append(1 / (1 + np.exp(-np.array(self.model(self.plane))[:, 0])))


def animation(config):
    """Decision regions of a network with four hidden units during training."""
    points = data.load("xor", seed=config.seed, noise=config.noise)[0]
    side = np.linspace(-0.2, 1.2, 71)
    borders = Borders(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype("float32"))
    model = networks.mlp((4,), num_classes=1, activation="sigmoid", input_shape=(2,), seed=config.seed)
    model.compile(keras.optimizers.Adam(0.1), networks.SigmoidCrossEntropy())
    model.fit(points.x, points.y, batch_size=50, epochs=80, shuffle=False, verbose=0, callbacks=[borders])
    shades = LinearSegmentedColormap.from_list("classes", ["#A6D3F0", "#FFFFFF", "#F3C9A5"])

    def draw(place):
        output = borders.outputs[place].reshape(71, 71)
        with plt.rc_context({**plotting.STYLE, "axes.grid": False}):
            figure, axes = plt.subplots(figsize=(6.4, 5.8), layout="constrained")
            axes.pcolormesh(side, side, output, cmap=shades, vmin=0, vmax=1, shading="nearest")
            axes.contour(side, side, output, levels=[0.5], colors="black", linewidths=2.2)
            for k in (0, 1):
                look = {"color": plotting.COLORS[k], "markersize": 5, "alpha": 0.7}
                axes.plot(*points.x[points.y == k].T, plotting.MARKERS[k], label=f"class {k}", **look)
            axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", title=f"after {2 * place} epochs")
            axes.legend(loc="upper right")
        return figure

    return lectures.States({"epoch": [str(2 * place) for place in range(len(borders.outputs))]}, draw)


# %%
if __name__ == "__main__":
    lectures.main(globals())
