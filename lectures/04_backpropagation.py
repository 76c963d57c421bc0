# %%
"""Do the slide's δ agree with automatic and numerical differentiation, and what happens if all weights start equal?

The example is a small sigmoid network on digits. Its cost J includes the penalty λ/2 ΣW². The gradient is computed in
three ways: by the δ of the slide, by TensorFlow from the forward pass alone, and by differences of J along random
directions. Two formulas of the slide are also tried as printed: without λW, and with f'(z) in the δ of a
cross-entropy output.

Claim: all three agree, the first two to rounding. Both printed forms are off by more than 1 % at every step size.
Hidden units that start equal stay equal, so the network learns no more than one hidden unit could.

Slide: "Implementation", "Note: Initialize the parameters randomly → symmetry breaking".
Reference: Rumelhart, Hinton, Williams 1986, "Learning representations by back-propagating errors", DOI
10.1038/323533a0.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_kit import lectures, networks, plotting
from tf_kit.lectures.words import enumerated

TITLE = "Backpropagation, checked"
SECONDS = 5


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set with ten classes: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    units: int = lectures.option(12, "Hidden units.", at_least=2)
    l2: float = lectures.option(0.03, "λ of the penalty.", above=0)
    directions: int = lectures.option(20, "Random directions of the numerical gradient.", at_least=1)
    epochs: int = lectures.option(20, "Passes over the training set from each start.", at_least=1)
    seed: int = lectures.option(0, "Seed of the split, the weights and the directions.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(directions=5, epochs=6, examples=600)


# %% [markdown]
# TensorFlow gets the forward pass and the cost, nothing else.


# %%
def automatic(weights, biases, x, y, l2):
    """Compute ∂J/∂W and ∂J/∂b by automatic differentiation in float64."""
    W, b = [tf.Variable(each) for each in weights], [tf.Variable(each) for each in biases]
    with tf.GradientTape() as tape:
        alpha = tf.constant(x)
        for W_l, b_l in zip(W, b, strict=True):
            z = tf.matmul(alpha, W_l, transpose_b=True) + b_l
            alpha = tf.sigmoid(z)
        J = networks.SigmoidCrossEntropy(dtype="float64")(y, z) + networks.l2_penalty(W, l2)
    gradients = [each.numpy() for each in tape.gradient(J, [*W, *b])]
    return gradients[: len(W)], gradients[len(W) :]


# %% [markdown]
# A difference of the cost along a direction u approximates g·u. Its error falls with the square of the step ε until
# rounding takes over, which grows as 1/ε; the best step lies in between. A wrong formula stays wrong at every ε.


# %%
def flat(gradients):
    """Concatenate (dW, db) into one vector."""
    return np.concatenate([each.ravel() for part in gradients for each in part])


def along(weights, biases, direction):
    """Move the weights and biases by one vector that covers all of them."""
    shapes = [each.shape for each in (*weights, *biases)]
    pieces = np.split(direction, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
    moved = [
        each + piece.reshape(each.shape) for each, piece in zip((*weights, *biases), pieces, strict=True)
    ]
    return moved[: len(weights)], moved[len(weights) :]


def relative_error(gradient, directions, differences):
    return np.linalg.norm(directions @ gradient - differences) / np.linalg.norm(differences)


def compared(x, y, config):
    """Compare each formula with the differences at each step, and the corrected one with TensorFlow."""
    model = networks.mlp((config.units,), y.shape[1], input_shape=x.shape[1:], seed=config.seed)
    values = [each.astype("float64") for each in model.get_weights()]
    weights, biases = [each.T for each in values[::2]], values[1::2]

    def slide(loss="cross_entropy", l2=config.l2):
        return networks.backpropagate(weights, biases, x, y, "sigmoid", loss, l2)[1:]

    def J(direction):
        moved = along(weights, biases, direction)
        return networks.backpropagate(*moved, x, y, "sigmoid", "cross_entropy", config.l2)[0]

    formulas = {
        "δ, corrected": flat(slide()),
        "as printed: no $λW$": flat(slide(l2=0.0)),
        "as printed: $f'(z)$ in δ": flat(slide(loss="squared_error")),  # δ = (α − y) f'(z)
    }
    by_tensorflow = flat(automatic(weights, biases, x, y, config.l2))
    right = formulas["δ, corrected"]
    rng = np.random.default_rng(config.seed)
    directions = rng.normal(size=(config.directions, len(right)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = 10.0 ** np.arange(-11, 1)
    errors = {name: [] for name in formulas}
    for step in steps:
        differences = np.array([(J(step * u) - J(-step * u)) / (2 * step) for u in directions])
        for name, gradient in formulas.items():
            errors[name].append(relative_error(gradient, directions, differences))
    return {
        "steps": steps,
        "errors": errors,
        "against_automatic": np.linalg.norm(right - by_tensorflow) / np.linalg.norm(by_tensorflow),
    }


# %% [markdown]
# Now the update of the slide, W := W − η ∂J/∂W, from two starts. Hidden units whose incoming and outgoing weights are
# equal have equal δ, so every update keeps them equal.


# %%
def train(weights, biases, x, y, config, rate=1.0, batch_size=32):
    """Train a network; return its error in percent after each epoch and the final spread of its hidden units."""
    labels, errors = y.argmax(axis=1), []
    rng = np.random.default_rng(config.seed)
    for _ in range(config.epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            _, dW, db = networks.backpropagate(weights, biases, x[batch], y[batch], "sigmoid")
            weights = [W - rate * g for W, g in zip(weights, dW, strict=True)]
            biases = [b - rate * g for b, g in zip(biases, db, strict=True)]
        hidden = 1 / (1 + np.exp(-(x @ weights[0].T + biases[0])))
        errors.append(100 * np.mean((hidden @ weights[1].T + biases[1]).argmax(axis=1) != labels))
    return np.array(errors), float(np.ptp(weights[0], axis=0).max())


def run(config):
    split, _, _ = lectures.load_data(config.data, seed=config.seed, examples=config.examples)
    x = split.x.reshape(-1, split.x[0].size).astype("float64")
    y = np.eye(split.num_classes)[split.y]
    results = compared(x[:50], y[:50], config)
    shapes = [(config.units, x.shape[1]), (y.shape[1], config.units)]
    biases = [np.zeros(shape[0]) for shape in shapes]
    rng = np.random.default_rng(config.seed)
    starts = {
        "equal weights": [np.full(shape, 0.1) for shape in shapes],
        "random weights": [rng.normal(0, 0.1, shape) for shape in shapes],
    }
    trained = {name: train(weights, biases, x, y, config) for name, weights in starts.items()}
    results["picture"] = flowing_back(config.seed)
    results["training"] = {name: errors for name, (errors, _) in trained.items()}
    results["apart"] = {name: distance for name, (_, distance) in trained.items()}
    return results


# %% [markdown]
# For the drawing: δ of one example in a small network. ∂J/∂b of a single example is δ itself.


# %%
def flowing_back(seed):
    """Return the kernels (in, out) of a small network, and δ of its hidden and output units for one example."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) for shape in ((4, 3), (2, 4))]
    biases = [np.zeros(4), np.zeros(2)]
    _, _, deltas = networks.backpropagate(
        weights, biases, rng.normal(size=(1, 3)), np.array([[1.0, 0.0]]), "sigmoid"
    )
    return {"model": [W.T for W in weights], "numbers": [None, *deltas], "backward": True}


