"""The roster of a class, and the files of grades as the importers of course systems read them."""

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from grading import importers
from grading.class_of_students import LAB
from tf_kit.grading import reports, roster, submissions
from tf_kit.grading.record import Grade, Result
from tf_kit.grading.submissions import Submission, Survey

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Other (1),A lab for the grader's own tests (42)\n"
    "    Points Possible,,,,,10,5\n"
    '"Lovelace, Ada",11,S11,ada@x,One,,\n"Smith, John",12,S12,john@x,One,,\n"Smith, John",13,S13,smith@x,Two,,\n'
    '"Turing, Alan",14,S14,alan@x,Two,,\n"Student, Test",,,,,,\n'
)
MOODLE = (
    "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Last modified (submission),Last modified (grade),"
    "Feedback comments\n"
    'Participant 11,Ada Lovelace,ada@x,Submitted for grading,,5.00,"Monday, 2 November 2026, 1:00 PM",-,\n'
    'Participant 12,John Smith,john@x,Submitted for grading,3,5.00,"Monday, 2 November 2026, 1:00 PM",'
    '"Tuesday, 3 November 2026, 9:30 AM",\n'
    "Participant 14,Alan Turing,alan@x,No submission,,5.00,-,-,\n"
)

WHOLE = ["Ada Lovelace", "Alan Turing"]
WORKSHEETS = {
    "en": MOODLE,
    "de": (
        'ID,"Vollständiger Name",E-Mail-Adresse,Status,Bewertung,Bestwertung,"Bewertung kann geändert werden",'
        '"Zuletzt geändert (Abgabe)","Zuletzt geändert (Bewertung)","Feedback als Kommentar"\n'
        'Teilnehmer/in11,"Ada Lovelace",ada@x,"Zur Bewertung abgegeben",,"5,00",Ja,-,-,\n'
        'Teilnehmer/in12,"John Smith",john@x,"Zur Bewertung abgegeben",,"5,00",Ja,-,-,\n'
        'Teilnehmer/in14,"Alan Turing",alan@x,"Keine Abgabe",,"5,00",Ja,-,-,\n'
    ),
    "fr": (
        'Identifiant,"Nom complet","Adresse de courriel",Statut,Note,"Note maximale",'
        '"Dernière modification (note)","Feedback par commentaires"\n'
        'Participant11,"Ada Lovelace",ada@x,Remis,,"5,00",-,\nParticipant12,"John Smith",john@x,Remis,,"5,00",-,\n'
        'Participant14,"Alan Turing",alan@x,-,,"5,00",-,\n'
    ),
    "es": (
        'Identificador,"Nombre completo","Dirección de correo",Estado,Calificación,"Calificación máxima",'
        '"Última modificación (calificación)"\n'
        'Participante11,"Ada Lovelace",ada@x,Enviado,,"5,00",-\nParticipante12,"John Smith",john@x,Enviado,,"5,00",-\n'
        'Participante14,"Alan Turing",alan@x,-,,"5,00",-\n'
    ),
}


def written(tmp_path, text):
    path = tmp_path / "roster.csv"
    path.write_text(text, encoding="utf-8")
    return roster.read(path)


def handed_in(*students):
    return [Submission(name, Path("lab.ipynb"), number) for name, number in students]


def graded(found, points=4):
    results = [Result("leaky", "Leaky ReLU", points, 5, "ok")]
    return [Grade(each.student, LAB.name, results, number=each.number) for each in found]


def reported(found, listed):
    handed = roster.HandedIn(Survey(found, []), roster.absent(listed, found), listed)
    grades = graded(found)
    return grades, handed, reports.rows_of_the_roster(grades, handed)


def test_canvas_reads_every_grade(tmp_path):
    found = handed_in(("smithjohn", "12"), ("smithjohn", "13"), ("lovelaceada", "11"))
    students = {11: "Ada Lovelace", 12: "John Smith", 13: "John Smith", 14: "Alan Turing"}
    grades, handed, rows = reported(found, written(tmp_path, CANVAS))
    assert [each.name for each in handed.absent] == ["Turing, Alan"]
    assert importers.canvas(reports.canvas_csv(grades, LAB, rows), students) == (
        {11: "4", 12: "4", 13: "4"},
        "A lab for the grader's own tests (42)",
    )
    read, title = importers.canvas(reports.canvas_csv(grades, LAB), students)
    assert (len(read), title) == (3, LAB.title)


