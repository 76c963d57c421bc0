# %%
"""How much does it cost to forget shuffling?

The training images lie on the disk sorted by digit, as in a folder with one subfolder per class. The same network is
trained on them from the same weights, in the order of the disk, in one random order that all epochs repeat, and in a
new random order in each epoch.

Claim: sorted, the network forgets each digit while it learns the next ones, and after each epoch it answers with the
last digits of the order; its error is more than five times as large as with shuffling. A single shuffle
removes most of the damage: here it ends within two points of a new order in each epoch.

Slide: "Data Pre-processing": never forget to shuffle your data each epoch.
Reference: Bengio 2012, "Practical recommendations for gradient-based training of deep architectures", section 3.1,
arXiv:1206.5533.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting

TITLE = "Forgetting to shuffle"
SECONDS = 12


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    rate: float = lectures.option(0.2, "Learning rate of stochastic gradient descent.", above=0)
    epochs: int = lectures.option(15, "Passes over the examples.", at_least=1)
    seeds: int = lectures.option(3, "Networks per order.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(epochs=8, seeds=1)


ORDERS = ("sorted by digit", "shuffled once", "shuffled each epoch")


# %%
def order(kind, y, seed, epoch):
    """Return the order of the examples in an epoch."""
    if kind == "sorted by digit":
        return np.argsort(y, kind="stable")
    return np.random.default_rng([seed, epoch if kind == "shuffled each epoch" else 0]).permutation(len(y))


def errors_by_epoch(model, kind, train, test, config, seed):
    """Train from the weights of a seed; return the test error in percent after each epoch, and the last answers."""
    start = networks.mlp((64,), train.num_classes, "relu", train.x.shape[1:], seed)
    model.set_weights(start.get_weights())
    x, y = train.x, train.y
    errors = []
    for epoch in range(config.epochs):
        chosen = order(kind, y, seed, epoch)
        model.fit(x[chosen], y[chosen], batch_size=32, shuffle=False, verbose=0)
        answers = np.argmax(model.predict_on_batch(test.x), axis=1)
        errors.append(100 * np.mean(answers != test.y))
    return errors, np.bincount(answers, minlength=train.num_classes) / len(answers)


def run(config):
    splits = [
        lectures.load_data(config.data, seed=seed, examples=config.examples) for seed in range(config.seeds)
    ]
    train = splits[0][0]
    model = networks.mlp((64,), train.num_classes, "relu", train.x.shape[1:], 0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(config.rate), loss)
    late = np.mean([np.mean(train.y >= train.num_classes - 2) for train, _, _ in splits])
    results = {"errors": {}, "answers": {}, "late": late}
    for kind in ORDERS:
        runs = [
            errors_by_epoch(model, kind, train, test, config, seed)
            for seed, (train, _, test) in enumerate(splits)
        ]
        results["errors"][kind] = np.mean([errors for errors, _ in runs], axis=0)
        results["answers"][kind] = np.mean([answers for _, answers in runs], axis=0)
    return results


# %%
def check(results):
    last = {kind: float(errors[-1]) for kind, errors in results["errors"].items()}
    ordered, once, each = (last[kind] for kind in ORDERS)
    assert ordered > 5 * each, f"sorted {ordered:.1f} %, shuffled {each:.1f} %"
    assert abs(once - each) < 2, f"shuffled once {once:.1f} %, each epoch {each:.1f} %"
    answers = results["answers"]["sorted by digit"]
    late, usual = float(answers[-2:].sum()), results["late"]
    assert late > 1.75 * usual, (
        f"{late:.0%} of the answers are one of the last two digits, {usual:.0%} of the images"
    )
    epochs = len(results["errors"]["sorted by digit"])
    return (
        f"After {epochs} epochs the test error is {ordered:.0f} % in the order of the disk, {once:.1f} % shuffled "
        f"once and {each:.1f} % shuffled each epoch. Sorted, {late:.0%} of the answers are one of the last two digits, "
        f"which make up {usual:.0%} of the images."
    )


# %%
def plot(results):
    digits = np.arange(len(results["answers"]["sorted by digit"]))
    errors = {kind: (np.arange(1, len(each) + 1), each) for kind, each in results["errors"].items()}
    answers = {kind: (digits, 100 * each) for kind, each in results["answers"].items()}
    return plotting.graphs(
        [
            {
                "series": errors,
                "title": "test error",
                "x_label": "epoch",
                "y_label": "test error, %",
                "y_limits": (0, 100),
            },
            {
                "series": answers,
                "title": "answers after the last epoch",
                "x_label": "digit",
                "y_label": "share of the answers, %",
                "x_ticks": digits.tolist(),
                "y_limits": (0, None),
            },
        ],
        width=6,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
