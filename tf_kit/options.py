"""Options declared once: name, type, default, range and meaning, from which checks, flags and help are derived.

A declaration is a frozen dataclass whose fields are made by `option`:

    @dataclasses.dataclass(frozen=True)
    class SimCLROptions(Options):
        temperature: float = option(0.5, "Temperature τ of the softmax over similarities", above=0)

An instance checks its values; `flags_of` makes flags of the command line from the fields, with their defaults and
ranges in the help. Nothing heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import click

from tf_kit.checks import choice, count, number, refuse
from tf_kit.errors import InputError

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def option(
    default: Any,
    help: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    choices: tuple | None = None,
    default_text: str | None = None,
) -> Any:
    """Make a field of a declaration.

    Args:
        default: value that holds if none is given.
        help: effect of the option, for the help of the command line.
        above, at_least, below, at_most: bounds of a number, or of each number of a tuple.
        choices: the only values allowed.
        default_text: text that the help shows as the default, if the value is chosen later, such as "by image size".

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     epochs: int = option(10, "Passes over the training set")
        >>> Config().epochs
        10
    """
    limits = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    metadata = {
        "help": help,
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
        "choices": choices,
        "default_text": default_text,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options:
    """Base class of the declarations, which checks every value against its type and range.

    Attributes:
        subject: class or function that the options belong to, for error messages, such as `"SimCLR"`.

    Raises:
        InputError: a value has another type or is out of range.
    """

    subject: ClassVar[str] = ""

    def __post_init__(self) -> None:
        types_of = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            checked = check(f"{self.subject}.{field.name}", value, types_of[field.name], field.metadata)
            object.__setattr__(self, field.name, checked)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the options in the order of their declaration."""
        return tuple(field.name for field in dataclasses.fields(cls))


def check(subject: str, value: Any, kind: Any, metadata: Mapping[str, Any]) -> Any:
    """Return `value` in the type of its field; refuse it if it has another type or is out of range.

    Args:
        subject: option, such as `"SimCLR.temperature"`.
        value: the value.
        kind: annotated type of the field.
        metadata: metadata that `option` gave the field.

    Example:
        >>> check("SimCLR.temperature", 1, float, {"limits": {"above": 0}})
        1.0
    """
    kind, optional = _required(kind)
    if value is None and optional:
        return None
    if metadata.get("choices"):
        return choice(subject, value, metadata["choices"])
    limits = metadata.get("limits", {})
    if kind is bool:
        if value not in (True, False):
            refuse(subject, "be True or False", f"{subject.rsplit('.', 1)[-1]}={value!r}")
        return bool(value)
    if kind is int:
        return count(subject, value, **limits)
    if kind is float:
        return number(subject, value, **limits)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not value:
            refuse(subject, "be a tuple of values", f"{subject.rsplit('.', 1)[-1]}={value!r}")
        element = typing.get_args(kind)[0]
        return tuple(check(subject, each, element, metadata) for each in value)
    return value


