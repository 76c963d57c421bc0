"""Reports: text from a student never becomes markup, a formula or a path, and every format is valid."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from grading.class_of_students import LAB
from tf_kit.grading import reports
from tf_kit.grading.record import Grade, Result

EVIL = "<script>alert(1)</script>\x00\x1b[31m =1+1 ]]> ../../etc"


def grade(student, points=2, status="ok", sentence=""):
    results = [
        Result("leaky", "Leaky ReLU", points, 2, status, sentence, [sentence] if sentence else []),
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


def test_xml_is_valid(written):
    suites = ElementTree.parse(written / "junit.xml").getroot()
    assert len(suites) == len(GRADES)
    assert [len(suite.findall("testcase")) for suite in suites] == [2] * len(GRADES)


def test_spreadsheets_get_no_formulas(written):
    for name in ("grades.csv", "canvas.csv", "moodle.csv"):
        for row in csv.reader(io.StringIO((written / name).read_text())):
            assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@")]


def test_gradescope_scores_add_up(written):
    for path in written.glob("students/*/results.json"):
        results = json.loads(path.read_text())
        assert results["score"] == sum(test["score"] for test in results["tests"])
        assert results["max_score"] == 5


def test_csv_has_one_line_per_answer(written):
    rows = list(csv.DictReader(io.StringIO((written / "grades.csv").read_text())))
    assert len(rows) == 2 * len(GRADES)
    assert {row["status"] for row in rows} == {"ok", "wrong", "timeout"}


def test_summary_counts_submissions_and_statuses(written):
    text = (written / "summary.txt").read_text()
    assert "4 submissions" in text
    assert "1 wrong, 1 timeout" in text