def test_moodle_reads_every_grade(tmp_path):
    found = handed_in(("Ada Lovelace", "11"), ("John Smith", "12"))
    users = {"11": "ada", "12": "john", "14": "alan"}
    grades, handed, rows = reported(found, written(tmp_path, MOODLE))
    assert [each.name for each in handed.absent] == ["Alan Turing"]
    assert importers.moodle(reports.moodle_csv(grades), users, 5) == {"ada": 4, "john": 4}
    before = {"john": datetime(2026, 11, 3, 9, 30).timestamp()}
    assert importers.moodle(reports.moodle_csv(grades), users, 5, before) == {"ada": 4}, (
        "changed in Moodle since"
    )
    assert importers.moodle(reports.moodle_csv(grades, rows), users, 5, before) == {"ada": 4, "john": 4}


@pytest.mark.parametrize("language", WORKSHEETS)
def test_moodle_reads_every_grade_in_the_language_of_its_worksheet(tmp_path, language):
    """The submissions come with names alone, with numbers alone, and from a student who is not on the roster."""
    found = handed_in(("Ada Lovelace", ""), ("Participant 12", "12"), ("Eve", "15"))
    grades, handed, rows = reported(found, written(tmp_path, WORKSHEETS[language]))
    assert [each.name for each in handed.absent] == ["Alan Turing"]
    text = reports.moodle_csv(grades, rows)
    assert text.splitlines()[0].replace('"', "") == WORKSHEETS[language].splitlines()[0].replace('"', "")
    users = {"11": "ada", "12": "john", "14": "alan", "15": "eve"}
    assert importers.moodle(text, users, 5, language=language) == {"ada": 4, "john": 4, "eve": 4}
    assert ("Leaky ReLU: 4 of 5" in text) == (language != "es"), "its worksheet has no comments"


@pytest.mark.parametrize("language", WORKSHEETS)
def test_worksheet_with_hidden_names_is_read(tmp_path, language):
    rows = list(csv.reader(io.StringIO(WORKSHEETS[language])))
    text = "\n".join(",".join(f'"{cell}"' for cell in (row[0], *row[3:])) for row in rows)
    found = handed_in(("Participant 11", "11"))
    grades, handed, kept = reported(found, written(tmp_path, text))
    assert [each.name for each in handed.absent] == [row[0] for row in rows[2:]]
    assert importers.moodle(reports.moodle_csv(grades, kept), {"11": "ada"}, 5, language=language) == {
        "ada": 4
    }


