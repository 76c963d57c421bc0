"""Table of the lecture: five systems, with and without pretraining, on the same split with the same budget.

Slide: "Backpropagation does not work well".
Reference: Bengio, Lamblin, Popovici, Larochelle, 2007, Greedy layer-wise training of deep networks, NIPS, table 1.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_kit.checks import choice, count
from tf_kit.data.splits import Split
from tf_kit.experiments.cells import Cells, Loading, number_of_jobs, recorded_results
from tf_kit.experiments.comparison import WIDTH, compare, format_comparisons, gradient_ratio
from tf_kit.experiments.given_data import given_data
from tf_kit.experiments.recipes import Recipe, Rows, rows_for
from tf_kit.experiments.tuning import changed, forget_models, given, mean_and_std, over_seeds, tune
from tf_kit.pretraining import Classifier
from tf_kit.pretraining.methods import find, own_options
from tf_kit.runs import Run, methods
from tf_kit.runs.files import write_text
from tf_kit.runs.precision import choose as choose_precision
from tf_kit.runs.progress import Progress
from tf_kit.training.precision import precision as precision_of_layers
from tf_kit.training.sharing import shared_traces


@dataclasses.dataclass(frozen=True)
class System:
    """Row of the table.

    Attributes:
        name: name in the table.
        method: method that pretrains its layers, or None.
        deep: whether the net has several hidden layers.
        paper: errors in the paper on MNIST in percent, by split.
    """

    name: str
    method: str | None
    deep: bool
    paper: dict[str, float]


SYSTEMS = {
    "dbn": System("DBN, unsupervised pre-training", "rbm", True, {"train": 0.0, "valid": 1.2, "test": 1.2}),
    "autoencoder": System(
        "Deep net, auto-associator pre-training",
        "denoising",
        True,
        {"train": 0.0, "valid": 1.4, "test": 1.4},
    ),
    "supervised": System(
        "Deep net, supervised pre-training", "supervised", True, {"train": 0.0, "valid": 1.7, "test": 2.0}
    ),
    "deep": System("Deep net, no pre-training", None, True, {"train": 0.004, "valid": 2.1, "test": 2.4}),
    "shallow": System(
        "Shallow net, no pre-training", None, False, {"train": 0.004, "valid": 1.8, "test": 1.9}
    ),
}
SPLITS = ("train", "valid", "test")
_SHOWN = 256  # training examples whose gradient is measured before fine-tuning


@dataclasses.dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the table for one data set; every system gets the same fine-tuning budget.

    Attributes:
        layers: number of hidden layers of the deep nets; the shallow net has one.
        units: sigmoid units in each hidden layer.
        epochs: epochs of fine-tuning of every system; the best epoch on validation is kept.
        pretrain_epochs: epochs of pretraining per layer, by system.
        batch_size: examples per step.
        learning_rates: learning rates of Adam for fine-tuning, which fall to zero over the epochs by a cosine. Each
            starts from the same pretrained weights, and the best on validation is kept.
        pretrain_learning_rates: learning rate of pretraining by system, of Adam, or of momentum 0.9 for "dbn".
        rate: probability that the denoising auto-associator masks a feature.
        gibbs_steps: number k of Gibbs steps of contrastive divergence.
    """

    layers: int = 4
    units: int = 256
    epochs: int = 20
    pretrain_epochs: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"dbn": 15, "autoencoder": 15, "supervised": 8}
    )
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (0.006,)
    pretrain_learning_rates: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"dbn": 0.1, "autoencoder": 0.003, "supervised": 0.003}
    )
    rate: float = 0.1
    gibbs_steps: int = 1

    def of(self, system: str) -> Recipe:
        """Return the recipe of a row."""
        row = SYSTEMS[system]
        return Recipe(
            units=(self.units,) * (self.layers if row.deep else 1),
            pretrain_epochs=self.pretrain_epochs.get(system, 0),
            pretrain_learning_rate=self.pretrain_learning_rates.get(system, 0.0),
            pretrain_batch_size=self.batch_size,
            rate=self.rate,
            gibbs_steps=self.gibbs_steps,
            learning_rates=self.learning_rates,
            epochs=self.epochs,
            batch_size=self.batch_size,
        )


# Chosen on the validation sets alone.
SMALL = Settings()
LARGE = Settings(
    layers=3,
    units=1000,
    epochs=20,
    pretrain_epochs={"dbn": 10, "autoencoder": 15, "supervised": 5},
    batch_size=128,
    learning_rates=(0.0005, 0.001, 0.003),
    pretrain_learning_rates={"dbn": 0.05, "autoencoder": 0.001, "supervised": 0.001},
    rate=0.3,
)


