"""tf-kit finetune and tf-kit probe: a classifier on the encoder of a run."""

from __future__ import annotations

from typing import Any

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command

RUN = click.argument("run", type=click.Path())
EPOCHS = click.option(
    "--epochs",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Passes over the labelled examples.",
)
BATCH_SIZE = click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Examples per step."
)


def _learning_rate(default: float):
    return click.option(
        "--learning-rate", type=float, default=default, show_default=True, help="Learning rate of Adam."
    )


@click.command(cls=Command)
@RUN
@flags.LABELS
@EPOCHS
@BATCH_SIZE
@_learning_rate(0.001)
@flags.SEED
@flags.LABELLED
@flags.DATA_DIR
@flags.out("a folder within RUN")
@flags.RESUME
@flags.on_replicas
def finetune(run: str, labels: str | None, out: str | None, **options: Any) -> None:
    """Train the pretrained encoder of RUN on labels; the best epoch on validation is tested once."""
    from tf_kit.runs.classification import finetune_run

    _classify("finetune", finetune_run, run, labels, out, options)


@click.command(cls=Command)
@RUN
@flags.LABELS
@EPOCHS
@BATCH_SIZE
@_learning_rate(0.01)
@click.option(
    "--k",
    type=click.IntRange(1),
    help="Nearest neighbors that vote. [default: 20, or the number of labels per class if that is less]",
)
@flags.SEED
@flags.LABELLED
@flags.DATA_DIR
@flags.out("a folder within RUN")
@flags.RESUME
@flags.on_replicas
def probe(run: str, labels: str | None, out: str | None, **options: Any) -> None:
    """Measure the frozen encoder of RUN: a linear classifier on it, and its nearest neighbors."""
    from tf_kit.runs.classification import probe_run

    _classify("probe", probe_run, run, labels, out, options)


def _classify(kind, classify, run, labels, out, options):
    from tf_kit.runs.classification import folder_within

    labels = flags.label_count(labels)
    out = out or folder_within(run, kind, labels, options["seed"], options["data"])
    results = classify(run, labels=labels, out=out, **options)
    click.echo(f"{results['labels']:,} labels, best epoch {results['best_epoch']}; error in %")
    for split, error in results["error"].items():
        click.echo(f"  {split:26}{error:6.2f}")
    click.echo(f"classifier, curves and results in {out}")
