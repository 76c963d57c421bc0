# %%
"""Does an output that is never negative make training oscillate?

The sigmoid σ is never negative, so all inputs of the next layer are positive, and the gradients of all weights of a
unit have the same sign for one example: the weights can only rise or fall together. In the curvature of the loss this
is one steep direction, that of the mean output. The sigmoid is compared with σ − 1/2, which has the same slope
everywhere and is centered at zero. Biases make both networks compute the same function at the start, so nothing else
differs. Both are trained by gradient descent on all examples, without noise, at several learning rates. A step
oscillates if its gradient points against that of the step before.

Claim: there are rates at which the network with the sigmoid oscillates in most of its steps and the centered one in
hardly any. The steepest direction of the outputs is at least five times as steep for the sigmoid. Each at its best
rate, the centered network needs less than three quarters of the steps.

Slide: "Activation Function": an output that is not zero-centered can cause "unnecessary oscillations during the
optimization"; tanh avoids them.
Reference: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", sections 4.3 and 5.1.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tf_kit import lectures, networks, plotting

TITLE = "Outputs centered at zero"
SECONDS = 15


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1000, "Largest number of training examples.", at_least=2)
    units: int = lectures.option(64, "Units in each of the two hidden layers.", at_least=1)
    loss: float = lectures.option(0.5, "Training loss at which a run counts as arrived.", above=0)
    steps: int = lectures.option(150, "Steps of gradient descent.", at_least=2)
    seeds: int = lectures.option(3, "Networks per activation and rate.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(examples=300, seeds=1)


RATES = (0.3, 0.5, 1.0, 2.0, 3.0, 5.0)


class CenteredSigmoid(networks.Sigmoid):
    """f(z) = σ(z) − 1/2, with the slope of the sigmoid."""

    def call(self, z):
        return super().call(z) - 0.5


LAYERS = {"sigmoid": networks.Sigmoid, "sigmoid − 1/2": CenteredSigmoid}


# %% [markdown]
# W f(z) + b is the same for both if b is larger by ½ Σ W for the centered one. So both networks start as one function.


# %%
def network(layer, x, num_classes, config, seed):
    model = networks.mlp((config.units, config.units), num_classes, layer, x.shape[1:], seed)
    if layer is CenteredSigmoid:
        for dense in [each for each in model.layers if isinstance(each, keras.layers.Dense)][1:]:
            dense.bias.assign(dense.bias + keras.ops.sum(dense.kernel, axis=0) / 2)
    return model


def steepness(model, x):
    """Return the largest eigenvalue of the mean of h hᵀ, for the outputs h of the last hidden layer.

    The curvature of the loss in the weights of the next layer is proportional to this matrix.
    """
    h = np.asarray(keras.Sequential(model.layers[:-1])(x), "float64")
    return np.linalg.eigvalsh(h.T @ h / len(h))[-1]


# %%
def descender(model, x, y):
    """Return a function of the rate that takes a step and returns the loss and the gradient before it."""
    loss_of, weights = networks.SoftmaxCrossEntropy(), model.trainable_variables
    x, y = tf.constant(x), tf.constant(y)

    @tf.function
    def step(rate):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        gradients = tape.gradient(loss, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(rate * gradient)
        return loss, tf.concat([tf.reshape(each, [-1]) for each in gradients], axis=0)

    return step


def descend(step, rate, config):
    """Return the losses, and whether each step but the first oscillates."""
    losses, gradients = zip(*(step(tf.constant(rate)) for _ in range(config.steps)), strict=True)
    g = np.array(gradients)
    return np.array(losses), np.sum(g[1:] * g[:-1], axis=1) < 0


def run(config):
    train, _, _ = lectures.load_data(config.data, examples=config.examples)
    x, y = train.x, train.y
    results = {"rates": np.array(RATES), "limit": config.steps, "loss": config.loss}
    results |= {"oscillating": {}, "steps": {}, "steepness": {}, "start": {}}
    for name, layer in LAYERS.items():
        model = network(layer, x, train.num_classes, config, seed=0)
        results["steepness"][name], results["start"][name] = steepness(model, x), np.asarray(model(x))
        step = descender(model, x, y)
        oscillating, steps = (np.empty((len(RATES), config.seeds)) for _ in range(2))
        for seed in range(config.seeds):
            start = network(layer, x, train.num_classes, config, seed).get_weights()
            for i, rate in enumerate(RATES):
                model.set_weights(start)
                losses, against = descend(step, rate, config)
                oscillating[i, seed] = 100 * np.mean(against)
                arrived = np.flatnonzero(losses <= config.loss)
                steps[i, seed] = arrived[0] if arrived.size else config.steps
        results["oscillating"][name], results["steps"][name] = oscillating, steps
    return results


# %%
def check(results):
    same = np.abs(np.subtract(*results["start"].values())).max()
    assert same < 1e-4, f"the networks differ by {same:.2g} at the start"
    plain, centered = (results["oscillating"][name].mean(axis=1) for name in LAYERS)
    i = int(np.argmax(plain - centered))
    rate = results["rates"][i]
    assert plain[i] > 50, f"the sigmoid oscillates in {plain[i]:.0f} % of its steps"
    assert centered[i] < 10, (
        f"at {rate:g} the centered network oscillates in {centered[i]:.0f} % of its steps"
    )
    steep = [results["steepness"][name] for name in LAYERS]
    assert steep[0] > 5 * steep[1], f"the steepest direction is only {steep[0] / steep[1]:.1f} times as steep"
    steps = {name: results["steps"][name].mean(axis=1) for name in LAYERS}
    best = [int(np.argmin(steps[name])) for name in LAYERS]
    least = [steps[name][k] for name, k in zip(LAYERS, best, strict=True)]
    assert least[1] < results["limit"], f"the centered network needs more than {results['limit']} steps"
    assert least[1] < 0.75 * least[0], f"steps: {least[0]:.0f} and {least[1]:.0f}"
    at = [results["rates"][k] for k in best]
    limit, arrives = results["limit"], least[0] < results["limit"]
    plain_needs = (
        f"{least[0]:.0f} steps at its best rate, {at[0]:g}," if arrives else f"more than {limit} steps"
    )
    return (
        f"At a rate of {rate:g}, {plain[i]:.0f} % of the sigmoid's steps oscillate and {centered[i]:.0f} % of those of "
        f"the centered network, which starts as the same function. The steepest direction of the sigmoid's outputs is "
        f"{steep[0] / steep[1]:.0f} times as steep. To reach a loss of {results['loss']:g} the sigmoid needs "
        f"{plain_needs} and the centered network {least[1]:.0f} at {at[1]:g}."
    )


# %%
def plot(results):
    rates = results["rates"]
    panels = [
        {
            "series": {name: (rates, of.mean(axis=1)) for name, of in results[key].items()},
            "title": title,
            "x_label": "learning rate",
            "y_label": label,
            "log": "x",
            "x_ticks": RATES,
            "y_limits": limits,
        }
        for key, title, label, limits in (
            ("oscillating", "oscillating steps", "steps against the one before, %", (-3, 105)),
            (
                "steps",
                "steps needed",
                f"steps to a loss of {results['loss']:g}",
                (0, 1.05 * results["limit"]),
            ),
        )
    ]
    return plotting.graphs(panels, width=6)


# %%
if __name__ == "__main__":
    lectures.main(globals())
