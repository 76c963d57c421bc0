# %%
"""Where does each activation stop passing gradient, and does ReLU really learn in a sixth of the epochs?

The derivative f'(z) is the factor by which an activation multiplies δ on its way back, so its curve shows where
learning stops. Then the same network is trained with each activation by stochastic gradient descent, from the same
weights and at several learning rates, until its training error is small. Each activation is judged at its fastest
rate, as in the figure from which the slide takes its factor of 6.

Claim: sigmoid and tanh flatten at both ends, ReLU on one side, leaky ReLU nowhere. ReLU needs less than half as many
epochs as the sigmoid. There is no such gain over tanh, which needs less than three times as many epochs as ReLU. The
factor of 6 was measured against tanh on a convolutional network and color photographs; it is not a general law.

Slide: "Activation Function".
Reference: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks",
figure 1.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
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
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    depth: int = lectures.option(3, "Hidden layers.", at_least=1)
    units: int = lectures.option(64, "Units in each hidden layer.", at_least=1)
    error: float = lectures.option(
        5.0, "Training error at which a run ends, in percent.", at_least=0, at_most=100
    )
    epochs: int = lectures.option(50, "Epochs after which a run is given up.", at_least=1)
    seeds: int = lectures.option(2, "Networks per activation and rate.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=1, epochs=12, error=10.0)


RATES = (0.1, 0.3, 1.0, 3.0)


# %% [markdown]
# Calling an activation layer of the kit computes f(z); its method `derivative` computes f'(z).


# %%
def curves(limit=6, points=601):
    """Return z, and f(z) and f'(z) of each activation."""
    z = np.linspace(-limit, limit, points)
    found = {}
    for name, layer in LAYERS.items():
        f = layer(dtype="float64")
        found[name] = (np.array(f(z)), np.array(f.derivative(z)))
    return z, found


# %% [markdown]
# There is one network per activation. Before each run it returns to the initial weights of the run's seed, which are
# the same for all activations.


# %%
class StopAt(keras.callbacks.Callback):
    """Ends training once the error of an epoch is small enough or the loss is not finite."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        error = 100 * (1 - logs["accuracy"])
        self.model.stop_training = error <= self.error or not np.isfinite(logs["loss"])


def training_errors(layer, train, config):
    """Return the training error in percent after each epoch: {rate: one array per seed}."""

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
                train.x,
                train.y,
                batch_size=32,
                epochs=config.epochs,
                callbacks=[StopAt(config.error)],
                verbose=0,
            ).history
            errors[rate].append(100 * (1 - np.array(history["accuracy"])))
    return errors


def needed(errors, config):
    """Mean number of epochs until the error is reached; a run that was given up counts all its epochs."""
    return np.mean([len(each) if each[-1] <= config.error else config.epochs for each in errors])


def run(config):
    z, found = curves()
    train, _, _ = lectures.load_data(config.data, examples=config.examples)
    results = {"z": z, "curves": found, "error": config.error, "limit": config.epochs}
    results |= {"epochs": {}, "given_up": {}, "rate": {}, "errors": {}}
    for name, layer in LAYERS.items():
        errors = training_errors(layer, train, config)
        rate = min(RATES, key=lambda rate: (needed(errors[rate], config), errors[rate][0][-1]))
        results["epochs"][name] = needed(errors[rate], config)
        results["given_up"][name] = any(each[-1] > config.error for each in errors[rate])
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
    assert not results["given_up"]["ReLU"], f"ReLU needs more than {results['limit']} epochs"
    against_sigmoid, against_tanh = (epochs[name] / epochs["ReLU"] for name in ("sigmoid", "tanh"))
    assert against_sigmoid > 2, f"the sigmoid needs only {against_sigmoid:.1f} times the epochs of ReLU"
    assert against_tanh < 3, f"tanh needs {against_tanh:.1f} times the epochs of ReLU"
    ends = [flat[name][flat[name] > 0].min() for name in ("sigmoid", "tanh")]
    more = {name: "more than " if given_up else "" for name, given_up in results["given_up"].items()}
    return (
        f"Slopes fall below 0.01 beyond |z| = {ends[0]:.1f} for the sigmoid, {ends[1]:.1f} for tanh, and for z < 0 "
        f"for ReLU. To reach a training error of {results['error']:g} %, ReLU needs {epochs['ReLU']:.1f} epochs, leaky "
        f"ReLU {more['leaky ReLU']}{epochs['leaky ReLU']:.1f}, tanh {more['tanh']}{epochs['tanh']:.1f} and the sigmoid "
        f"{more['sigmoid']}{epochs['sigmoid']:.1f}: tanh takes {more['tanh']}{against_tanh:.1f} times as long as ReLU, "
        f"the sigmoid {more['sigmoid']}{against_sigmoid:.1f} times."
    )


# %%
def plot(results):
    z, error = results["z"], results["error"]
    functions = {name: (z, values) for name, (values, _) in results["curves"].items()}
    slopes = {name: (z, values) for name, (_, values) in results["curves"].items()}
    errors = {name: (np.arange(1, len(each) + 1), each) for name, each in results["errors"].items()}
    return plotting.graphs(
        [
            {
                "series": functions,
                "title": "activation",
                "y_label": "$f(z)$",
                "x_label": "$z$",
                "y_limits": (-1.3, 2.3),
            },
            {"series": slopes, "title": "derivative", "y_label": "$f'(z)$", "x_label": "$z$"},
            {
                "series": errors,
                "title": "training",
                "y_label": "training error, %",
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
