"""Flags that several commands share, types of flags, and the setup of a command that trains."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from tf_kit import stderr
from tf_kit.checks import refuse
from tf_kit.options import Parsed, help_text, type_of


class Place(click.Path):
    """A path. A `~` at its start is the home folder: in `--out=~/x` the shell does not replace it.

    An empty one, which a shell variable without a value gives, would mean the working directory.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            _refuse_empty("be a path", param, ctx)
        return super().convert(os.path.expanduser(value), param, ctx)


class Word(click.types.StringParamType):
    """Any text but an empty one, which a shell variable without a value gives and which would be taken for no text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            _refuse_empty("not be empty", param, ctx)
        return super().convert(value, param, ctx)


def _refuse_empty(rule, param, ctx):
    name = param.opts[0] if isinstance(param, click.Option) else str(param.name if param else "path").upper()
    raise click.UsageError(f"`{name}` must {rule}. Received: ''.", ctx)


def number(
    name: str,
    help: str,
    kind: type = int,
    *,
    default: Any = None,
    default_text: str | None = None,
    **limits: float,
) -> Callable:
    """Make the decorator of a flag that takes a number.

    Args:
        name: the flag, such as `"--epochs"`.
        help: effect of the flag.
        kind: `int` or `float`. Defaults to `int`.
        default: value that holds if the flag is not typed. Defaults to None.
        default_text: text that the help shows as the default. Defaults to None, the default itself.
        **limits: bounds, as for `options.option`; without any, the number must be at least 1.
    """
    limits = limits or {"at_least": 1}
    type_ = type_of(name[2:].replace("-", "_"), kind, {"limits": limits})
    words = help_text(help, default if default_text is None else default_text, **limits)
    return click.option(name, type=type_, default=default, help=words)


def text(name: str, help: str, default: Any = None, default_text: str | None = None, **more: Any) -> Callable:
    """Make the decorator of any other flag; `more` are arguments of `click.option`."""
    more = {"type": Word(), **more}
    return click.option(name, default=default, help=help_text(help, default_text or default), **more)


def choice(name: str, help: str, choices: Sequence[str], default: str | None, **more: Any) -> Callable:
    """Make the decorator of a flag that takes one of some words; `more` are arguments of `click.option`.

    Args:
        name: the flag, such as `"--strategy"`.
        help: effect of the flag.
        choices: the words.
        default: word that holds if the flag is not typed.
    """
    type_ = type_of(name[2:].replace("-", "_"), str, {"choices": choices})
    return text(name, help, default, type=type_, metavar=f"[{'|'.join(choices)}]", **more)


def numbers(text: str) -> tuple[float, ...]:
    """Parse positive numbers separated by commas.

    Example:
        >>> numbers("0.1,0.01")
        (0.1, 0.01)
    """
    return _positive(text, float) or refuse("numbers", "be positive numbers separated by commas", text)


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas.

    Example:
        >>> names("dbn, deep")
        ('dbn', 'deep')
    """
    return tuple(part.strip() for part in text.split(","))


def label_count(text: str) -> int | float:
    """Parse a number of labels or a fraction.

    Example:
        >>> label_count("1000"), label_count("0.1")
        (1000, 0.1)
    """
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        refuse("labels", "be a number of labels or a fraction in (0, 1]", text)


def label_counts(text: str) -> tuple[int | None, ...]:
    """Parse numbers of labels separated by commas, with None for `all`.

    Example:
        >>> label_counts("50,200,all")
        (50, 200, None)
    """
    parts = names(text)
    if not all(part == "all" or part.isdecimal() for part in parts):
        refuse("labels", "be whole numbers, or all, separated by commas", text)
    return tuple(None if part == "all" else int(part) for part in parts)


def image_size(text: str) -> tuple[int, int]:
    """Parse height and width.

    Example:
        >>> image_size("32"), image_size("24,32")
        ((32, 32), (24, 32))
    """
    sides = _positive(text, int)
    if len(sides) not in (1, 2):
        refuse("image_size", "be one positive whole number, or height,width", text)
    return (sides[0], sides[-1])


def _positive(text, kind):
    """Parse positive numbers separated by commas; an empty tuple if one of them is not."""
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        return ()
    return found if all(0 < each < float("inf") for each in found) else ()


def _data_dir(exists: bool) -> Callable:
    return text(
        "--data-dir",
        "Folder of prepared tensorflow-datasets sets",
        default_text="TFDS_DATA_DIR, then ~/tensorflow_datasets",
        type=Place(exists=exists, file_okay=False),
        metavar="FOLDER",
    )


