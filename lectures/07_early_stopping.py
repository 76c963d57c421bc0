# %%
"""Where do the training and validation curves part, and which L2 penalty equals stopping at step τ?

A network is trained on few images, some of them with wrong labels, once to the end and once with `EarlyStopping`. Then
linear regression on the same images, whose loss is exactly quadratic, is stopped after τ steps and compared with the
minimum under a penalty.

Claim: the training loss falls to the end; the validation loss turns earlier. `EarlyStopping` keeps the weights of the
epoch with the lowest validation loss, and these do better on test images than the last ones. On the quadratic,
stopping at τ gives exactly the weights of an L2 penalty α(h) in each eigendirection; a single α = 1/(ετ) for all
directions comes within about a fifth of the way.

Slide: "Early Stopping", "Early Stopping as Regularization".
Reference: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 7.8.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.pretraining import Classifier
from tf_kit.regularization import EarlyStopping, equivalent_l2

TITLE = "Early stopping"
SECONDS = 15


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
    units: int = lectures.option(200, "Hidden units.", at_least=1)
    epochs: int = lectures.option(120, "Epochs of the run that is not stopped.", at_least=1)
    patience: int = lectures.option(10, "Epochs without improvement before training stops.", at_least=1)
    steps: int = lectures.option(100, "τ, the steps of gradient descent on the quadratic.", at_least=1)
    seed: int = lectures.option(
        0, "Seed of the data, the wrong labels, the weights and the order.", at_least=0
    )

    @classmethod
    def quick(cls):
        return cls(epochs=60)


# %% [markdown]
# A few wrong labels make overfitting visible, because they can only be learned by heart. The validation labels are all
# correct, so the validation loss begins below the training loss. The same seed gives the same weights and the same
# order, so the stopped run is the beginning of the long one.


# %%
def fit(config, train, val, callbacks=()):
    """Train a classifier; return it with its history."""
    encoder = networks.mlp((config.units,), None, "relu", train.x.shape[1:], config.seed)
    classifier = Classifier(encoder, train.num_classes, seed=config.seed)
    classifier.compile(keras.optimizers.Adam(0.003))
    labels = lectures.mislabel(train.y, train.num_classes, config.wrong, config.seed)
    history = classifier.fit(
        train.x,
        labels,
        batch_size=32,
        epochs=config.epochs,
        validation_data=(val.x, val.y),
        callbacks=list(callbacks),
        verbose=0,
    )
    return classifier, history.history


def test_scores(classifier, test):
    """Return the loss, and the error in percent."""
    scores = classifier.evaluate(test.x, test.y, return_dict=True, verbose=0)
    return {"loss": scores["loss"], "error": 100 * (1 - scores["accuracy"])}


# %% [markdown]
# The quadratic is J(W) = 1/(2n) ‖XW − Y‖², with H = XᵀX/n. Gradient descent from zero is fast where H is steep: in an
# eigendirection with curvature h it has covered 1 − (1 − εh)^τ of the way after τ steps. Under a penalty α/2 ‖W‖² the
# minimum lies at h/(h + α) of the way.


# %%
def quadratic(x, y, num_classes, steps):
    """Compare gradient descent stopped after some steps with the minimum under the equivalent penalty."""
    x = x.reshape(len(x), -1).astype("float64")
    targets = np.eye(num_classes)[y]
    hessian, pull = x.T @ x / len(x), x.T @ targets / len(x)
    h, directions = np.linalg.eigh(hessian)
    h = np.maximum(h, 0)  # rounding leaves -1e-17 where a pixel is always black
    rate = 1 / h[-1]

    weights = np.zeros_like(pull)
    for _ in range(steps):
        weights -= rate * (hessian @ weights - pull)

    alpha = equivalent_l2(h, rate, steps)
    penalized = directions @ ((directions.T @ pull) / (h + alpha)[:, None])
    one = 1 / (rate * steps)
    curvature = (
        np.geomspace(1e-4, 1, 201) * h[-1]
    )  # for the figure, which needs more points than there are eigenvalues
    return {
        "alpha": one,
        "difference": np.abs(weights - penalized).max() / np.abs(weights).max(),
        "curvature": curvature,
        "stopped": 1 - (1 - rate * curvature) ** steps,
        "one_alpha": curvature / (curvature + one),
        "each_alpha": curvature / (curvature + equivalent_l2(curvature, rate, steps)),
    }


def run(config):
    train, val, test = lectures.load_data(config.data, seed=config.seed, labels=config.labels)
    long, history = fit(config, train, val)
    stopper = EarlyStopping(patience=config.patience)
    stopped, short = fit(config, train, val, [stopper])
    return {
        "train": np.array(history["loss"]),
        "val": np.array(history["val_loss"]),
        "short": np.array(short["val_loss"]),
        "best": stopper.num_epochs,
        "stopped": len(short["loss"]),
        "test": {"stopped": test_scores(stopped, test), "to the end": test_scores(long, test)},
        "kept_loss": stopped.evaluate(val.x, val.y, return_dict=True, verbose=0)["loss"],
        "steps": config.steps,
        "quadratic": quadratic(train.x, train.y, train.num_classes, config.steps),
    }


# %%
def check(results):
    train, val, best = results["train"], results["val"], results["best"]
    last = len(val)
    assert results["stopped"] < last, f"never stopped in {last} epochs"
    assert train[-1] < 0.8 * train[best - 1], f"training loss {train[best - 1]:.2f}, then {train[-1]:.2f}"
    assert val[-1] > 1.05 * val[best - 1], f"validation loss {val[best - 1]:.2f}, then {val[-1]:.2f}"
    kept, lowest = results["kept_loss"], results["short"].min()
    assert abs(kept - lowest) < 1e-4 * lowest, (
        f"the kept weights have a loss of {kept:.4g}, the best epoch {lowest:.4g}"
    )
    stopped, end = results["test"]["stopped"], results["test"]["to the end"]
    assert stopped["loss"] < end["loss"], (
        f"test loss {stopped['loss']:.2f} stopped, {end['loss']:.2f} at the end"
    )
    quadratic = results["quadratic"]
    assert quadratic["difference"] < 1e-8, f"stopping and L2 differ by {quadratic['difference']:.1g}"
    apart = np.abs(quadratic["stopped"] - quadratic["one_alpha"]).max()
    assert apart < 0.21, f"one penalty for all directions is off by {apart:.2f}"
    return (
        f"The validation loss is lowest after epoch {best} ({val[best - 1]:.2f}; {val[-1]:.2f} after {last}); training "
        f"stopped after {results['stopped']}. The test error is {stopped['error']:.1f} % with the kept weights and "
        f"{end['error']:.1f} % with the last ones. {results['steps']} steps on the quadratic equal L2 with α(h) within "
        f"{quadratic['difference']:.0e}, and with a single α = {quadratic['alpha']:.2g} within {apart:.2f} of the way."
    )


# %%
def plot(results):
    epochs, quadratic = np.arange(1, len(results["val"]) + 1), results["quadratic"]
    losses = {
        "series": {"training": (epochs, results["train"]), "validation": (epochs, results["val"])},
        "title": "training",
        "y_label": "loss",
        "x_label": "epoch",
        "y_limits": (0, None),
    }
    h, few = quadratic["curvature"], slice(None, None, 12)
    ways = {
        "series": {
            f"stopped at τ = {results['steps']}": (h, quadratic["stopped"]),
            "L2, α(h)": (h[few], quadratic["each_alpha"][few]),
            "L2, α = 1/(ετ)": (h, quadratic["one_alpha"]),
        },
        "title": "stopping and L2",
        "y_label": "share of the way to the minimum",
        "x_label": "curvature $h$ of the direction",
        "log": "x",
        "y_limits": (0, 1.05),
    }
    figure = plotting.graphs([losses, ways], width=6.6)
    moments = (("weights kept", results["best"], "--", 0.97), ("stopped", results["stopped"], ":", 0.85))
    axes = figure.axes[0]
    for words, epoch, dashes, height in moments:
        axes.axvline(epoch, color="0.35", linestyle=dashes, linewidth=1.8)
        axes.annotate(
            words,
            (epoch, height),
            (6, 0),
            axes.get_xaxis_transform(),
            "offset points",
            va="top",
            color="0.2",
            size=14,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
