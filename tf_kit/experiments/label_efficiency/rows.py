"""Row of the label-efficiency table: an encoder, pretrained or not, and its accuracies with few labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from tf_kit import design
from tf_kit.data.fingerprint import Fingerprint
from tf_kit.data.splits import Split, withhold
from tf_kit.experiments.cells import recorded_results
from tf_kit.experiments.label_efficiency.report import MEASURES
from tf_kit.experiments.label_efficiency.settings import (
    SCRATCH,
    SPEED,
    UNRECORDED,
    Settings,
    kind_of,
    pretraining_cost,
    rounds_of,
    shared_seed,
    stages_of,
    title_of,
)
from tf_kit.experiments.tuning import tune
from tf_kit.pretraining.methods import METHODS, own_options
from tf_kit.pretraining.transfer import share_of_votes_right
from tf_kit.runs.encoders import make_encoder, usual_sizes
from tf_kit.runs.methods import augmentation
from tf_kit.runs.pretraining import pretrain_into
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run
from tf_kit.runs.saved import load_model
from tf_kit.runs.training_data import TrainingData
from tf_kit.runs.watching import Watch
from tf_kit.training.representation import represent


def cell_folder(table: Path, row: str, labels: int | None, seed: int) -> Path:
    """Return the run folder of a cell; None labels are all."""
    return table / f"{row}-{'all' if labels is None else labels}-seed-{seed}"


class Row:
    """Row of the table with one seed: an encoder, pretrained when it is first needed, and its accuracies.

    Args:
        table: run folder of the whole table.
        row: name of the row.
        seed: the seed.
        settings: settings of the table.
        splits: train, val and test.
        options: options of the whole table, the data set among them.
        contents: fingerprint of the data, or None.
        progress: `Progress` to report to.

    Attributes:
        kind: kind of the encoder.
        supervised: whether the pretraining uses the labels, so that it is repeated for each number of labels.
    """

    def __init__(
        self,
        table: Path,
        row: str,
        seed: int,
        settings: Settings,
        splits: Sequence[Split],
        options: Mapping[str, Any],
        contents: Fingerprint | None,
        progress: Progress,
    ) -> None:
        self.table, self.row, self.seed = table, row, seed
        self.settings, self.options = settings, {**options, "row": row}
        self.contents, self.progress = contents, progress
        self.train, val, self.test = splits
        self.val = withhold(val, settings.val_labels, seed)
        self.kind = kind_of(row)
        self.supervised = not row.startswith(SCRATCH) and METHODS[row].labels != "ignored"
        self.keyed = (
            f"{title_of(row)}, {self.kind}, seed {seed}" if row.startswith(SCRATCH) else f"{row}, seed {seed}"
        )
        self._encoder = self._representations = None

    def measure(self, labels: int | None) -> dict[str, Any]:
        """Measure one cell of the table.

        Args:
            labels: number of labels, None for all.

        Returns:
            Measure → its accuracies on validation and test in percent, and its choices.
        """
        shown = "all" if labels is None else labels
        folder = cell_folder(self.table, self.row, labels, self.seed)
        own = {"seed": self.seed, "cell": shown}
        cell = Run(folder, {**self.options, **own}, resume=True, progress=self.progress, defaults=UNRECORDED)
        rounds, examples = rounds_of(self.settings, labels or len(self.train))
        cost = examples * SPEED[self.kind] / 1000
        numbers = [f"{measure}.{split}" for measure in MEASURES for split in ("valid", "test")]
        earlier = recorded_results(cell, *numbers)
        if earlier:
            self.progress.skip(rounds * len(self.settings.learning_rates), cost)
            if self.supervised:
                self.skip_pretraining()
            return earlier
        began = time.perf_counter()
        few = withhold(self.train, labels, self.seed)
        encoder = self._pretrained(few, shown)
        result = {
            "probe": self._probe(cell, encoder, few, shown),
            "neighbors": self._neighbors(encoder, few),
            "finetuned": self._finetune(cell, encoder, few, shown, rounds, examples, cost),
        }
        return cell.finish({**result, "seconds": round(time.perf_counter() - began, 1)})

    def skip_pretraining(self) -> None:
        """Count a pretraining of an earlier run as progress, unless the shared encoder is already in memory."""
        if self.row.startswith(SCRATCH) or (self._encoder is not None and not self.supervised):
            return
        if self.supervised or self.seed == shared_seed(self.seed, self.settings):
            self.progress.skip(1, self.pretraining_cost)

    @property
    def pretraining_cost(self) -> float:
        """Cost of one pretraining, in the unit of the progress bar."""
        return pretraining_cost(self.row, self.settings, len(self.train))

    def _finetune(self, cell, encoder, few, shown, rounds, examples, cost):
        repeated = _repeated(few, examples, few.num_classes)
        start = encoder.get_weights()
        classifier, chosen = tune(
            cell,
            encoder,
            repeated,
            self.val,
            learning_rates=self.settings.learning_rates,
            epochs=rounds,
            batch_size=self.settings.batch_size,
            stage=f"{self.keyed}, {shown} labels",
            seed=self.seed,
            cost=cost,
        )
        tested = classifier.evaluate(self.test.x, self.test.y, verbose=0, return_dict=True)["accuracy"]
        encoder.set_weights(start)
        return _accuracies(chosen, tested)

    def _probe(self, cell, encoder, few, shown):
        """Train a linear classifier on the representation, standardized by the labelled examples."""
        train, val, test = self._represented(encoder, few)
        scale = design.Standardize()
        scale.adapt(train.x)
        rounds, examples = rounds_of(self.settings, len(few))
        repeated = _repeated(train, examples, few.num_classes)
        classifier, chosen = tune(
            cell,
            scale,
            repeated,
            val,
            learning_rates=self.settings.probe_learning_rates,
            epochs=rounds,
            batch_size=self.settings.batch_size,
            stage=f"{self.keyed}, {shown} labels, probe",
            seed=self.seed,
            frozen=True,
            cost=0,
        )
        tested = classifier.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"]
        return _accuracies(chosen, tested)

    def _neighbors(self, encoder, few):
        train, val, test = self._represented(encoder, few)
        identity = keras.layers.Identity()
        counts = [k for k in self.settings.neighbors if k <= len(few)]
        on_val = [share_of_votes_right(identity, train, val, k) for k in counts]
        best = int(np.argmax(on_val))
        tested = share_of_votes_right(identity, train, test, counts[best])
        return _accuracies({"k": counts[best], "val_accuracy": on_val[best]}, tested)

    def _represented(self, encoder, few):
        """Representations of the labelled examples, of validation and of test."""
        if self._representations is None or self.supervised:
            self._representations = {
                split: SimpleNamespace(x=represent(encoder, part.x).reshape(len(part.x), -1), y=part.y)
                for split, part in {"val": self.val, "test": self.test}.items()
            }
        train = SimpleNamespace(x=represent(encoder, few.x).reshape(len(few), -1), y=few.y)
        return train, self._representations["val"], self._representations["test"]

    def _pretrained(self, few, shown):
        """Return the encoder of the row: new, pretrained now, or loaded from an earlier run."""
        if self._encoder is not None and not self.supervised:
            return self._encoder
        if self.row.startswith(SCRATCH):
            self._encoder = _new_encoder(self.kind, self.train.x.shape[1:], self.seed, self.settings.units)
            return self._encoder
        number = self.seed if self.supervised else shared_seed(self.seed, self.settings)
        part = f"pretrained-{self.row}-seed-{number}" + (f"-{shown}-labels" if self.supervised else "")
        own = {"seed": number, "split_seed": shared_seed(self.seed, self.settings)}
        own |= {"method": self.row, "command": "pretrain"}
        child = Run(
            self.table / part,
            {**self.options, **own},
            resume=True,
            progress=self.progress,
            data=self.contents,
            defaults=UNRECORDED,
        )
        if child.results:
            self.skip_pretraining()
            self._encoder = _load(child.folder / "encoder.keras")
            return self._encoder
        self._encoder = self._pretrain(child, few if self.supervised else self.train, number)
        child.finish({"epochs": self.settings.pretrain_epochs[self.row]})
        return self._encoder

    def _pretrain(self, child, train, seed):
        method, shape = METHODS[self.row], train.x.shape[1:]
        encoder = _new_encoder(self.kind, shape, seed, self.settings.units)
        x, y = (train.x, train.y) if method.labels != "optional" else (train.all_x, train.all_y)
        epochs = self.settings.pretrain_epochs[self.row]
        cost = self.pretraining_cost / (epochs * stages_of(self.row, self.settings))

        # Measurements after the first and the last epoch show whether the encoder has collapsed.
        run = child if method.supervised else Watch(child, self.val, every=epochs)

        def fit(model, x, y=None, *, stage, **arguments):
            return run.fit(model, x, y, stage=f"{self.row}, seed {seed}, {stage}", cost=cost, **arguments)

        pretrain_into(
            child,
            self.row,
            encoder,
            TrainingData(x, y, x[:40], len(x), train.num_classes),
            fit=fit,
            draws_filters=self.kind == "mlp",
            epochs=epochs,
            batch_size=self.settings.pretrain_batch_size[self.row],
            learning_rate=self.settings.pretrain_learning_rates[self.row],
            options=own_options(self.row, {}),
            augment=augmentation(self.options["data"], shape) if method.views else None,
            seed=seed,
        )
        return encoder


def _load(file):
    """Load the encoder of an earlier pretraining; refuse a file that cannot be read."""
    remedy = f"Remove {file.parent} and give the same arguments with"
    typed = f"Remove {file.parent} and type the same command with `--resume`"
    return load_model("run_label_efficiency.out", file, f"{remedy} `resume=True`", typed, flag="--out")


def _repeated(few, examples, num_classes):
    """Repeat the labelled examples in order until there are `examples` of them."""
    index = np.resize(np.arange(len(few.y)), examples)
    return SimpleNamespace(x=few.x[index], y=few.y[index], num_classes=num_classes)


def _new_encoder(kind, shape, seed, units):
    """Make an encoder of a kind; the multilayer perceptron has these units, sigmoid ones, which RBMs need."""
    if kind == "mlp":
        return make_encoder(shape, kind, seed, units=units, activation="sigmoid")
    return make_encoder(shape, kind, seed, **usual_sizes(kind, shape))


def _accuracies(chosen, tested):
    """Choices, and the accuracies in percent."""
    chosen = dict(chosen)
    valid = round(100 * float(chosen.pop("val_accuracy")), 4)
    return {**chosen, "valid": valid, "test": round(100 * float(tested), 4)}
