"""tf-kit table and tf-kit label-efficiency: the lecture's tables."""

from __future__ import annotations

from typing import Any

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command
from tf_kit.options import Parsed, type_of

LARGE = "from 10,000 training images"


def _learning_rates(default: str):
    return flags.text(
        "--learning-rates",
        "Learning rates of fine-tuning to choose from on validation, separated by commas",
        default_text=default,
        type=Parsed(flags.numbers, "number,…"),
    )


_PRECISION = flags.choice(
    "--precision", "Precision of products", ("float32", "bfloat16"), None, default_text="float32"
)
_JOBS = flags.number(
    "--jobs",
    "Processes that train, each with its share of the processors",
    default_text="number of processors, at most 4; 1 with GPUs or replicas",
)


@click.command(cls=Command, short_help="Compute the lecture's five-row table: the effect of pretraining.")
@flags.DATA
@flags.DATA_DIR
@flags.IMAGE_SIZE
@flags.COLOR
@flags.LABELS_FILE
@flags.text(
    "--systems",
    "Rows to compute, separated by commas",
    default_text="dbn,autoencoder,supervised,deep,shallow",
    type=Parsed(flags.names, "name,…"),
)
@flags.choice(
    "--recipe",
    "Recipe of each row, in place of the defaults below: `2007` trains by momentum, `today` with noise",
    ("2007", "today"),
    None,
    default_text="the same short training with Adam for all rows",
)
@flags.number("--seeds", flags.SEEDS_HELP, default=5)
@flags.number("--layers", "Hidden layers of the deep nets", default_text=f"4; {LARGE} 3")
@flags.number("--units", "Units in each hidden layer", default_text=f"256; {LARGE} 1000")
@flags.number("--epochs", "Epochs of fine-tuning, the same for every system", default_text="20")
@flags.number(
    "--pretrain-epochs",
    "Epochs of pretraining per layer",
    default_text=f"15, but supervised 8; {LARGE} 15, but dbn 10 and supervised 5",
)
@flags.number("--batch-size", "Examples per step", default_text=f"32; {LARGE} 128")
@_learning_rates(f"0.006; {LARGE} 0.0005,0.001,0.003")
@flags.precision("float32")
@_JOBS
@flags.out("runs/table-<data>")
@flags.RESUME
@flags.on_replicas
def table(
    data: str,
    data_dir: str | None,
    seeds: int,
    systems: tuple[str, ...] | None,
    out: str | None,
    resume: bool,
    **changes: Any,
) -> None:
    """Compute the lecture's five-row table: the effect of pretraining.

    Trains a deep belief network, a net with auto-associator pretraining, a net with supervised pretraining, a net
    without pretraining, and a shallow net, all on the same split with the same fine-tuning budget. Prints the
    training, validation and test error. Learning rate and epoch are chosen on the validation set.
    """
    from tf_kit.experiments import format_table, run_table

    out = out or f"runs/table-{flags.last_part(data)}"
    results = run_table(
        data, seeds=seeds, out=out, resume=resume, systems=systems, data_dir=data_dir, **changes
    )
    click.echo(format_table(results))
    click.echo(f"\n{results['seconds']:.0f} s of training; figures, history and results in {out}")


