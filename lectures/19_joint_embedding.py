# %%
"""What do two views of an example teach, and what does collapse look like?

An encoder never gets a label. It gets two random views of each digit (turned, cropped, noisy), and their embeddings
should agree. A constant embedding agrees perfectly, so each method has to rule it out: SimCLR with other examples as
negatives, BYOL with a predictor and a slow teacher, Barlow Twins with decorrelated features, VICReg with a variance
term. After each epoch a linear probe measures what the encoder has learned.

Claim: after a few epochs the probe on each of the four encoders is well above the probe on the untrained one, which
is a random projection of the pixels. VICReg without its variance term reaches a far lower loss than the complete one,
because all its embeddings have become one point: their effective rank falls towards 1 and their deviation to nearly
0, and `CollapseMonitor` reports it in the first epoch. The complete VICReg keeps both up.

Slide: "Unsupervised Pretraining": joint-embedding pretraining, two views, maximize the agreement.
Reference: Chen et al. 2020 (SimCLR), arXiv:2002.05709; Grill et al. 2020 (BYOL), arXiv:2006.07733; Zbontar et al.
2021 (Barlow Twins), arXiv:2103.03230; Bardes, Ponce, LeCun 2022 (VICReg), arXiv:2105.04906; Garrido et al. 2023
(RankMe), arXiv:2210.02885.
"""

