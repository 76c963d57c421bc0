"""The roster of a class: who should have handed in, and who did not.

A roster is a table with commas, semicolons or tabs: the gradebook that Canvas exports, the grading worksheet of Moodle,
the list of Gradescope, or any table with a column of names, with headings in English, German, French, Spanish or
Italian. Titles above the headings are skipped. Without headings the columns are known by what is in them.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.encoding import decoded
from tf_kit.grading import foreign_text, roster_columns
from tf_kit.grading.roster_columns import is_worksheet, plain, worksheet_column
from tf_kit.grading.submissions import Submission, Survey
from tf_kit.tables import separated

LARGEST_FILE = 16 << 20
_TITLES = {"dr", "prof", "herr", "frau", "mr", "mrs", "ms", "bsc", "msc", "phd"}  # no part of a name
_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
# First bytes of files that are no text.
_BINARY = {
    b"PK\x03\x04": "a spreadsheet or another zipped file",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document",
    b"%PDF": "a PDF",
}


@dataclasses.dataclass(frozen=True)
class Listed:
    """A student of the roster.

    Args:
        name: name of the student.
        marks: numbers and logins by which course systems know the student.
        row: the cells of the roster by heading.
        read_from: which columns of the roster were read as what, in words.
    """

    name: str
    marks: frozenset[str] = frozenset()
    row: tuple[tuple[str, str], ...] = dataclasses.field(default=(), compare=False)
    read_from: str = dataclasses.field(default="", compare=False)


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
    text, _ = decoded(data)
    binary = next((kind for begin, kind in _BINARY.items() if data.startswith(begin)), "")
    if not binary and "\0" in text[:1000]:
        binary = "a file that is not text"
    if binary:
        refuse("--roster", "be a table as text", f"{str(path)!r}, which is {binary}", "Save it as CSV")
    rows = _table(foreign_text.paragraphs(text), path)
    students = [student for student in _students(rows, path) if student.name]
    if not students:
        received = f"{str(path)!r}, where no student is named"
        remedy = "Export the gradebook of Canvas or the grading worksheet of Moodle, or write a name per line"
        refuse("--roster", "be a table with a column of names", received, remedy)
    return students


def _table(text, path):
    text, delimiter = separated(text.lstrip("\n"))
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        rows = [[line] for line in text.splitlines()]
    _refuse_open_quotes(text, delimiter, rows, path)
    return [[_cell(cell) for cell in row] for row in rows if any(cell.strip() for cell in row)]


def _refuse_open_quotes(text, delimiter, rows, path):
    """Refuse a table whose rows a quotation mark without its second one has joined: students would be lost."""
    joined = next((cell for row in rows for cell in row if "\n" in cell), None)
    if joined is None:
        return
    try:
        list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error:
        received = f"{str(path)!r}, where one opens before {foreign_text.line(joined, 40)!r}"
        refuse("--roster", "close every quotation mark", received, "Close it, or remove it")


def _cell(text):
    """Return the text of a cell. A spreadsheet is told by ="0012345" to keep the zeros."""
    text = foreign_text.line(text)
    found = re.fullmatch(r'="(.*)"', text)
    return found[1] if found else text


def _students(rows, path):
    columns, rest = roster_columns.find(rows)
    if columns is None:
        _refuse_headings(rest[0], path)
    found: dict[object, Listed] = {}
    width = max([len(columns.headings), *(i + 1 for i in (*columns.names, *columns.marks))])
    for row in rest:
        row = row + [""] * (width - len(row))
        if len(columns.headings) == 1:  # "Lovelace, Ada" without quotation marks is one cell
            row = [", ".join(filter(None, row))]
        who = columns.between.join(row[i] for i in columns.names if row[i])
        if "points possible" in who.casefold() or who.casefold() in ("student, test", "test student"):
            continue
        marks = frozenset(_mark(row[i]) for i in columns.marks if row[i])
        _refuse_rounded(columns, row, path)
        cells = tuple(zip(columns.headings, row, strict=False))
        student = Listed(who, marks, cells, columns.described)
        # one student may have several rows, as one per course; without a number two may have one name
        found.setdefault((plain(who), marks) if marks else len(found), student)
    return list(found.values())


def _refuse_rounded(columns, row, path):
    """Refuse a number that a spreadsheet has rounded: it is nobody's, and an import would take it."""
    rounded = next((row[i] for i in columns.marks if re.fullmatch(r"\d[.,]?\d*[Ee]\+\d+", row[i])), None)
    if rounded is not None:
        remedy = "Export it again without opening it in a spreadsheet, or make that column text there"
        refuse("--roster", "have numbers with all their digits", f"{rounded} in {str(path)!r}", remedy)


