"""What pretraining saves in labels: test accuracy by number of labels, every method against training from scratch."""

import dataclasses
import math
import time
from types import SimpleNamespace

import keras
import numpy as np

from tf_kit import data, design, plotting
from tf_kit.checks import choice, count
from tf_kit.data.splits import withhold
from tf_kit.experiments.tuning import forget_models, mean_and_std, over_seeds, tune
from tf_kit.pretraining import Supervised, refuse_overlap
from tf_kit.pretraining.transfer import share_of_votes_right
from tf_kit.runs import Run, save_model
from tf_kit.runs import methods as pretraining_methods
from tf_kit.runs.figures import draw_what_was_learned
from tf_kit.runs.progress import Progress
from tf_kit.runs.training_data import refuse_without_labels
from tf_kit.runs.watching import Watch
from tf_kit.training.representation import represent

MEASURES = {"finetuned": "fine-tuned", "probe": "linear probe", "neighbors": "nearest neighbors"}
ENCODERS = {"mlp": "multilayer perceptron", "cnn": "convolutional network", "vit": "vision transformer"}
SCRATCH = "scratch-"  # scratch-cnn is the row of the untrained convolutional network


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
    pretrain_epochs: dict = dataclasses.field(
        default_factory=lambda: {name: method.epochs for name, method in pretraining_methods.METHODS.items()}
    )
    pretrain_batch_size: dict = dataclasses.field(
        default_factory=lambda: {
            name: method.batch_size for name, method in pretraining_methods.METHODS.items()
        }
    )
    pretrain_learning_rates: dict = dataclasses.field(
        default_factory=lambda: {
            name: method.learning_rate for name, method in pretraining_methods.METHODS.items()
        }
    )
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
    pretrain_epochs={
        name: 5 if method.greedy else 10 for name, method in pretraining_methods.METHODS.items()
    },
    pretrain_batch_size={name: 128 for name in pretraining_methods.METHODS},
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


def run_label_efficiency(
    name="digits", seeds=3, out=None, resume=False, methods=None, data_dir=None, quiet=False, **changes
):
    """Pretrains by every method, fine-tunes and probes with few and with many labels, and tests once each.

    A seed fixes which examples keep their label (evenly over the classes, and fewer always within more), which
    validation examples choose, the output layer and the order of the examples; and the pretraining and, where the
    data set has none of its own, the split, unless `pretrainings` lets seeds share both. Pretraining sees the images
    of train alone. Rows with the same kind of encoder start fine-tuning from the same architecture, take the same
    number of steps without augmentation, and choose learning rate and epoch from the same list on the same
    validation examples; so do the probe with its rates and the neighbors with their number. The test set is used
    once for each row, number of labels, seed and measure, after all is chosen.

    Args:
        name: data set, as for `data.load`.
        seeds: how many seeds, 0 … seeds − 1.
        out: run folder.
        resume: whether to go on with the run in `out`.
        methods: names of `tf-kit pretrain`. Defaults to all. The row "from scratch" of each kind of encoder
            comes by itself.
        data_dir: folder of prepared data sets.
        quiet: whether to show no progress.
        **changes: fields of `Settings` to change.

    Returns:
        The results as written to `results.json`.

    Reference: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning", table 7; on
    what may be chosen with how many validation labels Oliver, Odena, Raffel, Cubuk, Goodfellow 2018, "Realistic
    Evaluation of Deep Semi-Supervised Learning Algorithms", section 4.6.
    """
    seeds = count("labels.seeds", seeds)
    names = [
        choice("labels.methods", each, tuple(pretraining_methods.METHODS))
        for each in dict.fromkeys(methods or pretraining_methods.METHODS)  # each once
    ]
    splits = _load(name, 0, data_dir)
    if not splits[0].num_classes:
        refuse_without_labels(name)
    settings = _fitting(settings_for(len(splits[0]), **changes), splits)
    rows = _rows(names)
    options = {"command": "labels", "data": name, "data_dir": data_dir and str(data_dir), "methods": names}
    options |= dataclasses.asdict(settings)
    progress = Progress(_total_cost(rows, settings, len(splits[0]), seeds), quiet=quiet)
    run = Run(out, options, resume=resume, progress=progress)
    found = {row: {labels: [] for labels in settings.labels} for row in rows}
    for seed in range(seeds):
        if seed:
            splits = _load(name, _shared(seed, settings), data_dir)
        for row in rows:
            work = _Row(run, name, row, seed, settings, splits, options)
            for labels in settings.labels:
                found[row][labels].append(work.measure(labels))
            if not work.supervised:  # whose cells have a pretraining each
                work.skip_pretraining()
            forget_models()
    progress.close()

    results = summarize(name, splits, rows, found, settings)
    cells = [each for row in found.values() for seeds_of_cell in row.values() for each in seeds_of_cell]
    results["seconds"] = round(
        sum(each["seconds"] for each in cells), 1
    )  # also of what an earlier call has run
    plotting.save(draw(results), run.folder / "figures" / "label_efficiency.png")
    (run.folder / "table.txt").write_text(format_labels(results) + "\n", encoding="utf-8")
    run.finish(results)
    return run.results


