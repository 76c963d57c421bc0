"""tf-kit finetune and tf-kit probe: a classifier on the encoder of a run."""

from __future__ import annotations

from typing import Any

import click

from tf_kit.cli import flags
from tf_kit.cli.config import CONFIG, ConfiguredCommand

RUN = click.argument("run", type=flags.Place())
EPOCHS = flags.number("--epochs", "Passes over the labelled examples", default=30)
BATCH_SIZE = flags.number("--batch-size", "Examples per step", default=32)


def _learning_rate(default: float):
    return flags.number("--learning-rate", "Learning rate of Adam", float, default=default, above=0)


@click.command(cls=ConfiguredCommand, short_help="Train the encoder of a run on labels.")
@RUN
@flags.LABELS
@EPOCHS
@BATCH_SIZE
@_learning_rate(0.001)
@flags.SEED
@flags.LABELLED
@flags.DATA_DIR
@flags.LABELS_FILE
@flags.TEST_ON_SEEN
@click.option(
    "--compare", is_flag=True, help="Train also the same network from scratch, and show the difference."
)
@flags.precision("that of the encoder")
@flags.out("a folder within RUN")
@flags.RESUME
@CONFIG
@flags.on_replicas
def finetune(run: str, labels: int | float | None, out: str | None, **options: Any) -> None:
    """Train the pretrained encoder in the run folder RUN on labels.

    The best epoch on validation is kept and tested once. Prints the error on each split.
    """
    from tf_kit.runs.classification import finetune_run

    _classify("finetune", finetune_run, run, labels, out, options)


@click.command(
    cls=ConfiguredCommand, short_help="Measure the encoder of a run with a linear classifier and neighbors."
)
@RUN
@flags.LABELS
@EPOCHS
@BATCH_SIZE
@_learning_rate(0.01)
@flags.number(
    "--k",
    "Number of nearest neighbors",
    default_text="20, or the number of labels per class if that is less",
)
@flags.SEED
@flags.LABELLED
@flags.DATA_DIR
@flags.LABELS_FILE
@flags.TEST_ON_SEEN
@flags.precision("that of the encoder")
@flags.out("a folder within RUN")
@flags.RESUME
@CONFIG
@flags.on_replicas
def probe(run: str, labels: int | float | None, out: str | None, **options: Any) -> None:
    """Measure the frozen encoder in the run folder RUN.

    Trains a linear classifier on its representation, and classifies by nearest neighbors. Prints the error on each
    split.
    """
    from tf_kit.runs.classification import probe_run

    _classify("probe", probe_run, run, labels, out, options)


def _classify(kind, classify, run, labels, out, options):
    from tf_kit.runs.classification import folder_within

    out = out or folder_within(run, kind, labels, options["seed"], options["data"])
    results = classify(run, labels=labels, out=out, **options)
    if "from_scratch" in results:
        _print_comparison(results)
    else:
        click.echo(f"{results['labels']:,} labels, best epoch {results['best_epoch']}; error in %")
        for split, error in results["error"].items():
            click.echo(f"  {split:26}{error:6.2f}")
    click.echo(f"classifier, curves and results in {out}")


def _print_comparison(results):
    scratch = results["from_scratch"]
    click.echo(
        "".join(
            [
                f"{results['labels']:,} labels; error in %".ljust(28),
                *(f"{each:>8}" for each in scratch["error"]),
            ]
        )
    )
    rows = {"pretrained": results, "from scratch": scratch}
    for name, row in rows.items():
        errors = "".join(f"{row['error'][split]:8.2f}" for split in scratch["error"])
        click.echo(f"  {name:26}{errors}, best epoch {row['best_epoch']}")
    click.echo(f"  {'difference':26}" + "".join(f"{each:+8.2f}" for each in scratch["difference"].values()))
    only = scratch["test_right_only"]
    click.echo(
        f"test examples classified correctly only after pretraining: {only['pretrained']:,}; "
        f"only from scratch: {only['from scratch']:,}"
    )
