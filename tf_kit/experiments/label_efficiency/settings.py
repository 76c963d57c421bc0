"""Budgets of the label-efficiency experiment: labels, steps, rates, and their costs for the progress bar."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tf_kit.checks import count, refuse
from tf_kit.data.splits import Split
from tf_kit.experiments.tuning import changed, check_rates
from tf_kit.pretraining.methods import IMAGE_METHODS, METHODS

ENCODERS = {"mlp": "multilayer perceptron", "cnn": "convolutional network", "vit": "vision transformer"}
SCRATCH = "scratch-"  # scratch-cnn is the row of the untrained convolutional network


def _by_method(field):
    return {name: getattr(METHODS[name], field) for name in IMAGE_METHODS}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Budgets for one size of data set. Every row of the table has the same budget for the same number of labels.

    Attributes:
        labels: numbers of labels; None means all.
        steps: smallest number of steps of a fine-tuning.
        passes: smallest number of times that a fine-tuning uses each labelled example.
        rounds: number of rounds, each followed by a validation, if an epoch of the labels is too short to be a round.
        batch_size: labelled examples per step.
        learning_rates: learning rates of Adam for fine-tuning, which fall to zero by a cosine; the best on validation
            is kept.
        probe_learning_rates: the same for the linear probe.
        neighbors: numbers of nearest neighbors to choose from on validation.
        val_labels: number of validation examples for all choices, evenly over the classes; None means all.
        pretrain_epochs: epochs of pretraining by method, per layer for a greedy one.
        pretrain_batch_size: examples per step of pretraining by method.
        pretrain_learning_rates: learning rate of pretraining by method.
        units: units of each hidden layer of the multilayer perceptron, of its row from scratch too.
        pretrainings: number of encoders that each method pretrains. Seed s uses encoder s mod `pretrainings` and its
            split. None means one encoder per seed, as always for `supervised` and `supcon`, which use the labels.
    """

    labels: tuple[int | None, ...] = (50, 200, None)
    steps: int = 300
    passes: int = 15
    rounds: int = 10
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (0.001, 0.003)
    probe_learning_rates: tuple[float, ...] = (0.003, 0.03)
    neighbors: tuple[int, ...] = (1, 5, 20)
    val_labels: int | None = None
    pretrain_epochs: dict[str, int] = dataclasses.field(default_factory=lambda: _by_method("epochs"))
    pretrain_batch_size: dict[str, int] = dataclasses.field(default_factory=lambda: _by_method("batch_size"))
    pretrain_learning_rates: dict[str, float] = dataclasses.field(
        default_factory=lambda: _by_method("learning_rate")
    )
    units: tuple[int, ...] = (200, 200, 200)
    pretrainings: int | None = None


UNRECORDED = {"units": [200, 200, 200]}  # settings that runs of older versions do not record

# Chosen on the validation sets alone.
SMALL = Settings()
LARGE = Settings(
    labels=(100, 1000, 10_000, None),
    steps=600,
    passes=5,
    rounds=15,
    batch_size=64,
    learning_rates=(0.0003, 0.001, 0.003),
    val_labels=1000,
    pretrain_epochs={name: 5 if METHODS[name].greedy else 10 for name in IMAGE_METHODS},
    pretrain_batch_size=dict.fromkeys(IMAGE_METHODS, 128),
    pretrainings=1,
)


def settings_for(num_examples: int, **changes: Any) -> Settings:
    """Return the settings for a training set of a size, with `changes` that are not None.

    Args:
        num_examples: number of training examples; 10,000 or more give `LARGE`, fewer `SMALL`.
        **changes: fields of `Settings`; those by method may be one number for all, or hold some of the methods only.

    Example:
        >>> settings_for(1197).labels, settings_for(50_000).labels, settings_for(1197, labels=(10,)).labels
        ((50, 200, None), (100, 1000, 10000, None), (10,))
    """
    base = LARGE if num_examples >= 10_000 else SMALL
    changes = {name: value for name, value in changes.items() if value is not None}
    return changed("run_label_efficiency", base, changes)


