"""Fingerprint of a data set: size and hash of each of its files or arrays, to notice what has changed.

It is cheap: long files are hashed in samples, evenly over their length, so a change between the samples that keeps
the length of the file passes unnoticed. `Fingerprint.covers` states how much of a file is read.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tf_kit.data import prepared
from tf_kit.data.catalogue import BUILT_IN
from tf_kit.data.listing import list_files, names_below
from tf_kit.data.pictures import clean, in_parallel
from tf_kit.typing import ArrayLike

Entries = Mapping[str, tuple[int, str]]  # name of a file or an array → its bytes and its hash

_KIB, _MIB = 2**10, 2**20
_SAMPLES_OF_IMAGES = 3, 16 * _KIB  # number of samples of a file, and bytes of each
COVERED = math.prod(_SAMPLES_OF_IMAGES)  # bytes up to which the whole image is hashed
_SAMPLES = 64, _MIB
_SHOWN = 3  # names in a message


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Sizes and hashes of the files or arrays of a data set.

    Args:
        place: name or path of the data set, for messages.
        entries: name of each file, relative to the folder, or of each array → its bytes and its hash.
        covers: what the hashes cover.
    """

    place: str
    entries: Entries
    covers: str

    @functools.cached_property
    def digest(self) -> str:
        """Hash of all entries."""
        return digest(self.entries)

    def record(self) -> dict[str, int | str]:
        """Return the number of entries, their bytes, the hash of all, and what it covers, as JSON values."""
        size = sum(size for size, _ in self.entries.values())
        return {"entries": len(self.entries), "bytes": size, "digest": self.digest, "covers": self.covers}

    def of(self, kept: Iterable[int]) -> Fingerprint:
        """Return a fingerprint with some of the entries, by their places."""
        entries = list(self.entries.items())
        return dataclasses.replace(self, entries=dict(entries[i] for i in kept))

    def __or__(self, other: Fingerprint) -> Fingerprint:
        """Return a fingerprint with the entries of both."""
        covers = "; ".join(dict.fromkeys([self.covers, other.covers]))
        return Fingerprint(self.place, {**self.entries, **other.entries}, covers)


@dataclasses.dataclass(frozen=True)
class Changes:
    """Names of the entries in which two fingerprints differ.

    Args:
        changed: in both, with different content.
        removed: only in the first.
        added: only in the second.

    Example:
        >>> Changes(("a.png",), (), ("b.png", "c.png")).text()
        '1 changed: a.png; 2 added: b.png, c.png'
    """

    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.added)

    def text(self) -> str:
        """Describe the changes in one line: how many of each kind, and the first names."""
        kinds = {"changed": self.changed, "removed": self.removed, "added": self.added}
        return "; ".join(f"{len(names):,} {kind}: {_first(names)}" for kind, names in kinds.items() if names)


def _first(names):
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(clean(name.replace("\n", " ")) for name in names[:_SHOWN]) + more


def changes(before: Entries, now: Entries) -> Changes:
    """Compare the entries of two fingerprints.

    Example:
        >>> changes({"a": (1, "x"), "b": (1, "y")}, {"b": (1, "z"), "c": (1, "x")})
        Changes(changed=('b',), removed=('a',), added=('c',))
    """
    return Changes(
        tuple(name for name in before if name in now and tuple(before[name]) != tuple(now[name])),
        tuple(name for name in before if name not in now),
        tuple(name for name in now if name not in before),
    )


def digest(entries: Entries) -> str:
    """Compute the hash of all entries, whatever their order."""
    content = hashlib.blake2b(digest_size=16)
    for name, (size, value) in sorted(entries.items()):
        content.update(f"{name}\0{size}\0{value}\0".encode(errors="surrogateescape"))
    return content.hexdigest()


def of_images(
    root: Path, files: Sequence[Path], hashes: Sequence[tuple[int, str]] | None = None
) -> Fingerprint:
    """Compute the fingerprint of images of a folder: their names, sizes, and up to `COVERED` bytes of each.

    Args:
        root: the folder.
        files: images in it, at any depth.
        hashes: what `hashed_image` found of each. Defaults to None, which reads the files.
    """
    return _of_files(root, files, _SAMPLES_OF_IMAGES, "fingerprint of the images", hashes)


