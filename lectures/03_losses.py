# %%
"""Why cross-entropy and not squared error after a sigmoid?

One sigmoid unit decides whether a digit is even. Its bias starts at the logit b, so it calls every digit even; the
larger b, the more confident it is. Both losses are trained by stochastic gradient descent at several learning rates
until the training error is below 20 %. The fastest rate counts, separately for each loss and each b.

Claim: where the unit is confident and wrong, the gradient of cross-entropy is 1 and that of squared error almost 0.
So cross-entropy recovers in a few epochs from every start, while squared error needs more than twice as many from the
most confident start. The more confident the start, the longer squared error takes.

Slide: "Multilayer Perceptron: Evaluation criterion".
Reference: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 6.2.2.2.
"""

import dataclasses
import functools

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.lectures.words import enumerated

TITLE = "Cross-entropy after a sigmoid"
SECONDS = 15

LOSSES = {  # both take logits
    "cross-entropy": networks.SigmoidCrossEntropy,
    "squared error": functools.partial(networks.SquaredError, "sigmoid"),
}
RATES = (1.0, 5.0, 25.0)
ENOUGH = 20.0  # percent


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set with ten classes: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    sure: int = lectures.option(12, "Largest logit b to start from.", at_least=0)
    apart: int = lectures.option(2, "Distance between the starting logits, which begin at 0.", at_least=1)
    epochs: int = lectures.option(25, "Epochs after which a run is given up.", at_least=1)
    seed: int = lectures.option(0, "Seed of the split and of the weights.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(apart=6, epochs=6)


# %% [markdown]
# For target 1, the gradient of cross-entropy with respect to z is σ(z) − 1. Squared error has an additional factor
# σ'(z), which is almost 0 on both sides: where the answer is right and where it is wrong.


# %%
def gradients(limit=12, points=2401):
    """Return z, and the size of each loss's slope at z for target 1."""
    z = np.linspace(-limit, limit, points)
    slopes = {}
    for name in LOSSES:
        loss = LOSSES[name](reduction="none", dtype="float64")
        slopes[name] = np.abs(np.gradient(np.array(loss(np.ones((points, 1)), z[:, None])), z))
    return z, slopes


# %%
def wrong(y, z):
    """Share of answers on the wrong side of the logit 0."""
    return keras.ops.mean(keras.ops.cast((z > 0) != (y > 0.5), "float32"), axis=-1)


class StopBelow(keras.callbacks.Callback):
    """Ends training once the error is small enough."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = 100 * logs["wrong"] < ENOUGH


def errors_from(model, start, rate, x, y, config):
    """Train from the bias `start`; return the training error in percent after each epoch."""
    kernel, _ = networks.mlp((), 1, input_shape=x.shape[1:], seed=config.seed).get_weights()
    model.set_weights([kernel, np.full(1, float(start))])
    model.optimizer.learning_rate = rate
    history = model.fit(
        x, y, batch_size=32, epochs=config.epochs, callbacks=[StopBelow()], shuffle=False, verbose=0
    )
    return 100 * np.array(history.history["wrong"])


def run(config):
    train, _, _ = lectures.load_data(config.data, seed=config.seed, examples=config.examples)
    x = train.x
    y = (train.y % 2 == 0).astype("float32")[:, None]
    z, slopes = gradients()
    starts = list(range(0, config.sure + 1, config.apart))
    results = {"z": z, "slopes": slopes, "starts": starts, "limit": config.epochs}
    results |= {"epochs": {}, "given_up": {}, "errors": {}}
    for name in LOSSES:
        model = networks.mlp((), 1, input_shape=x.shape[1:])
        model.compile(keras.optimizers.SGD(RATES[0]), LOSSES[name](), metrics=[wrong])
        results["epochs"][name], results["given_up"][name] = [], []
        for start in starts:
            runs = [errors_from(model, start, rate, x, y, config) for rate in RATES]
            fastest = min(runs, key=lambda errors: (len(errors), errors[-1]))
            results["epochs"][name].append(len(fastest))
            results["given_up"][name].append(bool(fastest[-1] >= ENOUGH))
        results["errors"][name] = fastest  # from the surest start
    return results


# %%
def check(results):
    z, slopes = results["z"], results["slopes"]
    at = np.argmin(np.abs(z + 10))
    sure = {name: slope[at] for name, slope in slopes.items()}
    assert sure["cross-entropy"] > 0.99, (
        f"the slope of cross-entropy is {sure['cross-entropy']:.2g} at z = −10"
    )
    assert sure["squared error"] < 0.001, (
        f"the slope of squared error is {sure['squared error']:.2g} at z = −10"
    )
    entropy, squared = (np.array(results["epochs"][name]) for name in LOSSES)
    assert not any(results["given_up"]["cross-entropy"]), (
        f"cross-entropy needs more than {results['limit']} epochs"
    )
    assert entropy.max() <= 5, f"cross-entropy took {entropy.max()} epochs"
    assert squared[-1] > 2 * entropy[-1], f"squared error took {squared[-1]}, cross-entropy {entropy[-1]}"
    assert np.all(np.diff(squared) >= 0), f"epochs of squared error by start: {enumerated(squared)}"
    more = ["more than " if given_up else "" for given_up in results["given_up"]["squared error"]]
    return (
        f"At z = −10 and target 1 the gradient is {sure['cross-entropy']:.2f} for cross-entropy and "
        f"{sure['squared error']:.0e} for squared error. Epochs until the error is below {ENOUGH:g} %: from b = 0, "
        f"{entropy[0]} for cross-entropy and {more[0]}{squared[0]} for squared error; from b = "
        f"{results['starts'][-1]}, {entropy[-1]} and {more[-1]}{squared[-1]}."
    )


# %%
def plot(results):
    z, starts = results["z"], results["starts"]
    return plotting.graphs(
        [
            {
                "series": {name: (z, slope) for name, slope in results["slopes"].items()},
                "title": "gradient, target 1",
                "x_label": "$z$: wrong < 0 < right",
                "y_label": r"$|\partial L / \partial z|$",
            },
            {
                "series": {
                    name: (np.arange(1, len(each) + 1), each) for name, each in results["errors"].items()
                },
                "title": f"training from $b = {starts[-1]}$",
                "x_label": "epoch",
                "y_label": "training error, %",
                "y_limits": (0, 60),
                "level": (ENOUGH, f"{ENOUGH:g} %"),
            },
            {
                "series": {name: (starts, each) for name, each in results["epochs"].items()},
                "title": f"epochs until {ENOUGH:g} % error",
                "x_label": "initial logit $b$",
                "y_label": "epochs",
                "y_limits": (0, 1.15 * results["limit"]),
                "level": (results["limit"], "given up"),
            },
        ],
        width=4.8,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