def _load(name, seed, data_dir):
    """The splits, of which none may hold an example that train has too."""
    train, val, test = data.load(name, seed=seed, data_dir=data_dir)
    refuse_overlap(train, val, ("train", "val"))
    refuse_overlap(train, test, ("train", "test"))
    return train, val, test


def _fitting(settings, splits):
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


def _rows(names):
    """The rows of the table, from scratch first in each kind of encoder."""
    rows = []
    for kind in ENCODERS:
        own = [name for name in names if pretraining_methods.METHODS[name].encoders[0] == kind]
        rows += [SCRATCH + kind, *own] if own else []
    return rows


def _shared(seed, settings):
    """The seed of the pretraining from which a seed starts, and of its split: none it saw may be tested."""
    return seed % (settings.pretrainings or seed + 1)


def _kind(row):
    return (
        row.removeprefix(SCRATCH) if row.startswith(SCRATCH) else pretraining_methods.METHODS[row].encoders[0]
    )


def _title(row):
    return "from scratch" if row.startswith(SCRATCH) else pretraining_methods.METHODS[row].title


def _rounds(settings, num_labels):
    """(rounds, examples in a round) of a fine-tuning: an epoch of the labels, or of some repetitions of them."""
    examples = settings.steps * settings.batch_size
    in_round = math.ceil(examples / settings.rounds)
    if num_labels >= in_round:
        return max(settings.passes, math.ceil(examples / num_labels)), num_labels
    rounds = max(settings.rounds, math.ceil(settings.passes * num_labels / in_round))
    return rounds, in_round


_SPEED = {"mlp": 0.3, "cnn": 1.0, "vit": 2.5}  # of an example through an encoder and back, relative


def _pretraining_cost(row, settings, num_examples):
    method = pretraining_methods.METHODS[row]
    passes = settings.pretrain_epochs[row] * (3 if method.greedy else 2 if method.views else 1)
    return passes * num_examples * _SPEED[_kind(row)] / 1000


def _total_cost(rows, settings, num_train, seeds):
    total = 0
    for row in rows:
        for labels in settings.labels:
            rounds, examples = _rounds(settings, labels or num_train)
            total += seeds * rounds * examples * len(settings.learning_rates) * _SPEED[_kind(row)] / 1000
        if not row.startswith(SCRATCH):
            runs = min(settings.pretrainings or seeds, seeds)
            if pretraining_methods.METHODS[row].kind is Supervised:
                runs = seeds * len(settings.labels)
            total += runs * _pretraining_cost(row, settings, num_train)
    return total


