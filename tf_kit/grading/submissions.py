"""Submissions as a learning platform hands them out: found, named, and read without running anything."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

from tf_kit import _checks
from tf_kit.grading.slicing import Cell

LARGEST_FILE = 64 << 20
_MARK = re.compile(r"^\s*#\s*exercise:\s*(\w+)", re.IGNORECASE)
_CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_")
_MOODLE = re.compile(r"^(?P<name>.+)_(?P<id>\d+)_assignsubmission_\w+$")


@dataclasses.dataclass(frozen=True)
class Submission:
    """A notebook and whose it is.

    `number` is what Canvas or Moodle calls the student, where the file's or folder's name holds it.
    """

    student: str
    path: Path
    number: str = ""


def find(paths):
    """The submissions in files and folders, one for each student, in the order of their names.

    A notebook right in a folder is named after its file, one in a folder below after that folder. The names in which
    Canvas and Moodle pack downloads are understood. Of several notebooks of one student the largest answer wins: the
    one with the most marked cells, then the last by name.

    Raises:
        ValueError: a path is not there, or nothing in it is a notebook.
    """
    found = {}
    for path in map(Path, paths):
        if not path.exists():
            _checks.refuse(
                "SUBMISSION", "be a notebook or a folder of notebooks", f"{str(path)!r}, which is not there"
            )
        for notebook in [path] if path.is_file() else sorted(path.rglob("*.ipynb")):
            if ".ipynb_checkpoints" in notebook.parts:
                continue
            submission = _named(notebook, path if path.is_dir() else path.parent)
            found.setdefault(submission.student, []).append(submission)
    if not found:
        _checks.refuse("SUBMISSION", "be a notebook or a folder of notebooks", ", ".join(map(str, paths)))
    return [
        max(several, key=_fullness) if len(several) > 1 else several[0]
        for _, several in sorted(found.items())
    ]


def _named(path, folder):
    below = path.relative_to(folder).parts
    label = below[0] if len(below) > 1 else path.stem
    for pattern in (_MOODLE, _CANVAS):
        match = pattern.match(label if pattern is _MOODLE else (below[0] if len(below) > 1 else path.name))
        if match:
            return Submission(match["name"], path, match["id"])
    return Submission(label, path)


def _fullness(submission):
    try:
        cells = read(submission.path)
    except Unreadable:
        return (-1, submission.path.name)
    return (len({mark for cell in cells for mark in cell.marks}), submission.path.name)


class Unreadable(ValueError):
    """The file is not a notebook."""


def content(path):
    """The bytes of a submitted file.

    Raises:
        Unreadable: if it is a link, not a file, or too large.
    """
    if path.is_symlink() or not path.is_file():
        raise Unreadable("the submission is not a plain file")
    if path.stat().st_size > LARGEST_FILE:
        raise Unreadable(f"the file is larger than {LARGEST_FILE >> 20} MB; clear its outputs")
    return path.read_bytes()


def read(path):
    """The code cells of a notebook.

    Cells are marked by their metadata (this kit's, nbgrader's), or by their first line `# exercise: …`.

    Raises:
        Unreadable: if the file is not a notebook.
    """
    import nbformat

    text = content(Path(path)).decode("utf-8-sig", "replace")
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict):
            raise ValueError("not an object")
        try:
            notebook = nbformat.reads(text, as_version=4)
            cells = notebook.get("cells", [])
        except Exception:  # a notebook that breaks the format's rules may still hold readable cells
            cells = raw.get("cells") or [
                c for sheet in raw.get("worksheets", []) for c in sheet.get("cells", [])
            ]
    except (ValueError, RecursionError, MemoryError, AttributeError, TypeError):
        raise Unreadable("the file is not a notebook") from None
    return [_cell(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]


def _cell(cell):
    source = cell.get("source", cell.get("input", ""))
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata")
    marks = []
    if isinstance(metadata, dict):
        for key, name in (("tf_kit", "exercise"), ("nbgrader", "grade_id")):
            inner = metadata.get(key)
            if isinstance(inner, dict) and isinstance(inner.get(name), str):
                marks.append(inner[name])
    for line in source.splitlines()[:5]:
        match = _MARK.match(line)
        if match:
            marks.append(match[1])
    return Cell(source, tuple(marks))


def digest(*parts):
    """A SHA-256 over strings and bytes, each with its length."""
    whole = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()
