"""--config: flags of a command from a TOML file, such as `run.toml` of a run."""

from __future__ import annotations

import difflib
import itertools
import os
import tomllib
from typing import Any, NoReturn

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command, flags_by_argument
from tf_kit.encoding import decoded
from tf_kit.options import text_of

_GIVEN = "tf_kit.cli.config"  # place in the context of the file's name and its values
ABOUT = ("command", "method")  # keys that name the command itself
LEFT_OUT = ("config", "resume", "help")  # flags that no file sets


class ConfiguredCommand(Command):
    """Command with `--config`, whose file gives the flags that are not typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, and print a line for each key of the file that a typed flag overrides."""
        rest = super().parse_args(ctx, args)
        path, given = ctx.meta.get(_GIVEN, ("", {}))
        for name, text in given.items():
            source = ctx.get_parameter_source(name)
            if source is click.core.ParameterSource.COMMANDLINE:
                typed, flag = text_of(ctx.params.get(name)), flags_by_argument(ctx.command)[name]
                click.echo(f"tf-kit: {flag} {typed} overrides {name} = {text} of {path}", err=True)
        return rest


def read_config(path: str, ctx: click.Context | None = None) -> dict[str, Any]:
    """Read a TOML file of flags; a mistake is a `click.UsageError`."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            text, encoding = decoded(file.read())  # Windows writes UTF-16, or a byte-order mark
        if not encoding.startswith("UTF"):
            _refuse("be a TOML file, which is in UTF-8", f"{path} in {encoding}", ctx)
        return tomllib.loads(text)
    except OSError as error:
        _refuse("be a file that can be read", f"{path}: {error.strerror}", ctx)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        _refuse("be a TOML file", f"{path}: {str(error).splitlines()[0]}", ctx)


def file_in(words: list[str]) -> str | None:
    """Return the file that `--config` names among the words of a command line, or None.

    Example:
        >>> file_in(["--config", "run.toml"]), file_in(["--config=run.toml"]), file_in(["--epochs", "3"])
        ('run.toml', 'run.toml', None)
        >>> file_in(["--config", "a.toml", "--config", "b.toml"])
        'b.toml'
    """
    found = None  # the last one, as click takes
    for word, after in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word == "--config":
            found = after
        elif word.startswith("--config="):
            found = word.removeprefix("--config=")
    return found


def _apply(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Make the values of the file the defaults of the flags."""
    if path is None:
        return
    given = {name.replace("-", "_"): value for name, value in read_config(path, ctx).items()}
    names = {"command": ctx.command.name, "method": ctx.command.name}
    parent = ctx.parent.command.name if ctx.parent is not None else None
    if parent == "pretrain":
        names["command"] = parent
    for name in ABOUT:
        wanted = given.pop(name, None)
        if wanted is not None and wanted != names[name]:
            _refuse(f"be a file for {names[name]}", f"{path}, with {name} = {wanted}", ctx)
    flags: dict[str, click.Parameter] = {
        str(each.name): each for each in ctx.command.params if each.name not in LEFT_OUT
    }
    defaults = {}
    for name, value in given.items():
        if name not in flags:
            close = difflib.get_close_matches(name, flags, n=1, cutoff=0.7)
            nearest = f"; the nearest is {close[0]}" if close else f"; its keys are {', '.join(flags)}"
            _refuse(f"have keys that are flags of {ctx.command_path}", f"{path}, with {name}{nearest}", ctx)
        defaults[name] = _as_typed(path, name, value, flags[name], ctx)
    ctx.default_map = defaults
    ctx.meta[_GIVEN] = (path, {name: _text(given[name]) for name in defaults})


def _as_typed(path: str, name: str, value: Any, flag: click.Parameter, ctx: click.Context) -> Any:
    """Return a value as the words of a command line give it, so that it passes the same checks."""
    if isinstance(flag, click.Option) and flag.is_flag:
        if not isinstance(value, bool):
            _refuse("have true or false for a flag without a value", f"{path}, with {name} = {value}", ctx)
        return value
    elements = value if isinstance(value, list) else [value]
    if not elements or any(
        isinstance(each, bool) or not isinstance(each, str | int | float) for each in elements
    ):
        _refuse(
            f"have text, numbers or a list of them for {name}", f"{path}, with {name} = {_text(value)}", ctx
        )
    if any("\0" in each for each in elements if isinstance(each, str)):
        _refuse(f"have text that can be typed for {name}", f"{path}, with a NUL character in {name}", ctx)
    return _text(value)


def _text(value: Any) -> str:
    """
    >>> _text([200, 0.5]), _text(1e-05), _text("mlp"), _text(True)
    ('200,0.5', '1e-05', 'mlp', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)


def _refuse(requirement: str, received: str, ctx: click.Context | None) -> NoReturn:
    raise click.UsageError(f"`--config` must {requirement}. Received: {received}.", ctx)


CONFIG = click.option(
    "--config",
    type=flags.Place(),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_apply,
    help="TOML file with flags, such as run.toml of a run; flags that are typed override it.",
)