class _Row:
    """One row and seed: an encoder, pretrained when it is first needed, and what is measured on it."""

    def __init__(self, run, name, row, seed, settings, splits, options):
        self.run, self.name, self.row, self.seed = run, name, row, seed
        self.settings, self.options = settings, {**options, "row": row}
        self.train, val, self.test = splits
        self.val = withhold(val, settings.val_labels, seed)
        self.kind = _kind(row)
        self.supervised = not row.startswith(SCRATCH) and pretraining_methods.METHODS[row].kind is Supervised
        self.keyed = (
            f"{_title(row)}, {self.kind}, seed {seed}" if row.startswith(SCRATCH) else f"{row}, seed {seed}"
        )
        self._encoder = self._representations = None

    def measure(self, labels):
        """Accuracies on validation and test with a number of labels, and what was chosen: a cell of the table."""
        shown = "all" if labels is None else labels
        folder = self.run.folder / f"{self.row}-{shown}-seed-{self.seed}"
        cell = Run(
            folder,
            {**self.options, "seed": self.seed, "cell": shown},
            resume=True,
            progress=self.run.progress,
        )
        rounds, examples = _rounds(self.settings, labels or len(self.train))
        cost = examples * _SPEED[self.kind] / 1000
        if cell.results:
            self.run.progress.skip(rounds * len(self.settings.learning_rates), cost)
            if self.supervised:
                self.skip_pretraining()
            return cell.results
        began = time.perf_counter()
        few = withhold(self.train, labels, self.seed)
        encoder = self._pretrained(few, shown)
        result = {
            "probe": self._probe(cell, encoder, few, shown),
            "neighbors": self._neighbors(encoder, few),
            "finetuned": self._finetune(cell, encoder, few, shown, rounds, examples, cost),
        }
        cell.finish({**result, "seconds": round(time.perf_counter() - began, 1)})
        return cell.results

    def skip_pretraining(self):
        """Tells the bar of a pretraining that an earlier run has done, unless an encoder that cells share is there."""
        if self.row.startswith(SCRATCH) or (self._encoder is not None and not self.supervised):
            return
        if self.supervised or self.seed == _shared(self.seed, self.settings):
            self.run.progress.skip(1, self._pretraining_cost)

    @property
    def _pretraining_cost(self):
        return _pretraining_cost(self.row, self.settings, len(self.train))

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
        """A linear classifier on the representation, each feature standardized by the labelled examples."""
        train, val, test = self._represented(encoder, few)
        scale = design.Standardize()
        scale.adapt(train.x)
        rounds, examples = _rounds(self.settings, len(few))
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
        as_it_is = keras.layers.Identity()
        counts = [k for k in self.settings.neighbors if k <= len(few)]
        on_val = [share_of_votes_right(as_it_is, train, val, k) for k in counts]
        best = int(np.argmax(on_val))
        tested = share_of_votes_right(as_it_is, train, test, counts[best])
        return _accuracies({"k": counts[best], "val_accuracy": on_val[best]}, tested)

    def _represented(self, encoder, few):
        """The labelled examples, validation and test as the encoder represents them."""
        if self._representations is None or self.supervised:
            self._representations = {
                split: SimpleNamespace(x=represent(encoder, part.x).reshape(len(part.x), -1), y=part.y)
                for split, part in {"val": self.val, "test": self.test}.items()
            }
        train = SimpleNamespace(x=represent(encoder, few.x).reshape(len(few), -1), y=few.y)
        return train, self._representations["val"], self._representations["test"]

    def _pretrained(self, few, shown):
        """The row's encoder: from its seed alone, or pretrained now, or as an earlier run has pretrained it."""
        if self._encoder is not None and not self.supervised:
            return self._encoder
        if self.row.startswith(SCRATCH):
            self._encoder = _new_encoder(self.kind, self.train.x.shape[1:], self.seed)
            return self._encoder
        number = self.seed if self.supervised else _shared(self.seed, self.settings)
        part = f"pretrained-{self.row}-seed-{number}" + (f"-{shown}-labels" if self.supervised else "")
        own = {"seed": number, "split_seed": _shared(self.seed, self.settings)}
        own |= {"method": self.row, "command": "pretrain"}
        child = Run(
            self.run.folder / part,
            {**self.options, **own},
            resume=True,
            progress=self.run.progress,
        )
        path = child.folder / "encoder.keras"
        if child.results:
            self.skip_pretraining()
            self._encoder = keras.models.load_model(path)
            return self._encoder
        self._encoder = self._pretrain(child, few if self.supervised else self.train, number)
        save_model(self._encoder, path)
        child.finish({"epochs": self.settings.pretrain_epochs[self.row]})
        return self._encoder

    def _pretrain(self, child, train, seed):
        method, shape = pretraining_methods.METHODS[self.row], train.x.shape[1:]
        encoder = _new_encoder(self.kind, shape, seed)
        epochs = self.settings.pretrain_epochs[self.row]
        stages = 3 if method.greedy else 1
        cost = self._pretraining_cost / (epochs * stages)

        # a look at the start and at the end tells whether it has collapsed
        run = child if self.supervised else Watch(child, self.val, every=epochs)

        def fit(model, x, y=None, *, stage, **arguments):
            return run.fit(model, x, y, stage=f"{self.row}, seed {seed}, {stage}", cost=cost, **arguments)

        trained = pretraining_methods.train(
            self.row,
            encoder,
            train.x,
            train.y,
            epochs=epochs,
            batch_size=self.settings.pretrain_batch_size[self.row],
            learning_rate=self.settings.pretrain_learning_rates[self.row],
            options=dict(method.options),
            fit=fit,
            augment=pretraining_methods.augmentation(self.name, shape) if method.views else None,
            seed=seed,
        )
        child.draw(encoder if self.kind == "mlp" else None, shape)
        draw_what_was_learned(child.folder / "figures", trained, train.x[:40])
        return encoder


