"""The columns of a roster: where the names, numbers and addresses of students stand, by headings or by contents."""

from __future__ import annotations

import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence

# Headings in English, German, French, Spanish and Italian, compared without case, accents, spaces and hyphens.
_WHOLE: tuple[str, ...] = (
    "Student",
    "Full name",
    "Student name",
    "Vollständiger Name",
    "Nom complet",
    "Étudiant",
)
_WHOLE += ("Name, Vorname", "Vor- und Nachname", "Nom, prénom", "Nom et prénom", "Prénom et nom")
_WHOLE += ("Nombre completo", "Nombre y apellidos", "Apellidos y nombre", "Estudiante", "Alumno")
_WHOLE += ("Nome completo", "Nome e cognome", "Cognome e nome", "Studente", "Nominativo")
_WHOLE += (
    "Students",
    "Names",
    "Student names",
    "Participant",
    "Participants",
    "Teilnehmer",
    "Studierende",
    "Namen",
)
_WHOLE += ("Étudiants", "Élèves", "Estudiantes", "Alumnos", "Studenti", "Nominativi")
_FIRST: tuple[str, ...] = ("First name", "First names", "Given name", "Given names", "Forename", "Forenames")
_FIRST += (
    "Preferred name",
    "Preferred first name",
    "Vorname",
    "Vornamen",
    "Vorname(n)",
    "Rufname",
    "Prénom",
    "Prénoms",
)
_LAST: tuple[str, ...] = (
    "Last name",
    "Last names",
    "Surname",
    "Surnames",
    "Family name",
    "Nachname",
    "Familienname",
    "Nom de famille",
)
_LAST += ("Sobrenome", "Sobrenomes", "Apelido", "Apelidos")  # next to the "Nome" that Italian has too
_LAST += ("Apellidos", "Apellido", "Apellido(s)", "Cognome", "Cognomi")
_WHOLE_OR_PART = (
    "Name",
    "Names",
    "Namen",
    "Nom",
    "Noms",
    "Nombre",
    "Nombres",
    "Nombre(s)",
    "Nome",
)  # by the column next to it
_NUMBERS: tuple[str, ...] = (
    "ID",
    "Identifier",
    "SID",
    "SIS User ID",
    "OrgDefinedId",
    "ID number",
    "Student ID",
    "Number",
    "Matriculation number",
    "Student number",
    "Student No.",
    "Roll No.",
    "Roll number",
    "Registration number",
)
_NUMBERS += (
    "Matrikelnummer",
    "Matrikel-Nr.",
    "Matrikelnr.",
    "Matr.-Nr.",
    "ID-Nummer",
    "Identifiant",
    "Matricule",
)
_NUMBERS += ("Numéro d'identification", "Numéro d'étudiant", "Numéro étudiant")
_NUMBERS += (
    "Identificador",
    "Número de ID",
    "Número de identificación",
    "Matrícula",
    "Matricola",
    "Numero di matricola",
)
_LOGINS: tuple[str, ...] = (
    "SIS Login ID",
    "Username",
    "Login",
    "Email",
    "Email address",
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
_LOGINS += ("Correo electrónico", "Nome utente", "Indirizzo email", "Posta elettronica")
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
_MOST_TITLES = 10  # rows in which the headings are looked for
_NUMBER = re.compile(r"[A-Za-z]{0,3}\d[\d./-]*[A-Za-z]?")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")
_NAME = re.compile(r"(?=.*[^\W\d_])[^\d@_/=<>{}#%]+")
# Letters that Unicode does not split into a letter and its accent.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"})
_IDEOGRAPHS = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}"  # two are a word or a name
_WORD = re.compile(rf"[^\W\d_]{{3}}|{_IDEOGRAPHS}")
_MOST = 0.9  # of the cells of a column that must look like what it is taken for

