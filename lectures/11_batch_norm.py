# %%
"""How far can the learning rate rise with batch normalization, and which γ and β undo it?

The same deep network is trained with and without `BatchNorm` after each of its linear layers, by stochastic gradient
descent from the same weights, at learning rates from far too small to far too large. Then the weights below a trained
normalization are changed, and at last it gets the γ and β that turn it off.

Claim: with batch normalization, the learning rates that train the network well in the given epochs cover a range at
least five times as wide as without, and the largest of them is at least five times larger. With γ = √(σ² + ε) and
β = μ of its minibatch the layer returns its input: the last step can undo the first three. Only γ and β, which
are learned with the later layers, can: whatever the weights below, the later layers get means β and deviations |γ|.

Slide: "Batch normalization".
Reference: Ioffe, Szegedy 2015, "Batch Normalization", section 3 and algorithm 1, arXiv:1502.03167.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import data, lectures, networks, plotting
from tf_kit.regularization import BatchNorm

TITLE = "Batch normalization"
SECONDS = 45


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1000, "Largest number of training examples.", at_least=50)
    layers: int = lectures.option(4, "Hidden layers.", at_least=1)
    units: int = lectures.option(50, "ReLU units in each hidden layer.", at_least=1)
    epochs: int = lectures.option(15, "Passes over the training examples.", at_least=1)
    rates: int = lectures.option(
        9, "Number of learning rates, spaced by equal factors from 0.001 to 10.", at_least=2
    )
    seeds: int = lectures.option(2, "Networks per kind and rate.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(rates=5, seeds=1, epochs=8)


# %%
def network(config, split, normalized):
    layers = [keras.Input(split.x.shape[1:]), keras.layers.Flatten()]
    for _ in range(config.layers):
        layers.append(keras.layers.Dense(config.units))
        layers += [BatchNorm(momentum=0.9)] if normalized else []
        layers.append(networks.ReLU())
    model = keras.Sequential([*layers, keras.layers.Dense(split.num_classes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(), loss, metrics=["accuracy"])
    return model


def draw_weights(model, seed):
    """Draw new weights, the same for the linear layers of both kinds of network."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for k, layer in enumerate(dense):
        kernel = keras.initializers.GlorotUniform(seed=100 * seed + k)(layer.kernel.shape)
        layer.set_weights([kernel, np.zeros(layer.units)])
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            zeros, ones = np.zeros(layer.gamma.shape), np.ones(layer.gamma.shape)
            layer.set_weights([ones, zeros, zeros, ones])


def error_at(model, learning_rate, config, split, test, seed):
    """Train at a rate; return the test error in percent, which for NaN weights is that of a guess."""
    draw_weights(model, seed)
    model.optimizer.learning_rate.assign(learning_rate)
    batches = data.minibatches(split.x, split.y, batch_size=50, seed=seed, epochs=config.epochs)
    model.fit(batches, verbose=0, shuffle=False)
    return 100 * (1 - model.evaluate(test.x, test.y, batch_size=2000, verbose=0)[1])


# %% [markdown]
# The layer below gets weights ten times as large and other biases. What arrives above the normalization stays.


# %%
def received(model, x, scale, shift):
    """Mean and standard deviation of each unit below and above the first normalization, if the layer below changes."""
    layer = next(each for each in model.layers if isinstance(each, BatchNorm))
    dense = model.layers[model.layers.index(layer) - 1]
    kernel, bias = dense.get_weights()
    dense.set_weights([scale * kernel, bias + shift])
    below = np.asarray(dense(x.reshape(len(x), -1)))
    above = np.asarray(layer(below, training=True))
    dense.set_weights([kernel, bias])
    return {
        name: (each.mean(axis=0), each.std(axis=0)) for name, each in (("below", below), ("above", above))
    }


# %% [markdown]
# The last step of the slide is y = γ x̂ + β with x̂ = (x − μ)/√(σ² + ε), so γ = √(σ² + ε) and β = μ give x.


# %%
def undone(model, x):
    """Return the input of the first normalization, and its output as trained and undone."""
    layer = next(each for each in model.layers if isinstance(each, BatchNorm))
    for each in model.layers[: model.layers.index(layer)]:
        x = each(x)
    z = np.asarray(x)
    trained = np.asarray(layer(z, training=True))
    layer.gamma.assign(np.sqrt(z.var(axis=0) + layer.epsilon))
    layer.beta.assign(z.mean(axis=0))
    return {"given": z, "as trained": trained, "undone": np.asarray(layer(z, training=True))}


