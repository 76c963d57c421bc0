"""Flags that several commands share, and what a command needs that trains."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator

import click

from tf_kit import stderr
from tf_kit.checks import refuse

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Folder of prepared tensorflow-datasets sets. Defaults to TFDS_DATA_DIR.",
)
DATA = click.option(
    "--data",
    default="digits",
    show_default=True,
    help="Data set (`tf-kit data list` shows some), or a folder of images, in subfolders if they have classes.",
)
LABELLED = click.option(
    "--data",
    help="Data set, or folder of images in subfolders, to train and test on. [default: the data of RUN]",
)
SEED = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random."
)
SEEDS = click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Number of seeds: 0, 1, …"
)
RESUME = click.option("--resume", is_flag=True, help="Continue the run in the folder, if it holds one.")
LABELS = click.option("--labels", help="Number of labels to use, or a fraction such as 0.1. [default: all]")


def out(default: str) -> Callable:
    """The flag `--out`."""
    return click.option("--out", type=click.Path(), help=f"Run folder. [default: {default}]")


def on_replicas(command: Callable) -> Callable:
    """Give a command `--replicas` and `--strategy`, and run it in the scope of the strategy."""

    @click.option(
        "--replicas",
        type=click.IntRange(1),
        help="Devices that share each minibatch; the results stay the same. [default: all GPUs; without one, 1]",
    )
    @click.option(
        "--strategy",
        type=click.Choice(["auto", "none", "mirrored", "multiworker"]),
        default="auto",
        show_default=True,
        help="Devices of this machine, or of all machines that TF_CONFIG or Slurm names.",
    )
    @functools.wraps(command)
    def run(*arguments, replicas, strategy, **options):
        import_tensorflow()
        from tf_kit.training import strategy as make_strategy
        from tf_kit.training import workers

        with make_strategy(strategy, replicas).scope(), workers.naming_the_lost(), _printed_by_chief():
            return command(*arguments, **options)

    return run


@contextlib.contextmanager
def _printed_by_chief() -> Iterator[None]:
    """Of several workers, only the chief prints."""
    from tf_kit.training import workers

    prints = workers.is_chief()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stdout if prints else nowhere):
        yield


def import_tensorflow() -> None:
    """Import TensorFlow with standard error closed: it prints lines there that no setting turns off."""
    with stderr.closed():
        importlib.import_module("tensorflow")


def last_part(name: str) -> str:
    """Name of a run on a data set: the last part of a path."""
    return os.path.basename(os.path.normpath(name))


def numbers(flag: str, text: str, whole: bool = False) -> tuple:
    """Positive numbers separated by commas.

    Example:
        >>> numbers("--learning-rates", "0.1,0.01")
        (0.1, 0.01)
    """
    try:
        found = tuple((int if whole else float)(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < each < float("inf") for each in found):
        kind = "whole numbers" if whole else "numbers"
        refuse(flag, f"be positive {kind} separated by commas", text)
    return found


def label_count(text: str | None) -> int | float | None:
    """Number of labels ("1000"), fraction ("0.1"), or None for all.

    Example:
        >>> label_count("1000"), label_count("0.1"), label_count(None)
        (1000, 0.1, None)
    """
    if text is None:
        return None
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        refuse("--labels", "be a number of labels or a fraction in (0, 1]", text)


def image_size(text: str | None) -> tuple[int, int] | None:
    """Height and width, from "32" or "24,32".

    Example:
        >>> image_size("32"), image_size("24,32")
        ((32, 32), (24, 32))
    """
    if text is None:
        return None
    sides = numbers("--image-size", text, whole=True)
    if len(sides) > 2:
        refuse("--image-size", "be one number, or height,width", text)
    return sides * 2 if len(sides) == 1 else sides
