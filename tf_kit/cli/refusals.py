"""Errors in the words of whoever typed the command: the flag in place of the argument, a remedy that can be typed."""

from __future__ import annotations

import re
from typing import Any

import click

from tf_kit.errors import InputError


class Command(click.Command):
    """A command whose `InputError`s name its own flags."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise Refused(as_typed(error, self)) from error


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


class Refused(click.ClickException):
    """An `InputError` in the words of the command line. The exit status is 2."""

    exit_code = 2


def as_typed(error: InputError, command: click.Command) -> str:
    """One line that names the flag that was typed, its value, and a remedy that can be typed.

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
    argument = error.subject.rsplit(".", 1)[-1]
    typed = error.flag or flags_by_argument(command).get(argument)
    subject = typed or error.subject
    received = error.received
    if typed:
        received = re.sub(
            rf"^{re.escape(argument)}=(['\"]?)(.*)\1$", rf"{typed} \2", received, flags=re.DOTALL
        )
    requirement = re.sub(r"'([^']*)'", r"\1", error.requirement) if typed else error.requirement
    line = f"`{subject}` must {requirement}. Received: {received}."
    remedy = error.remedy if error.typed_remedy is None else error.typed_remedy
    return f"{line} {remedy.rstrip('.')}." if remedy else line


def flags_by_argument(command: click.Command) -> dict[str, str]:
    """Python argument → flag, or the word in the usage for a positional argument, of one command."""
    flags = {}
    for parameter in command.params:
        is_flag = isinstance(parameter, click.Option)
        flags[parameter.name] = parameter.opts[0] if is_flag else parameter.human_readable_name
    return flags
