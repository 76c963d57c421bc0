# %%
"""What does it gain to train again on all data once early stopping has found the number of steps?

Early stopping needs a validation set, which it does not train on. `retrain_on_all` uses it afterwards: it takes the
epoch of the lowest validation loss as a hyper-parameter and trains a new network from the same weights on training and
validation data together, for as many epochs, or for as many updates.

Claim: with few labels, training again on all of them lowers the test error, whether epochs or updates are counted.

Slide: "Early Stopping": in practice, return the copy of the weights; the training step is the hyper-parameter.
Reference: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 7.8, algorithms 7.2 and 7.3.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.pretraining import Classifier
from tf_kit.regularization import EarlyStopping, retrain_on_all

TITLE = "Training again on all data"
SECONDS = 40


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    labels: int = lectures.option(
        200, "Largest number of labelled examples, for training and validation together.", at_least=10
    )
    patience: int = lectures.option(5, "Epochs without improvement before training stops.", at_least=1)
    epochs: int = lectures.option(60, "Largest number of epochs.", at_least=1)
    seeds: int = lectures.option(4, "Networks per kind.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=1)


# %% [markdown]
# `retrain_on_all` returns the second model, and the stopper of the first run, which knows the best epoch.


# %%
def errors(config, seed):
    """Return the test errors of the weights kept by early stopping and of both retrainings, epoch and labels."""
    labelled, _, test = lectures.load_data(config.data, seed=seed, labels=config.labels)
    half = len(labelled.x) // 2
    train, val = (labelled.x[:half], labelled.y[:half]), (labelled.x[half:], labelled.y[half:])

    def make_model():
        encoder = networks.mlp((100,), None, "relu", labelled.x.shape[1:], seed)
        classifier = Classifier(encoder, labelled.num_classes, seed=seed)
        classifier.compile(keras.optimizers.Adam(0.003))
        return classifier

    def error(model):
        return 100 * (1 - model.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"])

    found = {}
    for count_by in ("epochs", "updates"):
        model, stopper = retrain_on_all(
            make_model,
            train,
            val,
            patience=config.patience,
            epochs=config.epochs,
            count_by=count_by,
            seed=seed,
        )
        found[f"all data, as many {count_by}"] = error(model)
    kept = make_model()  # the first run of `retrain_on_all` once more, for its weights
    stop = EarlyStopping(patience=config.patience)
    kept.fit(*train, batch_size=32, epochs=config.epochs, validation_data=val, callbacks=[stop], verbose=0)
    return {"half of the data, weights kept": error(kept), **found}, stopper.num_epochs, len(labelled)


def run(config):
    runs = [errors(config, seed) for seed in range(config.seeds)]
    names = list(runs[0][0])
    return {
        "error": {name: np.array([found[name] for found, *_ in runs]) for name in names},
        "epochs": np.array([epoch for _, epoch, _ in runs]),
        "labels": int(runs[0][2]),
    }


# %%
def check(results):
    kept, *again = (float(of.mean()) for of in results["error"].values())
    for name, mean in zip(list(results["error"])[1:], again, strict=True):
        assert mean < kept, f"{name}: {mean:.1f} %, {kept:.1f} % before"
    return (
        f"Early stopping keeps the weights of epoch {results['epochs'].mean():.0f} on average, with a test error of "
        f"{kept:.1f} %. Trained again on all {results['labels']} labels, the error is {again[0]:.1f} % after as many "
        f"epochs and {again[1]:.1f} % after as many updates."
    )


# %%
def plot(results):
    return plotting.bars({"test error, %": results["error"]}, "trained on", width=9)


# %%
if __name__ == "__main__":
    lectures.main(globals())