def _refuse_headings(cells, path):
    shown = ", ".join(cells[:8]) + (", …" if len(cells) > 8 else "")
    remedy = (
        "Call the column Full name, or two columns First name and Last name; "
        "German, French, Spanish and Italian headings are known too. Or write a name per line, without headings"
    )
    refuse("--roster", "have a column of names", f"{str(path)!r}, whose first row is {shown}", remedy)


def _mark(text):
    """Reduce a number or login.

    Moodle writes `Participant 4711` or `Teilnehmer/in4711`, Brightspace `#4711`, a spreadsheet `4711.0`.
    """
    text = re.sub(r"\.0+$", "", text.strip().lstrip("'#")).casefold()
    found = re.fullmatch(r"(?:\D+ |participante?|teilnehmer(?:/?in)?)(\d+)", text)
    return found[1] if found else text


def _unpadded(mark):
    return (mark.lstrip("0") if mark.isdecimal() else "") or mark


def matched(listed: Sequence[Listed], found: Sequence[Submission]) -> dict[tuple[str, str], Listed]:
    """Match submissions with students of the roster: by number or login, else by a name that only one has.

    The names of files are compared as they stand, then without what they say about the lab. A student whose name
    several submissions have is matched with none of them.

    Returns:
        Key of a submission -> its student.
    """
    return _matched(listed, found)[0]


def _matched(listed, found):
    """Return the pairs, and the students (by `id`) whom at least one submission may be by."""
    known = _Known(listed)
    pairs, present = {}, set()
    for candidates_of in (known.by_mark, known.by_name, known.by_order, known.by_guess):
        claims = {}
        for submission in found:
            if submission.key not in pairs:
                candidates = {id(student): student for student in candidates_of(submission)}
                if len(candidates) == 1:
                    claims[submission.key] = candidates.popitem()[1]
        times = Counter(map(id, claims.values()))
        alone = {
            key: each for key, each in claims.items() if times[id(each)] == 1 and id(each) not in present
        }
        pairs |= claims if candidates_of == known.by_mark else alone
        present |= times.keys()
    return pairs, present


