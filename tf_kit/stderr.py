"""Suppression of standard error, including output that bypasses `sys.stderr`, as that of TensorFlow does."""

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