DATA_DIR = _data_dir(exists=True)
NEW_DATA_DIR = _data_dir(exists=False)  # of the commands that prepare a set, and make its folder
DATA = text(
    "--data",
    "Data set (`tf-kit data list` shows some), folder of images, in subfolders if they have classes, or .npy or .npz",
    "digits",
    metavar="NAME",
)
LABELLED = text(
    "--data",
    "Data set, folder of images in subfolders, or .npz file with x and y, to train and test on",
    default_text="the data of RUN",
    metavar="NAME",
)
IMAGE_SIZE = text(
    "--image-size",
    "Pixels per side, or height,width, that images are scaled to",
    default_text="by the images",
    type=Parsed(image_size, "integer"),
)
COLOR = choice(
    "--color",
    "Color that the images of a folder are converted to",
    ("grey", "rgb"),
    None,
    default_text="grey if all are",
)
UNLABELED = click.option(
    "--unlabeled", is_flag=True, help="Take all images of a folder, or a file of arrays, without classes."
)
LABELS_FILE = text(
    "--labels-file",
    "CSV file with file name and class of images of the folder, instead of subfolders; for .npy, a .npy of its classes",
    default_text="none",
    type=Place(),
    metavar="FILE",
)
TEST_ON_SEEN = click.option(
    "--test-on-seen",
    is_flag=True,
    help="Test also on images that the pretraining has seen, without their labels; the results record it.",
)
SEED = number("--seed", "Seed of all random numbers", default=0, at_least=0)
SEEDS_HELP = "Number of seeds, which are counted from 0"
SEEDS = number("--seeds", SEEDS_HELP, default=3)
RESUME = click.option("--resume", is_flag=True, help="Continue the run in the run folder, if it holds one.")
LABELS = text(
    "--labels",
    "Number of labels to use, or a fraction such as 0.1",
    default_text="all",
    type=Parsed(label_count, "number"),
)


def out(default: str) -> Callable:
    """Make the flag `--out` of a command whose run folder has a default."""
    return text("--out", "Run folder", default_text=default, type=Place(), metavar="FOLDER")


def precision(default: str) -> Callable:
    """Make the flag `--precision`; `default` says in the help which one holds if the flag is not typed."""
    words = "Precision of products; auto takes bfloat16 where it is faster"
    return choice("--precision", words, ("auto", "float32", "bfloat16"), None, default_text=default)


def on_replicas(command: Callable) -> Callable:
    """Give a command `--replicas` and `--strategy`, and run it in the scope of the strategy."""

    @number(
        "--replicas",
        "Devices that share each minibatch; the results stay the same",
        default_text="all GPUs, or 1 without a GPU",
    )
    @choice(
        "--strategy",
        "Devices of this machine, or of all machines that TF_CONFIG or Slurm names",
        ("auto", "none", "mirrored", "multiworker"),
        "auto",
    )
    @functools.wraps(command)
    def run(*arguments, replicas, strategy, **options):
        import_tensorflow()
        from tf_kit.training import strategy as make_strategy
        from tf_kit.training import workers

        chosen = make_strategy(strategy, replicas, _configuration(replicas=replicas, **options))
        with chosen.scope(), workers.naming_the_lost(), _printed_by_chief():
            return command(*arguments, **options)

    return run


def _configuration(**options):
    """Return what must be the same on all workers: the command and its flags, but for places of files."""
    from tf_kit.training import agreement

    command = click.get_current_context().command_path.partition(" ")[2]
    return {"command": command, **agreement.without_places(options)}


@contextlib.contextmanager
def _printed_by_chief() -> Iterator[None]:
    """Discard the output of this process unless it is the chief of the workers."""
    from tf_kit.training import workers

    prints = workers.is_chief()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stdout if prints else nowhere):
        yield


def import_tensorflow() -> None:
    """Import TensorFlow with standard error closed, because no setting silences all its messages."""
    with stderr.closed():
        importlib.import_module("tensorflow")


def last_part(name: str) -> str:
    """Return the last part of a path, which names the run on a data set.

    Example:
        >>> last_part("pictures/flowers/"), last_part("mnist")
        ('flowers', 'mnist')
        >>> last_part(".") == os.path.basename(os.getcwd())
        True
    """
    return os.path.basename(os.path.abspath(os.path.expanduser(name)))
