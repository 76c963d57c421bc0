# %%
"""What do pruning, int8 and distillation cost in accuracy, and what do they save in bytes and joules?

A network with two hidden layers is trained and then made smaller in three ways: its kernels are rounded to 8 bits;
most of its weights are removed, by magnitude, and the rest trained further; and a student with few hidden units
learns from its outputs. The student gets all training images without labels. For comparison, the same small network
learns from the few labels it would have without a teacher, and from all of them.

Claim: 8 bits cost less than a point of accuracy, and the file is at least three times smaller. A twentieth of the
weights, trained further, stays within three points; with 8 bits each, a prediction costs less than a tenth of the
energy. A student taught without labels beats the same network with few labels by more than three points. With all
labels the small network alone comes within one and a half points of the large one, in a file at least three times
smaller: before a network is compressed, a smaller one is worth a try.

The size of the file is measured on disk. Joules are estimated for one prediction on a 45 nm chip, from its operations
and the bytes it moves; nearly all of them fetch weights. For pruned networks the chip is assumed to skip zeros.

Slide: "Deep learning made practical": "Compressing deep model size", "Energy-efficient deep learning".
Reference: Han, Mao, Dally 2016, "Deep Compression", arXiv:1510.00149; Hinton, Vinyals, Dean 2015, "Distilling the
Knowledge in a Neural Network", arXiv:1503.02531; Horowitz 2014, "Computing's energy problem", DOI
10.1109/ISSCC.2014.6757323.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting, scaling

TITLE = "Compression and energy"
SECONDS = 20


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    seeds: int = lectures.option(3, "Networks per kind.", at_least=1)
    units: int = lectures.option(
        300, "Units in each of the two hidden layers of the large network.", at_least=1
    )
    student_units: int = lectures.option(16, "Hidden units of the small network.", at_least=1)
    sparsity: float = lectures.option(0.95, "Share of the weights to prune.", at_least=0, below=1)
    labels: int = lectures.option(100, "Labels of the small network without a teacher.", at_least=1)
    epochs: int = lectures.option(20, "Passes over the training set per network.", at_least=2)

    @classmethod
    def quick(cls):
        return cls(seeds=1)


# %%
def classify(model, x, y, epochs, learning_rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, steps_per_execution=8)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def teach(teacher, student, x, epochs, seed):
    """Train the student on the teacher's outputs, without labels."""
    distiller = scaling.distill(teacher, student, temperature=2.0, alpha=0.0, seed=seed)
    distiller.compile(keras.optimizers.Adam(0.01))
    distiller.fit(x, batch_size=64, epochs=epochs, verbose=0)
    return student


def compressed(config, split, seed):
    """Return name → network, all trained from the same seed."""
    keras.utils.set_random_seed(seed)
    shape, num_classes = split.x.shape[1:], split.num_classes
    few = lectures.first_examples(split, config.labels)
    few_epochs = 4 * config.epochs  # its epochs are short

    def small():
        return networks.mlp((config.student_units,), num_classes, "relu", shape, seed)

    large = networks.mlp((config.units, config.units), num_classes, "relu", shape, seed)
    classify(large, split.x, split.y, config.epochs, 0.002)
    pruned = scaling.prune(large, config.sparsity)
    classify(pruned, split.x, split.y, config.epochs // 2, 0.002)
    student = teach(large, small(), split.x, config.epochs, seed)
    return {
        "large, 32 bits": large,
        "8 bits": scaling.quantize(large),
        f"{config.sparsity:.0%} pruned": pruned,
        f"{config.sparsity:.0%} pruned, 8 bits": scaling.quantize(pruned),
        "small, taught without labels": student,
        f"small, {len(few)} labels": classify(small(), few.x, few.y, few_epochs, 0.01),
        "small, all labels": classify(small(), split.x, split.y, config.epochs, 0.01),
    }


def accuracy(model, split):
    return 100 * np.mean(np.argmax(model(split.x), axis=1) == split.y)


def run(config):
    split, _, test = lectures.load_data(config.data)
    runs = [compressed(config, split, seed) for seed in range(config.seeds)]
    bills = [scaling.energy_bill(m, 1, training=False, skip_zeros=True) for m in runs[0].values()]
    return {
        "names": list(runs[0]),
        "accuracy": np.array([[accuracy(models[name], test) for models in runs] for name in runs[0]]),
        "file_bytes": np.array([scaling.size_on_disk(model) for model in runs[0].values()]),
        "joules": np.array([bill.total_joules for bill in bills]),
        "memory_share": bills[0].memory_joules / bills[0].total_joules,
    }


# %%
def check(results):
    large, int8, pruned, both, taught, few, small = results["accuracy"].mean(axis=1)
    file_bytes, joules = results["file_bytes"], results["joules"]
    assert int8 > large - 1, f"{int8:.1f} % with 8 bits, {large:.1f} % with 32"
    assert file_bytes[1] < file_bytes[0] / 3, f"files of {file_bytes[1]} and {file_bytes[0]} bytes"
    assert pruned > large - 3, f"{pruned:.1f} % pruned, {large:.1f} % before"
    assert both > large - 3, f"{both:.1f} % pruned with 8 bits, {large:.1f} % before"
    assert joules[3] < joules[0] / 10, f"{joules[3]:.1e} J and {joules[0]:.1e} J"
    assert taught > few + 3, f"{taught:.1f} % taught without labels, {few:.1f} % with few labels"
    assert small > large - 1.5, f"small with all labels {small:.1f} %, large {large:.1f} %"
    assert file_bytes[6] < file_bytes[0] / 3, f"files of {file_bytes[6]} and {file_bytes[0]} bytes"
    return (
        f"The accuracy is {large:.1f} %, with 8 bits {int8:.1f} %, pruned with 8 bits {both:.1f} %. The file shrinks "
        f"{file_bytes[0] / file_bytes[1]:.1f} and {file_bytes[0] / file_bytes[3]:.1f} times, the energy "
        f"{joules[0] / joules[1]:.1f} and {joules[0] / joules[3]:.1f} times. A small network reaches {taught:.1f} % "
        f"taught without labels, {few:.1f} % with few and {small:.1f} % with all of them, in a file that is "
        f"{file_bytes[0] / file_bytes[6]:.0f} times smaller: where there are labels, it is the best compression here. "
        f"An estimated {results['memory_share']:.0%} of the energy moves bytes."
    )


# %%
def plot(results):
    def of(values):
        return dict(zip(results["names"], values, strict=True))

    return plotting.bars(
        {
            "test accuracy, %": of(results["accuracy"]),
            "file, kB": of(results["file_bytes"] / 1e3),
            "energy per prediction, µJ (estimated)": of(results["joules"] * 1e6),
        },
        "network",
        width=4.4,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
