"""Options declared once: name, type, default, range and meaning, from which checks, flags and help derive.

A declaration is a frozen dataclass whose fields are made by `option`:

    @dataclasses.dataclass(frozen=True)
    class SimCLROptions(Options):
        temperature: float = option(0.5, "Temperature τ of the softmax over similarities", above=0)

Making one checks its values; `flags_of` turns its fields into flags of the command line, with their defaults and
ranges in the help. Nothing heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tf_kit.checks import choice, count, number, refuse

if TYPE_CHECKING:
    import click


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
    """Field of a declaration: its default, its meaning and its range.

    Args:
        default: value where none is given.
        help: effect of the option, as the command line shows it.
        above, at_least, below, at_most: bounds of a number.
        choices: the only values allowed.
        default_text: text of the default where it is chosen later, such as "by image size".

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     epochs: int = option(10, "passes over the training set")
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
    """Base of the declarations: making one checks every value against its type and range.

    Attributes:
        subject: what the options belong to, as error messages name it: `"SimCLR"`.

    Raises:
        InputError: for a value of another type or out of range.
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
        """Names of the options, in the order of their declaration."""
        return tuple(field.name for field in dataclasses.fields(cls))


def check(subject: str, value: Any, kind: Any, metadata: Mapping[str, Any]) -> Any:
    """`value` in the type of its field, or `InputError`.

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
    """The type without None, and whether None is allowed.

    >>> _required(int | None), _required(float)
    ((<class 'int'>, True), (<class 'float'>, False))
    """
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(kind) if each is not type(None)]
        return kinds[0], len(kinds) < len(typing.get_args(kind))
    return kind, False


def flag_of(name: str) -> str:
    """The flag of an argument.

    >>> flag_of("learning_rate")
    '--learning-rate'
    """
    return "--" + name.replace("_", "-")


def flags_of(
    declaration: type, defaults: Mapping[str, Any] = types.MappingProxyType({})
) -> list[click.Option]:
    """One `click.Option` for each field of a declaration.

    A flag that is not typed has the value None, so that the declaration's default holds; the help shows it.

    Args:
        declaration: dataclass whose fields are made by `option`.
        defaults: option → default that a command uses in place of the declared one.
    """
    kinds = typing.get_type_hints(declaration)
    return [
        _flag(field, kinds[field.name], defaults.get(field.name, field.default))
        for field in dataclasses.fields(declaration)
    ]


def _flag(field: dataclasses.Field, kind: Any, default: Any) -> click.Option:
    import click

    kind, _ = _required(kind)
    names = [flag_of(field.name)]
    notes = []
    choices = field.metadata.get("choices")
    if limits := _range_text(field.metadata.get("limits", {})):
        notes.append(limits)
    shown = field.metadata.get("default_text") or _text_of(default)
    help = inspect.cleandoc(field.metadata.get("help", ""))
    help += f" ({'; '.join(notes)})" if notes else ""
    help += f". [default: {shown}]" if notes or not help.endswith((".", "]")) else f" [default: {shown}]"
    if kind is bool:
        names = [f"{names[0]}/--no-{names[0][2:]}"]
        return click.Option(names, default=None, help=help)
    if typing.get_origin(kind) is tuple:
        return click.Option(names, type=_List(typing.get_args(kind)[0]), default=None, help=help)
    metavar = f"[{'|'.join(map(str, choices))}]" if choices else None
    kind = kind if kind in (int, float) else str
    return click.Option(names, type=kind, default=None, help=help, metavar=metavar)


def _text_of(value: Any) -> str:
    """
    >>> _text_of((200, 100)), _text_of(0.25), _text_of(False), _text_of(25.0)
    ('200,100', '0.25', 'no', '25')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(_text_of(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range_text(limits: Mapping[str, float]) -> str:
    """
    >>> _range_text({"at_least": 0, "below": 1}), _range_text({"above": 0}), _range_text({})
    ('in [0, 1)', 'above 0', '')
    """
    low = (
        f"({limits['above']:g}"
        if "above" in limits
        else f"[{limits['at_least']:g}"
        if "at_least" in limits
        else ""
    )
    high = (
        f"{limits['below']:g})"
        if "below" in limits
        else f"{limits['at_most']:g}]"
        if "at_most" in limits
        else ""
    )
    if low and high:
        return f"in {low}, {high}"
    words = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most"}
    return " and ".join(f"{words[name]} {limit:g}" for name, limit in limits.items())


def _List(element: type) -> click.ParamType:
    """Type of a flag that takes numbers or names separated by commas."""
    import click

    class List(click.ParamType):
        name = "list"

        def get_metavar(self, param, ctx=None):
            return "N,…" if element in (int, float) else "NAME,…"

        def convert(self, value, param, context):
            if isinstance(value, tuple):
                return value
            try:
                return tuple(element(part.strip()) for part in value.split(","))
            except ValueError:
                kind = "whole numbers" if element is int else "numbers"
                self.fail(f"must be {kind} separated by commas. Received: {value!r}.", param, context)

    return List()