def fitting(settings: Settings, splits: Sequence[Split]) -> Settings:
    """Check the settings against the splits, and sort the numbers of labels.

    Args:
        settings: the settings.
        splits: train, val and test.

    Returns:
        The settings, with increasing numbers of labels and None for the number of all training examples.

    Raises:
        InputError: a setting is out of range.
    """
    train, val, _ = splits
    for field in ("labels", "neighbors", "units"):
        if not getattr(settings, field):
            refuse(f"run_label_efficiency.{field}", "hold at least one number", f"{field}=()")
    units = tuple(count("run_label_efficiency.units", each) for each in settings.units)
    fewest = min(
        len(train) if each is None else count("run_label_efficiency.labels", each) for each in settings.labels
    )
    for k in settings.neighbors:
        count("run_label_efficiency.neighbors", k)
    if min(settings.neighbors) > fewest:
        requirement = f"hold a number of at most {fewest}, the fewest labels"
        refuse("run_label_efficiency.neighbors", requirement, f"neighbors={settings.neighbors}")
    labels: list[int | None] = []
    for each in settings.labels:
        if each is None or each == len(train):
            labels.append(None)
        else:
            labels.append(_labels("labels", each, train, "training"))
    if settings.val_labels is not None:
        _labels("val_labels", settings.val_labels, val, "validation")
    for field in ("steps", "passes", "rounds", "batch_size"):
        count(f"run_label_efficiency.{field}", getattr(settings, field))
    if settings.pretrainings is not None:
        count("run_label_efficiency.pretrainings", settings.pretrainings)
    for field in ("learning_rates", "probe_learning_rates"):
        check_rates(f"run_label_efficiency.{field}", getattr(settings, field))
    ordered = sorted(set(labels), key=lambda each: math.inf if each is None else each)
    return dataclasses.replace(settings, labels=tuple(ordered), units=units)


def _labels(name, value, split, part):
    """Check that a number of labels is at least one per class and at most all of a split."""
    subject = f"run_label_efficiency.{name}"
    if not split.num_classes <= count(subject, value) <= len(split):
        requirement = f"be from {split.num_classes} (one per class) to {len(split)} (all {part} examples)"
        refuse(subject, requirement, f"{name}={value}")
    return value


def rows_of(names: Sequence[str]) -> list[str]:
    """Order the rows of the table: by kind of encoder, "from scratch" first.

    Args:
        names: names of methods.
    """
    rows = []
    for kind in ENCODERS:
        own = [name for name in names if METHODS[name].encoders[0] == kind]
        rows += [SCRATCH + kind, *own] if own else []
    return rows


def shared_seed(seed: int, settings: Settings) -> int:
    """Return the seed of the pretraining that a seed uses, and of its split, so that no training image is tested."""
    return seed % (settings.pretrainings or seed + 1)


def kind_of(row: str) -> str:
    """Return the kind of encoder of a row."""
    return row.removeprefix(SCRATCH) if row.startswith(SCRATCH) else METHODS[row].encoders[0]


def title_of(row: str) -> str:
    """Return the name of a row in the table."""
    return "from scratch" if row.startswith(SCRATCH) else METHODS[row].title


def rounds_of(settings: Settings, num_labels: int) -> tuple[int, int]:
    """Return the number of rounds of a fine-tuning, and of examples per round.

    A round is an epoch of the labelled examples, which are repeated if there are few.

    Args:
        settings: settings of the table.
        num_labels: number of labels.
    """
    examples = settings.steps * settings.batch_size
    in_round = math.ceil(examples / settings.rounds)
    if num_labels >= in_round:
        return max(settings.passes, math.ceil(examples / num_labels)), num_labels
    rounds = max(settings.rounds, math.ceil(settings.passes * num_labels / in_round))
    return rounds, in_round


SPEED = {"mlp": 0.3, "cnn": 1.0, "vit": 2.5}  # relative time of a forward and backward pass of one example


def stages_of(row: str, settings: Settings) -> int:
    """Return the number of stages of a pretraining: the layers of a greedy method, else 1."""
    return len(settings.units) if METHODS[row].greedy else 1


def pretraining_cost(row: str, settings: Settings, num_examples: int) -> float:
    """Return the cost of one pretraining of a row, in the unit of the progress bar."""
    method = METHODS[row]
    passes = settings.pretrain_epochs[row] * stages_of(row, settings) * (2 if method.views else 1)
    return passes * num_examples * SPEED[kind_of(row)] / 1000


def total_cost(rows: Sequence[str], settings: Settings, num_train: int, seeds: int) -> float:
    """Return the cost of the whole table, in the unit of the progress bar."""
    total = 0.0
    for row in rows:
        for labels in settings.labels:
            rounds, examples = rounds_of(settings, labels or num_train)
            total += seeds * rounds * examples * len(settings.learning_rates) * SPEED[kind_of(row)] / 1000
        if not row.startswith(SCRATCH):
            runs = min(settings.pretrainings or seeds, seeds)
            if METHODS[row].labels != "ignored":
                runs = seeds * len(settings.labels)
            total += runs * pretraining_cost(row, settings, num_train)
    return total
