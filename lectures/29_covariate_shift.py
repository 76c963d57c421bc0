# %%
"""How far do the inputs of a layer move while the layers below it learn?

A deep ReLU network is trained by stochastic gradient descent with and without batch normalization, from the same
weights. After each epoch a fixed set of images passes through it in inference mode, and the inputs of the last
activation layer are compared with those before training: how far has the mean of a unit moved, in its first standard
deviations, and by which factor has its standard deviation changed?

Claim: without batch normalization the inputs of a unit move by more than half of their standard deviation, and their
spread grows; with it both stay closer to their start, although the network learns as fast. What is left of the shift
is learned: it is that of γ and β.

Slide: "Batch Normalization": we want to reduce this internal covariate shift for the benefit of later layers.
Reference: Ioffe, Szegedy 2015, "Batch Normalization", sections 2 and 4.1, arXiv:1502.03167; for another view of why it
helps Santurkar, Tsipras, Ilyas, Madry 2018, "How does batch normalization help optimization?", arXiv:1805.11604.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.regularization import BatchNorm

TITLE = "Internal covariate shift"
SECONDS = 20


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1000, "Largest number of training examples.", at_least=50)
    layers: int = lectures.option(4, "Hidden layers.", at_least=1)
    units: int = lectures.option(50, "ReLU units in each hidden layer.", at_least=1)
    rate: float = lectures.option(0.1, "Learning rate.", above=0)
    epochs: int = lectures.option(15, "Passes over the training examples.", at_least=1)
    seeds: int = lectures.option(3, "Networks per kind.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=1, epochs=8)


# %%
def network(config, split, normalized, seed):
    layers = [keras.Input(split.x.shape[1:]), keras.layers.Flatten()]
    for k in range(config.layers):
        glorot = keras.initializers.GlorotUniform(seed=100 * seed + k)
        layers.append(keras.layers.Dense(config.units, kernel_initializer=glorot))
        layers += [BatchNorm(momentum=0.9)] if normalized else []
        layers.append(networks.ReLU())
    glorot = keras.initializers.GlorotUniform(seed=100 * seed + config.layers)
    model = keras.Sequential([*layers, keras.layers.Dense(split.num_classes, kernel_initializer=glorot)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(config.rate), loss, metrics=["accuracy"])
    return model


# %% [markdown]
# The shift of a unit is |μₜ − μ₀|/σ₀ and the growth of its spread σₜ/σ₀, with mean and standard deviation over the same
# images; the figure shows medians over the units. A fresh batch normalization has no statistics of its own yet, so its
# layers see the images once before the first measurement.


# %%
class Watch(keras.callbacks.Callback):
    """Records mean and standard deviation of the inputs of the last activation layer after each epoch."""

    def __init__(self, model, x):
        super().__init__()
        self.below = keras.Model(model.inputs[0], model.layers[-2].input)
        self.x, self.means, self.deviations = x, [], []

    def measure(self):
        z = np.asarray(self.below(self.x, training=False))
        self.means.append(z.mean(axis=0))
        self.deviations.append(z.std(axis=0))

    def on_train_begin(self, logs=None):
        for _ in range(60):  # moves the moving statistics to those of the images
            self.below(self.x, training=True)
        self.measure()

    def on_epoch_end(self, epoch, logs=None):
        self.measure()


def run(config):
    results = {"shift": {}, "growth": {}, "error": {}}
    for name, normalized in (("without", False), ("with BatchNorm", True)):
        shifts, growths, errors = [], [], []
        for seed in range(config.seeds):
            train, _, _ = lectures.load_data(config.data, seed=seed, labels=config.examples, flag="examples")
            model = network(config, train, normalized, seed)
            watch = Watch(model, train.x[:500])
            fit = model.fit(
                train.x,
                train.y,
                batch_size=50,
                epochs=config.epochs,
                callbacks=[watch],
                shuffle=False,
                verbose=0,
            )
            means, deviations = np.array(watch.means), np.array(watch.deviations)
            shifts.append(np.median(np.abs(means - means[0]) / deviations[0], axis=1))
            growths.append(np.median(deviations / deviations[0], axis=1))
            errors.append(100 * (1 - np.array(fit.history["accuracy"])))
        results["shift"][name] = np.mean(shifts, axis=0)
        results["growth"][name] = np.mean(growths, axis=0)
        results["error"][name] = np.mean(errors, axis=0)
    return results


# %%
def check(results):
    shift, growth, error = (
        {name: float(each[-1]) for name, each in results[key].items()} for key in ("shift", "growth", "error")
    )
    without, with_ = shift["without"], shift["with BatchNorm"]
    assert without > 0.5, f"without it the inputs moved by {without:.2f} σ"
    assert with_ < 0.6 * without, f"shift {with_:.2f} σ with, {without:.2f} σ without"
    assert growth["without"] > max(1, growth["with BatchNorm"]), f"growth: {enumerated(growth)}"
    assert error["with BatchNorm"] < error["without"] + 1, (
        f"training errors: {enumerated(error, '.1f', ' %')}"
    )
    return (
        f"After {len(results['error']['without'])} epochs the mean input of a unit has moved by {without:.2f} standard "
        f"deviations without batch normalization and by {with_:.2f} with it; the standard deviation has grown "
        f"{growth['without']:.1f}-fold and {growth['with BatchNorm']:.1f}-fold. The training errors are "
        f"{error['without']:.1f} % and {error['with BatchNorm']:.1f} %."
    )


# %%
def plot(results):
    panels = []
    for key, title, label in (
        ("shift", "shift of the mean", "median of $|\\mu_t - \\mu_0|/\\sigma_0$"),
        ("growth", "growth of the spread", "median of $\\sigma_t/\\sigma_0$"),
        ("error", "training error", "training error, %"),
    ):
        first = 0 if key != "error" else 1
        series = {name: (np.arange(first, first + len(each)), each) for name, each in results[key].items()}
        panels.append(
            {"series": series, "title": title, "x_label": "epoch", "y_label": label, "y_limits": (0, None)}
        )
    return plotting.graphs(panels)


# %%
if __name__ == "__main__":
    lectures.main(globals())
