"""What the importers of course systems read from a file of grades, written from their sources.

Canvas       instructure/canvas-lms, lib/gradebook_importer.rb: row_has_student_headers?, update_column_count, header?,
             process_student
Moodle       moodle/moodle, mod/assign/feedback/offline/importgradeslib.php: init, next; locallib.php:
             process_import_grades
Gradescope   gradescope-autograders.readthedocs.io, "Autograder Specifications": output format of results.json
"""

import csv
import io
import re
from datetime import datetime


def canvas(text, students):
    """Read a gradebook as Canvas does: {id of a student: grade}, and the title of the assignment.

    Args:
        text: the file.
        students: id -> name of the students that Canvas knows.
    """
    rows = list(csv.reader(io.StringIO(text)))
    head = rows[0]
    assert len(head) > 3
    assert "Student" in head[0]
    assert "ID" in head[1]
    columns = 3
    if re.search(r"SIS\s+Login\s+ID", head[2]):
        columns += 1
    elif re.search(r"SIS\s+User\s+ID", head[2]) and re.search(r"SIS\s+Login\s+ID", head[3]):
        columns += 2 + bool(re.search(r"Integration\s+ID", head[4]))
    assert "Section" in head[columns - 1], "Invalid header row"
    (title,) = head[columns:]
    grades = {}
    for row in rows[1:]:
        if "Points Possible" in row[0]:
            continue
        known = [id for id in students if row[1] and int(row[1]) == id]
        known = known or [id for id, name in students.items() if name == row[0]]
        assert known, f"a new student would be made: {row}"
        grades[known[0]] = row[columns]
    return grades, title


# Moodle's strings recordid, gradenoun, lastmodifiedgrade and hiddenuser of mod/assign by language.
STRINGS = {
    "en": ("Identifier", "Grade", "Last modified (grade)", "Participant "),
    "de": ("ID", "Bewertung", "Zuletzt geändert (Bewertung)", "Teilnehmer/in"),
    "fr": ("Identifiant", "Note", "Dernière modification (note)", "Participant"),
    "es": ("Identificador", "Calificación", "Última modificación (calificación)", "Participante"),
}


def moodle(text, users, maximum, graded=None, language="en"):
    """Read a worksheet as Moodle does: {user: grade} that would be saved.

    Args:
        text: the file.
        users: participant number -> user.
        maximum: largest grade of the assignment.
        graded: user -> time of the grade that Moodle has.
        language: language of the teacher's Moodle.
    """
    rows = list(csv.reader(io.StringIO(text)))
    head = rows[0]
    *columns, participant = STRINGS[language]
    identifier, grade, modified = (head.index(column) for column in columns)
    saved = {}
    for row in rows[1:]:
        user = users.get(row[identifier][len(participant) :])
        if user is None:
            continue
        try:
            when = datetime.strptime(row[modified], "%A, %d %B %Y, %I:%M %p").timestamp()
        except ValueError:  # strtotime gives false
            when = 0
        stale = graded and user in graded and graded[user] > when + 60
        if row[grade] != "" and not stale and 0 <= float(row[grade]) <= maximum:
            saved[user] = float(row[grade])
    return saved


def gradescope(results):
    """Check the contents of results.json, and return the score that Gradescope shows."""
    assert results.keys() <= {"score", "execution_time", "output", "stdout_visibility", "tests", "max_score"}
    assert isinstance(results.get("tests", []), list)
    for test in results["tests"]:
        assert isinstance(test["score"], int | float)
        assert test["max_score"] >= test["score"] >= 0
        assert test["status"] in ("passed", "failed")
        assert test["visibility"] in ("hidden", "after_due_date", "after_published", "visible")
    assert results["stdout_visibility"] in ("hidden", "after_due_date", "after_published", "visible")
    return results["score"]