class _Known:
    """The students of a roster by all that may be in the name of a submission."""

    def __init__(self, listed):
        # A mark that several students have is such as the number of a group.
        shared = Counter(mark for student in listed for mark in student.marks)
        self._marks = {mark: student for student in listed for mark in student.marks if shared[mark] == 1}
        short = Counter(map(_unpadded, shared))  # a spreadsheet drops the zeros before a number
        self._unpadded = {
            _unpadded(mark): student for mark, student in self._marks.items() if short[_unpadded(mark)] == 1
        }
        self._names, self._words, self._rotated = defaultdict(list), defaultdict(list), defaultdict(list)
        for student in listed:
            logins = {mark.partition("@")[0] for mark in student.marks if "@" in mark}
            for spelling in _spellings(student.name):
                self._names[spelling].append(student)
            words = _words(plain(student.name))
            for spelling in {"".join(words[i:] + words[:i]) for i in range(len(words))}:
                self._rotated[spelling].append(student)
            for word in logins | set(_words(plain(student.name))):
                self._words[word].append(student)
        self._logins = {mark.partition("@")[0] for mark in self._marks if "@" in mark}

    def by_mark(self, submission):
        marks = (submission.number, submission.student, submission.student.rpartition("/")[2])
        return [student for mark in marks if mark for student in self._of_mark(_mark(mark))][:1]

    def by_name(self, submission):
        return self._of_name(submission.student.rpartition("/")[2])

    def by_order(self, submission):
        """Find students by their name with any number of last names first, as in `delatourjeanluc`."""
        name = plain(submission.student.rpartition("/")[2])
        return self._rotated.get("".join(_words(name)), [])

    def by_guess(self, submission):
        """Find students by the numbers in the name of a file, else by the name that it has besides, or a login."""
        person = _mark(submission.person)
        numbers = [word for word in re.findall(r"[^\W_]+", person) if len(re.findall(r"\d", word)) > 3]
        found = [student for word in (person, *numbers) for student in self._of_mark(word)]
        if found:
            return found
        name = re.sub(
            "|".join(map(re.escape, numbers)) or "(?!)", " ", submission.person, flags=re.IGNORECASE
        )
        # a login may be a first name, which another student may have too
        return self._of_name(name) + (self._words[person] if person in self._logins else [])

    def _of_mark(self, mark):
        student = self._marks.get(mark) or self._unpadded.get(_unpadded(mark))
        return [student] if student else []

    def _of_name(self, name):
        return [student for spelling in _spellings(name) for student in self._names.get(spelling, ())]


def misread(listed: Sequence[Listed], found: Sequence[Submission]) -> str:
    """Return a line that nobody who handed in is on the roster, which was then probably misread; "" if somebody is."""
    if not listed or not found or _matched(listed, found)[1]:
        return ""
    shown = ", ".join(repr(student.name) for student in listed[:2])
    handed_in = ", ".join(repr(foreign_text.line(each.student, 60)) for each in found[:2])
    return (
        f"NOBODY who handed in is on the roster, which was probably misread: {listed[0].read_from}; "
        f"its names are such as {shown}, those of the submissions {handed_in}"
    )


def other_maximum(listed: Sequence[Listed], points: int) -> str:
    """Return a line that the assignment in Moodle has another maximum than the lab, which its import would not notice.

    Args:
        listed: the students of the roster.
        points: points of the lab.
    """
    row = dict(listed[0].row) if listed else {}
    if not is_worksheet(row):
        return ""
    cell = next((row[heading] for heading in row if worksheet_column(heading) == "Maximum Grade"), "")
    number = re.fullmatch(r"(\d+)(?:[.,](\d+))?", cell)
    if number is None or float(f"{number[1]}.{number[2] or 0}") == points:
        return ""
    return (
        f"ANOTHER MAXIMUM in Moodle: {cell} in the worksheet, {points} in the lab. Set the maximum grade of the "
        "assignment to that of the lab before you import moodle.csv"
    )


def absent(listed: Sequence[Listed], found: Sequence[Submission]) -> list[Listed]:
    """List the students of a roster who handed in nothing."""
    present = _matched(listed, found)[1]
    return [student for student in listed if id(student) not in present]


def _spellings(name):
    """Spell a name as systems do, without case, accents and spaces: as it stands, and with the last name first.

    Where a letter has a spelling of two letters, as "ue" for "ü", both count.

    Example:
        >>> sorted(_spellings("Ada Lovelace")) == sorted(_spellings("Lovelace, Ada"))
        True
        >>> sorted(_spellings("Müller") & {"muller", "mueller"})
        ['mueller', 'muller']
    """
    whole = unicodedata.normalize("NFC", name).casefold()
    return _orders(plain(whole)) | _orders(plain(whole.translate(_TWO_LETTERS)))


def _orders(name):
    last, comma, first = name.partition(",")
    if comma:
        parts = _words(first), _words(last)
    else:
        words = _words(last)
        parts = words[:-1], words[-1:]
    return {"".join(parts[0] + parts[1]), "".join(parts[1] + parts[0])} - {""}


def _words(text):
    return [word for word in re.findall(r"[^\W_]+", text) if word not in _TITLES]
