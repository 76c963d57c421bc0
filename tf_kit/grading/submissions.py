"""Submissions as learning platforms export them: find them, name their students, read them without running code."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.grading.slicing import Cell

LARGEST_FILE = 64 << 20
_MARK = re.compile(r"^\s*#\s*exercise:\s*(\w+)", re.IGNORECASE)
_CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_")
_MOODLE = re.compile(r"^(?P<name>.+)_(?P<id>\d+)_assignsubmission_\w+$")


@dataclasses.dataclass(frozen=True)
class Submission:
    """A notebook and its student.

    Args:
        student: name of the student.
        path: the notebook.
        number: number of the student on Canvas or Moodle, if the name of the file or its folder contains it.
    """

    student: str
    path: Path
    number: str = ""


def find(paths: Sequence[str | Path]) -> list[Submission]:
    """Find the submissions in files and folders: one per student, ordered by name.

    The student of a notebook is named after the file, or after the subfolder if it lies in one. Names of files and
    folders as Canvas and Moodle export them are recognized. Of several notebooks of one student, the one with the
    most marked cells is taken, then the last by name.

    Args:
        paths: notebooks and folders.

    Raises:
        InputError: a path does not exist, or there is no notebook in any of them.
    """
    found: dict[str, list[Submission]] = {}
    for path in map(Path, paths):
        if not path.exists():
            refuse(
                "SUBMISSION", "be a notebook or a folder of notebooks", f"{str(path)!r}, which does not exist"
            )
        for notebook in [path] if path.is_file() else sorted(path.rglob("*.ipynb")):
            if ".ipynb_checkpoints" in notebook.parts:
                continue
            submission = _named(notebook, path if path.is_dir() else path.parent)
            found.setdefault(submission.student, []).append(submission)
    if not found:
        received = f"{', '.join(map(str, paths))}, where there is no notebook"
        refuse("SUBMISSION", "be a notebook or a folder of notebooks", received)
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


def content(path: Path) -> bytes:
    """Read the bytes of a submitted file.

    Raises:
        Unreadable: the file is a link, not a plain file, or too large.
    """
    if path.is_symlink() or not path.is_file():
        raise Unreadable("the submission must be a plain file, not a link or a folder")
    if path.stat().st_size > LARGEST_FILE:
        raise Unreadable(f"the file is larger than {LARGEST_FILE >> 20} MB: clear the outputs of its cells")
    return path.read_bytes()


def read(path: str | Path) -> list[Cell]:
    """Read the code cells of a notebook.

    A cell is marked as the answer to an exercise by its metadata, from this kit or nbgrader, or by a first line
    `# exercise: …`.

    Raises:
        Unreadable: the file is not a notebook.
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
        except Exception:  # a notebook that violates the format may still have readable cells
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


def digest(*parts: object) -> str:
    """Hash bytes, and other values as text, each with its length, by SHA-256."""
    whole = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()


def digest_of(submission: Submission) -> str:
    """Hash the bytes of a submission, or the reason why they cannot be read."""
    try:
        return digest(content(submission.path))
    except (Unreadable, OSError) as error:
        return digest("unreadable", str(error))