def run(config):
    rates = np.geomspace(1e-3, 10, config.rates)
    splits = [
        lectures.load_data(config.data, seed=seed, labels=config.examples, flag="examples")
        for seed in range(config.seeds)
    ]
    models = {
        "without": network(config, splits[0][0], normalized=False),
        "with BatchNorm": network(config, splits[0][0], normalized=True),
    }
    errors = {name: np.empty((config.rates, config.seeds)) for name in models}
    for name, model in models.items():
        for seed, (train, _, test) in enumerate(splits):
            for i, rate in enumerate(rates):
                errors[name][i, seed] = error_at(model, rate, config, train, test, seed)
    train, _, test = splits[0]
    model, x = models["with BatchNorm"], train.x[:100]
    error_at(model, 0.1, config, train, test, seed=0)
    layer = next(each for each in model.layers if isinstance(each, BatchNorm))
    results = {"rates": rates, "errors": errors, "chosen": [layer.beta.numpy(), np.abs(layer.gamma.numpy())]}
    results |= {"trained": received(model, x, 1, 0), "changed": received(model, x, 10, 3)}
    return {**results, "undo": undone(model, x)}


# %%
GOOD = 15  # percent; guessing gives 90


def working(results):
    """Return the lowest and the highest rate with a good mean error, for each kind of network."""
    found = {}
    for name, errors in results["errors"].items():
        good = results["rates"][errors.mean(axis=1) < GOOD]
        found[name] = (good.min(), good.max()) if len(good) else (np.nan, np.nan)
    return found


def check(results):
    ranges = working(results)
    for name, (lowest, _) in ranges.items():
        assert np.isfinite(lowest), f"no learning rate leads to an error below {GOOD} % {name}"
    (low, high), (low_with, high_with) = ranges["without"], ranges["with BatchNorm"]
    assert high_with > 5 * high, f"largest rates: {high:g} without, {high_with:g} with"
    assert high_with / low_with > 5 * high / low, (
        f"from {low:.3g} to {high:.3g} without, from {low_with:.3g} to {high_with:.3g} with"
    )
    without = f"from {low:.3g} to {high:.3g}" if high > low else f"of {low:.3g}"
    z, undo = results["undo"]["given"], results["undo"]
    trained, apart = (np.abs(undo[name] - z).max() for name in ("as trained", "undone"))
    assert trained > 0.1 * np.abs(z).max(), "the layer was the identity from the start"
    assert apart < 1e-5 * max(np.abs(z).max(), 1), f"off by {apart:.2g}"
    chosen, changed = results["chosen"], results["changed"]
    wider = (changed["below"][1] / results["trained"]["below"][1]).min()
    assert wider > 5, f"the inputs of the normalization became only {wider:.1f} times as wide"
    for kind, wanted, got in zip(("means", "standard deviations"), chosen, changed["above"], strict=True):
        off = np.abs(got - wanted).max()
        assert off < 0.01, f"{kind} above the normalization differ from γ and β by {off:.2g}"
    moved = max(np.abs(chosen[0]).max(), np.abs(chosen[1] - 1).max())
    assert moved > 0.01, f"γ and β were learned, but moved only by {moved:.2g}"
    best = {name: errors.mean(axis=1).min() for name, errors in results["errors"].items()}
    return (
        f"The test error is below {GOOD} % at a learning rate {without} without batch normalization "
        f"(at best {best['without']:.1f} %), and from {low_with:.3g} to {high_with:.3g} with it (at best "
        f"{best['with BatchNorm']:.1f} %). γ = √(σ² + ε) and β = μ undo it within {apart:.0e}. "
        f"With weights below that are ten times as large the later layers still get the means β, from "
        f"{chosen[0].min():.2f} to {chosen[0].max():.2f}, and the standard deviations |γ|, from "
        f"{chosen[1].min():.2f} to {chosen[1].max():.2f}."
    )


# %%
def plot(results):
    series = {name: (results["rates"], errors.mean(axis=1)) for name, errors in results["errors"].items()}
    z, undo = results["undo"]["given"], results["undo"]
    unit = int(z.var(axis=0).argmax())
    order = np.argsort(z[:, unit])
    layer = {name: (z[order, unit], undo[name][order, unit]) for name in ("as trained", "undone")}
    return plotting.graphs(
        [
            {
                "series": series,
                "x_label": "learning rate",
                "y_label": "test error, %",
                "log": "x",
                "y_limits": (0, 105),
                "legend": "upper center",
            },
            {"series": layer, "x_label": "input of a normalized unit", "y_label": "its output"},
        ],
        width=6,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
