# %%
"""In which kind of layer does dropout help: dense, convolutional or recurrent?

Three networks learn from few images, of which a fifth have a label drawn at random: a dense one, a convolutional one,
and a recurrent one that reads an image row by row. Each is trained without dropout and with half of its hidden units
dropped, the recurrent one between its steps too, the same units in all steps. For comparison, the recurrent one is
also trained with dropout on its output alone, and the dense one with DropConnect, which drops single weights instead
of units.

Claim: dropout lowers the test error of the dense network by more than four points. The convolutional network gains
less; its weights are shared and few. The recurrent one gains less than half of that or loses, and the steps are the
reason: the dropped units carry no memory from row to row. On its output alone dropout lowers the error here too.
DropConnect serves the dense network as dropout does, within three points.

Slide: "Dropout": very useful for FC layers, less for conv layers, not useful in RNNs; "Dropconnect".
Reference: Srivastava et al. 2014, "Dropout"; Zaremba, Sutskever, Vinyals 2014, "Recurrent neural network
regularization", arXiv:1409.2329; Wan, Zeiler, Zhang, LeCun, Fergus 2013, "Regularization of neural networks using
DropConnect".
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.pretraining import Classifier
from tf_kit.regularization import DropConnect, Dropout

TITLE = "Dropout by kind of layer"
SECONDS = 60


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    labels: int = lectures.option(
        300, "Largest number of training examples, one per class at least.", at_least=2
    )
    wrong: float = lectures.option(
        0.2, "Share of the training labels to replace at random.", at_least=0, at_most=1
    )
    rate: float = lectures.option(
        0.5, "Probability of dropping a hidden unit or a weight.", at_least=0, below=1
    )
    epochs: int = lectures.option(40, "Passes over the examples.", at_least=1)
    seeds: int = lectures.option(3, "Networks per kind.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=1)


# %% [markdown]
# The layers differ in one thing only: whether, and of what, a share is dropped in training.


# %%
def dense(rate, seed, layer=None):
    def hidden(k):
        glorot = keras.initializers.GlorotUniform(seed=10 * seed + k)
        if layer is DropConnect:
            return [DropConnect(200, rate, activation="relu", kernel_initializer=glorot, seed=seed + k)]
        return [keras.layers.Dense(200, "relu", kernel_initializer=glorot), *dropped(rate, seed + k)]

    return [keras.layers.Flatten(), *hidden(0), *hidden(1)]


def convolutional(rate, seed):
    layers = []
    for k, filters in enumerate((16, 32)):
        glorot = keras.initializers.GlorotUniform(seed=10 * seed + k)
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=glorot)
        ]
        layers += dropped(rate, seed + k)
    return [*layers, keras.layers.MaxPooling2D(), keras.layers.Flatten()]


def recurrent(rate, seed, between=True):
    start = {
        "kernel_initializer": keras.initializers.GlorotUniform(seed=10 * seed),
        "recurrent_initializer": keras.initializers.Orthogonal(seed=10 * seed + 1),
    }
    return [
        RowByRow(),
        keras.layers.SimpleRNN(64, recurrent_dropout=rate if between else 0.0, seed=seed, **start),
        *dropped(rate, seed),
    ]


class RowByRow(keras.layers.Layer):
    """Reads images (n, h, w, c) as sequences of their rows (n, h, w·c)."""

    def call(self, inputs):
        _, height, *row = inputs.shape
        return keras.ops.reshape(inputs, (-1, height, int(np.prod(row))))


def dropped(rate, seed):
    return [Dropout(rate, seed=seed)] if rate else []


def networks_of(rate):
    """Return name → function of a seed that makes the layers."""
    return {
        "dense": lambda seed: dense(0.0, seed),
        "dense, dropout": lambda seed: dense(rate, seed),
        "dense, DropConnect": lambda seed: dense(rate, seed, DropConnect),
        "convolutional": lambda seed: convolutional(0.0, seed),
        "convolutional, dropout": lambda seed: convolutional(rate, seed),
        "recurrent": lambda seed: recurrent(0.0, seed),
        "recurrent, dropout": lambda seed: recurrent(rate, seed),
        "recurrent, output only": lambda seed: recurrent(rate, seed, between=False),
    }


def error(layers, config, seed):
    """Train a classifier; return its test error in percent."""
    train, val, test = lectures.load_data(config.data, seed=seed, labels=config.labels)
    classifier = Classifier(
        keras.Sequential([keras.Input(train.x.shape[1:]), *layers]), train.num_classes, seed=seed
    )
    classifier.compile(keras.optimizers.Adam(0.002))
    y = lectures.mislabel(train.y, train.num_classes, config.wrong, seed)
    classifier.fit(train.x, y, batch_size=32, epochs=config.epochs, verbose=0)
    x, y = np.concatenate([val.x, test.x])[:2000], np.concatenate([val.y, test.y])[:2000]
    return 100 * (1 - classifier.evaluate(x, y, verbose=0, return_dict=True)["accuracy"])


def run(config):
    return {
        "error": {
            name: np.array([error(make(seed), config, seed) for seed in range(config.seeds)])
            for name, make in networks_of(config.rate).items()
        }
    }


# %%
def check(results):
    mean = {name: float(of.mean()) for name, of in results["error"].items()}
    gain = {kind: mean[kind] - mean[f"{kind}, dropout"] for kind in ("dense", "convolutional", "recurrent")}
    assert gain["dense"] > 4, f"errors: {enumerated(mean, '.1f', ' %')}"
    assert gain["convolutional"] < gain["dense"], f"errors: {enumerated(mean, '.1f', ' %')}"
    assert gain["recurrent"] < gain["convolutional"] / 2, f"errors: {enumerated(mean, '.1f', ' %')}"
    outside = mean["recurrent, output only"]
    assert outside < min(mean["recurrent"], mean["recurrent, dropout"]), (
        f"errors: {enumerated(mean, '.1f', ' %')}"
    )
    apart = abs(mean["dense, DropConnect"] - mean["dense, dropout"])
    assert apart < 3, (
        f"DropConnect {mean['dense, DropConnect']:.1f} %, dropout {mean['dense, dropout']:.1f} %"
    )
    listed = ", ".join(
        f"{mean[kind]:.1f} % to {mean[kind + ', dropout']:.1f} % in the {kind} network" for kind in gain
    )
    connect = mean["dense, DropConnect"]
    return (
        f"Dropout changes the error from {listed}. On the output of the recurrent one alone it brings {outside:.1f} %, "
        f"DropConnect in the dense one {connect:.1f} %."
    )


# %%
def plot(results):
    return plotting.bars({"test error, %": results["error"]}, "network", width=9)


# %%
if __name__ == "__main__":
    lectures.main(globals())
