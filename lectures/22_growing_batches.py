# %%
"""Does a growing minibatch do the work of a falling learning rate?

Linear units learn the ten digits with squared error, a cost whose minimum is known. Minibatch gradient descent passes
over the images in three ways: with a constant rate and batch size, with a rate that is halved at the end of each
stage, and with a batch size that is doubled instead.

Claim: with both constant, the cost settles above its minimum. Halving the rate and doubling the batch size come
equally close to the minimum after the same number of passes, since the noise of a step depends on the rate divided by
the batch size. The growing batch takes less than half as many updates, which devices that share a minibatch can use.

Slide: "Minibatch": use larger minibatches, in theory growingly larger.
Reference: Smith, Kindermans, Ying, Le 2018, "Don't decay the learning rate, increase the batch size",
arXiv:1711.00489.
"""

import dataclasses

import numpy as np

from tf_kit import lectures, plotting

TITLE = "Growing minibatches"
SECONDS = 6


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    batch_size: int = lectures.option(8, "Examples in the first minibatches.", at_least=1)
    rate: float = lectures.option(0.03, "Learning rate of the first stage.", above=0)
    stages: int = lectures.option(
        6, "Stages; between two of them one of the two numbers changes.", at_least=2
    )
    epochs: int = lectures.option(30, "Passes over the examples in each stage.", at_least=1)
    runs: int = lectures.option(5, "Runs to average over.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(epochs=12, runs=3)


# %% [markdown]
# The cost is J(W) = 1/(2n) ‖XW − Y‖² + λ/2 ‖W‖² with λ = 0.1, whose minimum solves (H + λI) W = XᵀY/n. A step moves W
# by −η (H_B + λI) W + …, and its noise has the size η²σ²/B in ‖ΔW‖²; over a pass of n/B steps that is ηnσ² · η/B.


# %%
L2 = 0.1


def schedules(config):
    """Return the learning rate and the batch size of each stage: name → [(rate, batch size)]."""
    stages, rate, size = range(config.stages), config.rate, config.batch_size
    return {
        "both constant": [(rate, size) for _ in stages],
        "rate halved": [(rate / 2**k, size) for k in stages],
        "batch doubled": [(rate, size * 2**k) for k in stages],
    }


def descend(x, y, schedule, epochs, seed):
    """Return the excess cost after each epoch, and the number of updates until then."""
    hessian = x.T @ x / len(x) + L2 * np.eye(x.shape[1])
    best = np.linalg.solve(hessian, x.T @ y / len(x))
    rng, weights, updates = np.random.default_rng(seed), np.zeros_like(best), 0
    excess, counts = [], []
    for rate, size in schedule:
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), size):
                batch = order[start : start + size]
                gradient = x[batch].T @ (x[batch] @ weights - y[batch]) / len(batch) + L2 * weights
                weights -= rate * gradient
                updates += 1
            apart = weights - best
            excess.append(0.5 * np.sum(apart * (hessian @ apart)))
            counts.append(updates)
    return np.array(excess), np.array(counts)


def run(config):
    train, _, _ = lectures.load_data(config.data, examples=config.examples)
    largest = config.batch_size * 2 ** (config.stages - 1)
    n = max(1, len(train) // largest) * largest  # no smaller last batch, which would weigh more
    flat = train.x[:n].reshape(-1, train.x[0].size).astype("float64")
    x = np.column_stack([flat, np.ones(len(flat))])
    y = np.eye(train.num_classes)[train.y[:n]]
    results = {"excess": {}, "updates": {}, "epochs": config.epochs, "schedules": schedules(config)}
    for name, schedule in results["schedules"].items():
        runs = [descend(x, y, schedule, config.epochs, seed) for seed in range(config.runs)]
        results["excess"][name] = np.mean([excess for excess, _ in runs], axis=0)
        results["updates"][name] = runs[0][1]
    return results


# %%
def check(results):
    epochs = results["epochs"]
    last = {name: float(np.mean(each[-epochs // 2 :])) for name, each in results["excess"].items()}
    updates = {name: int(each[-1]) for name, each in results["updates"].items()}
    constant, halved, doubled = last.values()
    assert constant > 4 * halved, f"constant {constant:.2g}, rate halved {halved:.2g}"
    assert 0.5 < doubled / halved < 2, f"batch doubled {doubled:.2g}, rate halved {halved:.2g}"
    few, many = updates["batch doubled"], updates["rate halved"]
    assert few < many / 2, f"{few} updates against {many}"
    return (
        f"Yes. Excess cost near the end of {len(results['excess']['rate halved'])} passes: {constant:.1e} with rate "
        f"and batch size constant, {halved:.1e} with the rate halved {len(results['schedules']['rate halved']) - 1} "
        f"times and {doubled:.1e} with the batch size doubled as often, in {few:,} instead of {many:,} updates."
    )


# %%
def plot(results):
    panels = []
    for x_label, of in (("pass over the examples", None), ("update", results["updates"])):
        series = {
            name: (np.arange(1, len(each) + 1) if of is None else of[name], each)
            for name, each in results["excess"].items()
        }
        panels.append(
            {
                "series": series,
                "title": f"by {x_label.split()[0]}",
                "x_label": x_label,
                "y_label": "excess cost",
                "log": "y" if of is None else "xy",
            }
        )
    return plotting.graphs(panels, width=6)


# %%
if __name__ == "__main__":
    lectures.main(globals())
