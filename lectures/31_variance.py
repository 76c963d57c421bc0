# %%
"""Does pretraining take away the variance between random starts?

Sigmoid networks with three hidden layers are trained on the same images from many random seeds, half of them after
greedy pretraining without labels. Only the seed of the weights and of the order differs from network to network.

Claim: with pretraining the test errors are lower, and their standard deviation over the seeds is less than half as
large, so the variance is less than a quarter; for ten seeds of each kind a ratio above 3.2 excludes chance at a level
of 5 % (F test). Where training ends depends less on where it began, which is the slide's "unusual form of
regularization". Not shown: that this comes from the images; demo 34 has the control, pretraining on noise.

Slide: "Unsupervised Pretraining": minimizing variance and introducing bias towards useful configurations.
Reference: Erhan, Bengio, Courville, Manzagol, Vincent, Bengio 2010, "Why does unsupervised pre-training help deep
learning?", figures 1 and 2.
"""

import dataclasses

import numpy as np

from tf_kit import experiments, lectures, plotting
from tf_kit.lectures.words import enumerated

TITLE = "Variance between random starts"
SECONDS = 90


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    depth: int = lectures.option(3, "Hidden layers.", at_least=1)
    units: int = lectures.option(100, "Units in each hidden layer.", at_least=1)
    seeds: int = lectures.option(10, "Networks of each kind.", at_least=3)
    pretrain_epochs: int = lectures.option(15, "Passes per layer without labels.", at_least=1)
    epochs: int = lectures.option(10, "Passes with labels.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=6, pretrain_epochs=8)


# %%
def run(config):
    splits = lectures.load_data(config.data)
    found = experiments.error_by_depth(
        splits, (config.depth,), config.seeds, config.units, config.pretrain_epochs, config.epochs
    )
    return {"without": found["without"][0], "with": found["with"][0]}


# %%
def check(results):
    without, with_ = results["without"], results["with"]
    deviation = {name: float(np.std(of, ddof=1)) for name, of in results.items()}
    assert with_.mean() < without.mean(), f"with {with_.mean():.1f} %, without {without.mean():.1f} %"
    assert deviation["with"] < deviation["without"] / 2, f"standard deviations: {enumerated(deviation)}"
    ratio = (deviation["without"] / deviation["with"]) ** 2
    return (
        f"Most of it: over {len(without)} seeds the test error is {without.mean():.1f} ± {deviation['without']:.1f} % "
        f"without pretraining and {with_.mean():.1f} ± {deviation['with']:.1f} % with it (mean and standard "
        f"deviation); the variance is {ratio:.0f} times smaller."
    )


# %%
def plot(results):
    order = {f"{name} pretraining": np.sort(of) for name, of in results.items()}
    ranks = np.arange(1, len(results["with"]) + 1)
    panel = {
        "series": {name: (ranks, of) for name, of in order.items()},
        "title": "test errors of all networks, sorted",
        "x_label": "network",
        "y_label": "test error, %",
        "y_limits": (0, None),
    }
    return plotting.graphs([panel], width=9)


# %%
if __name__ == "__main__":
    lectures.main(globals())
