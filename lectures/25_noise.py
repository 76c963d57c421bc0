# %%
"""Which noise regularizes best: on the inputs, on the weights or on the labels?

A network learns from a few hundred images, a fifth of which have a label drawn at random. It is trained as it is, with
Gaussian noise on its inputs, with Gaussian noise on its weights that is drawn anew in every step, and with smoothed
labels, which give a part of the probability to the other classes. Each kind has one strength. Half and twice the noise
do no better on inputs and weights; labels smoothed by 0.8 instead of 0.3 do, but not as well as noise on the inputs.

Claim: noise on the inputs and noise on the weights each lower the test error by more than a point. Smoothed labels
lower it too, by less than noise on the inputs. They also make the network hesitant: its test loss rises, since it is
scored against sharp labels.

Slide: "Regularization in Deep Learning": add stochastic noise.
Reference: Graves 2011, "Practical variational inference for neural networks"; Szegedy, Vanhoucke, Ioffe, Shlens, Wojna
2016, "Rethinking the Inception architecture", section 7, arXiv:1512.00567.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import data, lectures, plotting
from tf_kit.lectures.words import enumerated

TITLE = "Noise on inputs, weights and labels"
SECONDS = 25


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    labels: int = lectures.option(
        400, "Largest number of training examples, one per class at least.", at_least=2
    )
    wrong: float = lectures.option(
        0.2, "Share of the training labels to replace at random.", at_least=0, at_most=1
    )
    inputs: float = lectures.option(0.3, "Standard deviation of the noise on the inputs.", above=0)
    weights: float = lectures.option(0.1, "Standard deviation of the noise on the weights.", above=0)
    smoothing: float = lectures.option(
        0.3, "Share of the labels' probability given to all classes.", above=0, below=1
    )
    epochs: int = lectures.option(60, "Passes over the examples.", at_least=1)
    seeds: int = lectures.option(3, "Networks per kind.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(epochs=40, seeds=1)


# %% [markdown]
# Weight noise is a dense layer that adds N(0, σ²) to its kernel in training, and nothing in a prediction.


# %%
class NoisyDense(keras.layers.Dense):
    """Dense layer whose kernel is disturbed in training."""

    def __init__(self, units, stddev, seed, **kwargs):
        super().__init__(units, **kwargs)
        self.stddev, self.noise = stddev, keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        kernel = self.kernel
        if training and self.stddev:
            kernel = kernel + self.stddev * keras.random.normal(kernel.shape, seed=self.noise)
        return self.activation(keras.ops.matmul(inputs, kernel) + self.bias)


def network(shape, num_classes, inputs, weights, seed):
    glorot = [keras.initializers.GlorotUniform(seed=10 * seed + k) for k in range(2)]
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.GaussianNoise(inputs, seed=seed),
            NoisyDense(200, weights, seed, activation="relu", kernel_initializer=glorot[0]),
            NoisyDense(num_classes, weights, seed + 1, kernel_initializer=glorot[1]),
        ]
    )


def scores(kind, config, seed):
    """Train a network with one kind of noise; return its test loss and its test error in percent."""
    train, _, test = lectures.load_data(config.data, seed=seed, labels=config.labels)
    noise = {"inputs": 0.0, "weights": 0.0} | (
        {kind: getattr(config, kind)} if kind in ("inputs", "weights") else {}
    )
    model = network(train.x.shape[1:], train.num_classes, **noise, seed=seed)
    smoothing = config.smoothing if kind == "labels" else 0.0
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    model.compile(keras.optimizers.Adam(0.003), loss, steps_per_execution=13)
    y = np.eye(train.num_classes)[lectures.mislabel(train.y, train.num_classes, config.wrong, seed)]
    batches = data.minibatches(train.x, y, batch_size=32, seed=seed, epochs=config.epochs)
    model.fit(batches, shuffle=False, verbose=0)  # `minibatches` has shuffled them
    logits = np.asarray(model(test.x))
    losses = keras.ops.sparse_categorical_crossentropy(test.y, logits, from_logits=True)
    return float(np.mean(losses)), 100 * float(np.mean(logits.argmax(axis=1) != test.y))


def run(config):
    kinds = {
        "none": "none",
        "on the inputs": "inputs",
        "on the weights": "weights",
        "on the labels": "labels",
    }
    found = {
        name: np.array([scores(kind, config, seed) for seed in range(config.seeds)])
        for name, kind in kinds.items()
    }
    return {
        "loss": {name: each[:, 0] for name, each in found.items()},
        "error": {name: each[:, 1] for name, each in found.items()},
    }


# %%
def check(results):
    loss, error = ({name: of.mean() for name, of in results[key].items()} for key in ("loss", "error"))
    for name in ("on the inputs", "on the weights"):
        assert error[name] < error["none"] - 1, (
            f"noise {name}: {error[name]:.1f} %, without {error['none']:.1f} %"
        )
    smoothed = error["on the labels"]
    assert error["on the inputs"] < smoothed < error["none"], f"errors: {enumerated(error, '.1f', ' %')}"
    assert loss["on the labels"] > loss["none"], f"test losses: {enumerated(loss)}"
    listed = "; ".join(f"{name} {loss[name]:.2f} and {error[name]:.1f} %" for name in loss)
    best = min(error, key=error.get)
    return f"The error is lowest with noise {best}. Test loss and test error by noise: {listed}."


# %%
def plot(results):
    return plotting.bars(
        {"test loss": results["loss"], "test error, %": results["error"]}, "noise in training"
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
