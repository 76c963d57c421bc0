"""Reason why a file of `model.save` cannot be loaded, in words that do not assume knowledge of its format."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

_PARTS = ("config.json", "model.weights.h5")


def why_unreadable(file: Path, error: Exception) -> str:
    """Return what is wrong with a file that Keras failed to load.

    A .keras file is a zip archive with a checksum for each part, so damage is found without Keras.

    Args:
        file: the file.
        error: exception that Keras raised; its first line is returned for a file that is whole, for example one
            with a class that this process does not know.

    Example:
        >>> why_unreadable(Path(__file__), ValueError("…"))
        'not a file that model.save("….keras") writes'
    """
    try:
        if file.is_dir():
            return "a folder, not a .keras file"
        if not os.path.lexists(file):
            return "a file that does not exist"
        if file.stat().st_size == 0:
            return "an empty file"
        if not zipfile.is_zipfile(file):
            with open(file, "rb") as opened:
                begins_as_one = opened.read(2) == b"PK"
            return "a .keras file that is cut off" if begins_as_one else _FOREIGN
        with zipfile.ZipFile(file) as archive:
            missing = [name for name in _PARTS if name not in archive.namelist()]
            if missing:
                return _FOREIGN
            damaged = archive.testzip()
        if damaged:
            return _DAMAGED
    except OSError as reading:
        return f"a file that cannot be read: {reading.strerror or type(reading).__name__}"
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        return _DAMAGED
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first[:200].rstrip(".")


_FOREIGN = 'not a file that model.save("….keras") writes'
_DAMAGED = "a damaged .keras file, whose content does not match its checksum"
