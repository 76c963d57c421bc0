"""The answer of `check` as a student sees it: HTML in a notebook, text wrapped at words elsewhere."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import textwrap
from typing import Any

from tf_kit import stderr
from tf_kit.grading import foreign_text
from tf_kit.markup import escaped

WIDTH = 100  # characters, where there is no terminal
_COLORS = {"✓": "#1f883d", "✗": "#d1242f"}  # both at least 3:1 on white and on #1e1e1e
_CODE = re.compile("`([^`]+)`")


class Shown:
    """A report of several lines, of which the first is the title; the indentation of the others is their level.

    Args:
        text: the report. Control characters and escape sequences in it are removed.
    """

    def __init__(self, text: str):
        self.lines = foreign_text.paragraphs(text).split("\n")

    def text(self, width: int = WIDTH) -> str:
        """Write the report as lines of at most `width` characters, broken between words only.

        Example:
            >>> print(Shown("Adam: 0 of 2 points\\n  ✗ steps: got 0.125, expected 0.5").text(24))
            Adam: 0 of 2 points
              ✗ steps: got 0.125,
                expected 0.5
        """
        return "\n".join(_wrapped(line, width) for line in self.lines)

    def html(self) -> str:
        """Write the report as HTML whose colors suit a light and a dark page; all text is escaped."""
        title, *rest = self.lines
        rows = "".join(
            f'<div style="padding-left: {_indent(line) / 2}em">{_marked(line)}</div>' for line in rest
        )
        return f'<div style="line-height: 1.5"><b>{_inline(title)}</b>{rows}</div>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}

    def show(self) -> None:
        """Display the report in the notebook that runs this, or print it."""
        if _in_notebook():
            from IPython.display import display

            display(self)
            return
        terminal = sys.stdout is not None and stderr.is_terminal(sys.stdout)
        print(self.text(shutil.get_terminal_size((WIDTH, 24)).columns if terminal else WIDTH), flush=True)


def _in_notebook():
    shell = None
    with contextlib.suppress(AttributeError, KeyError):
        shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


def _indent(line):
    return len(line) - len(line.lstrip(" "))


def _wrapped(line, width):
    indent = " " * _indent(line)
    return textwrap.fill(
        line.strip(" "),
        max(width, len(indent) + 20),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _marked(line):
    line = line.strip(" ")
    color = _COLORS.get(line[:1])
    if color is None:
        return _inline(line)
    return f'<span style="color: {color}; font-weight: bold">{line[0]}</span>{_inline(line[1:])}'


def _inline(text):
    return _CODE.sub(r"<code>\1</code>", escaped(text))
