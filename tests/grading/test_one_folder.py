"""One folder of grades, used more than once: late notebooks, another lab, two graders at the same time."""

import subprocess
import sys

import pytest

from grading.class_of_students import LAB, notebook, write
from tf_kit import ownership
from tf_kit.errors import InputError
from tf_kit.grading import course, labs, record


class Judge:
    """Grader that gives full points without running anything."""

    parts, memory = {}, "none"

    def __init__(self, lab, *arguments):
        self.lab = lab

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def identity(self):
        return "rules"

    def prepare(self, found):
        pass

    def ready(self):
        return "none"

    def grade(self, found):
        for each in found:
            results = [
                record.Result(id, exercise.title, exercise.points, exercise.points, "ok")
                for id, exercise in self.lab.exercises.items()
            ]
            data = each.path.read_bytes()
            yield record.Grade(each.student, self.lab.name, results, course.reading.digest(data), each.number)


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """Function that grades files of students by their names, in the folder `grades`."""
    monkeypatch.setattr(course.grader, "Grader", Judge)
    monkeypatch.setattr(labs, "find", lambda name: LAB)

    def grade(*students, lab="testing"):
        paths = [tmp_path / f"{student}.ipynb" for student in students]
        for path in paths:
            if not path.exists():
                write(tmp_path, path.stem, notebook(before=[f"# {path.stem}"]))
        return course.grade(lab, paths, tmp_path / "grades")

    return grade


def reported(folder):
    lines = (folder / "grades.csv").read_text().splitlines()
    names = dict.fromkeys(line.split(",")[0] for line in lines)
    return [name for name in names if name in ("ada", "alan", "dora", "grace")]


def test_reports_on_students_who_are_not_given_again_are_kept(graded, tmp_path, capsys):
    graded("ada", "alan", "grace")
    assert "not in these reports" not in capsys.readouterr().out
    graded("dora")
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "not in these reports" in each]
    assert "3 students on record (ada, alan, grace) whose notebooks were not given" in line
    (kept,) = (tmp_path / "grades").glob("before-*")
    assert str(kept) in line
    assert reported(kept) == ["ada", "alan", "grace"]
    assert reported(tmp_path / "grades") == ["dora"]
    graded("ada", "alan", "dora", "grace")
    out = capsys.readouterr().out
    assert "not in these reports" not in out
    assert "4 submissions, 4 of them on record" in out
    assert reported(tmp_path / "grades") == ["ada", "alan", "dora", "grace"]


def test_grades_of_another_lab_are_not_mixed_with_these(graded, tmp_path, monkeypatch):
    graded("ada")
    before = {path: path.read_bytes() for path in (tmp_path / "grades").glob("*.*")}
    monkeypatch.setattr(labs, "find", lambda name: labs.built_in()[2])
    with pytest.raises(InputError, match=r"for the grades of 03_optimizers alone.*grades of 90_testing"):
        graded("ada", lab="optimizers")
    assert {path: path.read_bytes() for path in before} == before


def test_two_graders_do_not_write_into_one_folder(graded, tmp_path):
    graded("ada")
    code = "import sys, pathlib; from tf_kit import ownership; own = ownership.own(pathlib.Path(sys.argv[1]))"
    command = [
        sys.executable,
        "-c",
        f"{code}; print('owned', flush=True); sys.stdin.read()",
        tmp_path / "grades",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"owned\n"
        with pytest.raises(InputError, match="that no other process uses"):
            graded("alan")
        other.stdin.close()
        other.wait()
    assert [each.student for each in graded("alan")] == ["alan"]
    assert not (tmp_path / "grades" / ownership.OWNER).exists()


def test_grades_are_not_graded(graded, tmp_path):
    """The folder of grades may lie among the submissions, but not be theirs."""
    graded("ada", "alan")
    for _ in range(2):
        found = course.grade("testing", [tmp_path], tmp_path / "grades")
        assert sorted(grade.student for grade in found) == ["ada", "alan"]
    with pytest.raises(InputError, match="another folder than that of the submissions"):
        course.grade("testing", [tmp_path], tmp_path)
    assert not (tmp_path / "grades.jsonl").exists()


def test_a_roster_that_was_misread_is_a_line_before_anything_runs(graded, tmp_path, capsys):
    graded("ada")
    for names, times in (("Opiskelija;Ada\n", 2), ("ada\n", 0)):
        (tmp_path / "roster.csv").write_text(names)
        capsys.readouterr()
        course.grade("testing", [tmp_path / "ada.ipynb"], tmp_path / "grades", listed=tmp_path / "roster.csv")
        out = capsys.readouterr().out
        assert out.count("NOBODY who handed in is on the roster") == times
        assert times == 0 or out.index("NOBODY") < out.index("mean 5.0 of")
