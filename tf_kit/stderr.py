"""Standard error leads nowhere for a while, for what writes past `sys.stderr` too, as TensorFlow does."""

import contextlib
import os
import sys


@contextlib.contextmanager
def closed():
    """What is written to descriptor 2 meanwhile is lost. `sys.stderr` itself stays what it is."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