Rows = Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a roster.

    Args:
        names: places of the columns whose cells, in this order, are a student's name.
        marks: places of numbers, logins and addresses.
        headings: row of the headings, or () if there are none.
        between: text between the parts of a name.
    """

    names: tuple[int, ...]
    marks: tuple[int, ...] = ()
    headings: tuple[str, ...] = ()
    between: str = " "

    @property
    def described(self) -> str:
        """Say in words how the columns were read."""

        def listed(places):
            if self.headings:
                return ", ".join(repr(self.headings[i]) for i in places)
            return " and ".join(f"column {i + 1}" for i in places)

        marks = f"numbers and addresses from {listed(self.marks)}" if self.marks else "no numbers"
        none = "" if self.headings else " (no headings known)"
        return f"names from {listed(self.names)}, {marks}{none}"


def find(rows: Rows) -> tuple[Columns | None, Rows]:
    """Find the columns of a roster.

    Returns:
        The columns, and the rows of students; or None, and the rows from that of unknown headings on.

    Example:
        >>> find([["Course 2026"], ["Name", "E-Mail"], ["Ada Lovelace", "ada@x"]])[0].described
        "names from 'Name', numbers and addresses from 'E-Mail'"
        >>> find([["1", "Ada Lovelace", "s4711"], ["2", "Alan Turing", "s4712"]])[0].described
        'names from column 2, numbers and addresses from column 3 (no headings known)'
    """
    titles = [[_key(cell) for cell in row] for row in rows[:_MOST_TITLES]]
    found = [i for i, heading in enumerate(titles) if _of_names(heading)]
    if found:  # the row with the most cells: a title such as "Students" may stand above the headings
        i = max(found, key=lambda i: (sum(map(bool, titles[i])), -i))
        marks = tuple(j for j, cell in enumerate(titles[i]) if cell in _known(_NUMBERS, _LOGINS))
        columns = Columns(tuple(_of_names(titles[i])), marks, tuple(rows[i]))
        return columns, [row for row in rows[i + 1 :] if row != rows[i]]
    known = set(_known(_FIRST, _LAST, _NUMBERS, _LOGINS))
    of_others = next((i for i, heading in enumerate(titles) if known & set(heading)), None)
    if of_others is not None:
        return None, rows[of_others:]
    return _by_contents(rows)


def _of_names(heading):
    """Return the place of the name, or those of the first and the last name; none if there is no such heading.

    >>> _of_names(["nom", "prenom"]), _of_names(["nombre", "apellidos"]), _of_names(["surname", "name"])
    ([1, 0], [0, 1], [1, 0])
    """

    def place(*headings):
        return [heading.index(each) for each in _known(*headings) if each in heading][:1]

    first, last, either = place(_FIRST), place(_LAST), place(_WHOLE_OR_PART)
    if first and last:
        return first + last
    whole = place(_WHOLE) or [i for i, cell in enumerate(heading) if _is_both(cell)][:1]
    if whole or not either:  # Moodle hides names behind numbers
        hidden = is_worksheet(heading)
        return whole or [
            i for i, cell in enumerate(heading) if hidden and worksheet_column(cell) == "Identifier"
        ]
    if first or last:
        return (first or either) + (last or either)
    twice = heading[either[0] : either[0] + 2] == [heading[either[0]]] * 2
    return [either[0], either[0] + 1] if twice else either


def _is_both(cell):
    """Whether a heading names both parts of a name, as in "Name, Vorname, Titel"."""
    parts = set(re.split(r"[,;/&+]", cell))
    first = parts & set(_known(_FIRST))
    last = parts & set(_known(_LAST))
    return bool(first and last) or bool((first or last) and parts & set(_known(_WHOLE_OR_PART)))


def _by_contents(rows):
    """Find columns without known headings: names, or their two parts, and numbers or addresses next to them."""
    width = max(map(len, rows), default=0)
    used = [i for i in range(width) if any(_cells(rows, i))]
    kinds = _kinds(rows[1:], used)
    headed = len(used) > 1 and any(
        kinds[i] in (_NUMBER, _ADDRESS) and _WORD.search(cell) and not kinds[i].fullmatch(cell)
        for i in used
        for cell in _cells(rows[:1], i)
    )
    rest = rows[1:] if headed else rows
    kinds = kinds if headed else _kinds(rows, used)
    headings = (*rows[0], *[""] * (width - len(rows[0]))) if headed else ()
    marks = tuple(i for i in used if kinds[i] in (_NUMBER, _ADDRESS) and _tells_apart(_cells(rest, i)))
    names = [i for i in used if kinds[i] is _NAME]
    whole = [i for i in names if _are_whole(_cells(rest, i))]
    if len(whole) == 1:  # next to it stands a section or a subject, which many share
        names = [i for i in names if i in whole or 3 * len(set(_cells(rest, i))) > len(rest)]
    if len(names) == 1 and (whole or not headed):
        return Columns(tuple(names), marks, headings), rest
    if len(names) == 2 and names[1] == names[0] + 1 and not headed:
        return Columns(tuple(names), marks, between=", "), rest
    if len(used) > 2 or headed:
        return None, rows
    return Columns((used[0],) if marks else tuple(used), marks, between=", "), rows


def _cells(rows, place):
    return [row[place] if place < len(row) else "" for row in rows]


def _kinds(rows, places):
    """Return for each column the kind that most of its cells have: number, address, name, or None."""
    kinds = {}
    for place in places:
        cells = [cell for cell in _cells(rows, place) if cell]
        least = _MOST * len(cells)
        kinds[place] = next(
            (
                kind
                for kind, filled in ((_NUMBER, 0.5), (_ADDRESS, 0.5), (_NAME, _MOST))
                if len(cells) >= filled * len(rows)
                and cells
                and sum(map(bool, map(kind.fullmatch, cells))) >= least
            ),
            None,
        )
    return kinds


def _tells_apart(cells):
    """Whether numbers or addresses differ, and do not only count the rows."""
    filled = [cell for cell in cells if cell]
    counted = [str(i) for i in range(1, len(cells) + 1)]
    return len(set(filled)) == len(filled) and [cell.strip(".") for cell in cells] != counted


def _are_whole(cells):
    whole = [cell for cell in cells if len(cell.split()) > 1 or re.match(_IDEOGRAPHS, cell)]
    return len(whole) >= _MOST * len(cells)


def worksheet_column(heading: str) -> str:
    """Return the English heading of a column of Moodle's grading worksheet, or "" for another column.

    Example:
        >>> worksheet_column("Bewertung"), worksheet_column("Section")
        ('Grade', '')
    """
    return next((each[0] for each in _WORKSHEET if _key(heading) in _known(each)), "")


def is_worksheet(headings: Iterable[str]) -> bool:
    """Whether a table has the columns that Moodle wants of a grading worksheet."""
    return {"Identifier", "Grade", "Last modified (grade)"} <= {worksheet_column(each) for each in headings}


def _known(*headings):
    return [_key(each) for each in itertools.chain(*headings)]


def _key(text):
    """Reduce a heading to what is compared."""
    return re.sub(r"[\s_:*.-]+", "", plain(text))


def plain(text: str) -> str:
    """Drop case and accents.

    Example:
        >>> plain("Søren Żółć")
        'soren zolc'
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
