"""Standard error: whether it is a terminal, and silencing it, with what bypasses `sys.stderr` as TensorFlow does."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def closed() -> Iterator[None]:
    """Within this context, discard everything that is written to descriptor 2."""
    with contextlib.suppress(AttributeError, ValueError):  # there is none, or the program has closed its own
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # nothing is open there, as after `2>&-`
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def is_terminal(stream: Any = None) -> bool:
    """Return whether a stream, by default `sys.stderr`, is a terminal that can show a bar.

    A program can lack, close or replace its streams.
    """
    try:
        return (sys.stderr if stream is None else stream).isatty()
    except (AttributeError, ValueError):
        return False