@click.command("search-recipe", cls=Command, short_help="Search the values of a row of the lecture's table.")
@click.argument("system", metavar="ROW")
@flags.choice("--recipe", "Recipe whose row and space are searched", ("2007", "today"), "2007")
@flags.DATA
@flags.DATA_DIR
@flags.IMAGE_SIZE
@flags.COLOR
@flags.LABELS_FILE
@flags.number("--candidates", "Candidates; the first is the recipe's own row", default=9)
@flags.number("--min-epochs", "Epochs of fine-tuning in the first round", default=3)
@flags.number("--max-epochs", "Epochs of fine-tuning in the last round", default=27)
@flags.number("--units", "Units in each hidden layer of every candidate", default_text="those of the space")
@flags.number("--pretrain-epochs", "Epochs of pretraining per layer", default_text="those of the space")
@flags.SEED
@_PRECISION
@flags.out("runs/search-<recipe>-<row>-<data>")
@flags.RESUME
@flags.on_replicas
def search_recipe(
    system: str, recipe: str, data: str, data_dir: str | None, out: str | None, **options: Any
) -> None:
    """Search the values of a row of the lecture's table on the validation set.

    ROW is dbn, autoencoder, supervised, deep or shallow. Successive halving trains all candidates for a few epochs, the
    best third for three times as long, and so on. Prints the trials, best first; the test set is not used.
    """
    from tf_kit.experiments import search_recipe as search

    out = out or f"runs/search-{recipe}-{system}-{flags.last_part(data)}"
    click.echo(search(system, recipe, data, out=out, data_dir=data_dir, **options))
    click.echo(f"\nlog in {out}/search.csv")


@click.command("label-efficiency", cls=Command, short_help="Compare every method by the number of labels.")
@flags.DATA
@flags.DATA_DIR
@flags.IMAGE_SIZE
@flags.COLOR
@flags.LABELS_FILE
@flags.text(
    "--methods",
    "Methods of `tf-kit pretrain`, separated by commas",
    default_text="all that read images",
    type=Parsed(flags.names, "name,…"),
)
@flags.SEEDS
@flags.text(
    "--labels",
    "Numbers of labels, separated by commas; `all` is one of them",
    default_text=f"50,200,all; {LARGE} 100,1000,10000,all",
    type=Parsed(flags.label_counts, "integer,…"),
)
@flags.number("--val-labels", "Validation images that choices are made on", default_text=f"all; {LARGE} 1000")
@flags.text(
    "--units",
    "Units of each hidden layer of the multilayer perceptron",
    default_text="200,200,200",
    type=type_of("units", tuple[int, ...], {"limits": {"at_least": 1}}),
)
@flags.number(
    "--pretrain-epochs",
    "Epochs of pretraining, per layer if the method trains layer by layer",
    default_text=f"those of `tf-kit pretrain`; {LARGE} 5 per layer, or 10",
)
@flags.number(
    "--pretrain-learning-rate",
    "Learning rate of pretraining, the same for every method",
    float,
    default_text="those of `tf-kit pretrain`",
    above=0,
)
@flags.number(
    "--pretrainings",
    "Encoders per method, which the seeds share in turn",
    default_text=f"one per seed; {LARGE} 1",
)
@flags.number("--steps", "Smallest number of fine-tuning steps", default_text=f"300; {LARGE} 600")
@_learning_rates(f"0.001,0.003; {LARGE} 0.0003,0.001,0.003")
@_PRECISION
@_JOBS
@flags.out("runs/label-efficiency-<data>")
@flags.RESUME
@flags.on_replicas
def label_efficiency(
    data: str,
    data_dir: str | None,
    seeds: int,
    methods: tuple[str, ...] | None,
    out: str | None,
    resume: bool,
    pretrain_learning_rate: float | None,
    **changes: Any,
) -> None:
    """Compare every method with training from scratch, by the number of labels.

    Pretrains on the training images, and fine-tunes with few and with many labels, with the same steps, learning
    rates and choices on validation for every row. Prints the test accuracy of fine-tuning, of a linear probe and of
    nearest neighbors.
    """
    from tf_kit.experiments import format_labels, run_label_efficiency

    out = out or f"runs/label-efficiency-{flags.last_part(data)}"
    changes["pretrain_learning_rates"] = pretrain_learning_rate
    results = run_label_efficiency(
        data, seeds=seeds, out=out, resume=resume, methods=methods, data_dir=data_dir, **changes
    )
    click.echo(format_labels(results))
    click.echo(f"\n{results['seconds']:.0f} s; figure, encoders and results in {out}")
