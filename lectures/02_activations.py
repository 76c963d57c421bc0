# %%
"""Where does each activation stop passing gradient, and does ReLU really learn in a sixth of the epochs?

The derivative f'(z) is what an activation multiplies δ by: its curve shows where learning stops. Then the same
network is trained with each activation from the same weights by stochastic gradient descent, at each of several
learning rates, until its training error is small. The rate that was fastest counts, for each activation its own,
as in the figure that the slide's factor of 6 comes from.

Claim: sigmoid and tanh flatten at both ends, ReLU on one side, leaky ReLU nowhere. ReLU needs less than half the
epochs of the sigmoid; against tanh there is no such gain here, and tanh needs less than three times as many. The
factor of 6 was measured against tanh, on a convolutional network and color photographs: it is no law.

Slide: "Activation Function".
Reference: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks",
figure 1.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import data, lectures, networks, plotting
from tf_kit.pretraining import Classifier

TITLE = "Activations and their gradients"
SECONDS = 25

LAYERS = {
    "sigmoid": networks.Sigmoid,
    "tanh": networks.Tanh,
    "ReLU": networks.ReLU,
    "leaky ReLU": networks.LeakyReLU,
}


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "data set: digits, mnist, or any image set")
    examples: int = lectures.option(1197, "training examples, at most")
    depth: int = lectures.option(3, "hidden layers")
    units: int = lectures.option(64, "units in each hidden layer")
    error: float = lectures.option(5.0, "training error to be reached, percent")
    epochs: int = lectures.option(50, "passes after which a run is given up")
    seeds: int = lectures.option(2, "networks of each kind")

    @classmethod
    def quick(cls):
        return cls(seeds=1, epochs=12, error=10.0)


RATES = (0.1, 0.3, 1.0, 3.0)


# %% [markdown]
# Each activation layer of the kit has its function and, beside it, its derivative.


# %%
def curves(limit=6, points=601):
    """z, and for each activation f(z) and f'(z)."""
    z = np.linspace(-limit, limit, points)
    found = {}
    for name, layer in LAYERS.items():
        f = layer(dtype="float64")
        found[name] = (np.array(f(z)), np.array(f.derivative(z)))
    return z, found


# %% [markdown]
# One network for each activation; for each seed and rate it is set back to its initial weights, which are the same
# for all activations.


# %%
class StopAt(keras.callbacks.Callback):
    """Ends training once the error of an epoch is small enough, or no longer a number."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        error = 100 * (1 - logs["accuracy"])
        self.model.stop_training = error <= self.error or not np.isfinite(logs["loss"])


def training_errors(layer, train, config):
    """Training error in percent after each epoch: {rate: one array for each seed}."""

    def network(seed):
        units = (config.units,) * config.depth
        return networks.mlp(units, train.num_classes, layer, train.x.shape[1:], seed)

    classifier = Classifier(network(0), train.num_classes)
    classifier.compile(keras.optimizers.SGD(RATES[0]))
    errors = {rate: [] for rate in RATES}
    for rate in RATES:
        for seed in range(config.seeds):
            classifier.prepare(train.x[:1], train.y[:1])
            classifier.set_weights(network(seed).get_weights())
            classifier.optimizer.learning_rate = rate
            history = classifier.fit(
                train.x[: config.examples],
                train.y[: config.examples],
                batch_size=32,
                epochs=config.epochs,
                callbacks=[StopAt(config.error)],
                verbose=0,
            ).history
            errors[rate].append(100 * (1 - np.array(history["accuracy"])))
    return errors


def needed(errors, config):
    """Epochs until the error is reached, a mean over seeds; a run that was given up counts all its epochs."""
    return np.mean([len(each) if each[-1] <= config.error else config.epochs for each in errors])


def run(config):
    z, found = curves()
    train, _, _ = data.load(config.data, seed=0)
    results = {"z": z, "curves": found, "error": config.error, "limit": config.epochs}
    results |= {"epochs": {}, "rate": {}, "errors": {}}
    for name, layer in LAYERS.items():
        errors = training_errors(layer, train, config)
        rate = min(RATES, key=lambda rate: (needed(errors[rate], config), errors[rate][0][-1]))
        results["epochs"][name] = needed(errors[rate], config)
        results["rate"][name] = rate
        results["errors"][name] = errors[rate][0]
    return results


# %%
def check(results):
    z, epochs = results["z"], results["epochs"]
    slope = {name: derivative for name, (_, derivative) in results["curves"].items()}
    assert slope["sigmoid"].max() <= 0.25, "the sigmoid passes at most a quarter of the gradient"
    flat = {name: z[slope[name] < 0.01] for name in slope}
    both = all(flat[name].min() < 0 < flat[name].max() for name in ("sigmoid", "tanh"))
    assert both, "sigmoid and tanh flatten at both ends"
    assert flat["ReLU"].max() <= 0, "ReLU is flat below 0 only"
    assert not flat["leaky ReLU"].size, "leaky ReLU is flat nowhere"
    against_sigmoid, against_tanh = (epochs[name] / epochs["ReLU"] for name in ("sigmoid", "tanh"))
    assert against_sigmoid > 2, f"the sigmoid needs only {against_sigmoid:.1f} times the epochs of ReLU"
    assert against_tanh < 3, f"tanh needs {against_tanh:.1f} times the epochs of ReLU"
    ends = [flat[name][flat[name] > 0].min() for name in ("sigmoid", "tanh")]
    more = "more than " if epochs["sigmoid"] == results["limit"] else ""
    return (
        f"Slopes fall below 0.01 beyond |z| = {ends[0]:.1f} for the sigmoid, {ends[1]:.1f} for tanh, and for z < 0 "
        f"for ReLU. To a training error of {results['error']:g} %: ReLU {epochs['ReLU']:.1f} epochs, leaky ReLU "
        f"{epochs['leaky ReLU']:.1f}, tanh {epochs['tanh']:.1f}, sigmoid {more}{epochs['sigmoid']:.1f}: a factor of "
        f"{more}{against_sigmoid:.1f} against the sigmoid and {against_tanh:.1f} against tanh."
    )


# %%
def plot(results):
    z, error = results["z"], results["error"]
    functions = {name: (z, values) for name, (values, _) in results["curves"].items()}
    slopes = {name: (z, values) for name, (_, values) in results["curves"].items()}
    errors = {name: (np.arange(1, len(each) + 1), each) for name, each in results["errors"].items()}
    return plotting.graphs(
        [
            {"series": functions, "title": "activation $f(z)$", "x_label": "$z$", "y_limits": (-1.3, 2.3)},
            {"series": slopes, "title": "what it lets back, $f'(z)$", "x_label": "$z$"},
            {
                "series": errors,
                "title": "training error, %",
                "x_label": "epoch",
                "x_limits": (0, 4 + max(len(each) for each in results["errors"].values())),
                "y_limits": (0, 100),
                "level": (error, f"{error:g} %"),
            },
        ]
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
