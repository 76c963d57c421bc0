# %%
"""At which learning rate do ReLU units die, and does a leaky ReLU save them?

A unit is dead if it is 0 for every training example: its slope is then 0 everywhere, and no gradient can bring it
back. The same network is trained by stochastic gradient descent from the same weights at rising learning rates, with
ReLU and with leaky ReLU, and its dead units are counted.

Claim: at small rates hardly a unit dies, at the largest rate that is tried most of them do, and the network then
guesses. Leaky ReLU has no dead unit at any rate, because its slope is nowhere 0.

Slide: "Activation Function": a ReLU can "die"; proper adjustment of the learning rate can mitigate that.
Reference: Maas, Hannun, Ng 2013, "Rectifier nonlinearities improve neural network acoustic models", section 2.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.pretraining import Classifier

TITLE = "Dying units"
SECONDS = 15


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1000, "Largest number of training examples.", at_least=2)
    units: int = lectures.option(64, "Units in each of the two hidden layers.", at_least=1)
    epochs: int = lectures.option(15, "Passes over the examples.", at_least=1)
    seeds: int = lectures.option(3, "Networks per activation and rate.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(epochs=5, seeds=1)


RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
LAYERS = {"ReLU": networks.ReLU, "leaky ReLU": networks.LeakyReLU}


# %% [markdown]
# `networks.dead_fraction` counts the units of each activation layer whose slope is 0 for all examples.


# %%
def train_at_rates(layer, x, y, num_classes, config):
    """Return the dead share of all hidden units and the training error, both in percent, (rates, seeds)."""

    def network(seed):
        return networks.mlp((config.units, config.units), num_classes, layer, x.shape[1:], seed)

    encoder = network(0)
    classifier = Classifier(encoder, num_classes)
    classifier.compile(keras.optimizers.SGD(RATES[0]))
    classifier.prepare(x[:1], y[:1])
    dead, errors = (np.empty((len(RATES), config.seeds)) for _ in range(2))
    for seed in range(config.seeds):
        start = network(seed).get_weights()
        for i, rate in enumerate(RATES):
            classifier.set_weights(start)
            classifier.optimizer.learning_rate = rate
            with np.errstate(all="ignore"):
                fit = classifier.fit(x, y, batch_size=32, epochs=config.epochs, verbose=0).history
            dead[i, seed] = 100 * np.mean(list(networks.dead_fraction(encoder, x).values()))
            errors[i, seed] = 100 * (1 - fit["accuracy"][-1])
    return dead, errors


def run(config):
    train, _, _ = lectures.load_data(config.data, examples=config.examples)
    x, y = train.x, train.y
    results = {"rates": np.array(RATES), "dead": {}, "errors": {}}
    for name, layer in LAYERS.items():
        results["dead"][name], results["errors"][name] = train_at_rates(
            layer, x, y, train.num_classes, config
        )
    return results


# %%
def check(results):
    dead, errors = (
        {name: of.mean(axis=1) for name, of in results[key].items()} for key in ("dead", "errors")
    )
    relu, leaky = dead["ReLU"], dead["leaky ReLU"]
    assert relu[0] < 10, f"at the smallest rate {relu[0]:.0f} % of the ReLU units are dead"
    assert relu[-1] > 50, f"at the largest rate {relu[-1]:.0f} % of the ReLU units are dead"
    assert errors["ReLU"][-1] > 60, f"the network with dead units errs on {errors['ReLU'][-1]:.0f} %"
    assert leaky.max() == 0, f"{leaky.max():.0f} % of the leaky units are dead"
    best = int(np.argmin(errors["ReLU"]))
    listed = ", ".join(f"{share:.0f} % at {rate:g}" for rate, share in zip(RATES, relu, strict=True))
    return (
        f"Dead ReLU units by learning rate: {listed}. The training error is lowest at {RATES[best]:g} "
        f"({errors['ReLU'][best]:.1f} %) and {errors['ReLU'][-1]:.0f} % at {RATES[-1]:g}. No leaky unit dies."
    )


# %%
def plot(results):
    rates = results["rates"]
    panels = [
        {
            "series": {name: (rates, of.mean(axis=1)) for name, of in results[key].items()},
            "title": title,
            "x_label": "learning rate",
            "y_label": label,
            "log": "x",
            "y_limits": (-3, 105),
        }
        for key, title, label in (
            ("dead", "dead hidden units", "units that are 0 for all examples, %"),
            ("errors", "training error", "training error, %"),
        )
    ]
    return plotting.graphs(panels, width=6)


# %%
if __name__ == "__main__":
    lectures.main(globals())