def settings_for(num_examples: int, **changes: Any) -> Settings:
    """Return the settings for a training set of a size, with `changes` that are not None.

    Args:
        num_examples: number of training examples; 10,000 or more give `LARGE`, fewer `SMALL`.
        **changes: fields of `Settings`; those by system may be one number for all, or hold some of the systems only.

    Example:
        >>> settings_for(1197).units, settings_for(50_000).units, settings_for(50_000, units=500).units
        (256, 1000, 500)
    """
    base = LARGE if num_examples >= 10_000 else SMALL
    changes = given(changes)
    return changed("run_table", base, changes)


def run_table(
    name: str = "digits",
    seeds: int = 5,
    out: str | Path | None = None,
    resume: bool = False,
    systems: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    quiet: bool = False,
    precision: str | None = None,
    recipe: str | None = None,
    jobs: int | None = 1,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    labels_file: str | Path | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Train every system with every seed and collect the errors.

    Each seed fixes the split, if the data set has none (digits; that of MNIST never changes), the initial weights,
    the order of the examples and all random numbers of pretraining. The systems of a seed share its split. Learning
    rate and epoch are chosen on the validation set. The test set is used once per system and seed, after all choices.

    Args:
        name: data set, as for `data.load`. Defaults to `"digits"`.
        seeds: number of seeds: 0, 1, … Defaults to 5.
        out: run folder.
        resume: whether to continue the run in `out`. Defaults to False.
        systems: names of rows, keys of `SYSTEMS`. Defaults to None, all rows.
        data_dir: folder of prepared data sets. Defaults to None.
        quiet: whether to show no progress. Defaults to False.
        precision: `"float32"`, `"bfloat16"`, or `"auto"`, see `runs.precision.choose`. Defaults to None, the policy
            that Keras has.
        recipe: `"2007"` or `"today"`, see `recipes.rows_for`. Defaults to None, the same short training with Adam
            for all rows, see `settings_for`.
        jobs: number of processes that train, each with an equal share of the processors; None chooses it, see
            `cells.number_of_jobs`. Small nets gain most. With other numbers of threads a product of large matrices may
            round differently. Defaults to 1, this process.
        image_size, color, labels_file: how the images of a folder are read, as for `data.load`. Default to None.
        **changes: fields of `Settings`, or of every row of the recipe, to change.

    Returns:
        The results as written to `results.json`.

    Raises:
        InputError: an argument is out of range, the data cannot be used, or `out` holds another run.
    """
    seeds = count("run_table.seeds", seeds)
    jobs = number_of_jobs("run_table.jobs", jobs)
    systems = [systems] if isinstance(systems, str) else systems
    chosen = dict.fromkeys(systems or SYSTEMS)  # a system that is named twice counts once
    systems = [choice("run_table.systems", system, tuple(SYSTEMS)) for system in chosen]
    examples = given_data("run_table", name, data_dir, image_size, color, labels_file)
    splits = examples.load(0, for_rbm="dbn" in systems)
    settings: Settings | Rows = (
        rows_for(recipe, len(splits[0]), **changes) if recipe else settings_for(len(splits[0]), **changes)
    )
    options = {"command": "table", **examples.options(), "systems": systems, **dataclasses.asdict(settings)}
    used, why = _choose_precision(precision, settings, splits[0].x, out if resume else None)
    options |= {"precision": used} if used else {}
    progress = Progress(sum(_cost(system, settings) for system in systems) * seeds, quiet=quiet)
    run = Run(out, options, resume=resume, progress=progress, data=examples.contents())
    rows: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    if why:
        progress.print(why)
    train = functools.partial(_train, run.folder, settings, options, used, Loading(examples.load, 0, splits))
    cells = [(system, seed) for seed in range(seeds) for system in systems]
    open_ = [cell for cell in cells if not _folder(run.folder, cell).joinpath("results.json").exists()]
    with shared_traces(), Cells(jobs, train, open_, progress) as others:
        for system, seed in cells:
            rows[system].append(others.result((system, seed)))
    progress.close()

    results = summarize(name, splits, rows, settings)
    # The sum over the cells includes those that an earlier call has trained.
    seconds = [each["seconds"] for results_of_seeds in rows.values() for each in results_of_seeds]
    results["seconds"] = round(sum(seconds), 1)
    _draw(results, run.folder / "figures" / "table.png")
    write_text(run.folder / "table.txt", format_table(results) + "\n")
    return run.finish(results)


def _draw(results, path):
    # Imports matplotlib, which the processes of the cells do not need.
    from tf_kit.experiments.table_figure import draw_table
    from tf_kit.runs.figures import save_figure

    save_figure(draw_table(results), path)


def _choose_precision(wanted, settings, x, resumed):
    """Return the precision of the deep nets, and why it was chosen."""
    recipe = settings.of("deep")

    def make():
        return recipe.encoder(x.shape[1:], seed=0)

    sizes = {"units": recipe.units}
    return choose_precision(wanted, make, sizes, x[:1], recipe.batch_size, resumed=resumed)


def _folder(table, cell):
    system, seed = cell
    return table / f"{system}-seed-{seed}"


def _train(table, settings, options, precision, load, cell, progress):
    """Compute one cell: pretrain, fine-tune with each learning rate, keep the best on validation, test once."""
    system, seed = cell
    child = Run(_folder(table, cell), {**options, "seed": seed}, resume=True, progress=progress)
    earlier = recorded_results(child, *(f"errors.{split}" for split in SPLITS))
    if earlier:
        progress.skip(_cost(system, settings))
        return earlier
    splits, recipe, keyed = load(seed), settings.of(system), f"{system}, seed {seed}"
    train, began = splits[0], time.perf_counter()
    with precision_of_layers(precision):
        encoder = pretrained_encoder(child, system, recipe, train, seed, keyed)
        if seed == 0:
            child.draw(encoder, train.x.shape[1:])
        shown = slice(_SHOWN)
        ratio = gradient_ratio(encoder, train.x[shown], train.y[shown], train.num_classes, seed)
        classifier, chosen = fine_tune(child, system, encoder, recipe, splits, seed, f"{keyed}, fine-tuning")
        errors = {
            split: 100 * (1 - classifier.evaluate(part.x, part.y, return_dict=True, verbose=0)["accuracy"])
            for split, part in zip(SPLITS, splits, strict=True)
        }
    results = child.finish(
        {
            "errors": {split: round(error, 6) for split, error in errors.items()},
            "learning_rate": chosen["learning_rate"],
            "epoch": chosen["epoch"],
            "gradient_ratio": float(f"{ratio:.4g}"),
            "seconds": round(time.perf_counter() - began, 1),
        }
    )
    forget_models()
    return results


def fine_tune(
    run: Run,
    system: str,
    encoder: keras.Sequential,
    recipe: Recipe,
    splits: Sequence[Split],
    seed: int,
    stage: str,
) -> tuple[Classifier, dict[str, Any]]:
    """Fine-tune the encoder of a row by a recipe, see `tuning.tune`; the test set is not used."""
    train, val = splits[:2]
    pretrained = SYSTEMS[system].method is not None
    return tune(
        run,
        recipe.for_fine_tuning(encoder, seed, train.x if pretrained else None),
        train,
        val,
        learning_rates=recipe.learning_rates,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        stage=stage,
        seed=seed,
        cost=_epoch_costs(recipe)[1],
        optimizer=recipe.optimizer_of,
    )


def pretrained_encoder(
    run: Run, system: str, recipe: Recipe, train: Split, seed: int, stage: str, shared: bool = False
) -> keras.Sequential:
    """Make the encoder of a row, pretrained on the training set if the row has a method.

    Args:
        run: `Run` whose `fit` trains.
        system: name of the row.
        recipe: its recipe.
        train: training set.
        seed: seed of the initial weights and of pretraining.
        stage: how the names of the stages in the run begin.
        shared: whether a second call with this stage returns what the first has pretrained, see `Run.fit`. Defaults
            to False.
    """
    encoder = recipe.encoder(train.x.shape[1:], seed)
    method = SYSTEMS[system].method
    if method is None:
        return encoder
    cost, _ = _epoch_costs(recipe)

    def fit(block, x, y, **arguments):
        layer = arguments.pop("stage")
        return run.fit(block, x, y, stage=f"{stage}, {layer}", cost=cost, shared=shared, **arguments)

    declared = {"rate": recipe.rate, "gibbs_steps": recipe.gibbs_steps}
    own = {name: declared[name] for name in find(method).options.names() if name in declared}
    methods.train(
        method,
        encoder,
        train.x,
        train.y,
        epochs=recipe.pretrain_epochs,
        batch_size=recipe.pretrain_batch_size,
        learning_rate=recipe.pretrain_learning_rate,
        options=own_options(method, own),
        fit=fit,
        seed=seed,
        optimizer=recipe.optimizer_of_pretraining(),
    )
    return encoder


def _epoch_costs(recipe):
    """Costs of an epoch that pretrains a layer and of one that fine-tunes, in millions of weights."""
    sizes = 784, *recipe.units
    millions = sum(a * b for a, b in itertools.pairwise(sizes)) / 1e6
    return 0.6 * millions, millions


def _cost(system, settings):
    """Cost of a system with one seed, in the same unit."""
    recipe = settings.of(system)
    pretraining_cost, tuning_cost = _epoch_costs(recipe)
    pretraining = (
        recipe.pretrain_epochs * len(recipe.units) * pretraining_cost if SYSTEMS[system].method else 0
    )
    return pretraining + recipe.epochs * len(recipe.learning_rates) * tuning_cost


def summarize(
    name: str,
    splits: Sequence[Split],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: Settings | Rows,
) -> dict[str, Any]:
    """Compute mean and standard deviation over seeds of each system's errors, as written to `results.json`.

    Args:
        name: data set.
        splits: train, val and test.
        rows: system → results of its seeds.
        settings: settings of the table, or the rows of a recipe.
    """
    table: dict[str, dict[str, Any]] = {}
    for system, results in rows.items():
        table[system] = {"name": SYSTEMS[system].name}
        for split in SPLITS:
            table[system][split] = over_seeds([result["errors"][split] for result in results])
        table[system]["learning_rate"] = [result["learning_rate"] for result in results]
        table[system]["epoch"] = [result["epoch"] for result in results]
        table[system]["gradient_ratio"] = [result["gradient_ratio"] for result in results]
        table[system]["seconds"] = [result["seconds"] for result in results]
        if name == "mnist":
            table[system]["paper"] = SYSTEMS[system].paper
    return {
        "data": name,
        "examples": dict(zip(SPLITS, map(len, splits), strict=True)),
        "settings": dataclasses.asdict(settings),
        "systems": table,
        "comparisons": compare({system: row["test"]["seeds"] for system, row in table.items()}),
    }


def format_table(results: Mapping[str, Any]) -> str:
    """Format the table as text: errors in percent, mean ± standard deviation over seeds, and what they show.

    Args:
        results: results of `run_table`.
    """
    systems = results["systems"]
    seeds = len(next(iter(systems.values()))["test"]["seeds"])
    sizes = " / ".join(f"{results['examples'][split]:,}" for split in SPLITS)
    plural = "s" if seeds > 1 else ""
    paper = any("paper" in row for row in systems.values())
    lines = [f"{results['data']}, {sizes} examples, {seeds} seed{plural}: error in %", ""]
    head = f"{'':40}" + "".join(f"{split:>15}" for split in SPLITS)
    lines.append(head + ("     Bengio et al. 2007" if paper else ""))
    for row in systems.values():
        line = f"{row['name']:40}"
        for split in SPLITS:
            line += mean_and_std(row[split]).rjust(15)
        if paper:
            line += "     " + "  ".join(f"{row['paper'][split]:g}" for split in SPLITS)
        lines.append(line)
    conclusion = format_comparisons(results["comparisons"], seeds)
    return "\n".join([*lines, *([""] if conclusion else []), *conclusion, *_cause(systems)])


_VANISHING = (
    0.1  # gradient of the first hidden layer, relative to that of the output layer, below which it vanishes
)
_SHORT = {"dbn": "DBN", "autoencoder": "auto-associator", "supervised": "supervised"}


def _cause(systems):
    """Return a line about the vanishing gradient of the deep net, if the table has it."""
    ratios = {name: np.exp(np.mean(np.log(row["gradient_ratio"]))) for name, row in systems.items()}
    if "deep" not in ratios:
        return []
    vanishes = "vanishes" if ratios["deep"] < _VANISHING else "does not vanish"
    line = (
        f"The gradient {vanishes} on its way down: at the start of fine-tuning that of the first hidden layer is "
        f"{ratios['deep']:.2g} times that of the output layer without pre-training"
    )
    others = [f"{ratios[name]:.2g} after {_SHORT[name]} pre-training" for name in _SHORT if name in ratios]
    return textwrap.wrap(", ".join([line, *others]) + ".", WIDTH, break_on_hyphens=False)
