"""Folders into which commands write."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tf_kit.checks import refuse


def make(
    folder: str | Path,
    rule: str = "be a folder that can be written",
    subject: str = "--out",
    flag: str = "--out",
) -> None:
    """Make a folder and those above it, where they are missing.

    Args:
        folder: the folder that `--out` names, or that of a file which it names.
        rule: what the flag must be, for the message.
        subject: argument of the caller, for the message in Python. Defaults to "--out".
        flag: the flag on the command line. Defaults to "--out".

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK | os.X_OK) else "which may not be written"
    except OSError as error:
        problem = f"which cannot be made: {error.strerror}"
        if os.path.isfile(folder):
            problem = "which is a file"
        elif os.path.islink(folder):
            problem = "which is a link that leads to no folder"
    if problem:
        refuse(subject, rule, f"{str(folder)!r}, {problem}", "Choose another folder", flag=flag)


@contextlib.contextmanager
def made(folder: str | Path) -> Iterator[None]:
    """Make a folder as `make` does; remove it, and those above it that were missing, if an error leaves it empty.

    Args:
        folder: the folder that `--out` names.

    Raises:
        InputError: the folder cannot be made or written.
    """
    missing = [each for each in (Path(folder), *Path(folder).parents) if not each.exists()]
    make(folder)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty
            for each in missing:
                each.rmdir()
        raise
