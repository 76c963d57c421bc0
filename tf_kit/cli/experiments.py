"""tf-kit table and tf-kit label-efficiency: the lecture's tables."""

from __future__ import annotations

from typing import Any

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command


@click.command(cls=Command)
@flags.DATA
@flags.DATA_DIR
@flags.SEEDS
@click.option(
    "--systems", help="Rows to compute, separated by commas: dbn,autoencoder,supervised,deep,shallow."
)
@click.option("--units", type=click.IntRange(1), help="Units in each hidden layer.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of fine-tuning, the same for every system.")
@click.option("--pretrain-epochs", type=click.IntRange(1), help="Epochs of pretraining for each layer.")
@click.option("--batch-size", type=click.IntRange(1), help="Examples per step.")
@click.option("--learning-rates", help="Fine-tuning rates to choose from on validation, separated by commas.")
@flags.out("runs/table-<data>")
@flags.RESUME
@flags.on_replicas
def table(
    data: str,
    data_dir: str | None,
    seeds: int,
    systems: str | None,
    learning_rates: str | None,
    out: str | None,
    resume: bool,
    **changes: Any,
) -> None:
    """Compute the lecture's five-row table: the effect of pretraining.

    Trains a deep belief network, a net with auto-associator pretraining, one with supervised pretraining, one
    without and a shallow one, all on the same split with the same fine-tuning budget; prints training,
    validation and test error. Learning rate and epoch are chosen on the validation set.
    """
    from tf_kit.experiments import format_table, run_table

    if learning_rates is not None:
        changes["learning_rates"] = flags.numbers("--learning-rates", learning_rates)
    names = systems.split(",") if systems else None
    out = out or f"runs/table-{flags.last_part(data)}"
    results = run_table(
        data, seeds=seeds, out=out, resume=resume, systems=names, data_dir=data_dir, **changes
    )
    click.echo(format_table(results))
    click.echo(f"\n{results['seconds']:.0f} s; figures, history and results in {out}")


@click.command("label-efficiency", cls=Command)
@flags.DATA
@flags.DATA_DIR
@flags.SEEDS
@click.option("--methods", help="Methods of `tf-kit pretrain`, separated by commas. [default: all on images]")
@click.option(
    "--labels",
    help="Numbers of labels, separated by commas; `all` is one of them. [default: by the size of the data set]",
)
@click.option("--steps", type=click.IntRange(1), help="Fewest steps of a fine-tuning.")
@click.option(
    "--pretrain-epochs", type=click.IntRange(1), help="Epochs of pretraining; layer by layer, of each layer."
)
@click.option(
    "--pretrainings", type=click.IntRange(1), help="Encoders for each method, which the seeds share in turn."
)
@click.option("--learning-rates", help="Fine-tuning rates to choose from on validation, separated by commas.")
@click.option(
    "--val-labels", type=click.IntRange(1), help="Labelled validation images that choices are made on."
)
@flags.out("runs/label-efficiency-<data>")
@flags.RESUME
@flags.on_replicas
def label_efficiency(
    data: str,
    data_dir: str | None,
    seeds: int,
    methods: str | None,
    labels: str | None,
    learning_rates: str | None,
    out: str | None,
    resume: bool,
    **changes: Any,
) -> None:
    """Compare every method with training from scratch, by the number of labels.

    Pretrains on the training images, fine-tunes with few and with many labels (the same steps, learning rates
    and choices on validation for every row), and prints test accuracy of fine-tuning, of a linear probe and of
    nearest neighbors.
    """
    from tf_kit.experiments import format_labels, run_label_efficiency

    if learning_rates is not None:
        changes["learning_rates"] = flags.numbers("--learning-rates", learning_rates)
    if labels is not None:
        changes["labels"] = _label_counts(labels)
    names = methods.split(",") if methods else None
    out = out or f"runs/label-efficiency-{flags.last_part(data)}"
    results = run_label_efficiency(
        data, seeds=seeds, out=out, resume=resume, methods=names, data_dir=data_dir, **changes
    )
    click.echo(format_labels(results))
    click.echo(f"\n{results['seconds']:.0f} s; figure, encoders and results in {out}")


def _label_counts(text):
    """
    >>> _label_counts("50,200,all")
    (50, 200, None)
    """
    return tuple(
        None if part.strip() == "all" else flags.numbers("--labels", part, whole=True)[0]
        for part in text.split(",")
    )
