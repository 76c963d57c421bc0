"""Text that fits the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap


def fitted(text: str) -> str:
    """Break the lines of a text at words, so that each fits the terminal; text for a pipe or a file stays as it is.

    Args:
        text: lines, whose indentation their continuations get.
    """
    if not sys.stdout.isatty():
        return text
    return "\n".join(wrapped(line, shutil.get_terminal_size().columns) for line in text.split("\n"))


def wrapped(line: str, width: int) -> str:
    """Break one line at words.

    Example:
        >>> print(wrapped("   a) once, with all units", 16))
           a) once, with
           all units
    """
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.lstrip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
