"""Archives of submissions (zip, tar), read without unpacking them: a path may lead into an archive.

Nothing is written, so no member can land outside a folder; a member whose name leads out of the archive, or that is a
link, encrypted or too large, is listed with the reason why it is not read.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import lzma
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tf_kit.grading import foreign_text

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
LARGEST_FILE = 64 << 20
MOST_MEMBERS = 20_000
DEEPEST = 3  # archives inside archives
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, RuntimeError, NotImplementedError, LookupError, OverflowError, MemoryError),
)


@dataclasses.dataclass(frozen=True)
class Member:
    """A file in an archive.

    Args:
        name: its name there, cleaned, with `/` between folders.
        modified: time of its last change, in seconds since 1970.
        problem: why it is not read, or "".
        read: function that returns its bytes.
    """

    name: str
    modified: float
    problem: str
    read: Callable[[], bytes] = dataclasses.field(compare=False, repr=False)


class Damaged(ValueError):
    """The archive, or a member of it, cannot be read."""


def is_archive(name: str) -> bool:
    """Whether a file is an archive, by its name.

    Example:
        >>> is_archive("class.ZIP"), is_archive("a.tar.gz"), is_archive("a.gz")
        (True, True, False)
    """
    return name.lower().endswith(SUFFIXES)


def members(path: Path) -> dict[str, Member]:
    """List the files in an archive, by name.

    Args:
        path: the archive; it may lie in another one.

    Raises:
        Damaged: the file is not an archive, or has too many members.
    """
    outer, names = _outermost(path)
    if not names:
        status = outer.stat()
        return _on_disk(outer, status.st_mtime_ns, status.st_size)
    return _listed(io.BytesIO(read(path)), names[-1])


def read(path: Path) -> bytes:
    """Read a file that lies in an archive, such as `class.zip/ada/lab.ipynb`.

    Raises:
        Damaged: there is no such file, or it cannot be read.
    """
    outer, names = _outermost(path)
    if not names or not outer.is_file():
        raise Damaged("there is no such file")
    status = outer.stat()
    on_disk = outer, status.st_mtime_ns, status.st_size
    inside: tuple[str, ...] = ()
    listed = _on_disk(*on_disk)
    for _ in range(DEEPEST):
        rest = "/".join(names)
        if rest in listed:
            return _content(listed[rest])
        inner = next((name for name in listed if is_archive(name) and rest.startswith(name + "/")), None)
        if inner is None:
            break
        names, inside = names[inner.count("/") + 1 :], (*inside, inner)
        listed = _inside(*on_disk, inside)
    raise Damaged("there is no such file in the archive")


def _content(member):
    if member.problem:
        raise Damaged(member.problem)
    try:
        return member.read()
    except _BROKEN as error:
        raise Damaged(f"it cannot be unpacked ({type(error).__name__})") from None


def _outermost(path):
    """Split a path into the file on the disk and the names below it."""
    parts: list[str] = []
    while not path.is_file() and path != path.parent:
        parts.insert(0, path.name)
        path = path.parent
    return path, parts


@functools.lru_cache(16)
def _on_disk(path, modified, size):
    return _listed(path, path.name)


@functools.lru_cache(2)  # the files of one archive are read one after the other
def _inside(path, modified, size, names):
    """List the files of an archive that lies in others, by its name in each of them."""
    outer = _inside(path, modified, size, names[:-1]) if names[1:] else _on_disk(path, modified, size)
    return _listed(io.BytesIO(_content(outer[names[-1]])), names[-1])


def _listed(file, name):
    try:
        found = _zip_members(file) if name.lower().endswith(".zip") else _tar_members(file)
        listed: dict[str, Member] = {}
        for member in found:
            if len(listed) >= MOST_MEMBERS:
                raise Damaged(f"it has more than {MOST_MEMBERS} files")
            unique, count = member.name, 2
            while unique in listed:
                unique, count = f"{member.name} ({count})", count + 1
            listed[unique] = dataclasses.replace(member, name=unique)
        return listed
    except _BROKEN as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(f"it is not a readable archive ({type(error).__name__})") from None


def _zip_members(file):
    opened = zipfile.ZipFile(file)
    for info in opened.infolist():
        if info.is_dir():
            continue
        problem = _problem(info.filename, info.file_size)
        if stat.S_ISLNK(info.external_attr >> 16):
            problem = "it is a link"
        elif info.flag_bits & 1:
            problem = "it is encrypted"
        modified = time.mktime((*info.date_time, 0, 0, -1)) if info.date_time[0] > 1980 else 0.0
        yield Member(_name(info.filename), modified, problem, functools.partial(_read_zip, opened, info))


def _read_zip(opened, info):
    with opened.open(info) as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError("larger than its archive says")
    return data


def _tar_members(file):
    opened = tarfile.open(fileobj=io.BytesIO(file.read_bytes()) if isinstance(file, Path) else file)  # noqa: SIM115
    for info in opened:
        if info.isdir():
            continue
        problem = _problem(info.name, info.size) if info.isfile() else "it is a link or a device"
        yield Member(_name(info.name), float(info.mtime), problem, functools.partial(_read_tar, opened, info))


def _read_tar(opened, info):
    file = opened.extractfile(info)
    return file.read(LARGEST_FILE + 1) if file else b""


def _problem(name, size):
    plain = name.replace("\\", "/")
    if ".." in plain.split("/") or plain.startswith("/") or plain[1:3] == ":/":
        return "its name leads out of the archive"
    if size > LARGEST_FILE:
        return f"it is larger than {LARGEST_FILE >> 20} MB"
    return ""


def _name(name):
    """Write the name of a member with `/`, cleaned, without parts that lead elsewhere."""
    parts = PurePosixPath(foreign_text.line(foreign_text.file_name(name.replace("\\", "/")), 1000)).parts
    return "/".join(part for part in parts if part not in ("..", "/")) or "unnamed"