def hashed_image(path: Path) -> tuple[tuple[int, str], bytes]:
    """Read up to `COVERED` bytes of an image.

    Returns:
        Bytes of the file and its hash, as a fingerprint of images has them, and its first bytes; −1, "" and no bytes
        for a file that cannot be read.
    """
    return _sampled(path, *_SAMPLES_OF_IMAGES)


def of_files(root: Path, files: Sequence[Path]) -> Fingerprint:
    """Compute the fingerprint of other files: their names, sizes, and up to 64 MiB of each."""
    return _of_files(root, files, _SAMPLES, "fingerprint of the data")


def of_arrays(place: str, arrays: Mapping[str, ArrayLike]) -> Fingerprint:
    """Compute the fingerprint of arrays: their dtypes, shapes and all values.

    Args:
        place: name of the data set, for messages.
        arrays: arrays by name.

    Example:
        >>> one = of_arrays("mine", {"x": np.zeros(3), "y": np.arange(3)})
        >>> changes(one.entries, of_arrays("mine", {"x": np.zeros(3), "y": np.arange(3)[::-1]}).entries).text()
        '1 changed: y'
    """
    entries = {}
    for name, values in arrays.items():
        array = np.ascontiguousarray(values)
        content = hashlib.blake2b(f"{array.dtype} {array.shape}".encode(), digest_size=8)
        content.update(array.view("uint8").data if array.size else b"")
        entries[name] = array.nbytes, content.hexdigest()
    return Fingerprint(place, entries, "all values of the arrays")


def of_set(name: str, data_dir: str | Path | None = None) -> Fingerprint:
    """Compute the fingerprint of data that `load` or `load_text` finds under a name.

    Args:
        name: embedded, generated or prepared set, text file, or folder of images.
        data_dir: folder of prepared sets. Defaults to None.
    """
    if name in BUILT_IN:
        splits = dict(zip(("train", "val", "test"), BUILT_IN[name](0), strict=True))
        arrays = {f"{part}.{each}": getattr(splits[part], each) for part in splits for each in "xy"}
        return of_arrays(name, arrays)
    path = Path(name).expanduser()
    if os.path.isfile(path):
        return of_files(path.parent, [path])
    found = prepared.find(name, data_dir)
    if found is None:
        return of_images(path, list_files(path).files)
    # The records and the names of the classes. The JSON files depend on the version of tensorflow-datasets.
    files = [each for each in sorted(found.iterdir()) if each.is_file() and each.suffix != ".json"]
    return of_files(found.parent, files)


def _of_files(root, files, samples, title, hashes=None):
    if hashes is None:
        hashes = in_parallel(lambda i: _sampled(files[i], *samples)[0], len(files), title)
    names = names_below(root, files)
    number, size = samples
    most = number * size
    shown = f"{most // _MIB} MiB" if most >= _MIB else f"{most // _KIB} KiB"
    covers = f"names, sizes and up to {shown} of each file, in {number} samples of a longer one"
    place = str(files[0]) if len(files) == 1 else str(root)
    return Fingerprint(place, dict(zip(names, hashes, strict=True)), covers)


def _sampled(path, number, size):
    """Bytes of a file, with the hash of `number` samples of `size` bytes, or of all bytes if those are fewer.

    The first of the samples, or all bytes, are returned as well.
    """
    content = hashlib.blake2b(digest_size=8)
    try:
        with open(path, "rb", buffering=0) as raw:  # a buffer takes longer than a short file
            length = os.fstat(raw.fileno()).st_size
            if length <= number * size:
                first = raw.read(length)
                content.update(first)
            else:
                file = io.BufferedReader(raw)
                first = file.read(size)
                content.update(first)
                for k in range(1, number):
                    file.seek(k * (length - size) // (number - 1))
                    content.update(file.read(size))
    except OSError:  # named when it is decoded
        return (-1, ""), b""
    return (length, content.hexdigest()), first
