# %%
"""What would Adam do without its bias corrections?

Adam's two averages start from zero, so at first they are too small; the corrections divide them by 1 − β₁ᵗ and
1 − β₂ᵗ. In the first part Adam and a copy without corrections get the same gradients, and their steps are divided by
each other. In the second part both train the same small network, at many learning rates, with the paper's β₂ = 0.999
and with the slide's ρ₂ = 0.9.

Claim: without corrections every step is f(t) = (1 − β₁ᵗ)/√(1 − β₂ᵗ) times as large, whatever the gradients (δ aside):
leaving them out is a schedule of the learning rate. With 0.9 and 0.999 the first step is 3.2 times as large, the
twelfth 6.6 times, and only after almost four thousand steps the surplus is below 1 %. So the highest rate at which the
network learns is at most a third of Adam's, and at Adam's highest rate the loss ends more than three times as
high. With the slide's ρ₂ = 0.9 the first step is 0.32 times as large and none is larger than Adam's: a warm-up, with
which the network tolerates rates at least as high. At the best rate these few hundred steps get about as far without
corrections with 0.9, and farther with 0.999, where f(t) falls during the training as a schedule would. So the
corrections keep the meaning of a learning rate; they are not needed to learn.

Slide: "Optimization": Adam is like RMSProp with momentum but with bias correction terms.
Reference: Kingma, Ba 2015, "Adam: a method for stochastic optimization", sections 3 and 6.4, arXiv:1412.6980.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import lectures, networks, optimizers, plotting

TITLE = "Adam without bias correction"
SECONDS = 15


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    compared: int = lectures.option(4000, "Steps of the two optimizers that are compared.", at_least=50)
    units: int = lectures.option(64, "Hidden units of the network.", at_least=1)
    steps: int = lectures.option(300, "Steps of each training.", at_least=20)
    seeds: int = lectures.option(3, "Networks per learning rate.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(compared=100, steps=120, seeds=2)


BETA_1 = 0.9
BETAS_2 = (0.999, 0.9)  # of the paper and of the slide
RATES = 10.0 ** np.arange(-3, 0.01, 0.2)
EARLY = 10  # step whose loss shows the first steps
LEARNED = 0.5  # loss of a network that has learned something; guessing costs 2.3


# %% [markdown]
# The subclass lacks one line of Adam, the corrections.


# %%
class Uncorrected(optimizers.Adam):
    """Adam whose averages are used as they are."""

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        s, r = self._means[index], self._squares[index]
        g, rate = (ops.cast(each, s.dtype) for each in (gradient, learning_rate))
        self.assign(s, self.beta_1 * s + (1 - self.beta_1) * g)
        self.assign(r, self.beta_2 * r + (1 - self.beta_2) * g * g)
        self.assign_sub(variable, rate * s / (ops.sqrt(r) + self.epsilon))


KINDS = {"corrected": optimizers.Adam, "uncorrected": Uncorrected}


def factor(t, beta_2):
    """f(t), the uncorrected step divided by the corrected one."""
    return (1 - BETA_1**t) / np.sqrt(1 - beta_2**t)


def steps_of(kind, beta_2, gradients):
    """Return the steps of an optimizer along given gradients (steps, parameters)."""
    w = keras.Variable(np.zeros(gradients.shape[1]), dtype="float64")
    optimizer = kind(1.0, BETA_1, beta_2, epsilon=1e-12)
    optimizer.build([w])

    @tf.function
    def step(gradient):
        optimizer.apply([gradient], [w])
        return ops.convert_to_tensor(w)

    path = [np.zeros(w.shape), *(step(tf.constant(each)).numpy() for each in gradients)]
    return np.diff(path, axis=0)


def measured_factors(beta_2, steps):
    """Divide the steps of the two kinds, for parameters whose gradients have different scales."""
    noise = np.random.default_rng(0).normal(size=(steps, 3))
    gradients = (1 + noise) * (0.01, 1.0, 100.0)
    return steps_of(Uncorrected, beta_2, gradients) / steps_of(optimizers.Adam, beta_2, gradients)


# %% [markdown]
# All networks of one kind are trained at once, one row of each variable per network. Both optimizers work elementwise,
# and each row has its rate. At one seed all networks start from the same weights and see the same minibatches.


# %%
def logits(weights, x):
    """Outputs (networks, examples, classes) of networks with one hidden layer, for x (…, examples, pixels)."""
    w1, b1, w2, b2 = weights
    return ops.matmul(ops.relu(ops.matmul(x, w1) + b1), w2) + b2


def cost(weights, x, y):
    """Cross-entropy of each network, (networks,)."""
    outputs = logits(weights, x)
    y = ops.broadcast_to(y, outputs.shape[:2])
    return ops.mean(keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True), axis=1)


def train_all(kind, beta_2, train, config):
    """Return the training loss of each rate and seed after `EARLY` steps and at the end, both (rates, seeds)."""
    networks_of_seeds = [
        networks.mlp((config.units,), train.num_classes, "relu", train.x.shape[1:], seed).get_weights()
        for seed in range(config.seeds)
    ]
    start = [np.stack(each) for each in zip(*networks_of_seeds, strict=True)]
    start = [each.reshape(config.seeds, -1, each.shape[-1]) for each in start]  # biases: one row
    rates = np.repeat(RATES, config.seeds).reshape(-1, 1, 1)
    weights = [keras.Variable(np.tile(each, (len(RATES), 1, 1))) for each in start]
    optimizer = kind(lambda: ops.convert_to_tensor(rates, "float32"), BETA_1, beta_2)
    optimizer.build(weights)
    x, y = tf.constant(train.x.reshape(len(train), -1)), tf.constant(train.y)

    @tf.function
    def step(chosen):
        chosen = ops.tile(chosen, (len(RATES), 1))
        with tf.GradientTape() as tape:
            total = ops.sum(cost(weights, tf.gather(x, chosen), tf.gather(y, chosen)))
        optimizer.apply(tape.gradient(total, [each.value for each in weights]), weights)

    losses = {}
    rngs = [np.random.default_rng(seed) for seed in range(config.seeds)]
    for k in range(1, config.steps + 1):
        step(tf.constant(np.stack([rng.integers(len(train), size=32) for rng in rngs])))
        if k in (EARLY, config.steps):
            losses[k] = cost(weights, x[None], y[None]).numpy().reshape(len(RATES), config.seeds)
    return losses[EARLY], losses[config.steps]


def run(config):
    train, _, _ = lectures.load_data(config.data, examples=config.examples)
    results = {"t": np.arange(1, config.compared + 1), "rates": RATES, "steps": config.steps}
    results |= {"factor": {}, "early": {}, "final": {}}
    for beta_2 in BETAS_2:
        results["factor"][beta_2] = measured_factors(beta_2, config.compared)
        for name, kind in KINDS.items():
            early, final = train_all(kind, beta_2, train, config)
            results["early"][beta_2, name], results["final"][beta_2, name] = early, final
    return results


# %%
def highest(losses):
    """Largest rate such that the networks learn, on average, with it and with all rates down to the best one."""
    mean = losses.mean(axis=1)
    best = int(np.nanargmin(mean))
    failed = np.flatnonzero(~(mean[best:] < LEARNED))  # also where a loss is not a number
    return RATES[best + failed[0] - 1] if failed.size else RATES[-1]


def pairs(values, form):
    """Return the numbers of both kinds in words, for each β₂."""
    each = (
        " and ".join(f"{values[beta_2, name]:{form}}" for name in KINDS) + f" for {beta_2:g}"
        for beta_2 in BETAS_2
    )
    return ", ".join(each)


def check(results):
    t, paper, slide = results["t"], *BETAS_2
    for beta_2, each in results["factor"].items():
        off = np.abs(each / factor(t, beta_2)[:, None] - 1).max()
        assert off < 1e-5, f"with β₂ = {beta_2:g} the steps are {off:.1g} from the formula"
    large, small = (results["factor"][beta_2].mean(axis=1) for beta_2 in BETAS_2)
    top = int(large.argmax())
    assert abs(large[0] - 10**0.5) < 1e-3, f"the first step is {large[0]:.2f} times as large"
    assert t[top] == 12, f"the surplus is largest at step {t[top]}"
    assert 6.5 < large[top] < 6.6, f"the largest step is {large[top]:.2f} times as large"
    assert small.max() < 1 + 1e-5, f"with ρ₂ = {slide:g} a step is {small.max():.2f} times as large"
    assert abs(small[0] - 0.1**0.5) < 1e-3, f"with ρ₂ = {slide:g} the first is {small[0]:.2f} times as large"
    best = {key: np.nanmin(losses.mean(axis=1)) for key, losses in results["final"].items()}
    for (beta_2, name), loss in best.items():
        assert loss < LEARNED, f"{name} with β₂ = {beta_2:g} no network learns in {results['steps']} steps"
    early = {key: losses[0].mean() for key, losses in results["early"].items()}
    assert early[paper, "uncorrected"] < early[paper, "corrected"], "larger first steps learn no faster"
    assert early[slide, "uncorrected"] > early[slide, "corrected"], "smaller first steps learn no slower"
    limits = {key: highest(losses) for key, losses in results["final"].items()}
    lower = limits[paper, "corrected"] / limits[paper, "uncorrected"]
    assert lower > 3, f"with β₂ = {paper:g} Adam tolerates only {lower:.1f} times the rate"
    higher = limits[slide, "uncorrected"] / limits[slide, "corrected"]
    assert higher > 0.99, f"with ρ₂ = {slide:g} the highest rate is {1 / higher:.1f} times as low"
    at = int(np.argmin(np.abs(RATES - limits[paper, "corrected"])))
    edge = [results["final"][paper, name].mean(axis=1)[at] for name in KINDS]
    assert not edge[1] < 3 * edge[0], (
        f"at a rate of {RATES[at]:.2g} the losses are {edge[0]:.2g}, {edge[1]:.2g}"
    )
    for beta_2, most in ((paper, 1.0), (slide, 1.5)):
        ratio = best[beta_2, "uncorrected"] / best[beta_2, "corrected"]
        assert ratio < most, (
            f"with β₂ = {beta_2:g} the best loss is {ratio:.1f} times as high without corrections"
        )
    return (
        f"With β₂ = {paper:g} the first step is {large[0]:.2f} times as large without corrections, step {t[top]} "
        f"{large[top]:.2f} times and step {t[-1]:,} {large[-1]:.2f} times; with the slide's {slide:g} the first is "
        f"{small[0]:.2f} times as large and none is larger. The highest rates at which the network learns, with and "
        f"without corrections, are {pairs(limits, '.2g')}; the losses after {results['steps']} steps at the best rates "
        f"are {pairs(best, '.2g')}."
    )


# %%
def plot(results):
    t = results["t"]
    marks = np.unique(np.geomspace(1, len(t), 12).astype(int)) - 1
    steps = {}
    for beta_2, each in results["factor"].items():
        steps[f"$f(t)$, {beta_2:g}"] = t, factor(t, beta_2)
        steps[f"measured, {beta_2:g}"] = t[marks], each.mean(axis=1)[marks]
    trained = [
        {
            "series": {
                name: (results["rates"], np.clip(results["final"][beta_2, name].mean(axis=1), None, 10))
                for name in KINDS
            },
            "title": rf"training, $\beta_2 = {beta_2:g}$",
            "x_label": "learning rate",
            "y_label": f"loss after {results['steps']} steps",
            "log": "xy",
            "level": (LEARNED, "learned"),
        }
        for beta_2 in BETAS_2
    ]
    first = {
        "series": steps,
        "title": "uncorrected / corrected",
        "x_label": "step",
        "y_label": "ratio of the steps",
        "log": "x",
        "y_limits": (0, 9),
    }
    return plotting.graphs([first, *trained], width=4.6)


# %%
if __name__ == "__main__":
    lectures.main(globals())
