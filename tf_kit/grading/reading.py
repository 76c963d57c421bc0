"""Notebooks as they were handed in, read without running code; their bytes are hashed."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_kit.grading import archives, foreign_text
from tf_kit.grading.slicing import Cell

LARGEST_FILE = archives.LARGEST_FILE
MOST_CELLS, MOST_CODE = 5_000, 4_000_000  # cells, and characters in them: no lab needs a hundredth
_MARK = re.compile(r"^\s*#\s*exercise:\s*(\w+)", re.IGNORECASE)


class Unreadable(ValueError):
    """The file is not a notebook."""


def content(path: Path) -> bytes:
    """Read the bytes of a submitted file, which may lie in an archive.

    Raises:
        Unreadable: the file is a link, not a plain file, too large, or cannot be opened.
    """
    try:
        if path.is_symlink() or path.is_dir():
            raise Unreadable("the submission must be a plain file, not a link or a folder")
        if not path.is_file():
            return archives.read(path)
        if path.stat().st_size > LARGEST_FILE:
            raise Unreadable(
                f"the file is larger than {LARGEST_FILE >> 20} MB: clear the outputs of its cells"
            )
        return path.read_bytes()
    except archives.Damaged as error:
        raise Unreadable(str(error)) from None
    except OSError as error:
        raise Unreadable(f"the file cannot be opened: {error.strerror or type(error).__name__}") from None


def read(path: str | Path) -> list[Cell]:
    """Read the code cells of a notebook.

    A cell is marked as the answer to an exercise by its metadata, from this kit or nbgrader, or by a first line
    `# exercise: …`.

    Raises:
        Unreadable: the file is not a notebook.
    """
    text = _decoded(content(Path(path)))
    if not text.strip():
        raise Unreadable("the file is empty")
    try:
        cells = _cells_of(json.loads(text), text)
    except (ValueError, RecursionError, MemoryError, LookupError, AttributeError, TypeError):
        raise Unreadable("the file is not a notebook") from None
    found = [_cell(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    if len(found) > MOST_CELLS or sum(len(cell.source) for cell in found) > MOST_CODE:
        raise Unreadable(f"the notebook has more than {MOST_CODE // 1_000_000} million characters of code")
    return found


def _decoded(data):
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("cp1252" if encoding.startswith("utf-8") else encoding, "replace")


def _cells_of(raw: Any, text: str) -> list[Any]:
    """List the cells of a notebook of any version; one without a version number has the cells of version 4."""
    if not isinstance(raw, dict):
        raise ValueError("not an object")
    if isinstance(raw.get("cells"), list):
        return raw["cells"]
    if isinstance(raw.get("worksheets"), list):
        return [cell for sheet in raw["worksheets"] for cell in sheet.get("cells", [])]
    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(nbformat.reads(text, as_version=4).get("cells", []))
        except Exception:  # nbformat raises whatever the notebook's fields provoke
            raise ValueError("not a notebook") from None


def _cell(cell: Mapping[str, Any]) -> Cell:
    source = cell.get("source", cell.get("input", ""))
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    source = foreign_text.source(source)
    metadata = cell.get("metadata")
    marks = []
    if isinstance(metadata, dict):
        for key, name in (("tf_kit", "exercise"), ("nbgrader", "grade_id")):
            inner = metadata.get(key)
            if isinstance(inner, dict) and isinstance(inner.get(name), str):
                marks.append(foreign_text.line(inner[name], 80))
    for line in source[:4000].splitlines()[:5]:
        match = _MARK.match(line)
        if match:
            marks.append(match[1])
    count = cell.get("execution_count", cell.get("prompt_number"))
    return Cell(source, tuple(marks), count if type(count) is int else None)


def digest(*parts: object) -> str:
    """Hash bytes, and other values as text, each with its length, by SHA-256."""
    whole = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()
