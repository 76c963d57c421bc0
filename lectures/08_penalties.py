# %%
"""Which penalty sets weights to zero, and which only shrinks them?

The same network is trained from the same weights by stochastic gradient descent, under each penalty on the weights of
its hidden units. The l1 penalty appears twice: as a term of the loss, and as `SoftThreshold`, which takes the step of
l1 after each update and stops at zero.

Claim: l2 makes weights smaller but none of them zero. l1 sets a third of them or more to exactly zero if its step may
stop there; as a term of the loss it leaves them jumping to and fro around zero by the size of one step. Elastic net
both zeroes and shrinks. Max-norm zeroes nothing: it keeps the norm of each unit below its bound. The test error is
printed without a claim, because the digits are hardly overfitted and need no penalty.

Slide: "Regularization in Deep Learning": norm penalty, weight decay, l_2, l_1.
Reference: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 7.1; Zou, Hastie 2005, "Regularization and
variable selection via the elastic net", DOI 10.1111/j.1467-9868.2005.00503.x.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.pretraining import Classifier
from tf_kit.regularization import L1, L2, MaxNorm, SoftThreshold

TITLE = "Penalties on the weights"
SECONDS = 15


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    units: int = lectures.option(100, "Hidden units.", at_least=1)
    l1: float = lectures.option(0.002, "λ of the l1 penalty.", above=0)
    l2: float = lectures.option(0.01, "λ of the l2 penalty.", above=0)
    max_norm: float = lectures.option(1.0, "Bound on the norm of a unit's weights.", above=0)
    epochs: int = lectures.option(60, "Passes over the training set.", at_least=1)
    seed: int = lectures.option(0, "Seed of the weights and the order.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(epochs=25)


RATE = 0.1  # η of gradient descent, which makes `SoftThreshold(η λ)` the step of λ Σ|w|


# %% [markdown]
# In Keras a penalty in the loss is a `kernel_regularizer`; a change after each step is a `kernel_constraint`.


# %%
def penalties(config):
    """Return the arguments of the hidden layer for each penalty."""
    shrink = SoftThreshold(RATE * config.l1)
    return {
        "none": {},
        "l2": {"kernel_regularizer": L2(config.l2)},
        "l1 in the loss": {"kernel_regularizer": L1(config.l1)},
        "l1, stops at 0": {"kernel_constraint": shrink},
        "elastic net": {"kernel_regularizer": L2(config.l2), "kernel_constraint": shrink},
        "max-norm": {"kernel_constraint": MaxNorm(config.max_norm)},
    }


def train(penalty, splits, config):
    """Train; return the weights of the hidden layer (features, units) and the test error in percent."""
    train, _, test = splits
    x, y = train.x, train.y
    hidden = keras.layers.Dense(
        config.units,
        activation="relu",
        kernel_initializer=keras.initializers.GlorotUniform(seed=config.seed),
        **penalty,
    )
    encoder = keras.Sequential([keras.Input(train.x.shape[1:]), keras.layers.Flatten(), hidden])
    classifier = Classifier(encoder, train.num_classes, seed=config.seed)
    classifier.compile(keras.optimizers.SGD(RATE))
    classifier.fit(x, y, batch_size=32, epochs=config.epochs, verbose=0)
    accuracy = classifier.evaluate(test.x, test.y, return_dict=True, verbose=0)["accuracy"]
    return np.array(hidden.kernel.numpy()), 100 * (1 - accuracy)


def run(config):
    splits = lectures.load_data(config.data, examples=config.examples)
    # A pixel that is black in every image gives no gradient, so only the penalty would move its weights.
    seen = splits[0].x.max(axis=0).ravel() > 0
    results = {"bound": config.max_norm, "jump": RATE * config.l1, "weights": {}, "error": {}}
    for name, penalty in penalties(config).items():
        weights, error = train(penalty, splits, config)
        results["weights"][name] = weights[seen]
        results["error"][name] = float(error)
    return results


def zeros(weights):
    """Percent of weights that are exactly zero."""
    return 100 * float(np.mean(weights == 0))


# %%
def check(results):
    weights, jump = results["weights"], results["jump"]
    zero = {name: zeros(each) for name, each in weights.items()}
    norm = {name: float(np.linalg.norm(each)) for name, each in weights.items()}
    for name in ("none", "l2", "max-norm"):
        assert zero[name] < 0.1, f"{name} left {zero[name]:.1f} % of the weights at zero"
    for name in ("l1, stops at 0", "elastic net"):
        assert zero[name] > 30, f"{name} set {zero[name]:.0f} % of the weights to zero"
    assert zero["l1 in the loss"] < 1, f"l1 in the loss left {zero['l1 in the loss']:.1f} % at zero"
    near = 100 * float(np.mean(np.abs(weights["l1 in the loss"]) < 5 * jump))
    assert near > 40, f"l1 in the loss holds {near:.0f} % of the weights near zero"
    assert norm["l2"] < 0.8 * norm["none"], f"l2 leaves a norm of {norm['l2']:.1f} of {norm['none']:.1f}"
    shrunk, kept = norm["elastic net"], norm["l1, stops at 0"]
    assert shrunk < 0.9 * kept, f"elastic net leaves a norm of {shrunk:.1f}, l1 {kept:.1f}"
    largest = {name: float(np.linalg.norm(each, axis=0).max()) for name, each in weights.items()}
    assert largest["max-norm"] < 1.001 * results["bound"] < largest["none"], (
        f"largest norms of units: {enumerated(largest)}"
    )
    listed = "; ".join(
        f"{name} {zero[name]:.0f} %, {norm[name]:.1f}, {results['error'][name]:.1f} %" for name in weights
    )
    return f"Share of weights at exactly zero, norm of all weights, test error: {listed}."


# %%
def plot(results):
    sizes, norms = {}, {}
    for name, weights in results["weights"].items():
        ordered = np.sort(np.abs(weights).ravel())[::-1]
        part = np.linspace(0, 100, len(ordered))
        sizes[name] = (part, np.where(ordered > 0, ordered, np.nan))
        of_units = np.sort(np.linalg.norm(weights, axis=0))[::-1]
        norms[name] = (np.linspace(0, 100, len(of_units)), of_units)
    each_weight = {
        "series": sizes,
        "title": "size of the weights, sorted",
        "x_label": "% of the weights",
        "y_label": "$|w|$",
        "log": "y",
        "y_limits": (1e-5, 3),
        "x_limits": (0, 100),
    }
    each_unit = {
        "series": norms,
        "title": "norm of each unit, sorted",
        "x_label": "% of the units",
        "y_label": "norm",
        "y_limits": (0, None),
        "level": (results["bound"], "bound of max-norm"),
    }
    return plotting.graphs([each_weight, each_unit], width=6.8)


# %%
if __name__ == "__main__":
    lectures.main(globals())