# %%
def check(results):
    right, *printed = (np.min(each) for each in results["errors"].values())
    assert results["against_automatic"] < 1e-12, (
        f"the δ are {results['against_automatic']:.1g} off TensorFlow's gradient"
    )
    assert right < 1e-6, f"the δ are {right:.1g} off the differences"
    assert min(printed) > 0.01, f"the printed forms are off by only {enumerated(printed)}"
    equal, random = (results["training"][name][-1] for name in ("equal weights", "random weights"))
    apart = results["apart"]
    assert apart["equal weights"] < 1e-9, f"equal units drifted apart by {apart['equal weights']:.1g}"
    assert apart["random weights"] > 0.1, "units from random weights should differ"
    assert equal > 3 * random, f"training error {equal:.1f} % from equal, {random:.1f} % from random weights"
    return (
        f"The corrected δ are within {results['against_automatic']:.0e} of automatic differentiation and "
        f"{right:.0e} of the best differences. As printed they are off: by {printed[0]:.0%} without λW, by "
        f"{printed[1]:.0%} with f'(z). Hidden units that start equal stay {apart['equal weights']:.1g} apart and the "
        f"training error ends at {equal:.0f} %; from random weights it ends at {random:.0f} %."
    )


# %%
def plot(results):
    checks = {name: (results["steps"], error) for name, error in results["errors"].items()}
    training = {name: (np.arange(1, len(each) + 1), each) for name, each in results["training"].items()}
    return plotting.graphs(
        [
            {"network": results["picture"], "title": "δ of one example flows back"},
            {
                "series": checks,
                "title": "gradient against differences of $J$",
                "x_label": r"step $\epsilon$",
                "y_label": "relative error",
                "log": "xy",
            },
            {
                "series": training,
                "title": "symmetry breaking",
                "x_label": "epoch",
                "y_label": "training error, %",
                "y_limits": (0, 100),
            },
        ],
        width=5,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
