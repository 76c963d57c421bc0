"""Standard streams that a command can always use: closed ones lead nowhere, and standard error is not relied on."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator


def open_closed() -> None:
    """Open to nowhere those of the descriptors 0, 1 and 2 that are closed, as by `2>&-`.

    A file that is opened later would take their place, and receive what libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115


class _Lossy(io.RawIOBase):
    """Stream that passes bytes on, and discards those that the other stream does not take."""

    def __init__(self, stream):
        self._stream = stream

    def writable(self):
        return True

    def fileno(self):
        return self._stream.fileno()

    def isatty(self):
        return self._stream.isatty()

    def write(self, content):
        try:
            return self._stream.write(content)
        except OSError:
            return len(content)


@contextlib.contextmanager
def error_not_relied_on() -> Iterator[None]:
    """Within this context, lines that standard error does not take are lost, and nothing stops because of them.

    It takes none on a full disk, and after its terminal or the program that reads it has gone.
    """
    before = sys.stderr
    buffer = getattr(before, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # `python -u` has no buffer in between
    if not isinstance(raw, io.RawIOBase):
        yield
        return
    before.flush()
    written = io.BufferedWriter(_Lossy(raw))
    sys.stderr = io.TextIOWrapper(written, before.encoding, "backslashreplace", line_buffering=True)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = before


@contextlib.contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Within this context, warnings are printed without the line of the package that warns."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *rest, **more: f"tf-kit: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = usual
