# %%
"""What do two views of an example teach, and what does collapse look like?

An encoder never sees a label: it is shown two random views of each digit (turned, cropped, noisy), and their
embeddings shall agree. Agreement alone is won by a constant, and each method has its own way to rule that out:
SimCLR other examples as negatives, BYOL a predictor and a slow teacher, Barlow Twins decorrelated features, VICReg a
term for their variance. A linear probe tells, epoch by epoch, what the encoder has learned.

Claim: after a few epochs the probe on each of the four encoders is well above the probe on the untrained one, which
is a random projection of the pixels. VICReg without its variance term has the lowest loss of all within an epoch,
because its embeddings have become one point: their effective rank falls towards 1 and their deviation to nearly 0,
and `CollapseMonitor` says so; the complete VICReg keeps both up.

Slide: "Pretraining by joint embedding": two views, maximize agreement.
Reference: Chen et al. 2020 (SimCLR); Grill et al. 2020 (BYOL); Zbontar et al. 2021 (Barlow Twins); Bardes, Ponce,
LeCun 2022 (VICReg); Garrido et al. 2023 (RankMe).
"""

import dataclasses
import warnings

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_kit import data, lectures, networks, plotting
from tf_kit.pretraining import (
    BYOL,
    BarlowTwins,
    CollapseMonitor,
    CollapseWarning,
    ExampleRandom,
    SimCLR,
    VICReg,
)
from tf_kit.regularization import AddNoise, BatchNorm, RandomResizedCrop, RandomRotation, compose

TITLE = "Two views, and collapse"
SECONDS = 50
METHODS = {"SimCLR": SimCLR, "BYOL": BYOL, "Barlow Twins": BarlowTwins, "VICReg": VICReg}


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "data set: digits, mnist, or any image set")
    examples: int = lectures.option(2000, "images to learn from, at most")
    epochs: int = lectures.option(12, "passes over them; at least 2")
    width: int = lectures.option(16, "features of the representation")
    seeds: int = lectures.option(1, "encoders of each method")

    @classmethod
    def quick(cls):
        return cls(epochs=5)


# %%
def encoder(width, seed):
    """Images to `width` features, through one hidden layer with batch normalization."""
    first, second = (keras.initializers.GlorotUniform(10 * seed + k) for k in (1, 2))
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(128, use_bias=False, kernel_initializer=first),
            BatchNorm(),
            keras.layers.Activation("relu"),
            keras.layers.Dense(width, kernel_initializer=second),
        ]
    )


# one object for all models, so that it is compiled once; what it draws comes from keys, not from itself
VIEWS = compose(RandomRotation(10), RandomResizedCrop((0.6, 1.0)), AddNoise(0.1))


class Probe(keras.callbacks.Callback):
    """Accuracy on `val` of logistic regression on the encoder's representation of `train`, after each epoch."""

    def __init__(self, train, val):
        super().__init__()
        self.train, self.val, self.accuracy = train, val, []

    def measure(self):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        classifier.fit(np.asarray(self.model.encoder(self.train[0])), self.train[1])
        score = classifier.score(np.asarray(self.model.encoder(self.val[0])), self.val[1])
        self.accuracy.append(100 * score)

    def on_train_begin(self, logs=None):
        self.measure()

    def on_epoch_end(self, epoch, logs=None):
        self.measure()


# %% [markdown]
# The collapsing run has a plain sigmoid encoder and one linear layer for a projector: no batch norm, nothing but the
# loss holds its embeddings apart. So has the complete VICReg that it is compared with.


# %%
def watch_collapse(x, val_x, variance_weight):
    """rankme, feature_deviation and the rest after each epoch, and the epoch in which the monitor warned."""
    plain = networks.mlp((64,), num_classes=None, seed=0)
    model = VICReg(plain, (32,), VIEWS, variance_weight=variance_weight)
    model.compile(keras.optimizers.Adam(0.01))
    monitor = CollapseMonitor(val_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # it is the point here
        history = model.fit(x, batch_size=32, epochs=2, verbose=0, callbacks=[monitor]).history
    return history | {"collapsed_in": monitor.collapsed_in}


def run(config):
    train, val, _ = data.load(config.data, seed=0)
    x, y = train.x[: config.examples], train.y[: config.examples]
    probes = {name: [] for name in METHODS}
    for name, method in METHODS.items():
        for seed in range(config.seeds):
            model = method(encoder(config.width, seed), augment=VIEWS, seed=seed)
            model.compile(keras.optimizers.Adam(0.003))
            probe = Probe((x, y), (val.x[:1000], val.y[:1000]))
            model.fit(x, batch_size=128, epochs=config.epochs, verbose=0, callbacks=[probe])
            probes[name].append(probe.accuracy)
    shown = np.asarray(model.views(x[:6], ExampleRandom(0, 0, 6)))
    return {
        "probe": {name: np.mean(of, axis=0) for name, of in probes.items()},
        "images": {"a digit": x[:6], "one view": shown[::2], "the other": shown[1::2]},
        "VICReg": watch_collapse(x, val.x[:500], variance_weight=25),
        "without variance term": watch_collapse(x, val.x[:500], variance_weight=0),
    }


# %%
def check(results):
    probes = results["probe"]
    untrained = next(iter(probes.values()))[0]
    last = {name: of[-1] for name, of in probes.items()}
    assert min(last.values()) > untrained + 3, f"untrained {untrained:.1f} %, then {last}"
    healthy, collapsed = results["VICReg"], results["without variance term"]
    assert healthy["collapsed_in"] is None, f"VICReg collapsed in epoch {healthy['collapsed_in']}"
    assert collapsed["collapsed_in"] == 1, f"the monitor said {collapsed['collapsed_in']}"
    assert collapsed["loss"][-1] < healthy["loss"][-1] / 10, "a constant costs little"
    assert collapsed["feature_deviation"][-1] < 0.1 * healthy["feature_deviation"][-1]
    assert collapsed["rankme"][-1] < 0.5 * healthy["rankme"][-1]
    best = max(last, key=last.get)
    return (
        f"The probe rises from {untrained:.1f} % on the untrained encoder to {min(last.values()):.1f} % to "
        f"{last[best]:.1f} % ({best}). Without its variance term VICReg collapses in epoch 1: effective rank "
        f"{collapsed['rankme'][-1]:.1f} against {healthy['rankme'][-1]:.1f}, deviation "
        f"{collapsed['feature_deviation'][-1]:.3f} against {healthy['feature_deviation'][-1]:.2f}, at a loss of "
        f"{collapsed['loss'][-1]:.2g} against {healthy['loss'][-1]:.2g}."
    )


# %%
def plot(results):
    epochs = np.arange(len(next(iter(results["probe"].values()))))
    runs = ("VICReg", "without variance term")
    measured = np.arange(1, len(results["VICReg"]["rankme"]) + 1)
    panels = [
        {
            "series": {name: (epochs, of) for name, of in results["probe"].items()},
            "title": "linear probe",
            "x_label": "epoch",
            "y_label": "accuracy, %",
            "legend": "lower right",
        }
    ]
    for name, title in (("rankme", "effective rank"), ("feature_deviation", "deviation of features")):
        panels.append(
            {
                "series": {run: (measured, results[run][name]) for run in runs},
                "title": title,
                "x_label": "epoch",
                "y_limits": (0, 1.35 * max(results["VICReg"][name])),
                "legend": "upper right",
            }
        )
    return plotting.images_and_graphs(results["images"], panels)


# %%
if __name__ == "__main__":
    lectures.main(globals())