def _required(kind: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None is allowed.

    >>> _required(int | None), _required(float)
    ((<class 'int'>, True), (<class 'float'>, False))
    """
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(kind) if each is not type(None)]
        return kinds[0], len(kinds) < len(typing.get_args(kind))
    return kind, False


def flag_of(name: str) -> str:
    """Return the flag of an argument.

    Example:
        >>> flag_of("learning_rate")
        '--learning-rate'
    """
    return "--" + name.replace("_", "-")


def flags_of(
    declaration: type, defaults: Mapping[str, Any] = _NOTHING, helps: Mapping[str, str] = _NOTHING
) -> list[click.Option]:
    """Make one `click.Option` for each field of a declaration.

    A flag that is not typed has the value None, so that the declared default holds; the help shows it.

    Args:
        declaration: dataclass whose fields are made by `option`.
        defaults: option → default that a command uses in place of the declared one. Defaults to none.
        helps: option → text that a command shows in place of the declared one. Defaults to none.
    """
    kinds = typing.get_type_hints(declaration)
    return [_flag(field, kinds[field.name], defaults, helps) for field in dataclasses.fields(declaration)]


def _flag(field: dataclasses.Field, kind: Any, defaults: Mapping, helps: Mapping) -> click.Option:
    kind, _ = _required(kind)
    name, choices = field.name, field.metadata.get("choices")
    usual = field.metadata.get("default_text") or field.default
    words = inspect.cleandoc(helps.get(name, field.metadata.get("help", "")))
    words = help_text(words, defaults.get(name, usual), **field.metadata.get("limits", {}))
    if kind is bool:
        return click.Option([f"{flag_of(name)}/--no-{flag_of(name)[2:]}"], default=None, help=words)
    metavar = f"[{'|'.join(map(str, choices))}]" if choices else None
    return click.Option(
        [flag_of(name)], type=type_of(name, kind, field.metadata), default=None, help=words, metavar=metavar
    )


def help_text(help: str, default: Any = None, **limits: float) -> str:
    """Complete the help of a flag with its range and its default.

    Args:
        help: effect of the flag.
        default: default, or text that describes it. Defaults to None, no default.
        **limits: bounds, as for `option`.

    Example:
        >>> help_text("Learning rate", 0.001, above=0)
        'Learning rate. [above 0; default: 0.001]'
        >>> help_text("Units of each layer.", (200, 100))
        'Units of each layer. [default: 200,100]'
    """
    notes = [_range_text(limits)] if limits else []
    notes += [] if default is None else [f"default: {text_of(default)}"]
    return f"{help.rstrip('.')}." + (f" [{'; '.join(notes)}]" if notes else "")


def text_of(value: Any) -> str:
    """Return a value as it is typed on the command line.

    Example:
        >>> text_of((200, 100)), text_of(0.25), text_of(False), text_of(25.0), text_of("mlp")
        ('200,100', '0.25', 'no', '25', 'mlp')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(text_of(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range_text(limits: Mapping[str, float]) -> str:
    """
    >>> _range_text({"at_least": 0, "below": 1}), _range_text({"above": 0}), _range_text({"at_least": 1})
    ('in [0, 1)', 'above 0', 'at least 1')
    """
    low = [
        f"{bracket}{limits[name]:g}"
        for name, bracket in (("above", "("), ("at_least", "["))
        if name in limits
    ]
    high = [
        f"{limits[name]:g}{bracket}" for name, bracket in (("below", ")"), ("at_most", "]")) if name in limits
    ]
    if low and high:
        return f"in {low[0]}, {high[0]}"
    words = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most"}
    return " and ".join(f"{words[name]} {limit:g}" for name, limit in limits.items())


class Parsed(click.ParamType):
    """Type of a flag whose text is parsed and checked, so that a mistake is refused before anything heavy is imported.

    Args:
        parse: function that returns the value of a text, or raises `InputError`.
        name: word for the value in the help, such as `"integer"`.
    """

    def __init__(self, parse: Callable[[str], Any], name: str) -> None:
        self.parse, self.name = parse, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text; values of other types, such as defaults, are returned unchanged."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except InputError as error:
            flag = param.opts[0] if param is not None else error.subject
            rule = error.requirement.replace("'", "")
            line = f"`{flag}` must {rule}. Received: {flag} {value}."
            raise click.UsageError(f"{line} {error.remedy}".strip(), ctx) from None


_NAMES = {int: ("integer", "a whole number"), float: ("number", "a number"), str: ("text", "text")}


def type_of(name: str, kind: Any, metadata: Mapping[str, Any] = _NOTHING) -> Parsed:
    """Make the type of a flag.

    Args:
        name: name of the option.
        kind: `int`, `float`, `str`, or a tuple of one of them, which is typed with commas.
        metadata: metadata that `option` gave its field. Defaults to none, no range.

    Example:
        >>> type_of("units", tuple[int, ...]).parse("200, 100")
        (200, 100)
    """
    several = typing.get_origin(kind) is tuple
    element = typing.get_args(kind)[0] if several else kind
    word, words = _NAMES.get(element, _NAMES[str])

    def parse(text: str) -> Any:
        try:
            values = tuple(element(part.strip()) for part in (text.split(",") if several else [text]))
        except ValueError:
            plural = f"{words.removeprefix('a ')}s separated by commas" if several else words
            refuse(name, f"be {plural}", text)
        return check(name, values if several else values[0], kind, metadata)

    return Parsed(parse, f"{word},…" if several else word)