def test_gradescope_reads_the_score():
    (grade,) = graded(handed_in(("ada", "")))
    assert importers.gradescope(json.loads(json.dumps(reports.gradescope(grade)))) == 4


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada Lovelace\nBob\n", ["Ada Lovelace", "Bob"]),
        ("First Name;Last Name;SID\nAda;Lovelace;7\n", ["Ada Lovelace"]),
        ("name\temail\nAda Lovelace\tada@x\n", ["Ada Lovelace"]),
        ("\ufeffFull name,ID number\nÅsa Öst,3\n", ["Åsa Öst"]),
        ("Matrikelnummer;Nachname;Vorname\n99;Lovelace;Ada\n", ["Ada Lovelace"]),
        ("Vorname;Nachname\nAda;Lovelace\n", ["Ada Lovelace"]),
        ("MATRIKELNUMMER;Name;Vorname\n99;Lovelace;Ada\n", ["Ada Lovelace"]),
        ("Nom;Prénom\nLovelace;Ada\n", ["Ada Lovelace"]),
        ("Nom;Prenom;Courriel\nLovelace;Ada;ada@x\n", ["Ada Lovelace"]),
        ("Nombre,Apellido(s)\nAda,Lovelace\n", ["Ada Lovelace"]),
        ("Nombre,Correo electrónico\nAda Lovelace,ada@x\n", ["Ada Lovelace"]),
        ("Name\nAda Lovelace\n", ["Ada Lovelace"]),
        ("Lovelace, Ada\nTuring, Alan\n", ["Lovelace, Ada", "Turing, Alan"]),
        ("Surname,Name\nLovelace,Ada\n", ["Ada Lovelace"]),
        ("Nome,Cognome,Matricola\nAda,Lovelace,7\n", ["Ada Lovelace"]),
        ("Apellidos;Nombre\nLovelace;Ada\n", ["Ada Lovelace"]),
        ("Apellidos;Nombres\nLovelace;Ada\n", ["Ada Lovelace"]),
        ("first_name,LAST-NAME\nAda,Lovelace\n", ["Ada Lovelace"]),
        ("Name,Name,Group\nAda,Lovelace,1\n", ["Ada Lovelace"]),
        ("Student,First name,Last name\n4711,Ada,Lovelace\n", ["Ada Lovelace"]),
        ("Students\nAda Lovelace\nBob\n", ["Ada Lovelace", "Bob"]),
        ('"Name, Vorname, Titel";"Matrikelnummer"\n"Lovelace, Ada, Dr.";7\n', ["Lovelace, Ada, Dr."]),
        ("Name, Vorname;Matrikelnummer\nLovelace, Ada;7\n", ["Lovelace, Ada"]),
        ("Name|E-Mail\nLovelace, Ada|ada@x\n", ["Lovelace, Ada"]),
        # lines above the headings
        ("sep=;\nName;E-Mail\nAda Lovelace;ada@x\n", ["Ada Lovelace"]),
        ('"sep=,"\r\nName,E-Mail\r\nAda Lovelace,ada@x\r\n', ["Ada Lovelace"]),
        ("\n;;\nName;E-Mail\nAda Lovelace;ada@x\n", ["Ada Lovelace"]),
        ("Course, 2026\n\nName;E-Mail\nAda Lovelace;a@x\n", ["Ada Lovelace"]),
        ("Students\n\nName;E-Mail\nAda Lovelace;a@x\nName;E-Mail\nBob;b@x\n", ["Ada Lovelace", "Bob"]),
        # no headings, or none that is known
        ("Ada Lovelace,ada@x\nBob,\n", ["Ada Lovelace", "Bob"]),
        ("1,Ada Lovelace\n2,Bob\n", ["Ada Lovelace", "Bob"]),
        ("1;Lovelace;Ada\n2;Turing;Alan\n", ["Lovelace, Ada", "Turing, Alan"]),
        (
            "s4711,Ada Lovelace,ada@x,CS\ns4712,Alan Turing,at@x,CS\ns4713,Bob Ross,b@x,CS\n",
            [*WHOLE, "Bob Ross"],
        ),
        ("García Márquez,Gabriel\nVargas Llosa,Mario\n", ["García Márquez, Gabriel", "Vargas Llosa, Mario"]),
        ("Opiskelija;Numero\nAda Lovelace;4711\nAlan Turing;4712\n", WHOLE),
        ("Ada Lovelace;n/a\nAlan Turing;4712\n", WHOLE),
        ("姓名,学号\n李小龙,4711\n王芳,4712\n", ["李小龙", "王芳"]),
        ("Nome,Sobrenome,Matrícula\nAda,Silva,4711\n", ["Ada Silva"]),
        ("4711\n4712\n", ["4711", "4712"]),
    ],
)
def test_tables_of_many_forms_are_read(tmp_path, text, names):
    assert [each.name for each in written(tmp_path, text)] == names


@pytest.mark.parametrize(
    "submitted", ["lovelaceada", "Ada Lovelace", "section1/ada lovelace", "Lovelace, Ada", "ada@x"]
)
def test_a_student_is_found_by_every_spelling(tmp_path, submitted):
    listed = written(tmp_path, 'Student,SIS Login ID\n"Lovelace, Ada",ada@x\nBob,bob@x\n')
    assert [each.name for each in roster.absent(listed, handed_in((submitted, "")))] == ["Bob"]


