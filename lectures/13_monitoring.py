# %%
"""Which of five sick training curves is which?

The same kind of network is trained six times on the digits: once well, and five times with one deliberate mistake.
`TrainingMonitor` records each run without changing it. `diagnose` gets the record, not the recipe.

Claim: for each of the six recipes and for every seed the diagnosis is right. A learning rate that is too large
diverges, one that is too small is too slow, minibatches of two with a large rate are noisy, few examples are
overfitted, and seven layers of sigmoids pass hardly any gradient to the first layer.

Slide: "Monitor your training curve", figures 1 to 3.
Reference: Goodfellow, Bengio, Courville 2016, "Deep Learning", sections 8.2 and 11.4.1.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import data, design, lectures, networks, plotting

TITLE = "Reading a training curve"
SECONDS = 35


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(600, "Training examples, except in the overfitting run.", at_least=100)
    few: int = lectures.option(60, "Training examples in the overfitting run.", at_least=1)
    seeds: int = lectures.option(3, "Runs per recipe.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=1)


# %% [markdown]
# One recipe works. Each of the others changes the part that its words name, and little else.


# %%
@dataclasses.dataclass(frozen=True)
class Recipe:
    optimizer: object = lambda: keras.optimizers.Adam(0.005)
    activation: str = "relu"
    units: tuple = (40, 40)
    examples: int | None = None
    batch_size: int = 64
    epochs: int = 12


def recipes(few):
    SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
    return {
        "healthy": ("as it should be", Recipe()),
        "diverging": ("learning rate 5", Recipe(lambda: SGD(5.0), "tanh")),
        "too slow": ("learning rate 0.0003", Recipe(lambda: SGD(0.0003))),
        "noisy": ("batches of 2, large rate", Recipe(lambda: Adam(0.03), examples=100, batch_size=2)),
        "overfitting": (f"{few} examples", Recipe(examples=few, batch_size=8)),
        "saturated": ("7 layers of sigmoids", Recipe(lambda: SGD(0.05, momentum=0.9), "sigmoid", (30,) * 7)),
    }


def record(recipe, examples, splits, seed):
    """Train once; return the history of losses and of each layer's gradient norms."""
    train, val, _ = splits
    n = min(recipe.examples or examples, len(train))
    shape = train.x.shape[1:]
    model = networks.mlp(recipe.units, train.num_classes, recipe.activation, shape, seed)
    model.compile(recipe.optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    monitor = design.TrainingMonitor(train.x[: min(n, 256)], train.y[: min(n, 256)])
    batches = data.minibatches(
        train.x[:n], train.y[:n], batch_size=recipe.batch_size, seed=seed, epochs=recipe.epochs
    )
    model.fit(
        batches,
        epochs=recipe.epochs,
        steps_per_epoch=-(-n // recipe.batch_size),
        validation_data=(val.x, val.y),
        validation_batch_size=1024,
        callbacks=[monitor],
        shuffle=False,
        verbose=0,
    )
    return monitor.history


def run(config):
    results = {}
    for sickness, (words, recipe) in recipes(config.few).items():
        histories, found = [], []
        for seed in range(config.seeds):
            splits = lectures.load_data(config.data, seed=seed, examples=config.examples)
            histories.append(record(recipe, config.examples, splits, seed))
            found.append(design.diagnose(histories[-1])._asdict())
        gradients = [v[-1] for name, v in histories[0].items() if name.startswith("gradient_norm/")]
        results[sickness] = {
            "recipe": words,
            "found": found,
            "start": histories[0]["probe_loss"][0],
            "loss": histories[0]["loss"][1:],
            "val_loss": histories[0]["val_loss"][1:],
            "gradients": gradients,
        }
    return results


# %%
def check(results):
    wrong = [
        f"{sickness} (seed {seed}) was diagnosed as {found['name']}: {found['reason']}"
        for sickness, of in results.items()
        for seed, found in enumerate(of["found"])
        if found["name"] != sickness
    ]
    assert not wrong, "; ".join(wrong)
    first, *_, last = results["saturated"]["gradients"]
    assert last > 50 * first, f"first layer {first:.2g}, last {last:.2g}"
    total = sum(len(of["found"]) for of in results.values())
    answers = ", ".join(
        f"{letter} {sickness} ({results[sickness]['recipe']})"
        for letter, sickness in zip("ABCDEF", ORDER, strict=True)
    )
    return (
        f"{answers}. All {total} diagnoses are right. With seven sigmoid layers the gradient of the first is "
        f"{last / first:,.0f} times smaller than that of the last. Reason given for diverging: "
        f"{results['diverging']['found'][0]['reason']}; for overfitting: "
        f"{results['overfitting']['found'][0]['reason']}."
    )


# %% [markdown]
# The panels are mixed and have letters only, so that a class can guess; the answers stand below the figure.


# %%
ORDER = ("too slow", "overfitting", "healthy", "saturated", "noisy", "diverging")


def plot(results):
    panels = []
    for letter, sickness in zip("ABCDEF", ORDER, strict=True):
        of = results[sickness]
        epochs = np.arange(1, len(of["loss"]) + 1)
        panels.append(
            {
                "series": {
                    "training loss": (epochs, of["loss"]),
                    "validation loss": (epochs, of["val_loss"]),
                },
                "title": letter,
                "x_label": "epoch",
                "y_label": "loss",
                "level": (of["start"], "before training"),
                **({"log": "y"} if sickness == "diverging" else {"y_limits": (0, 3)}),
            }
        )
    return plotting.graphs(panels, columns=3)


# %%
if __name__ == "__main__":
    lectures.main(globals())
