"""Performance of a demo: question, results, figure, answer; on the command line, as a program or in a notebook."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import time
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from tf_kit import folders
from tf_kit.errors import InputError
from tf_kit.lectures.catalog import configure, question
from tf_kit.options import check, flags_of, help_text


@dataclasses.dataclass
class Performance:
    """One run of a demo.

    Attributes:
        question: first line of the docstring.
        answer: answer of the demo, or a clause on why its claim does not hold.
        holds: whether the claim holds.
        figure: figure of the results, without question and answer.
        seconds: duration.
    """

    question: str
    answer: str
    holds: bool
    figure: Any
    seconds: float


def carry_out(module: ModuleType, config: Any) -> Performance:
    """Run a demo, draw its figure and check its claim.

    Args:
        module: demo, as `load` returns it.
        config: its configuration.
    """
    began = time.perf_counter()
    with _without_retracing():
        results = module.run(config)
        figure = module.plot(results)
    try:
        answer, holds = module.check(results), True
    except AssertionError as error:  # the figure shows why
        answer, holds = f"{_verdict(module, config)}: {error}", False
    return Performance(question(module.__doc__ or ""), answer, holds, figure, time.perf_counter() - began)


def _verdict(module, config):
    """Return the words for a claim that does not hold; a claim is made for the sizes that the demo comes with."""
    if config in (module.Config(), module.Config.quick()):
        return "the claim does not hold"
    return "with these parameters the claim does not hold (it is made for the defaults)"


@contextlib.contextmanager
def _without_retracing() -> Iterator[None]:
    """Leave out TensorFlow's advice on functions that are traced often, as small sets and several networks cause it."""
    logger = logging.getLogger("tensorflow")

    def wanted(record):
        return "retracing" not in str(record.msg)

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def announce(module: ModuleType, config: Any) -> None:
    """Print the question of a demo and about how long it takes."""
    size = "" if config == module.Config() else " at full size"
    click.echo(f"{question(module.__doc__ or '')} (about {module.SECONDS:g} s{size})")


def perform(module: ModuleType, config: Any, out: str | Path) -> Path:
    """Run a demo, draw its figure and check its claim; print the question first and the answer last.

    Args:
        module: demo, as `load` returns it.
        config: its configuration.
        out: folder for the figure.

    Returns:
        Path of the figure.

    Raises:
        AssertionError: the claim of the demo does not hold; the message has the reason and the path of the figure.
        InputError: the folder cannot be made or written.
    """
    from tf_kit import plotting

    assert module.__file__ is not None  # in a notebook, `main` sets it
    with folders.made(out):
        announce(module, config)
        done = carry_out(module, config)
        plotting.framed(done.figure, done.question, done.answer)
        shown = plotting.show(done.figure)
        path = plotting.save(done.figure, Path(out) / f"{Path(module.__file__).stem}.png", close=not shown)
    line = f"{done.answer} ({done.seconds:.0f} s; figure: {path})"
    if not done.holds:
        raise AssertionError(line)
    click.echo(line)
    return path


def main(namespace: Mapping[str, Any]) -> None:
    """Run a demo as a program, with the arguments of the command line, or in a notebook, with its `PARAMETERS`.

    Args:
        namespace: `globals()` of the demo.
    """
    module = sys.modules[namespace["__name__"]]
    if not __debug__:
        sys.exit("A demo asserts its answer: run Python without -O and PYTHONOPTIMIZE")
    if "ipykernel" in sys.modules:
        module.__file__ = namespace.get("__file__", f"{namespace['TITLE'].lower().replace(' ', '_')}.py")
        try:  # a reader who changes a parameter gets an answer, not a traceback
            perform(module, _checked(module.Config, namespace.get("PARAMETERS", {})), "figures")
        except InputError as error:
            click.echo(f"{error}")
        except AssertionError as error:
            click.echo(f"{str(error)[0].upper()}{str(error)[1:]}")
        return

    def command(quick, out, **changes):
        perform(module, configure(module, quick, **changes), out)

    parameters: list[click.Parameter] = [*flags_of(module.Config), *general_flags()]
    try:
        click.Command("demo", callback=command, params=parameters, help=module.__doc__).main()
    except InputError as error:
        click.echo(f"{error}", err=True)
        sys.exit(2)
    except AssertionError as error:
        click.echo(f"{error}", err=True)
        sys.exit(1)


def _checked(declaration, values):
    """Return the configuration with some values, each checked as a flag would be."""
    kinds, fields = typing.get_type_hints(declaration), dataclasses.fields(declaration)
    declared = {field.name: field.metadata for field in fields}
    return declaration(
        **{name: check(name, value, kinds[name], declared[name]) for name, value in values.items()}
    )


def general_flags() -> list[click.Option]:
    """Make the flags that every demo has."""
    out = help_text("Folder for the figure", "figures")
    return [
        click.Option(["--quick"], is_flag=True, help="Run a smaller version of the demo."),
        click.Option(["--out"], default="figures", help=out, metavar="FOLDER"),
    ]
