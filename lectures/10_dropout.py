# %%
"""How do averaging over masks and weight scaling differ after dropout, and which predicts better?

A network trained with dropout (0.2 of the inputs, 0.5 of the hidden units) is many thinned networks that share their
weights. Here they predict in two ways: by the mean of the probabilities under K sampled masks, and by one pass of the
whole network with scaled weights. Then it is compared with bagging: networks without dropout, each trained on its own
bootstrap sample, whose probabilities are averaged. Both learn from right labels, and with some labels drawn at random.

Claim: the mean over many masks makes far fewer errors than one thinned network; 10 to 20 masks come within two points
of weight scaling, which costs a single pass. The two name the same class for more than nine digits in ten, but with
different confidence: averaging is more hesitant, and weight scaling gives the right class the higher probability (the
lower log loss) on these digits. Dropout acts like bagging where there is noise to learn by heart: with a fifth of the
labels drawn at random, five bagged networks err less than one network without dropout, and the network with dropout
errs less still, though it takes a fifth of their steps and weights. With right labels it errs more than they do.

Slide: "Dropout", with its p and α; here `rate` is always the probability of dropping.
Reference: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, "Dropout", section 7.5.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, plotting, pretraining
from tf_kit.regularization import Dropout, predict_by_mask_sampling, predict_by_weight_scaling
from tf_kit.training.sharing import shared_traces

TITLE = "Two ways to predict after dropout"
SECONDS = 45


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    labels: int = lectures.option(
        1000, "Largest number of labelled examples, one per class at least.", at_least=2
    )
    masks: int = lectures.option(100, "Masks to sample.", at_least=20)
    seeds: int = lectures.option(3, "Networks to train.", at_least=1)
    voters: int = lectures.option(5, "Networks without dropout to train and average.", at_least=2)
    wrong: float = lectures.option(
        0.2, "Share of the labels to replace at random, compared with none.", above=0, at_most=1
    )
    units: int = lectures.option(200, "Units in each of the two hidden layers.", at_least=1)
    steps: int = lectures.option(1200, "Minibatches of 32 to train on.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(masks=40, seeds=1, steps=600)


# %%
def train(split, config, seed, dropout=True):
    """Train a classifier, by default with dropout on its inputs and on two hidden layers."""
    layers = [keras.layers.Flatten(), *([Dropout(0.2, seed=seed)] if dropout else [])]
    for k in range(2):
        glorot = keras.initializers.GlorotUniform(seed=10 * seed + k)
        layers.append(keras.layers.Dense(config.units, "relu", kernel_initializer=glorot))
        layers += [Dropout(0.5, seed=seed + 1 + k)] if dropout else []
    classifier = pretraining.Classifier(keras.Sequential(layers), split.num_classes, seed=seed)
    classifier.compile(keras.optimizers.Adam(0.003))
    epochs = -(-config.steps // -(-len(split) // 32))
    classifier.fit(split.x, split.y, batch_size=32, epochs=epochs, verbose=0)
    return classifier


def error(probabilities, y):
    """Percent of examples whose most probable class is wrong."""
    return 100 * float(np.mean(probabilities.argmax(axis=-1) != y))


def log_loss(probabilities, y):
    """Mean of −ln of the probability of the right class."""
    return -float(np.mean(np.log(probabilities[np.arange(len(y)), y] + 1e-12)))


# %% [markdown]
# One mask is one thinned network for all examples. The probabilities of the first K sampled masks are averaged, then
# those of the next K, and so on. The figure shows the mean error over these groups.


# %%
def compare(classifier, x, y, masks):
    """Return error and log loss of 1, 2, 5, … masks and of weight scaling, and how well the two agree."""
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


# %% [markdown]
# Bagging: each voter draws as many examples as there are, with replacement, and shares no weights.


# %%
def bagged_errors(split, config, seed, x, y):
    """Return the errors of the mean of the first 1, 2, … networks, each trained on a bootstrap sample."""
    voters = []
    for k in range(config.voters):
        drawn = np.random.default_rng((seed, k)).integers(len(split), size=len(split))
        sample = dataclasses.replace(split, x=split.x[drawn], y=split.y[drawn])
        voter = train(sample, config, 1000 * (seed + 1) + k, dropout=False)
        voters.append(predict_by_weight_scaling(voter, x, from_logits=True, batch_size=2048))
    return [error(np.mean(voters[: k + 1], axis=0), y) for k in range(config.voters)]


def against_bagging(thinned, split, config, seed, x, y):
    """Return the errors of a network with dropout, of one without it, and of bagging."""
    plain = train(split, config, seed, dropout=False)
    scaled, plain = (
        predict_by_weight_scaling(each, x, from_logits=True, batch_size=2048) for each in (thinned, plain)
    )
    return {
        "dropout": error(scaled, y),
        "plain": error(plain, y),
        "bagging": bagged_errors(split, config, seed, x, y),
    }


def run(config):
    runs, compared = [], {"right labels": [], "some wrong": []}
    with shared_traces():
        for seed in range(config.seeds):
            train_split, val, test = lectures.load_data(config.data, seed=seed, labels=config.labels)
            x, y = np.concatenate([val.x, test.x])[:2000], np.concatenate([val.y, test.y])[:2000]
            thinned = train(train_split, config, seed)
            runs.append(compare(thinned, x, y, config.masks))
            compared["right labels"].append(against_bagging(thinned, train_split, config, seed, x, y))
            labels = lectures.mislabel(train_split.y, train_split.num_classes, config.wrong, seed)
            some_wrong = dataclasses.replace(train_split, y=labels)
            thinned = train(some_wrong, config, seed)
            compared["some wrong"].append(against_bagging(thinned, some_wrong, config, seed, x, y))
    results = {name: np.array([each[name] for each in runs]) for name in runs[0]}
    voting = {
        name: {key: np.mean([each[key] for each in found], axis=0) for key in found[0]}
        for name, found in compared.items()
    }
    return results | {"sizes": runs[0]["sizes"], "voting": voting, "wrong": config.wrong}


# %%
def check(results):
    errors = dict(zip(results["sizes"], results["errors"].mean(axis=0), strict=True))
    losses = dict(zip(results["sizes"], results["log_losses"].mean(axis=0), strict=True))
    scaling, loss = results["scaling_error"].mean(), results["scaling_log_loss"].mean()
    agreement = 100 * results["agreement"].mean()
    averaged, scaled = results["confidence"].mean(axis=0)
    assert errors[20] < 0.7 * errors[1], f"one mask {errors[1]:.1f} %, twenty {errors[20]:.1f} %"
    for k in (10, 20):
        assert abs(errors[k] - scaling) < 2, f"{k} masks {errors[k]:.1f} %, scaling {scaling:.1f} %"
    assert agreement > 90, f"the two agree on {agreement:.0f} % of the digits"
    assert averaged < scaled, f"confidence {averaged:.2f} averaged, {scaled:.2f} scaled"
    assert loss < losses[20], f"log loss {loss:.3f} scaled, {losses[20]:.3f} averaged"
    right, wrong = results["voting"].values()
    bagged, voters = wrong["bagging"][-1], len(wrong["bagging"])
    assert bagged < wrong["plain"], (
        f"wrong labels: bagging {bagged:.1f} %, one network {wrong['plain']:.1f} %"
    )
    assert wrong["dropout"] < bagged, (
        f"wrong labels: dropout {wrong['dropout']:.1f} %, bagging {bagged:.1f} %"
    )
    assert right["dropout"] > right["bagging"][-1], (
        f"right labels: dropout {right['dropout']:.1f} %, bagging {right['bagging'][-1]:.1f} %"
    )
    return (
        f"The error is {errors[1]:.1f} % with one thinned network, {errors[10]:.1f} % with the mean of 10, "
        f"{errors[20]:.1f} % with the mean of 20 and {scaling:.1f} % with weight scaling; the last two agree on "
        f"{agreement:.0f} % of the digits. Weight scaling has the lower log loss, {loss:.2f} against {losses[20]:.2f}: "
        f"averaging is too hesitant (mean confidence {averaged:.2f} against {scaled:.2f}). With "
        f"{results['wrong']:.0%} of the labels drawn at random the error is {wrong['plain']:.1f} % for one network "
        f"without dropout, {bagged:.1f} % for {voters} bagged ones, with {voters} times the steps and weights, and "
        f"{wrong['dropout']:.1f} % with dropout; with right labels {right['plain']:.1f}, "
        f"{right['bagging'][-1]:.1f} and {right['dropout']:.1f} %."
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
    series = {}
    for name, found in results["voting"].items():
        counts = np.arange(1, len(found["bagging"]) + 1)
        series[f"bagging, {name}"] = (counts, found["bagging"])
        series[f"dropout, {name}"] = (counts, np.full(len(counts), found["dropout"]))
    panels.append({"series": series, "x_label": "bagged networks", "y_label": "error, %"})
    rng = np.random.default_rng(0)  # a small network with one mask on its inputs and one on its hidden units
    kernels = [rng.normal(size=shape) for shape in ((5, 6), (6, 2))]
    masks = [rng.random(5) < 0.2, rng.random(6) < 0.5, None]
    panels.insert(
        0, {"network": {"model": kernels, "dropped": masks}, "title": "one mask, one thinned network"}
    )
    return plotting.graphs(panels, width=5)


# %% [markdown]
# Things that move: `tf-kit lecture 10 --sliders`. Inputs are dropped at 0.4 times the rate of hidden units.


# %%
SHOWN_RATES = (0.0, 0.2, 0.5, 0.8)


def sliders(config):
    """Masks of a small network by rate and step: each step of training thins another network."""
    rng = np.random.default_rng(config.seeds)
    kernels = [rng.normal(size=shape) for shape in ((5, 8), (8, 6), (6, 2))]

    def draw(rate, step):
        rng, share = np.random.default_rng(step), SHOWN_RATES[rate]
        masks = [rng.random(units) < share * (0.4 if k == 0 else 1) for k, units in enumerate((5, 8, 6))]
        left = 1 - np.mean(np.concatenate(masks[1:]))
        title = f"step {step + 1}: {left:.0%} of the hidden units are left"
        return plotting.network(kernels, title, dropped=[*masks, None], most=8)

    knobs = {"rate": [f"{rate:g}" for rate in SHOWN_RATES], "step": [str(step + 1) for step in range(8)]}
    return lectures.States(knobs, draw, (2, 0))


# %%
if __name__ == "__main__":
    lectures.main(globals())
