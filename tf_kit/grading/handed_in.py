"""Files and empty folders that were handed in, also those in archives, and what becomes of each."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from tf_kit.grading import archives, foreign_text
from tf_kit.grading.file_names import Owner

_OF_THE_SYSTEM = re.compile(
    r"(?i)^(\._.*|\.ds_store|thumbs\.db|desktop\.ini|__macosx|\.ipynb_checkpoints|__pycache__|\.git.*|\.vscode|\.idea|"
    r"~\$.*|\.~lock.*|icon\r)$"
)
# Kinds of files, as the summary counts them.
GRADED, SUPERSEDED, OTHER_LAB, BLANK = "graded", "superseded", "another lab", "blank"
NO_NOTEBOOK, DAMAGED, SYSTEM, EMPTY = "not a notebook", "damaged", "not a student's", "empty folder"


@dataclasses.dataclass(frozen=True)
class File:
    """A file or empty folder that was handed in, and what became of it.

    Args:
        path: where it lies.
        owner: its student.
        kind: one of the kinds above.
        why: more about it, or "".
    """

    path: Path
    owner: Owner | None
    kind: str
    why: str = ""

    @property
    def label(self) -> str:
        """The path as text that can be printed."""
        return foreign_text.line(self.path, 400)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file, or an empty folder, below a path that was given."""

    path: Path
    parts: tuple[str, ...]
    modified: float
    problem: str = ""
    empty: bool = False


def entries_of(path):
    """List the files below a path, and those that are no student's: of the operating system, of an editor."""
    entries: list[Entry] = []
    files: list[File] = []
    if archives.is_archive(path.name) and path.is_file():
        _add_archive(path, (), entries, files, 0)
        return entries, files
    if not path.is_dir():
        return [Entry(path, (path.name,), _modified(path))], []

    def unreadable(error):
        files.append(File(Path(os.fsdecode(error.filename)), None, DAMAGED, "it cannot be opened"))

    for folder, folders, names in os.walk(path, onerror=unreadable):
        folders.sort()
        below = Path(folder).relative_to(path).parts
        if below and not any(not _OF_THE_SYSTEM.match(name) for name in (*folders, *names)):
            entries.append(Entry(Path(folder), (*below, ""), _modified(Path(folder)), empty=True))
        for name in [name for name in folders if _OF_THE_SYSTEM.match(name)]:
            folders.remove(name)
            files += [
                File(inner, None, SYSTEM)
                for inner in sorted(Path(folder, name).rglob("*"))
                if inner.is_file()
            ]
        for name in sorted(names) + [name for name in folders if Path(folder, name).is_symlink()]:
            file = Path(folder, name)
            if _OF_THE_SYSTEM.match(name):
                files.append(File(file, None, SYSTEM))
            elif archives.is_archive(name) and not file.is_symlink():
                _add_archive(file, (*below, name), entries, files, 0)
            else:
                entries.append(Entry(file, (*below, name), _modified(file)))
    return entries, files


def _add_archive(path, parts, entries, files, depth):
    try:
        listed = archives.members(path)
    except (archives.Damaged, OSError) as error:
        why = str(error) if isinstance(error, archives.Damaged) else "it cannot be opened"
        entries.append(Entry(path, parts or (path.name,), 0.0, f"the archive is damaged: {why}"))
        return
    if not any(_of_a_student(name) for name in listed):
        entries.append(Entry(path, (*(parts or (path.name,)), ""), 0.0, empty=True))
    for name, member in listed.items():
        inner, below = path / name, tuple(name.split("/"))
        if not _of_a_student(name):
            files.append(File(inner, None, SYSTEM))
        elif archives.is_archive(name) and not member.problem and depth < archives.DEEPEST - 1:
            _add_archive(inner, (*parts, *below), entries, files, depth + 1)
        else:
            entries.append(Entry(inner, (*parts, *below), member.modified, member.problem))


def _of_a_student(name):
    return not any(_OF_THE_SYSTEM.match(part) for part in name.split("/"))


def _modified(path):
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
