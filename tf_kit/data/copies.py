"""Image files with equal content, and images that look alike."""

import collections
import hashlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tf_kit.data.fingerprint import COVERED
from tf_kit.data.pictures import in_parallel


def originals(files: Sequence[Path], hashes: Sequence[tuple[int, str]]) -> np.ndarray:
    """Find files with equal content.

    Only files of equal size and hash are compared as a whole, if the hash does not cover all of their bytes.

    Args:
        files: paths.
        hashes: bytes and hash of each file, as a fingerprint of images has them.

    Returns:
        int array (n,): the index of the first file with the same content, which is the file's own if there is none.
    """
    found = np.arange(len(files))
    for group in _divided(list(range(len(files))), hashes):
        if 0 <= hashes[group[0]][0] <= COVERED:
            found[group] = group[0]
            continue
        contents = _digests([files[i] for i in group])
        for same in _divided(group, dict(zip(group, contents, strict=True))):
            found[same] = same[0]
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


def _divided(group, values):
    parts = collections.defaultdict(list)
    for i in group:
        parts[values[i]].append(i)
    return [part for part in parts.values() if len(part) > 1]


def _digests(files):
    return in_parallel(lambda i: _digest(files[i]), len(files), "comparing files")


def _digest(file):
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:  # named when it is decoded
        return str(file).encode(errors="surrogateescape")