ROSTER = (
    "Full name,ID number,Email address\nAda Lovelace,s1234567,a.king@x\nGrace Hopper,4712,gh@x\n"
    'Alan Turing,4713,at@x\nAlan Turing,4714,at2@x\n"García Márquez, Gabriel",4715,g@x\n'
)


@pytest.mark.parametrize(
    ("names", "matched"),
    [
        ("90_testing_ada_lovelace hopper_grace", "Ada Lovelace, Grace Hopper"),
        ("lab90_lovelace_ada lab90_hopper_grace", "Ada Lovelace, Grace Hopper"),
        ("s1234567-lab90-final gh", "Ada Lovelace, Grace Hopper"),
        ("Testing_-_Ada_Lovelace 4712_hopper_lab90", "Ada Lovelace, Grace Hopper"),
        (
            "test_ada_lovelace_v2 a.king_final",
            "None, None",
        ),  # `test` is no word of the lab; both claim one student
        ("a.king_final backprop_grace_hopper", "Ada Lovelace, Grace Hopper"),
        ("Gabriel_García_Márquez_lab3 garcia-marquez-gabriel", "None, García Márquez, Gabriel"),
        ("lab90_alan_turing 90_4714", "None, Alan Turing"),
        ("ada_lovelace ada_lovelace_final", "Ada Lovelace, None"),
        ("ada_lovelace_v1 ada_lovelace_v2", "None, None"),
        ("lab90_ada lovelace_final", "None, None"),
        ("ada_lovelace.pdf grace_hopper_lab90.rar", "Ada Lovelace, Grace Hopper"),
        ("ada_lovelace.tar.gz gh.html", "Ada Lovelace, Grace Hopper"),
    ],
)
def test_names_of_files_are_matched_without_the_lab(tmp_path, names, matched):
    listed = written(tmp_path, ROSTER)
    (tmp_path / "class").mkdir()
    for name in names.split():
        whole = Path(name).suffix in (".pdf", ".rar", ".gz", ".html")
        (tmp_path / "class" / (name if whole else f"{name}.ipynb")).write_text("{}")
    found = submissions.survey([tmp_path / "class"], LAB).submissions
    pairs = roster.matched(listed, found)
    by_name = {each.student: pairs.get(each.key) for each in found}
    by_name |= {f"{name}.tar.gz": student for name, student in by_name.items()}
    shown = [by_name[name].name if by_name[name] else "None" for name in names.split()]
    assert ", ".join(shown) == matched


def test_a_login_that_is_the_name_of_another_is_not_guessed(tmp_path):
    found = [Submission("lab90_ada", Path("lab90_ada.ipynb"), person="ada")]
    listed = written(tmp_path, "Name,Email\nAda Lovelace,ada@x\nGrace Hopper,gh@x\n")
    assert [each.name for each in roster.matched(listed, found).values()] == ["Ada Lovelace"]
    listed = written(tmp_path, "Name,Email\nAda Lovelace,ada@x\nAda King,ak@x\n")
    assert roster.matched(listed, found) == {}


def test_a_student_with_several_notebooks_is_matched_with_none_but_not_absent(tmp_path):
    listed = written(tmp_path, "Name\nAda Lovelace\nBob\n")
    found = handed_in(("ada_lovelace", ""), ("section1/Lovelace, Ada", ""))
    assert roster.matched(listed, found) == {}
    assert [each.name for each in roster.absent(listed, found)] == ["Bob"]
    assert roster.misread(listed, found) == ""


