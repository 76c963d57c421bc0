# %%
"""What does a larger training set cost gradient descent, and what SGD?

Logistic regression learns from sets of a thousand to a million examples. They are drawn from a known distribution, so
that the expected risk, the cost on all examples that there could be, has a closed form. Gradient descent takes the
gradient of all N examples in each update, SGD that of one; both choose the best of some learning rates. The demo counts
the gradients of single examples until the expected risk is within 0.003 of the lowest possible one, for good.

Claim: an update of gradient descent costs N gradients and an update of SGD one. Gradient descent needs about as many
updates on every set that is large enough, so its cost is about proportional to N. SGD needs about the same number of
gradients on all these sets, and is done before it has seen all examples of a large one. A thousand examples are too few
for either: their own minimum is about d/2N above the lowest risk, for d parameters, and no descent comes within the
target. So more examples cost SGD nothing, but they are of no use to it once there are enough. Even on the smallest set
that is large enough, gradient descent costs more than five times as much as SGD.

Slide: "Minibatch": computation time per update does not depend on the number of examples; this allows convergence on
extremely large data sets.
Reference: Bottou 2010, "Large-scale machine learning with stochastic gradient descent", DOI
10.1007/978-3-7908-2604-3_16; Bottou, Bousquet 2008, "The tradeoffs of large scale learning", NIPS 20.
"""

import dataclasses
import time

import numpy as np

from tf_kit import lectures, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.optimizers import RobbinsMonro

