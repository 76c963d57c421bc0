"""Memory of this machine, and its collection."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path


def memory_bytes() -> int:
    """Return the bytes of memory that this process may use: of the machine, or of its container if that is less.

    Where it is unknown, 8 GiB are assumed.
    """
    found = [8 * 2**30]
    if hasattr(os, "sysconf"):
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # there is no limit, or the file reads "max"
            found.append(int(Path(limit).read_text()))
    return min(found)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Do not look for cyclic garbage meanwhile.

    Python looks for it, among all objects of TensorFlow as well, when many objects are made, even if none is garbage.

    Example:
        >>> with without_collection():
        ...     gc.isenabled()
        False
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