def test_two_students_of_one_name_are_not_guessed(tmp_path):
    listed = written(tmp_path, "Student,ID\nJohn Smith,1\nJohn Smith,2\n")
    assert len(roster.absent(listed, handed_in(("John Smith", "")))) == 2
    assert [each.marks for each in roster.absent(listed, handed_in(("John Smith", "2")))] == [
        frozenset({"1"})
    ]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("sep=,\nName,ID number\nAda,4711\nBob,4712\n", [{"4711"}, {"4712"}]),
        ("Ada Lovelace,ada@x,s4711\nBob,,s4712\n", [{"ada@x", "s4711"}, {"s4712"}]),
        ("Opiskelija;Numero\nAda Lovelace;4711\nAlan Turing;4712\n", [{"4711"}, {"4712"}]),
        ("1.,Ada Lovelace\n2.,Bob\n", [set(), set()]),
        ("7,Ada Lovelace\n7,Alan Turing\n", [set(), set()]),
    ],
)
def test_numbers_and_addresses_are_found(tmp_path, text, marks):
    """Those that count the rows, or that several students have, tell nobody apart."""
    assert [each.marks for each in written(tmp_path, text)] == marks


def test_a_number_that_two_students_have_matches_neither(tmp_path):
    listed = written(tmp_path, "Name,Number\nAda Lovelace,7\nAlan Turing,7\n")
    assert len(roster.absent(listed, handed_in(("x", "7")))) == 2