TITLE = "Large training sets"
SECONDS = 15


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    largest: int = lectures.option(
        1_000_000,
        "Size of the largest training set; the others are 1,000 and its multiples by ten.",
        at_least=100_000,
    )
    features: int = lectures.option(20, "Parameters of the logistic regression, d.", at_least=1)
    condition: float = lectures.option(
        10.0, "Largest variance of a feature divided by the smallest.", at_least=1
    )
    target: float = lectures.option(0.003, "Distance from the lowest expected risk to arrive at.", above=0)
    examples: int = lectures.option(25_000, "Gradients after which a run of SGD ends.", at_least=1000)
    updates: int = lectures.option(20, "Updates after which gradient descent ends.", at_least=1)
    runs: int = lectures.option(
        3, "Runs per size, with other examples as far as there are enough.", at_least=1
    )
    seed: int = lectures.option(0, "Seed of the examples.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(largest=100_000)


SMALLEST = 1000
NORM = 2.0  # standard deviation of the true logits: the lowest risk is 0.46, that of guessing 0.69
GD_RATES = np.array([4.0, 8.0, 12.0])
SGD_RATES = np.array([0.25, 0.5, 1.0])  # at the start; they fall as 1/(1 + k/DELAY)
DELAY = 100.0
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(150)


# %% [markdown]
# For x ~ N(0, S) and p(y = 1) = σ(θ*·x) the risk of θ depends on two numbers only. θ·x is normal with the variance
# θᵀSθ, and by Stein's lemma E[y θ·x] = θᵀSθ* E[σ'(θ*·x)], so that
#
# $$R(\theta) = \mathrm{E}_z \ln(1 + e^{\|\theta\| z}) - \theta^\top S \theta^* \, \mathrm{E}_z \sigma'(\|\theta^*\| z),
# \quad z \sim N(0, 1), \quad \|\theta\|^2 = \theta^\top S \theta.$$


# %%
class Population:
    """Examples x ~ N(0, S) with a diagonal S, labels of a logistic model, and the expected risk."""

    def __init__(self, config):
        rng = np.random.default_rng(config.seed)
        self.deviations = np.geomspace(1, config.condition**-0.5, config.features)
        teacher = rng.normal(size=config.features)
        self.teacher = NORM * teacher / np.linalg.norm(teacher)  # S^½ θ*
        x = rng.normal(size=(config.largest, config.features))
        self.y = (rng.random(config.largest) < sigmoid(x @ self.teacher)).astype(float)
        self.x = x * self.deviations
        self.lowest = self.risk(self.teacher / self.deviations)

    def risk(self, theta):
        """Expected cost of parameters (…, d)."""
        scaled = theta * self.deviations
        norm = np.linalg.norm(scaled, axis=-1, keepdims=True)
        s = sigmoid(np.linalg.norm(self.teacher) * NODES)
        return expected(np.logaddexp(0, norm * NODES)) - scaled @ self.teacher * expected(s * (1 - s))


def sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2


def expected(values):
    """Mean over z ~ N(0, 1) of a function, given at the nodes on the last axis."""
    return values @ WEIGHTS / WEIGHTS.sum()


def parts(size, config):
    """Return the slices of the examples that are the sets of one size, one per run; the last ones may be the same."""
    there = config.largest // size
    return [slice(run % there * size, (run % there + 1) * size) for run in range(config.runs)]


# %%
def gradient(theta, x, y):
    """Gradient of the mean cost of examples x (n, d) at parameters (rates, d)."""
    return (sigmoid(theta @ x.T) - y) @ x / len(x)


def descend(population, part, config):
    """Gradient descent: return the gradients of examples taken, (marks,), and the risk, (marks, rates)."""
    x, y = population.x[part], population.y[part]
    theta = np.zeros((len(GD_RATES), x.shape[1]))
    taken, risks = [0], [population.risk(theta)]
    for _ in range(config.updates):
        theta = theta - GD_RATES[:, None] * gradient(theta, x, y)
        taken.append(taken[-1] + len(x))
        risks.append(population.risk(theta))
    return np.array(taken), np.array(risks)


def orders(sets, config):
    """Return the example of each step, (sets, steps), in a new random order of the set in each epoch."""
    rng, chosen = np.random.default_rng(config.seed), []
    for each in sets:
        size = each.stop - each.start
        epochs = [rng.permutation(size) for _ in range(-(-config.examples // size))]
        chosen.append(each.start + np.concatenate(epochs)[: config.examples])
    return np.array(chosen)


def wander(population, sets, config):
    """SGD on all sets at once: return the gradients taken, (marks,), and the risk, (marks, sets, rates)."""
    x, y = population.x, population.y
    rates = RobbinsMonro(1.0, 1.0, DELAY)(np.arange(config.examples))
    theta = np.zeros((len(sets), len(SGD_RATES), x.shape[1]))
    marks = np.unique(np.geomspace(10, config.examples, 200).astype(int))
    wanted, risks = set(marks.tolist()), []
    chosen = orders(sets, config)
    for k, rate in enumerate(np.array(rates, "float64")):
        one, label = x[chosen[:, k], None], y[chosen[:, k], None]
        slopes = sigmoid(np.sum(theta * one, axis=-1)) - label
        theta = theta - rate * SGD_RATES[:, None] * slopes[..., None] * one
        if k + 1 in wanted:
            risks.append(population.risk(theta))
    return marks, np.array(risks)


# %% [markdown]
# The seconds are those of this computer. They are drawn and not asserted.


# %%
def seconds_per_update(x, y, repeats=9):
    """Return the least seconds of an update of gradient descent, and of SGD with an example from anywhere."""
    rng, theta, found = np.random.default_rng(0), np.zeros((1, x.shape[1])), []
    for size in (len(x), 1):
        times = []
        for start in rng.integers(len(x) - size + 1, size=repeats if size > 1 else 50 * repeats):
            began = time.perf_counter()
            theta = theta - 1e-3 * gradient(theta, x[start : start + size], y[start : start + size])
            times.append(time.perf_counter() - began)
        found.append(min(times))
    return found


def arrival(excess, taken, target):
    """Gradients taken when the excess risk (marks,) gets to the target for good, or infinity."""
    far = np.flatnonzero(~(excess <= target))
    last = far[-1] if far.size else -1
    return float(taken[last + 1]) if last + 1 < len(taken) else np.inf


def run(config):
    population = Population(config)
    x, y, lowest = population.x, population.y, population.lowest
    sizes = [SMALLEST * 10**k for k in range(10) if SMALLEST * 10**k <= config.largest]
    results = {"sizes": np.array(sizes), "features": config.features, "target": config.target}
    results |= {"curves": {}, "gradients": {"gradient descent": [], "SGD": []}, "seconds": [], "final": []}
    for size in sizes:
        sets = parts(size, config)
        descents = {each.start: descend(population, each, config) for each in sets}
        taken = next(iter(descents.values()))[0]
        full = np.array([descents[each.start][1] for each in sets]).transpose(1, 0, 2) - lowest
        marks, single = wander(population, sets, config)
        for name, at, excess in (("gradient descent", taken, full), ("SGD", marks, single - lowest)):
            arrived = np.apply_along_axis(arrival, 0, excess, at, config.target)
            final = excess[-1].mean(axis=0)
            best = np.lexsort((final, arrived.mean(axis=0)))[0]  # the soonest, or the closest if none arrives
            results["gradients"][name].append(arrived[:, best])
            results["curves"][name, size] = at, excess[:, 0, best]
            if name == "gradient descent":
                results["final"].append(final[best])
        results["seconds"].append(seconds_per_update(x[:size], y[:size]))
    return results


# %%
def check(results):
    sizes, d, target = results["sizes"], results["features"], results["target"]
    full, single = (np.array(each) for each in results["gradients"].values())  # (sizes, runs)
    for name, each in results["gradients"].items():
        assert np.all(np.isinf(each[0])), f"{name} arrives with {sizes[0]:,} examples"
        for size, counts in zip(sizes[1:], each[1:], strict=True):
            assert np.all(np.isfinite(counts)), f"{name} does not arrive with {size:,} examples"
    left = results["final"][0] / (d / (2 * sizes[0]))
    assert 0.6 < left < 1.6, f"the risk with {sizes[0]:,} examples ends at {left:.2f} d/2N"
    updates = full[1:].mean(axis=1) / sizes[1:]
    assert updates.max() < 1.6 * updates.min(), (
        f"gradient descent needs {updates.min():.1f} to {updates.max():.1f} updates"
    )
    counts = single[1:].mean(axis=1)
    assert counts.max() < 2 * counts.min(), f"SGD needs {counts.min():,.0f} to {counts.max():,.0f} gradients"
    assert single[-1].max() < sizes[-1] / 2, f"SGD needs {single[-1].max():,.0f} of {sizes[-1]:,} examples"
    least = full[1].mean() / counts[0]
    assert least > 5, f"on {sizes[1]:,} examples gradient descent costs {least:.1f} times as much as SGD"
    ratio = full[-1].mean() / counts[-1]
    above, seconds = results["final"][0], results["seconds"][-1]
    of, by_full, by_single = (
        " and ".join(f"{each:,.0f}" for each in values)
        for values in (sizes[1:], full[1:].mean(axis=1), counts)
    )
    return (
        f"To get within {target:g} of the lowest risk on {of} examples, gradient descent takes {by_full} gradients "
        f"({enumerated(updates, '.1f')} updates) and SGD {by_single}: on the largest set the ratio is {ratio:,.0f}. "
        f"With {sizes[0]:,} examples neither arrives: gradient descent ends {above:.2g} above the lowest risk, and "
        f"d/2N is {d / (2 * sizes[0]):.2g}. Here an update on {sizes[-1]:,} examples took {1e3 * seconds[0]:.2g} ms "
        f"and one of SGD {1e6 * seconds[1]:.2g} µs."
    )


# %%
def plot(results):
    sizes = results["sizes"]
    seconds = np.array(results["seconds"]).T
    needed = {name: (sizes[1:], np.mean(each[1:], axis=1)) for name, each in results["gradients"].items()}
    curves = {}
    for size in (sizes[0], sizes[-1]):
        for name in results["gradients"]:
            taken, excess = results["curves"][name, size]
            curves[f"{name}, {size:,}"] = taken[taken > 0], excess[taken > 0]
    return plotting.graphs(
        [
            {
                "series": {name: (sizes, each) for name, each in zip(needed, seconds, strict=True)},
                "title": "time of one update",
                "x_label": "training examples N",
                "y_label": "seconds",
                "log": "xy",
            },
            {
                "series": needed,
                "title": f"until within {results['target']:g}",
                "x_label": "training examples N",
                "y_label": "gradients of examples",
                "log": "xy",
            },
            {
                "series": curves,
                "title": "descent",
                "x_label": "gradients of examples",
                "y_label": "risk above the lowest",
                "log": "xy",
                "level": (results["target"], "target"),
            },
        ],
        width=4.6,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
