"""Budgets of the label-efficiency experiment: labels, steps, rates, and their costs for the progress bar."""

import dataclasses
import math

from tf_kit.checks import count
from tf_kit.data.splits import withhold
from tf_kit.pretraining.methods import IMAGE_METHODS, METHODS

ENCODERS = {"mlp": "multilayer perceptron", "cnn": "convolutional network", "vit": "vision transformer"}
SCRATCH = "scratch-"  # scratch-cnn is the row of the untrained convolutional network


def _by_method(field):
    return {name: getattr(METHODS[name], field) for name in IMAGE_METHODS}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Budgets for one size of data set. Every row of the table gets the same for the same number of labels.

    Attributes:
        labels: numbers of labels; None is all.
        steps: a fine-tuning takes at least so many steps,
        passes: and visits each labelled example at least so often.
        rounds: how often it looks at validation, where the labels are too few for an epoch to be a round.
        batch_size: labelled examples a step.
        learning_rates: Adam's in fine-tuning, decaying to zero by a cosine; the best on validation is kept.
        probe_learning_rates: likewise of the linear probe.
        neighbors: numbers of nearest neighbors to choose from on validation.
        val_labels: validation examples that choose, evenly over the classes; None is all.
        pretrain_epochs: by method, for a greedy one of each layer.
        pretrain_batch_size: by method.
        pretrain_learning_rates: by method.
        pretrainings: how many encoders each method pretrains; seed s starts from number s mod `pretrainings`, and
            has its split. None is one for each seed; so it always is for `supervised`, which saw the labels.
    """

    labels: tuple = (50, 200, None)
    steps: int = 300
    passes: int = 15
    rounds: int = 10
    batch_size: int = 32
    learning_rates: tuple = (0.001, 0.003)
    probe_learning_rates: tuple = (0.003, 0.03)
    neighbors: tuple = (1, 5, 20)
    val_labels: int | None = None
    pretrain_epochs: dict = dataclasses.field(default_factory=lambda: _by_method("epochs"))
    pretrain_batch_size: dict = dataclasses.field(default_factory=lambda: _by_method("batch_size"))
    pretrain_learning_rates: dict = dataclasses.field(default_factory=lambda: _by_method("learning_rate"))
    pretrainings: int | None = None


# Chosen on the validation sets only.
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


def settings_for(num_examples, **changes):
    """The settings for a training set of this size, with `changes` that are not None.

    `pretrain_epochs`, given as one number, holds for every method.

    >>> settings_for(1197).labels, settings_for(50_000).labels, settings_for(1197, labels=(10,)).labels
    ((50, 200, None), (100, 1000, 10000, None), (10,))
    """
    base = LARGE if num_examples >= 10_000 else SMALL
    changes = {name: value for name, value in changes.items() if value is not None}
    if "pretrain_epochs" in changes:
        epochs = count("labels.pretrain_epochs", changes["pretrain_epochs"])
        changes["pretrain_epochs"] = dict.fromkeys(base.pretrain_epochs, epochs)
    return dataclasses.replace(base, **changes)


def fitting(settings, splits):
    """The settings with the numbers of labels in order, as many as there are; refuses others."""
    train, val, _ = splits
    labels = []
    for each in settings.labels:
        if each is None or each == len(train):
            labels.append(None)
        else:
            withhold(train, count("labels.labels", each), 0)  # refuses too few and too many
            labels.append(each)
    if settings.val_labels is not None:
        withhold(val, settings.val_labels, 0)
    for field in ("steps", "passes", "rounds", "batch_size"):
        count(f"labels.{field}", getattr(settings, field))
    if settings.pretrainings is not None:
        count("labels.pretrainings", settings.pretrainings)
    ordered = sorted(set(labels), key=lambda each: math.inf if each is None else each)
    return dataclasses.replace(settings, labels=tuple(ordered))


def rows_of(names):
    """The rows of the table, from scratch first in each kind of encoder."""
    rows = []
    for kind in ENCODERS:
        own = [name for name in names if METHODS[name].encoders[0] == kind]
        rows += [SCRATCH + kind, *own] if own else []
    return rows


def shared_seed(seed, settings):
    """The seed of the pretraining from which a seed starts, and of its split: none it saw may be tested."""
    return seed % (settings.pretrainings or seed + 1)


def kind_of(row):
    return row.removeprefix(SCRATCH) if row.startswith(SCRATCH) else METHODS[row].encoders[0]


def title_of(row):
    return "from scratch" if row.startswith(SCRATCH) else METHODS[row].title


def rounds_of(settings, num_labels):
    """(rounds, examples in a round) of a fine-tuning: an epoch of the labels, or of some repetitions of them."""
    examples = settings.steps * settings.batch_size
    in_round = math.ceil(examples / settings.rounds)
    if num_labels >= in_round:
        return max(settings.passes, math.ceil(examples / num_labels)), num_labels
    rounds = max(settings.rounds, math.ceil(settings.passes * num_labels / in_round))
    return rounds, in_round


SPEED = {"mlp": 0.3, "cnn": 1.0, "vit": 2.5}  # of an example through an encoder and back, relative


def pretraining_cost(row, settings, num_examples):
    method = METHODS[row]
    passes = settings.pretrain_epochs[row] * (3 if method.greedy else 2 if method.views else 1)
    return passes * num_examples * SPEED[kind_of(row)] / 1000


def total_cost(rows, settings, num_train, seeds):
    total = 0
    for row in rows:
        for labels in settings.labels:
            rounds, examples = rounds_of(settings, labels or num_train)
            total += seeds * rounds * examples * len(settings.learning_rates) * SPEED[kind_of(row)] / 1000
        if not row.startswith(SCRATCH):
            runs = min(settings.pretrainings or seeds, seeds)
            if METHODS[row].supervised:
                runs = seeds * len(settings.labels)
            total += runs * pretraining_cost(row, settings, num_train)
    return total
