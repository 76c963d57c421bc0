"""Files of a run, which are never incomplete; one that cannot be written stops the run in one line."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import numbers
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from tf_kit import whole_files
from tf_kit.checks import refuse
from tf_kit.errors import RunStopped
from tf_kit.ownership import LOCK, OWNER
from tf_kit.whole_files import UNFINISHED

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a disk, a quota or a limit that is reached
DAMAGED = "damaged-"  # beginning of the name of a file that was set aside


def save_model(model: keras.Model, path: str | Path) -> None:
    """Write a model as a `.keras` file."""
    with replacing(path) as unfinished:
        model.save(unfinished)


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file; numbers that are not finite become null."""
    write_text(path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file; a missing folder is made."""
    with stopping_if_unwritable(Path(path)):
        # A path may hold bytes that are not text; JSON reads `\udcff` as such a byte again.
        whole_files.write_text(path, text, errors="backslashreplace")


def finite(content: Any) -> Any:
    """Return JSON values with Python's numbers, and None in place of every number that is not finite.

    Example:
        >>> finite({"loss": [0.5, float("nan")], "epochs": 2})
        {'loss': [0.5, None], 'epochs': 2}
    """
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, bool) or not isinstance(content, numbers.Real):
        return content
    if isinstance(content, numbers.Integral):
        return int(content)
    return float(content) if math.isfinite(content) else None


def read_json(path: str | Path, name: str, remedy: str = "Start a new run in another folder") -> Any:
    """Read a JSON file.

    Args:
        path: path of the file.
        name: name of the file in the error message.
        remedy: remedy in the error message.

    Raises:
        InputError: the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        refuse(name, "be a readable JSON file of a run", f"{path}", remedy)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file whole, as `whole_files.replacing` does.

    Args:
        path: path of the file.

    Raises:
        RunStopped: the disk is full, or the file cannot be written for another reason.
    """
    with stopping_if_unwritable(Path(path)), whole_files.replacing(path) as unfinished:
        yield unfinished


@contextlib.contextmanager
def stopping_if_unwritable(path: Path) -> Iterator[None]:
    """Within this context, turn an error of the operating system into a `RunStopped` of one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        in_run = any((each / "checkpoints").is_dir() for each in [*path.parents][:3])
        kept = "; the checkpoints written before are kept" if in_run else ""
        raise RunStopped(f"{path} cannot be written: {reason}{kept}") from error


def may_be_written(path: Path) -> bool:
    """Return whether the permissions let `replacing` write a file: into its folder, or into a device such as a pipe."""
    is_file = path.is_file() or not path.exists()
    return os.access(Path(os.path.realpath(path)).parent if is_file else path, os.W_OK)


def checksum(content: bytes | Path) -> str:
    """Compute a checksum of bytes, or of the content of a file."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def set_aside(path: Path) -> None:
    """Rename a damaged file, so that it is kept and no longer used."""
    if path.exists():
        path.replace(path.with_name(f"{DAMAGED}{path.name}"))


def remove_unfinished(folder: Path) -> None:
    """Remove files of a run that a killed process has left half written."""
    name = f".*{UNFINISHED}*"
    for path in (*folder.glob(name), *folder.glob(f"checkpoints/*/{name}")):
        with contextlib.suppress(OSError):
            path.unlink()


def holds_files(folder: Path) -> bool:
    """Return whether a folder holds anything but a lock and files that a killed process left half written."""
    return any(path.name not in (LOCK, OWNER) and UNFINISHED not in path.name for path in folder.iterdir())
