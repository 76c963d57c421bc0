"""Files that are never incomplete: written under another name, flushed to the disk and renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

UNFINISHED = ".unfinished"  # in the name of a file that is being written
_LONGEST = 40  # characters of the name of a file that its unfinished one repeats


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Within this context a file is written under the path that it yields, and then takes the place of `path`.

    The content is on the disk before the name changes, so after a crash there is the old file or the new one. The other
    path has the ending of `path`, by which some libraries choose a format, and is another each time. A link stays, and
    the file that it leads to is replaced; what is no file, such as `/dev/stdout`, is written itself.

    Args:
        path: path of the file.

    Raises:
        OSError: the file, which the error names, cannot be written; a file that was there before is kept.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(f"{folder}/a.txt") as unfinished:
        ...         _ = unfinished.write_text("whole")
        ...     Path(folder, "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        yield path
        return
    place = Path(os.path.realpath(path))
    unfinished = _unfinished(place, place.stem, place.suffix)
    with naming(path):
        try:
            yield unfinished
            _flush(unfinished)
            unfinished.replace(place)
            _flush(place.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Within this context a folder is filled under the path that it yields, and then gets the name `path`.

    Args:
        path: path of the folder, where there is nothing yet, or an empty folder.

    Raises:
        OSError: it cannot be written; then nothing is left of it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with new_folder(f"{folder}/b") as unfinished:
        ...         _ = (unfinished / "a.txt").write_text("whole")
        ...     [each.name for each in Path(folder, "b").iterdir()]
        ['a.txt']
    """
    place = Path(os.path.realpath(path))
    unfinished = _unfinished(place, place.name)
    with naming(path):
        try:
            unfinished.mkdir()
            yield unfinished
            if place.is_dir():
                place.rmdir()
            unfinished.replace(place)
            _flush(place.parent)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within this context an `OSError` names a path; that of a write names no file, or an unfinished one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _unfinished(place, stem, suffix=""):
    drawn = os.urandom(4).hex()  # two threads, or machines with one disk, may have the same process number
    return place.with_name(f".{stem[:_LONGEST]}.{drawn}{UNFINISHED}{suffix}")


def write_text(path: str | os.PathLike[str], text: str, errors: str = "strict") -> Path:
    """Write a text file as UTF-8, the same bytes on every system, and make missing folders. Returns its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors=errors, newline="\n")
    return path


def _flush(path):
    """Make the operating system write a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
