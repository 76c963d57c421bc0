"""The roster of a class: who should have handed in, and who did not.

A roster is a table with commas, semicolons or tabs: the gradebook that Canvas exports, the grading worksheet of Moodle,
the list of Gradescope, or any table with a column of names, with headings in English, German, French or Spanish; a file
of one or two columns without headings has a name per line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.grading import foreign_text
from tf_kit.grading.submissions import Submission, Survey

# Headings in English, German, French and Spanish, compared without case and accents.
_WHOLE: tuple[str, ...] = (
    "Student",
    "Full name",
    "Student name",
    "Vollständiger Name",
    "Nom complet",
    "Étudiant",
)
_WHOLE += ("Name, Vorname", "Vor- und Nachname", "Nom, prénom", "Nom et prénom", "Prénom et nom")
_WHOLE += ("Nombre completo", "Nombre y apellidos", "Apellidos y nombre", "Estudiante")
_FIRST = ("First name", "Firstname", "Given name", "Vorname", "Prénom")
_LAST: tuple[str, ...] = (
    "Last name",
    "Lastname",
    "Surname",
    "Family name",
    "Nachname",
    "Familienname",
    "Nom de famille",
)
_LAST += ("Apellidos", "Apellido", "Apellido(s)")
_WHOLE_OR_LAST, _WHOLE_OR_FIRST = ("Name", "Nom"), ("Nombre", "Nombre(s)")  # by the column next to it
_NUMBERS: tuple[str, ...] = (
    "ID",
    "Identifier",
    "SID",
    "SIS User ID",
    "ID number",
    "Student ID",
    "Number",
    "Matriculation number",
)
_NUMBERS += ("Matrikelnummer", "Matrikel-Nr.", "Matrikelnr.", "ID-Nummer", "Identifiant", "Matricule")
_NUMBERS += ("Numéro d'identification", "Numéro d'étudiant", "Numéro étudiant")
_NUMBERS += ("Identificador", "Número de ID", "Número de identificación", "Matrícula")
_LOGINS: tuple[str, ...] = (
    "SIS Login ID",
    "Username",
    "Login",
    "Email",
    "Email address",
    "User name",
    "E-mail",
    "E-mail address",
)
_LOGINS += (
    "Anmeldename",
    "Benutzername",
    "E-Mail-Adresse",
    "Nom d'utilisateur",
    "Adresse de courriel",
    "Courriel",
)
_LOGINS += ("Adresse e-mail", "Nombre de usuario", "Dirección de correo", "Dirección email", "Correo")
_LOGINS += ("Correo electrónico",)
# Columns of the grading worksheet of Moodle: the English heading, then those of its other languages.
_WORKSHEET = (
    ("Identifier", "ID", "Identifiant", "Identificador"),
    ("Full name", "Vollständiger Name", "Nom complet", "Nombre completo"),
    ("Email address", "E-Mail-Adresse", "Adresse de courriel", "Dirección de correo"),
    ("Status", "Statut", "Estado"),
    ("Grade", "Bewertung", "Note", "Calificación"),
    ("Maximum Grade", "Bestwertung", "Note maximale", "Calificación máxima"),
    (
        "Last modified (submission)",
        "Zuletzt geändert (Abgabe)",
        "Dernière modification (travail remis)",
        "Última modificación (entrega)",
    ),
    (
        "Last modified (grade)",
        "Zuletzt geändert (Bewertung)",
        "Dernière modification (note)",
        "Última modificación (calificación)",
    ),
    (
        "Feedback comments",
        "Feedback als Kommentar",
        "Feedback par commentaires",
        "Comentarios de retroalimentación",
    ),
)
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
    rows = _table(foreign_text.paragraphs(text))
    students = [student for student in _students(rows, path) if student.name]
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


def _students(rows, path):
    heading = [_plain(cell) for cell in rows[0]] if rows else []
    names = _columns_of_names(heading)
    if not names and is_worksheet(heading):  # without names, as Moodle hides them
        names = [i for i, cell in enumerate(heading) if worksheet_column(cell) == "Identifier"]
    marked = [i for i, cell in enumerate(heading) if cell in _known(_NUMBERS, _LOGINS)]
    if not names:
        if len(heading) > 2 or marked or set(heading) & set(_known(_FIRST, _LAST)):
            _refuse_headings(rows[0], path)
        return [Listed(", ".join(cell for cell in row[:2] if cell)) for row in rows]
    found = []
    for row in rows[1:]:
        row = row + [""] * (len(heading) - len(row))
        who = " ".join(row[i] for i in names).strip()
        if "points possible" in who.casefold() or who.casefold() in ("student, test", "test student"):
            continue
        marks = frozenset(_mark(row[i]) for i in marked if row[i])
        found.append(Listed(who, marks, tuple(zip(rows[0], row, strict=False))))
    return found


def _known(*headings):
    return [_plain(each) for each in itertools.chain(*headings)]


def _columns_of_names(heading):
    """Return the place of the name, or those of the first and the last name; none if there is no such heading.

    >>> _columns_of_names(["nom", "prenom"]), _columns_of_names(["nombre", "apellidos"]), _columns_of_names(["nom"])
    ([1, 0], [0, 1], [0])
    """

    def place(*headings):
        return [heading.index(each) for each in _known(*headings) if each in heading][:1]

    whole = place(_WHOLE)
    first, last = place(_FIRST, _WHOLE_OR_FIRST), place(_LAST, _WHOLE_OR_LAST)
    return whole or (first + last if first and last else place(_WHOLE_OR_LAST, _WHOLE_OR_FIRST))


def _refuse_headings(cells, path):
    shown = ", ".join(cells[:8]) + (", …" if len(cells) > 8 else "")
    remedy = (
        "Call the column Full name, or two columns First name and Last name; "
        "German, French and Spanish headings are known too. Or write a name per line, without headings"
    )
    refuse("--roster", "have a column of names", f"{str(path)!r}, whose first row is {shown}", remedy)


def worksheet_column(heading: str) -> str:
    """Return the English heading of a column of Moodle's grading worksheet, or "" for another column.

    Example:
        >>> worksheet_column("Bewertung"), worksheet_column("Section")
        ('Grade', '')
    """
    return next((each[0] for each in _WORKSHEET if _plain(heading) in _known(each)), "")


def is_worksheet(headings: Iterable[str]) -> bool:
    """Whether a table has the columns that Moodle wants of a grading worksheet."""
    return {"Identifier", "Grade", "Last modified (grade)"} <= {worksheet_column(each) for each in headings}


def _mark(text):
    """Reduce a number or login: Moodle writes `Participant 4711` or `Teilnehmer/in4711`, a spreadsheet `4711.0`."""
    text = re.sub(r"\.0$", "", text.strip().lstrip("'")).casefold()
    found = re.fullmatch(r"(?:\D+ |participante?|teilnehmer(?:/?in)?)(\d+)", text)
    return found[1] if found else text


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
    plain = _plain(name)
    last, comma, first = plain.partition(",")
    if comma:
        parts = re.findall(r"\w+", first), re.findall(r"\w+", last)
    else:
        words = re.findall(r"\w+", plain)
        parts = words[:-1], words[-1:]
    return {"".join(parts[0] + parts[1]), "".join(parts[1] + parts[0])} - {""}


def _plain(text):
    """Drop case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
