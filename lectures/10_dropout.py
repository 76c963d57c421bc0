# %%
"""How far apart are the two votes of dropout's thinned networks, and which wins?

A network trained with dropout (0.2 of the inputs, 0.5 of the hidden units) is many thinned networks that share
their weights. Here they are asked in both ways: the mean of the probabilities of K sampled masks, and one pass of
the whole network with scaled weights.

Claim: a vote of many masks errs far less than one thinned network does; 10 to 20 masks come within two points of
weight scaling, which costs a single pass. The votes name the same class for more than nine digits in ten, but not
with the same confidence: averaging is the more hesitant, and weight scaling gives the right class the higher
probability (the lower log loss) on these digits.

Slide: "Dropout", and what is said there of p and α: `rate` is always the probability of dropping.
Reference: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, "Dropout", section 7.5.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import data, lectures, plotting, pretraining
from tf_kit.regularization import Dropout, predict_by_mask_sampling, predict_by_weight_scaling

TITLE = "The two votes of dropout"
SECONDS = 10


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "data set: digits, mnist, or any image set")
    labels: int = lectures.option(1000, "labelled examples to train on")
    masks: int = lectures.option(100, "thinned networks that are sampled; at least 20")
    seeds: int = lectures.option(3, "networks trained")
    units: int = lectures.option(200, "units in each of the two hidden layers")
    steps: int = lectures.option(1200, "minibatches of 32 to train on")

    @classmethod
    def quick(cls):
        return cls(masks=40, seeds=1, steps=600)


# %%
def train(split, config, seed):
    """A classifier with dropout on its inputs and on two hidden layers."""
    layers = [keras.layers.Flatten(), Dropout(0.2, seed=seed)]
    for k in range(2):
        glorot = keras.initializers.GlorotUniform(seed=10 * seed + k)
        layers.append(keras.layers.Dense(config.units, "relu", kernel_initializer=glorot))
        layers.append(Dropout(0.5, seed=seed + 1 + k))
    classifier = pretraining.Classifier(keras.Sequential(layers), split.num_classes, seed=seed)
    classifier.compile(keras.optimizers.Adam(0.003))
    epochs = -(-config.steps // -(-len(split) // 32))
    batches = data.minibatches(split.x, split.y, batch_size=32, seed=seed, epochs=epochs)
    classifier.fit(batches, verbose=0)
    return classifier


def error(probabilities, y):
    """Percent of examples whose most probable class is another."""
    return 100 * float(np.mean(probabilities.argmax(axis=-1) != y))


def log_loss(probabilities, y):
    """Mean of −ln of the probability given to the right class."""
    return -float(np.mean(np.log(probabilities[np.arange(len(y)), y] + 1e-12)))


# %% [markdown]
# One mask is one thinned network for all examples. The first K of the sampled masks vote; that is repeated with the
# next K, as far as they go, and the mean over these votes is shown.


# %%
def votes(classifier, x, y, masks):
    """Error and log loss of votes of 1, 2, 5, … masks and of weight scaling, and how far apart these are."""
    scaled = predict_by_weight_scaling(classifier, x, from_logits=True, batch_size=2048)
    thinned = np.stack(
        [
            predict_by_mask_sampling(classifier, x, 1, seed=k, from_logits=True, batch_size=2048)
            for k in range(masks)
        ]
    )
    sizes = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= masks]
    means = {k: [thinned[i : i + k].mean(axis=0) for i in range(0, masks - k + 1, k)] for k in sizes}
    twenty = means[20][0]
    return {
        "sizes": sizes,
        "errors": [float(np.mean([error(p, y) for p in means[k]])) for k in sizes],
        "log_losses": [float(np.mean([log_loss(p, y) for p in means[k]])) for k in sizes],
        "scaling_error": error(scaled, y),
        "scaling_log_loss": log_loss(scaled, y),
        "agreement": float(np.mean(twenty.argmax(axis=-1) == scaled.argmax(axis=-1))),
        "confidence": [float(twenty.max(axis=-1).mean()), float(scaled.max(axis=-1).mean())],
    }


def run(config):
    runs = []
    for seed in range(config.seeds):
        train_split, val, test = data.load(config.data, seed=seed, labels=config.labels)
        x, y = np.concatenate([val.x, test.x])[:2000], np.concatenate([val.y, test.y])[:2000]
        runs.append(votes(train(train_split, config, seed), x, y, config.masks))
    return {name: np.array([each[name] for each in runs]) for name in runs[0]} | {"sizes": runs[0]["sizes"]}


# %%
def check(results):
    errors = dict(zip(results["sizes"], results["errors"].mean(axis=0), strict=True))
    losses = dict(zip(results["sizes"], results["log_losses"].mean(axis=0), strict=True))
    scaling, loss = results["scaling_error"].mean(), results["scaling_log_loss"].mean()
    agreement = 100 * results["agreement"].mean()
    averaged, scaled = results["confidence"].mean(axis=0)
    assert errors[20] < 0.7 * errors[1], f"one mask {errors[1]:.1f} %, twenty {errors[20]:.1f} %"
    assert abs(errors[20] - scaling) < 2, f"twenty masks {errors[20]:.1f} %, scaling {scaling:.1f} %"
    assert agreement > 90, f"the votes agree on {agreement:.0f} %"
    assert averaged < scaled, f"confidence {averaged:.2f} averaged, {scaled:.2f} scaled"
    assert loss < losses[20], f"log loss {loss:.3f} scaled, {losses[20]:.3f} averaged"
    return (
        f"One thinned network errs on {errors[1]:.1f} %, a vote of 10 on {errors[10]:.1f} %, of 20 on "
        f"{errors[20]:.1f} %, weight scaling on {scaling:.1f} %; the last two name the same class for "
        f"{agreement:.0f} %. Weight scaling wins in log loss, {loss:.2f} against {losses[20]:.2f}: averaging is "
        f"too hesitant (mean confidence {averaged:.2f} against {scaled:.2f})."
    )


# %%
def plot(results):
    panels = []
    for name, level, label in (
        ("errors", "scaling_error", "error, %"),
        ("log_losses", "scaling_log_loss", "log loss"),
    ):
        sizes, values, value = results["sizes"], results[name].mean(axis=0), results[level].mean()
        series = {
            "mean of K sampled masks": (sizes, values),
            "weight scaling, one pass": (sizes, np.full(len(sizes), value)),
        }
        panels.append(
            {
                "series": series,
                "x_label": "sampled masks K",
                "y_label": label,
                "log": "x",
                "y_limits": (0, 1.1 * max(values)),
            }
        )
    return plotting.graphs(panels, width=5.6)


# %%
if __name__ == "__main__":
    lectures.main(globals())
