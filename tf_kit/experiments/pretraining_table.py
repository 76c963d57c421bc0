"""The lecture's headline table: five systems, with and without pretraining, on the same split and budget.

Slide: "Backpropagation does not work well"; Bengio, Lamblin, Popovici, Larochelle 2007, "Greedy Layer-Wise
Training of Deep Networks", table 1.
"""

import dataclasses
import time

from tf_kit import data, networks, plotting
from tf_kit.checks import choice, count
from tf_kit.experiments.tuning import forget_models, mean_and_std, over_seeds, tune
from tf_kit.pretraining.methods import find, own_options
from tf_kit.runs import Run, methods
from tf_kit.runs.progress import Progress
from tf_kit.runs.training_data import refuse_without_labels


@dataclasses.dataclass(frozen=True)
class System:
    """One row of the table: the method that pretrains its layers, and the errors in the paper on MNIST (percent)."""

    name: str
    method: str | None
    deep: bool
    paper: dict


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


@dataclasses.dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the table for one data set; every system gets the same fine-tuning budget.

    Attributes:
        layers: hidden layers of the deep nets; the shallow net has one.
        units: sigmoid units in each hidden layer.
        epochs: epochs of fine-tuning, for every system; the best one on validation is kept.
        pretrain_epochs: epochs for each layer, by system.
        batch_size: examples a step.
        learning_rates: Adam's rates for fine-tuning, decaying to zero over the epochs by a cosine; each is
            tried from the same pretrained weights, and the best on validation is kept.
        pretrain_learning_rates: by system; Adam's, for "dbn" that of momentum 0.9.
        rate: probability that the denoising auto-associator masks a feature.
        gibbs_steps: k of contrastive divergence.
        jit_update: whether Adam's update of all weights is compiled into one kernel; pays for large nets.
    """

    layers: int = 3
    units: int = 256
    epochs: int = 20
    pretrain_epochs: dict = dataclasses.field(
        default_factory=lambda: {"dbn": 15, "autoencoder": 15, "supervised": 8}
    )
    batch_size: int = 32
    learning_rates: tuple = (0.006,)
    pretrain_learning_rates: dict = dataclasses.field(
        default_factory=lambda: {"dbn": 0.1, "autoencoder": 0.003, "supervised": 0.003}
    )
    rate: float = 0.1
    gibbs_steps: int = 1
    jit_update: bool = False


# Chosen on the validation sets only.
SMALL = Settings()
LARGE = Settings(
    units=1000,
    epochs=20,
    pretrain_epochs={"dbn": 10, "autoencoder": 15, "supervised": 5},
    batch_size=128,
    learning_rates=(0.0005, 0.001, 0.003),
    pretrain_learning_rates={"dbn": 0.05, "autoencoder": 0.001, "supervised": 0.001},
    rate=0.3,
    jit_update=True,
)


def settings_for(num_examples, **changes):
    """The settings for a training set of this size, with `changes` that are not None.

    >>> settings_for(1197).units, settings_for(50_000).units, settings_for(50_000, units=500).units
    (256, 1000, 500)
    """
    base = LARGE if num_examples >= 10_000 else SMALL
    changes = {name: value for name, value in changes.items() if value is not None}
    if "pretrain_epochs" in changes:
        changes["pretrain_epochs"] = dict.fromkeys(base.pretrain_epochs, changes["pretrain_epochs"])
    return dataclasses.replace(base, **changes)


def run_table(
    name="digits", seeds=3, out=None, resume=False, systems=None, data_dir=None, quiet=False, **changes
):
    """Trains every system with every seed and collects the errors.

    Each seed fixes the split where the data set has none of its own (digits; MNIST's never changes), the initial
    weights, the order of the examples and all that is random in pretraining. The systems of a seed share its
    split. Learning rate and epoch are chosen on the validation set. The test set is used once for each system
    and seed, after all is chosen.

    Args:
        name: data set, as for `data.load`.
        seeds: how many seeds, 0 … seeds − 1.
        out: run folder.
        resume: whether to go on with the run in `out`.
        systems: names out of `SYSTEMS`. Defaults to all.
        data_dir: folder of prepared data sets.
        quiet: whether to show no progress.
        **changes: fields of `Settings` to change.

    Returns:
        The results as written to `results.json`.
    """
    seeds = count("table.seeds", seeds)
    chosen = dict.fromkeys(systems or SYSTEMS)  # each once
    systems = [choice("table.systems", system, tuple(SYSTEMS)) for system in chosen]
    splits = data.load(name, seed=0, data_dir=data_dir)
    if not splits[0].num_classes:
        refuse_without_labels(name)
    settings = settings_for(len(splits[0]), **changes)
    options = {"command": "table", "data": name, "data_dir": data_dir and str(data_dir), "systems": systems}
    options |= dataclasses.asdict(settings)
    progress = Progress(sum(_cost(system, settings) for system in systems) * seeds, quiet=quiet)
    run = Run(out, options, resume=resume, progress=progress)
    rows = {system: [] for system in systems}
    for seed in range(seeds):
        splits = splits if seed == 0 else data.load(name, seed=seed, data_dir=data_dir)
        for system in systems:
            rows[system].append(_train(run, system, seed, settings, splits, options))
    progress.close()

    results = summarize(name, splits, rows, settings)
    cells = [each for results_of_seeds in rows.values() for each in results_of_seeds]
    results["seconds"] = round(
        sum(each["seconds"] for each in cells), 1
    )  # also of what an earlier call has run
    plotting.save(_figure(results), run.folder / "figures" / "table.png")
    (run.folder / "table.txt").write_text(format_table(results) + "\n", encoding="utf-8")
    run.finish(results)
    return run.results


def _train(run, system, seed, settings, splits, options):
    """One cell of work: pretrain, fine-tune with each learning rate, keep the best on validation, test once."""
    child = Run(
        run.folder / f"{system}-seed-{seed}", {**options, "seed": seed}, resume=True, progress=run.progress
    )
    row, keyed = SYSTEMS[system], f"{system}, seed {seed}"
    if child.results:
        run.progress.skip(_cost(system, settings))
        return child.results
    train, val, test = splits
    pretraining_cost, tuning_cost = _epoch_costs(row, settings)
    units = (settings.units,) * (settings.layers if row.deep else 1)
    encoder = networks.mlp(units, num_classes=None, input_shape=train.x.shape[1:], seed=seed)
    began = time.perf_counter()

    def fit(block, x, y, stage, **arguments):
        return child.fit(block, x, y, stage=f"{keyed}, {stage}", cost=pretraining_cost, **arguments)

    if row.method:
        declared = {"rate": settings.rate, "gibbs_steps": settings.gibbs_steps}
        own = {name: declared[name] for name in find(row.method).options.names() if name in declared}
        methods.train(
            row.method,
            encoder,
            train.x,
            train.y,
            epochs=settings.pretrain_epochs[system],
            batch_size=settings.batch_size,
            learning_rate=settings.pretrain_learning_rates[system],
            options=own_options(row.method, own),
            fit=fit,
            seed=seed,
            jit_update=settings.jit_update,
        )
    child.draw(encoder, train.x.shape[1:])
    classifier, chosen = tune(
        child,
        encoder,
        train,
        val,
        learning_rates=settings.learning_rates,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        stage=f"{keyed}, fine-tuning",
        seed=seed,
        jit_update=settings.jit_update,
        cost=tuning_cost,
    )
    errors = {
        split: 100 * (1 - classifier.evaluate(part.x, part.y, return_dict=True, verbose=0)["accuracy"])
        for split, part in zip(SPLITS, (train, val, test), strict=True)
    }
    child.finish(
        {
            "errors": {split: round(error, 6) for split, error in errors.items()},
            "learning_rate": chosen["learning_rate"],
            "epoch": chosen["epoch"],
            "seconds": round(time.perf_counter() - began, 1),
        }
    )
    forget_models()
    return child.results


def _epoch_costs(row, settings):
    """What an epoch costs that pretrains a layer, and one that fine-tunes; 1 is fine-tuning the deep net."""
    return 0.6, 1.0 if row.deep else 1 / settings.layers


def _cost(system, settings):
    """What a system costs with one seed, in the same unit."""
    row = SYSTEMS[system]
    pretraining_cost, tuning_cost = _epoch_costs(row, settings)
    pretraining = settings.pretrain_epochs[system] * settings.layers * pretraining_cost if row.method else 0
    return pretraining + settings.epochs * len(settings.learning_rates) * tuning_cost


def summarize(name, splits, rows, settings):
    """Mean and standard deviation over seeds of each system's errors, as written to `results.json`.

    The standard deviation is that of a sample (n − 1), None for one seed.
    """
    table = {}
    for system, results in rows.items():
        table[system] = {"name": SYSTEMS[system].name}
        for split in SPLITS:
            table[system][split] = over_seeds([result["errors"][split] for result in results])
        table[system]["learning_rate"] = [result["learning_rate"] for result in results]
        table[system]["epoch"] = [result["epoch"] for result in results]
        table[system]["seconds"] = [result["seconds"] for result in results]
        if name == "mnist":
            table[system]["paper"] = SYSTEMS[system].paper
    return {
        "data": name,
        "examples": dict(zip(SPLITS, map(len, splits), strict=True)),
        "settings": dataclasses.asdict(settings),
        "systems": table,
    }


def format_table(results):
    """The table as text, errors in percent, mean ± standard deviation over seeds."""
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
    return "\n".join(lines)


def _figure(results):
    rows = list(results["systems"].values())
    paper = [row["paper"]["test"] for row in rows] if all("paper" in row for row in rows) else None
    return plotting.errors_by_system(
        [row["name"].replace(", ", ",\n") for row in rows],
        [row["test"]["seeds"] for row in rows],
        reference=paper,
        title=f"Pretraining on {results['data']}",
    )
