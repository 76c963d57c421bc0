"""Errors in the words of whoever typed the command: flags in place of arguments, remedies that can be typed."""

from __future__ import annotations

import ast
import contextlib
import re
from typing import Any

import click

from tf_kit.errors import InputError
from tf_kit.options import text_of


class Refused(click.ClickException):
    """`InputError` in the words of the command line. The exit status is 2."""

    exit_code = 2


class Command(click.Command):
    """Command whose `InputError`s name its flags."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an `InputError` becomes `Refused`."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise Refused(as_typed(error, self)) from error


class Group(click.Group):
    """Group of such commands, which its help lists in the order in which they were added."""

    command_class = Command
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command of the group; an `InputError` of the group itself becomes `Refused`."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise Refused(as_typed(error, self)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


def as_typed(error: InputError, command: click.Command) -> str:
    """Write an error as one line that names the flag that was typed, its value, and a remedy that can be typed.

    An error with a flag that the command does not have, such as one about a file that `predict` reads, names its
    subject.

    Args:
        error: the refusal, which names a Python argument.
        command: the command that was typed.

    Example:
        >>> rate = click.Option(["--learning-rate"], type=float)
        >>> error = InputError("…", subject="fit.learning_rate", requirement="be above 0", received="learning_rate=-1")
        >>> as_typed(error, click.Command("finetune", params=[rate]))
        '`--learning-rate` must be above 0. Received: --learning-rate -1.'
    """
    if error.subject is None:
        return str(error)
    flags = flags_by_argument(command)
    argument = error.subject.rsplit(".", 1)[-1]
    is_foreign = (error.flag or "--").startswith("--") and error.flag not in flags.values()
    typed = flags.get(argument) if is_foreign else error.flag
    if typed:
        flags = {**flags, argument: typed}
    requirement = re.sub(r"'([^']*)'", r"\1", error.requirement) if typed else error.requirement
    line = f"`{typed or error.subject}` must {requirement}. Received: {_received(error.received, flags)}."
    remedy = error.remedy if error.typed_remedy is None else _typable(error.typed_remedy, flags)
    return f"{line} {remedy.rstrip('.')}." if remedy else line


def _typable(remedy: str, flags: dict[str, str]) -> str:
    """Leave out the clauses of a remedy with flags that the command does not have; those of whole commands stay.

    >>> _typable("Add images; without classes: `--unlabeled`", {"data": "--data"})
    'Add images'
    >>> _typable("`--unlabeled` takes all; `tf-kit pretrain METHOD --resume` goes on", {})
    '`tf-kit pretrain METHOD --resume` goes on'
    """
    known = {*flags.values(), "--resume"}  # with which another command goes on
    clauses = [each for each in remedy.split("; ") if set(re.findall(r"`(--[\w-]+)`", each)) <= known]
    text = "; ".join(clauses)
    return text if remedy.startswith(text) else text[0].upper() + text[1:]


# An option of a run, or an argument at the start: «units=[9], but the run began with [8, 8]», «k=51».
_OPTION = re.compile(
    r"(^|a run with )([a-z_][\w.]*)=(.+?)((, not|, but the run began with) (.+))?$", re.DOTALL
)


def _received(text: str, flags: dict[str, str]) -> str:
    """Write `argument=value` as it is typed.

    >>> _received("units=[9], but the run began with [8, 8]", {"units": "--units"})
    '--units 9, but the run began with 8,8'
    >>> _received("compare=None, but the run began with True", {"compare": "--compare"})
    'no --compare, but the run began with it'
    >>> _received("runs/r, which holds a run with encoder.units=[9], not [8]", {"units": "--units"})
    'runs/r, which holds a run with --units 9, not 8'
    >>> _received("unlabeled=True for digits", {"unlabeled": "--unlabeled"})
    '--unlabeled for digits'
    >>> _received("lr=0.1", {"out": "--out"})
    'lr=0.1'
    """
    found = _OPTION.search(text)
    if not found:
        return text
    before, name, value, _, joint, other = found.groups()
    parts = name.split(".")
    flag = flags.get(parts[-1]) or flags.get(parts[0])
    if not (flag or before or other):
        return text  # a path or a name with an equals sign
    if other is None:
        typed = value.removeprefix(_PRESENT) if value.startswith(_PRESENT) else f" {_typed(value)}"
        return text[: found.start()] + before + f"{flag or name}{typed}"
    return text[: found.start()] + _two_settings(before, flag or name, value, joint, other)


_ABSENT = ("None", "False", "'of the data set'")  # values of an option that is not typed
_PRESENT = "True"  # of an option that has no value


def _two_settings(before, flag, value, joint, other):
    """Describe an option and the value that it has elsewhere; either may be absent.

    >>> _two_settings("a run with ", "--compare", "False", ", not", "True")
    'a run without --compare, not with it'
    >>> _two_settings("", "--labels", "None", ", but the run began with", "100")
    'no --labels, but the run began with --labels 100'
    >>> _two_settings("", "--augment", "'none'", ", but the run began with", "'of the data set'")
    '--augment none, but the run began without it'
    """
    words = flag if value in (*_ABSENT, _PRESENT) else f"{flag} {_typed(value)}"
    if value in _ABSENT:
        before = before.replace("with ", "without ") or "no "
    with_or_not = joint.removesuffix(" with")
    if other in _ABSENT:
        return f"{before}{words}{with_or_not} without it"
    if other == _PRESENT:
        return f"{before}{words}{with_or_not} with it"
    return f"{before}{words}{joint} {f'{flag} ' * (value in _ABSENT)}{_typed(other)}"


def _typed(value: str) -> str:
    """Write a Python value as it is typed; other text, also behind a value, is returned unchanged.

    >>> _typed("[8, 8]"), _typed("'deep'"), _typed("None"), _typed("5000, which keeps 5000")
    ('8,8', 'deep', 'the default', '5000, which keeps 5000')
    >>> _typed("'rgb' for digits")
    'rgb for digits'
    """
    for end in [len(value), *(each.start() for each in re.finditer(r"(?<=['\")\]\w])[ ,]", value))]:
        with contextlib.suppress(SyntaxError, ValueError):
            literal = ast.literal_eval(value[:end])
            return ("the default" if literal is None else text_of(literal)) + value[end:]
    return value


def flags_by_argument(command: click.Command) -> dict[str, str]:
    """Map the Python arguments of a command to its flags, and positional ones to their words in the usage."""
    flags = {}
    for parameter in command.params:
        is_flag = isinstance(parameter, click.Option)
        flags[parameter.name] = parameter.opts[0] if is_flag else parameter.human_readable_name
    return flags