@pytest.mark.parametrize("submitted", ["Ada Lovelace", "lovelaceada", "Dr. Ada Lovelace"])
def test_titles_are_no_part_of_a_name(tmp_path, submitted):
    listed = written(tmp_path, '"Name, Vorname, Titel";"Matrikelnummer"\n"Lovelace, Ada, Dr.";7\n')
    assert roster.absent(listed, handed_in((submitted, ""))) == []


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Name,Betreuer,E-Mail\nAda,Bob,ada@x\n", "names from 'Name', numbers and addresses from 'E-Mail'"),
        ("1,Ada Lovelace\n2,Bob\n", "names from column 2, no numbers (no headings known)"),
        ("Ada,Lovelace\n", "names from column 1 and column 2, no numbers (no headings known)"),
    ],
)
def test_a_roster_without_anybody_who_handed_in_is_a_loud_line(tmp_path, text, columns):
    listed, found = written(tmp_path, text), handed_in(("Eve", ""))
    handed = roster.HandedIn(Survey(found, []), roster.absent(listed, found), listed)
    summary = reports.summary(graded(found), LAB, handed)
    assert f"NOBODY who handed in is on the roster, which was probably misread: {columns}; " in summary
    assert roster.misread(listed, handed_in(("Ada Lovelace", ""), ("Ada", ""))) == ""
    assert roster.misread([], found) == roster.misread(listed, []) == ""


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"PK\x03\x04\x14\x00", "a spreadsheet or"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old spreadsheet"),
        (b"%PDF-1.7", "a PDF"),
        (b"Name\0\0\1", "a file that is not text"),
    ],
)
def test_a_file_that_is_not_text_is_refused(tmp_path, data, kind):
    (tmp_path / "class.xlsx").write_bytes(data)
    with pytest.raises(ValueError, match=f"which is {kind}.*Save it as CSV") as refused:
        roster.read(tmp_path / "class.xlsx")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("more", [b"", b"\0"], ids=["whole", "cut within a character"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_utf_16_is_read(order, more, tmp_path):
    data = "\ufeffName\tE-Mail\nÅsa\ta@x\n".encode(f"utf-16-{order}")
    (tmp_path / "class.csv").write_bytes(data + more)
    assert [each.name for each in roster.read(tmp_path / "class.csv")][:1] == ["Åsa"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_text_of_another_encoding_is_refused(encoding, tmp_path):
    (tmp_path / "class.csv").write_bytes("Name\tE-Mail\nÅsa\ta@x\n".encode(encoding))
    with pytest.raises(ValueError, match=r"which is a file that is not text.*Save it as CSV"):
        roster.read(tmp_path / "class.csv")


@pytest.mark.parametrize("open_in", ["first", "middle", "last but one"])
@pytest.mark.parametrize("closed", [False, True], ids=["at no place", "by the quotation mark of another"])
def test_quotation_mark_that_is_not_closed_is_refused(open_in, closed, tmp_path):
    """The rows after it would be one cell, so students who handed in nothing would not be listed."""
    names = ["Ada Lovelace", "Alan Turing", "Bob Ross", '"Hopper, Grace"' if closed else "Grace Hopper"]
    row = {"first": 0, "middle": 1, "last but one": 2}[open_in]
    names[row] = f'"{names[row]}'
    with pytest.raises(ValueError, match=f"must close every quotation mark.*{names[row][1:]}"):
        written(tmp_path, "Name,Email\n" + "".join(f"{name},{i}@x\n" for i, name in enumerate(names)))


def test_lines_within_a_cell_are_read(tmp_path):
    listed = written(tmp_path, 'Name,Email\n"Ada\nLovelace",ada@x\nBob "Al" Ross,bob@x\n')
    assert [each.name for each in listed] == ["Ada Lovelace", 'Bob "Al" Ross']


@pytest.mark.parametrize(
    ("listed", "submitted"),
    [("12345", "0012345"), ("0012345", "12345"), ("0012345", "0012345"), ("0", "0")],
)
def test_zeros_before_a_number_may_be_missing_on_one_side(listed, submitted, tmp_path):
    """A spreadsheet drops them."""
    students = written(tmp_path, f"Name,Student ID\nAda Lovelace,{listed}\nBob Ross,99\n")
    assert [each.name for each in roster.absent(students, handed_in(("x", submitted)))] == ["Bob Ross"]
    assert len(roster.absent(students, handed_in(("", "")))) == 2


def test_zeros_that_tell_students_apart_are_kept(tmp_path):
    students = written(tmp_path, "Name,Student ID\nAda Lovelace,007\nBob Ross,7\n")
    assert [each.name for each in roster.absent(students, handed_in(("x", "007")))] == ["Bob Ross"]
    assert [each.name for each in roster.absent(students, handed_in(("x", "7")))] == ["Ada Lovelace"]
    assert len(roster.absent(students, handed_in(("x", "07")))) == 2


@pytest.mark.parametrize("number", ["1.07E+14", "1,07E+14", "1E+12"])
def test_number_that_a_spreadsheet_has_rounded_is_refused(tmp_path, number):
    with pytest.raises(ValueError, match=f"numbers with all their digits. Received: {re.escape(number)}"):
        written(tmp_path, f'Student;ID\n"Lovelace, Ada";4711\n"King, Ada";{number}\n')


def test_student_in_several_rows_counts_once(tmp_path):
    text = "Name;ID;Course\nAda Lovelace;1;one\nAda Lovelace;1;two\nAda Lovelace;2;one\nBob;;\nBob;;\n"
    listed, found = written(tmp_path, text), handed_in(("Ada Lovelace", "1"))
    assert [each.name for each in listed] == ["Ada Lovelace", "Ada Lovelace", "Bob", "Bob"]
    assert len(roster.matched(listed, found)) == 1
    assert [each.row[1][1] for each in roster.absent(listed, found)] == ["2", "", ""]


@pytest.mark.parametrize(
    ("listed", "submitted"),
    [
        ("Jean-Luc de la Tour", "delatourjeanluc"),
        ("Ana Maria Garcia Lopez", "garcialopezanamaria"),
        ("Søren Bjørk", "bjorksoren"),
        ("Łukasz Żółć", "Lukasz Zolc"),
        ("Jürgen Müller", "mueller_juergen"),
        ("Müller, Ju\u0308rgen", "Juergen Mueller"),
        ("Joerg Mueller", "müllerjörg"),
    ],
)
def test_name_of_several_words_is_found_as_systems_write_it(tmp_path, listed, submitted):
    students = written(tmp_path, f"Name;ID\n{listed};1\nBob Ross;2\n")
    assert [each.name for each in roster.absent(students, handed_in((submitted, "")))] == ["Bob Ross"]


def test_name_as_it_stands_comes_before_another_order_of_its_words(tmp_path):
    listed = written(tmp_path, "Name;ID\nAli Omar Khan Noor;1\nKhan Noor Ali Omar;2\n")
    (student,) = roster.matched(listed, handed_in(("Ali Omar Khan Noor", ""))).values()
    assert student.marks == {"1"}


def test_comma_in_the_only_column_is_part_of_the_name(tmp_path):
    listed = written(tmp_path, "Name\nLovelace, Ada\nPlato\nRoss, Bob\n")
    assert [each.name for each in listed] == ["Lovelace, Ada", "Plato", "Ross, Bob"]


@pytest.mark.parametrize(
    "heading", ["OrgDefinedId", "Matr.-Nr.", "Matr.Nr.", "Matrikel-Nr.", "Student ID", "student_id"]
)
def test_numbers_next_to_names_are_found_by_their_heading(heading, tmp_path):
    assert written(tmp_path, f"{heading};Nachname;Vorname\n123;Lovelace;Ada\n")[0].marks == {"123"}


def test_id_of_another_table_is_not_written_as_that_of_canvas(tmp_path):
    found = handed_in(("lovelaceada", "11"))
    grades, _, rows = reported(found, written(tmp_path, "Student,ID,Email\nAda Lovelace,4711,ada@x\n"))
    assert importers.canvas(reports.canvas_csv(grades, LAB, rows), {11: "Ada King"})[0] == {11: "4"}


@pytest.mark.parametrize("language", WORKSHEETS)
@pytest.mark.parametrize("maximum", ["5", "100"])
def test_another_maximum_in_moodle_is_a_line(language, maximum, tmp_path):
    text = re.sub(r"5([.,])00", rf"{maximum}\g<1>00", WORKSHEETS[language])
    listed, found = written(tmp_path, text), handed_in(("Ada Lovelace", "11"))
    summary = reports.summary(graded(found), LAB, roster.HandedIn(Survey(found, []), [], listed))
    assert ("ANOTHER MAXIMUM in Moodle: 100" in summary) == (maximum == "100")


@pytest.mark.parametrize("text", ["", "Student,ID\n", "\n\n"])
def test_empty_roster_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="--roster"):
        written(tmp_path, text)


@pytest.mark.parametrize(
    "heading",
    ["Sukunimi;Etunimi;Numero", "4711,Lovelace,Ada", "Matrikelnummer;Kennung", "Vorname", "SID\tGivenname"],
)
def test_headings_without_a_name_are_refused_and_listed(tmp_path, heading):
    cells = ", ".join(re.split("[;,\t]", heading))
    with pytest.raises(ValueError, match=f"whose first row is {cells}.*Full name.*First name and Last name"):
        written(tmp_path, f"{heading}\n99;Lovelace;Ada\n")


@pytest.mark.parametrize(
    ("identifier", "number"),
    [
        ("Participant 4711", "4711"),
        ("Teilnehmer/in4711", "4711"),
        ("Participante 4711", "4711"),
        ("Participant4711", "4711"),
        ("4711.0", "4711"),
        ("4711.00", "4711"),
        ('"=""004711"""', "004711"),
        ("'004711", "004711"),
        ("#004711", "004711"),
        ("1E5", "1e5"),
        ("Ada12", "ada12"),
    ],
)
def test_numbers_are_read_as_systems_write_them(tmp_path, identifier, number):
    (student,) = written(tmp_path, f"Full name,ID\nAda Lovelace,{identifier}\n")
    assert student.marks == {number}


def test_secret_is_whole_or_refused(tmp_path):
    from tf_kit.grading.record import secret_of

    assert len(secret_of(tmp_path)) == 32
    assert secret_of(tmp_path) == secret_of(tmp_path)
    (tmp_path / "course-secret").write_text("")
    with pytest.raises(ValueError, match="0 characters"):
        secret_of(tmp_path)


def test_names_that_may_be_one_students_versions_are_a_line():
    found = handed_in(("ada", ""), ("ada_final", ""))
    summary = reports.summary(graded(found), LAB, roster.HandedIn(Survey(found, [], [["ada", "ada_final"]])))
    assert "maybe one student's versions, graded as several students': ada, ada_final. If so, put" in summary
    assert "versions" not in reports.summary(graded(found), LAB, roster.HandedIn(Survey(found, [])))
