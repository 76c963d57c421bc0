"""Standard error: whether it is a terminal, and silencing it, with what bypasses `sys.stderr` as TensorFlow does."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def closed() -> Iterator[None]:
    """Within this context, discard everything that is written to descriptor 2."""
    if sys.stderr is not None:
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


def is_terminal() -> bool:
    """Return whether `sys.stderr`, which a program without a console lacks, is a terminal that can show a bar."""
    return sys.stderr is not None and sys.stderr.isatty()
