"""Reports: nothing of a student's becomes markup, a formula or a path; every platform gets what it reads."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from grading.class_of_students import LAB
from tf_kit.grading import reports
from tf_kit.grading.record import Grade, Record, Result
from tf_kit.grading.submissions import Submission, find

EVIL = "<script>alert(1)</script>\x00\x1b[31m =1+1 ]]> ../../etc"


def grade(student, points=2, status="ok", words=""):
    results = [
        Result("leaky", "Leaky ReLU", points, 2, status, words, [words] if words else []),
        Result("descent", "Gradient descent", 3, 3, "ok"),
    ]
    return Grade(student, LAB.name, results, digest=student)


GRADES = [
    grade("alice"),
    grade(EVIL, 0, "wrong", EVIL),
    grade("../../x"),
    grade("=cmd()", 0, "timeout", "stopped"),
]


@pytest.fixture
def written(tmp_path):
    reports.write(GRADES, LAB, tmp_path / "out", {"made": "now"})
    return tmp_path / "out"


def test_files_stay_in_their_folder(written, tmp_path):
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert len(list((written / "students").iterdir())) == len(GRADES)


def test_html_is_escaped(written):
    for page in written.glob("students/*/report.html"):
        assert "<script" not in page.read_text()


def test_xml_is_xml(written):
    suites = ElementTree.parse(written / "junit.xml").getroot()
    assert len(suites) == len(GRADES)
    assert [len(suite.findall("testcase")) for suite in suites] == [2] * len(GRADES)


def test_spreadsheets_get_no_formulas(written):
    for name in ("grades.csv", "canvas.csv", "moodle.csv"):
        for row in csv.reader(io.StringIO((written / name).read_text())):
            assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@")]


def test_gradescope_adds_up(written):
    for path in written.glob("students/*/results.json"):
        results = json.loads(path.read_text())
        assert results["score"] == sum(test["score"] for test in results["tests"])
        assert results["max_score"] == 5


def test_statuses_are_words(written):
    rows = list(csv.DictReader(io.StringIO((written / "grades.csv").read_text())))
    assert len(rows) == 2 * len(GRADES)
    assert {row["status"] for row in rows} == {"ok", "wrong", "timeout"}


def test_summary_counts(written):
    text = (written / "summary.txt").read_text()
    assert "4 submissions" in text
    assert "1 wrong, 1 timeout" in text


def test_record_survives_a_torn_line(tmp_path):
    record = Record(tmp_path)
    record.append(grade("alice"), "rules")
    with record.path.open("a") as file:
        file.write('{"student": "bob", "resul')
    record = Record(tmp_path)
    record.append(grade("carol"), "rules")
    again = Record(tmp_path)
    for student in ("alice", "carol"):
        submission = Submission(student, tmp_path / f"{student}.ipynb")
        assert again.known(submission, student, "rules").points == 5
        assert again.known(submission, student, "other rules") is None
    assert again.known(Submission("dave", tmp_path), "alice", "rules").student == "dave"


def test_what_the_machine_may_have_caused_is_not_passed_on(tmp_path):
    record = Record(tmp_path)
    record.append(grade("alice", 0, "timeout"), "rules")
    assert record.known(Submission("alice", tmp_path), "alice", "rules") is not None
    assert record.known(Submission("bob", tmp_path), "alice", "rules") is None


def test_names_of_platforms_are_understood(tmp_path):
    for name in ("doeanna_12345_678901_lab.ipynb", "roejane_LATE_54321_678902_lab-1.ipynb", "plain.ipynb"):
        (tmp_path / name).write_text("{}")
    folder = tmp_path / "Ada Lovelace_4711_assignsubmission_file_"
    folder.mkdir()
    (folder / "lab.ipynb").write_text("{}")
    found = {submission.student: submission.number for submission in find([tmp_path])}
    assert found == {"doeanna": "12345", "roejane": "54321", "plain": "", "Ada Lovelace": "4711"}
