"""Image files with equal content, and images that look alike."""

import collections
import hashlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tf_kit.data.pictures import in_parallel

_HEAD = 4096  # bytes that tell most files of one size apart


def originals(files: Sequence[Path], sizes: np.ndarray) -> np.ndarray:
    """Find files with equal content.

    Only files of one size are compared: by their first bytes, then as a whole.

    Args:
        files: paths.
        sizes: bytes of each file.

    Returns:
        int array (n,): the index of the first file with the same content, which is the file's own if there is none.
    """
    found = np.arange(len(files))
    groups = _divided(list(range(len(files))), {i: int(size) for i, size in enumerate(sizes)})
    for length in (_HEAD, None):
        members = [i for group in groups for i in group]
        digests = _digests([files[i] for i in members], length)
        values = dict(zip(members, digests, strict=True))
        groups = [part for group in groups for part in _divided(group, values)]
    for group in groups:
        found[group] = group[0]
    return found


def within(original: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Index of the first file with the same content in the same part of a divided folder.

    Example:
        >>> within(np.array([0, 0, 0]), np.array([0, 2, 2])).tolist()
        [0, 1, 1]
    """
    return first_of(zip(original.tolist(), part.tolist(), strict=True))


def first_of(keys: Iterable[Hashable]) -> np.ndarray:
    """Index of the first item with the same key, which is the item's own if there is none.

    Example:
        >>> first_of("abca").tolist()
        [0, 1, 2, 0]
    """
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], "int64")


def _digests(files, length):
    return in_parallel(lambda i: _digest(files[i], length), len(files), "comparing files")


def _divided(group, values):
    parts = collections.defaultdict(list)
    for i in group:
        parts[values[i]].append(i)
    return [part for part in parts.values() if len(part) > 1]


def _digest(file, length):
    content = hashlib.blake2b(digest_size=16)
    try:
        with open(file, "rb") as opened:
            if length is None:
                return hashlib.file_digest(opened, lambda: content).digest()
            content.update(opened.read(length))
    except OSError:  # named when it is decoded
        return str(file).encode(errors="surrogateescape")
    return content.digest()