import dataclasses
import warnings

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_kit import lectures, networks, plotting
from tf_kit.lectures.words import enumerated
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
    data: str = lectures.option("mnist or digits", "Data set; of several, the first that is prepared.")
    examples: int = lectures.option(2000, "Largest number of images to learn from.", at_least=20)
    epochs: int = lectures.option(12, "Passes over them.", at_least=2)
    width: int = lectures.option(16, "Features of the representation.", at_least=1)
    seeds: int = lectures.option(1, "Encoders per method.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(data="digits", epochs=5)


# %%
def encoder(width, seed):
    """Build an encoder with one hidden layer, batch normalization and `width` features."""
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


# one object for all models, so that it is compiled once; its random numbers come from keys, not from a state
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
# The collapsing run has a plain sigmoid encoder and a linear projector. It has no batch norm, so only the loss can keep
# its embeddings apart. The complete VICReg that it is compared with has the same network.


# %%
def watch_collapse(x, val_x, variance_weight):
    """Return rankme, feature_deviation and the other measures per epoch, and the epoch of the warning."""
    plain = networks.mlp((64,), num_classes=None, seed=0)
    model = VICReg(plain, (32,), VIEWS, variance_weight=variance_weight)
    model.compile(keras.optimizers.Adam(0.01))
    monitor = CollapseMonitor(val_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # the collapse is intended
        history = model.fit(x, batch_size=32, epochs=2, verbose=0, callbacks=[monitor]).history
    return history | {"collapsed_in": monitor.collapsed_in}


def run(config):
    train, val, _ = lectures.load_data(config.data, examples=config.examples, images=True)
    x, y, val = train.x, train.y, lectures.first_examples(val, 1000)
    probes = {name: [] for name in METHODS}
    for name, method in METHODS.items():
        for seed in range(config.seeds):
            model = method(encoder(config.width, seed), augment=VIEWS, seed=seed)
            model.compile(keras.optimizers.Adam(0.003))
            probe = Probe((x, y), (val.x, val.y))
            model.fit(x, batch_size=128, epochs=config.epochs, verbose=0, callbacks=[probe])
            probes[name].append(probe.accuracy)
    shown = np.asarray(model.views(x[:6], ExampleRandom(0, 0, 6)))
    return {
        "probe": {name: np.mean(of, axis=0) for name, of in probes.items()},
        "images": {"digits": x[:6], "one view": shown[::2], "the other": shown[1::2]},
        "VICReg": watch_collapse(x, val.x[:500], variance_weight=25),
        "without variance term": watch_collapse(x, val.x[:500], variance_weight=0),
    }


# %%
def check(results):
    probes = results["probe"]
    untrained = next(iter(probes.values()))[0]
    last = {name: of[-1] for name, of in probes.items()}
    assert min(last.values()) > untrained + 3, (
        f"untrained {untrained:.1f} %, then {enumerated(last, '.1f', ' %')}"
    )
    healthy, collapsed = results["VICReg"], results["without variance term"]
    assert healthy["collapsed_in"] is None, f"VICReg collapsed in epoch {healthy['collapsed_in']}"
    assert collapsed["collapsed_in"] == 1, (
        f"the monitor reported the collapse in epoch {collapsed['collapsed_in'] or '–'}"
    )
    assert collapsed["loss"][-1] < healthy["loss"][-1] / 10, "a constant should cost little"
    for name, words, share in (("feature_deviation", "deviation", 0.1), ("rankme", "effective rank", 0.5)):
        bad, good = collapsed[name][-1], healthy[name][-1]
        assert bad < share * good, f"the {words} is {bad:.3g} collapsed, {good:.3g} healthy"
    best = max(last, key=last.get)
    return (
        f"The probe rises from {untrained:.1f} % on the untrained encoder to between {min(last.values()):.1f} % and "
        f"{last[best]:.1f} % ({best}). Without its variance term VICReg collapses in epoch 1: its effective rank is "
        f"{collapsed['rankme'][-1]:.1f} against {healthy['rankme'][-1]:.1f}, its deviation "
        f"{collapsed['feature_deviation'][-1]:.3f} against {healthy['feature_deviation'][-1]:.2f}, its loss "
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
                "title": "collapse",
                "y_label": title,
                "x_label": "epoch",
                "y_limits": (0, 1.35 * max(results["VICReg"][name])),
                "legend": "upper right",
            }
        )
    return plotting.images_and_graphs(results["images"], panels)


# %% [markdown]
# Things that move: `tf-kit lecture 19 --sliders`.


# %%
TEMPERATURES = (0.05, 0.5, 2.0)


def sliders(config):
    """Embeddings of digits, as they learn, by loss: SimCLR at four temperatures, VICReg, and VICReg that collapses."""
    train, _, _ = lectures.load_data(config.data, examples=600, images=True)
    x, y, epochs = train.x, train.y, 4
    losses = {f"SimCLR, τ = {each:g}": (SimCLR, {"temperature": each}) for each in TEMPERATURES}
    losses |= {"VICReg": (VICReg, {}), "VICReg, no variance term": (VICReg, {"variance_weight": 0})}
    found = []
    for method, options in losses.values():
        model = method(networks.mlp((64,), num_classes=None, seed=0), (16,), VIEWS, **options)
        model.compile(keras.optimizers.Adam(0.01))
        states = []
        for epoch in range(epochs + 1):
            if epoch:
                model.fit(x, batch_size=60, epochs=1, verbose=0)
            states.append(np.asarray(model.projector(model.encoder(x))) if epoch else None)
        first = states[1] - states[1].mean(axis=0)  # the frame of all pictures of a loss
        found.append((states[1:], np.linalg.svd(first, full_matrices=False)[2][:2], np.abs(first).max()))

    def draw(loss, epoch):
        states, frame, reach = found[loss]
        z = states[epoch]
        place = (z - z.mean(axis=0)) @ frame.T
        with plt.rc_context(plotting.STYLE):
            figure, axes = plt.subplots(figsize=(7, 5.4), layout="constrained")
            dots = axes.scatter(*place.T, c=y, cmap="tab10", s=14, vmin=-0.5, vmax=9.5)
            figure.colorbar(dots, ticks=range(10), label="digit")
            axes.set(xlim=(-2 * reach, 2 * reach), ylim=(-2 * reach, 2 * reach))
            axes.set(xlabel="first direction of the embedding", ylabel="second direction")
            axes.set_title(f"deviation of a feature: {z.std(axis=0).mean():.3f}")
        return figure

    knobs = {"loss": list(losses), "epoch": [str(epoch) for epoch in range(1, epochs + 1)]}
    return lectures.States(knobs, draw, (1, 0))


# %%
if __name__ == "__main__":
    lectures.main(globals())
