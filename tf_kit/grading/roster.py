"""The roster of a class: who should have handed in, and who did not.

A roster is a table with commas, semicolons or tabs: the gradebook that Canvas exports, the grading worksheet of Moodle,
the list of Gradescope, or any table with a column of names; a file without such a heading has a name per line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.grading import foreign_text
from tf_kit.grading.submissions import Submission, Survey

_NAMES = ("student", "full name", "name", "student name")
_FIRST, _LAST = ("first name", "firstname", "given name"), ("last name", "lastname", "surname", "family name")
_NUMBERS = (
    "id",
    "identifier",
    "sid",
    "sis user id",
    "id number",
    "student id",
    "number",
    "matriculation number",
)
_LOGINS = ("sis login id", "username", "login", "email", "email address", "user name")
LARGEST_FILE = 16 << 20


@dataclasses.dataclass(frozen=True)
class Listed:
    """A student of the roster.

    Args:
        name: name of the student.
        marks: numbers and logins by which course systems know the student.
        row: the cells of the roster by heading.
    """

    name: str
    marks: frozenset[str] = frozenset()
    row: tuple[tuple[str, str], ...] = dataclasses.field(default=(), compare=False)


@dataclasses.dataclass(frozen=True)
class HandedIn:
    """The submissions of a class, and the students without one.

    Args:
        survey: files and submissions.
        absent: students of the roster without a submission.
        listed: all students of the roster.
    """

    survey: Survey
    absent: Sequence[Listed] = ()
    listed: Sequence[Listed] = ()


def read(path: str | Path) -> list[Listed]:
    """Read a roster.

    Raises:
        InputError: the file cannot be read, or names no student.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            refuse("--roster", f"be a table below {LARGEST_FILE >> 20} MB", f"{str(path)!r}")
        data = path.read_bytes()
    except OSError as error:
        refuse("--roster", "be a file with the students of the class", f"{str(path)!r}: {error.strerror}")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    students = [student for student in _students(_table(foreign_text.paragraphs(text))) if student.name]
    if not students:
        received = f"{str(path)!r}, where no student is named"
        remedy = "Export the gradebook of Canvas or the grading worksheet of Moodle, or write a name per line"
        refuse("--roster", "be a table with a column of names", received, remedy)
    return students


def _table(text):
    first = text.partition("\n")[0]
    delimiter = max(";\t,", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        rows = [[line] for line in text.splitlines()]
    return [[foreign_text.line(cell) for cell in row] for row in rows if any(cell.strip() for cell in row)]


def _students(rows):
    heading = [cell.casefold() for cell in rows[0]] if rows else []
    name = next((heading.index(each) for each in _NAMES if each in heading), None)
    first = next((heading.index(each) for each in _FIRST if each in heading), None)
    last = next((heading.index(each) for each in _LAST if each in heading), None)
    if name is None and (first is None or last is None):
        return [
            Listed(", ".join(cell for cell in row[:2] if cell) if len(row) > 1 else row[0]) for row in rows
        ]
    marked = [i for i, cell in enumerate(heading) if cell in (*_NUMBERS, *_LOGINS)]
    found = []
    for row in rows[1:]:
        row = row + [""] * (len(heading) - len(row))
        who = row[name] if name is not None else f"{row[first]} {row[last]}".strip()
        if "points possible" in who.casefold() or who.casefold() in ("student, test", "test student"):
            continue
        marks = frozenset(_mark(row[i]) for i in marked if row[i])
        found.append(Listed(who, marks, tuple(zip(rows[0], row, strict=False))))
    return found


def _mark(text):
    """Reduce a number or login: Moodle writes `Participant 4711`, a spreadsheet `4711.0`."""
    text = re.sub(r"\.0$", "", text.strip().lstrip("'"))
    found = re.fullmatch(r"\D+ (\d+)", text)
    return (found[1] if found else text).casefold()


def matched(listed: Sequence[Listed], found: Sequence[Submission]) -> dict[tuple[str, str], Listed]:
    """Match submissions with students of the roster: by number or login, else by a name that only one has.

    Returns:
        Key of a submission -> its student.
    """
    by_mark = {mark: student for student in listed for mark in student.marks}
    by_name: dict[str, list[Listed]] = {}
    for student in listed:
        for spelling in _spellings(student.name):
            by_name.setdefault(spelling, []).append(student)
    pairs = {}
    for submission in found:
        for mark in (submission.number, submission.student, submission.student.rpartition("/")[2]):
            if mark and _mark(mark) in by_mark:
                pairs[submission.key] = by_mark[_mark(mark)]
                break
        else:
            names = _spellings(submission.student.rpartition("/")[2])
            candidates = [student for name in names for student in by_name.get(name, ())]
            if len({id(student) for student in candidates}) == 1:
                pairs[submission.key] = candidates[0]
    return pairs


def absent(listed: Sequence[Listed], found: Sequence[Submission]) -> list[Listed]:
    """List the students of a roster who handed in nothing."""
    present = {id(student) for student in matched(listed, found).values()}
    return [student for student in listed if id(student) not in present]


def _spellings(name):
    """Spell a name as systems do, without case, accents and spaces: as it stands, and with the last name first.

    Example:
        >>> sorted(_spellings("Ada Lovelace")) == sorted(_spellings("Lovelace, Ada"))
        True
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    last, comma, first = plain.partition(",")
    if comma:
        parts = re.findall(r"\w+", first), re.findall(r"\w+", last)
    else:
        words = re.findall(r"\w+", plain)
        parts = words[:-1], words[-1:]
    return {"".join(parts[0] + parts[1]), "".join(parts[1] + parts[0])} - {""}