def _repeated(few, examples, num_classes):
    """A round of so many examples: where labels are few, it shows each several times."""
    index = np.resize(np.arange(len(few.y)), examples)
    return SimpleNamespace(x=few.x[index], y=few.y[index], num_classes=num_classes)


def _new_encoder(kind, shape, seed):
    """The encoder that all rows of a kind share; the multilayer perceptron's units are those that an RBM can be."""
    sizes = pretraining_methods.usual_sizes(kind, shape, "sigmoid" if kind == "mlp" else "relu")
    return pretraining_methods.make_encoder(shape, kind, seed, **sizes)


def _accuracies(chosen, tested):
    """What was chosen, and the accuracies in percent."""
    chosen = dict(chosen)
    valid = round(100 * float(chosen.pop("val_accuracy")), 4)
    return {**chosen, "valid": valid, "test": round(100 * float(tested), 4)}


def summarize(name, splits, rows, found, settings):
    """Mean and standard deviation over seeds of each cell's accuracies, as written to `results.json`."""
    table = {}
    for row in rows:
        cells = {}
        for labels, results in found[row].items():
            cell = {}
            for measure in MEASURES:
                each = [result[measure] for result in results]
                chosen = {key: [one[key] for one in each] for key in each[0] if key not in ("valid", "test")}
                split = {part: over_seeds([one[part] for one in each]) for part in ("valid", "test")}
                cell[measure] = {**split, **chosen}
            cells["all" if labels is None else str(labels)] = cell
        table[row] = {"title": _title(row), "encoder": _kind(row), "labels": cells}
    train, val, test = splits
    return {
        "data": name,
        "examples": {"train": len(train), "valid": settings.val_labels or len(val), "test": len(test)},
        "seeds": len(next(iter(found[rows[0]].values()))),
        "settings": dataclasses.asdict(settings),
        "rows": table,
    }


def format_labels(results):
    """The table as text: test accuracy in percent, mean ± standard deviation over seeds."""
    examples, seeds = results["examples"], results["seeds"]
    counts = list(next(iter(results["rows"].values()))["labels"])
    lines = [
        f"{results['data']}: test accuracy in %, {seeds} seed{'s' if seeds > 1 else ''};"
        f" {examples['train']:,} training images, choices on {examples['valid']:,} labelled validation images"
    ]
    for measure, title in MEASURES.items():
        heads = [f"{count if count == 'all' else format(int(count), ',')} labels" for count in counts]
        lines += ["", f"{title:28}" + "".join(head.rjust(16) for head in heads)]
        kind = None
        for row in results["rows"].values():
            if row["encoder"] != kind:
                kind = row["encoder"]
                lines.append(f"{ENCODERS[kind]}")
            untrained = row["title"] == "from scratch" and measure != "finetuned"
            line = f"  {'untrained' if untrained else row['title']:26}"
            lines.append(
                line + "".join(mean_and_std(row["labels"][c][measure]["test"]).rjust(16) for c in counts)
            )
    return "\n".join(lines)


def draw(results):
    """Test accuracy of fine-tuning by number of labels: one panel a kind of encoder, one line a method."""
    panels = {}
    for row in results["rows"].values():
        x = [results["examples"]["train"] if count == "all" else int(count) for count in row["labels"]]
        cells = [cell["finetuned"]["test"] for cell in row["labels"].values()]
        panel = panels.setdefault(row["encoder"], {"series": {}, "spread": {}})
        panel["series"][row["title"]] = np.array(x), np.array([cell["mean"] for cell in cells])
        panel["spread"][row["title"]] = np.array([cell["std"] or 0 for cell in cells])
    means = np.concatenate([y for panel in panels.values() for _, y in panel["series"].values()])
    for kind, panel in panels.items():
        ticks = next(iter(panel["series"].values()))[0].tolist()
        panel |= {"title": ENCODERS[kind], "x_label": "labels", "log": "x", "x_ticks": ticks}
        panel |= {"y_limits": (means.min() - 3, min(means.max() + 3, 100)), "legend": "lower right"}
    next(iter(panels.values()))["y_label"] = f"test accuracy on {results['data']}, %"
    return plotting.graphs(list(panels.values()), width=5.2)
