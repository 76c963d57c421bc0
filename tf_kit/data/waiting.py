"""Progress of reading, on standard error: a bar on a terminal, otherwise a line every half minute."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
SECONDS = 30.0  # between two lines
PATIENCE = 2.0  # seconds before the first sign


def reporting(items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """Yield `items`, and show how many of `total` are done and how long the rest will take.

    Example:
        >>> list(reporting("ab", 2, "reading letters"))
        ['a', 'b']
    """
    if _is_terminal():
        from tqdm import tqdm

        yield from tqdm(items, title, total, leave=False, dynamic_ncols=True, delay=PATIENCE)
        return
    began = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS:
            left, last = (now - began) / done * (total - done), now
            print(f"{title}: {done:,} of {total:,}, about {left:.0f} s left", file=sys.stderr, flush=True)


def _is_terminal():
    """As `tf_kit.stderr.is_terminal`, which is closed to answers; they load this module."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
