"""What a regrade moved, read from the record of earlier grades."""

import dataclasses
import errno
import os
import shutil

import pytest

from grading.class_of_students import LAB
from tf_kit.errors import InputError
from tf_kit.grading import changes
from tf_kit.grading.record import Grade, Record, Result


def graded(student, leaky, descent, digest="file"):
    results = [
        Result("leaky", "Leaky ReLU", leaky, 2, "ok" if leaky else "wrong"),
        Result("descent", "Gradient descent", descent, 3, "ok" if descent else "wrong"),
    ]
    return Grade(student, LAB.name, results, digest=digest)


OLD = [graded("Ada", 2, 3), graded("Alan", 0, 3), graded("Grace", 2, 0)]
NEW = [graded("Ada", 2, 3), graded("Alan", 2, 0), graded("Grace", 2, 3, "another file"), graded("Emmy", 0, 0)]


@pytest.fixture
def before(tmp_path):
    record = Record(tmp_path)
    for grade in OLD:
        record.append(grade, "old rules")
    return changes.grades_of(tmp_path, LAB)


def test_moves_are_listed_by_student_and_exercise(before):
    moved = changes.moves(before, NEW)
    assert [(m.student, m.title, m.before, m.after, m.total_before, m.total) for m in moved] == [
        ("Alan", "Leaky ReLU", 0, 2, 3, 2),
        ("Alan", "Gradient descent", 3, 0, 3, 2),
        ("Grace", "Gradient descent", 0, 3, 2, 5),
    ]
    assert [move.same_file for move in moved] == [True, True, False]
    shown = changes.text(moved, 3, "changes.csv")
    assert "2 of 3 students have other points (1 more, 1 fewer)" in shown
    assert "(another file)" in shown
    assert changes.moves(before, OLD) == []


def test_exercise_that_is_new_or_gone_has_no_points_on_one_side(before):
    renamed = dataclasses.replace(NEW[0].results[1], exercise="ascent")
    (one, other) = changes.moves(before, [dataclasses.replace(NEW[0], results=[NEW[0].results[0], renamed])])
    assert {(one.before, one.after), (other.before, other.after)} == {(None, 3), (3, None)}
    assert changes.rows([one])[1][3:5] in (("", 3), (3, ""))


def test_interrupted_regrade_still_compares_with_the_grades_before(tmp_path):
    record = Record(tmp_path)
    for grade, rules in [(OLD[0], "older"), (OLD[1], "old"), (NEW[1], "new"), (OLD[2], "new")]:
        record.append(grade, rules)
    again = Record(tmp_path).latest(LAB.name, other_than="new")
    assert {name: grade.points for (name, _), grade in again.items()} == {"Ada": 5, "Alan": 3}
    assert changes.moves(again, NEW)[0].before == 0


def test_folder_without_grades_of_the_lab_is_refused(tmp_path, before):
    with pytest.raises(InputError, match=r"there is no grades\.jsonl"):
        changes.grades_of(tmp_path / "nowhere", LAB)
    with pytest.raises(InputError, match="has no grades of"):
        changes.grades_of(tmp_path, dataclasses.replace(LAB, source=LAB.source.with_name("91_other.py")))


def test_reports_before_are_kept_once(tmp_path):
    (tmp_path / "manifest.json").write_text('{"made": "2026-11-29T02:05:13+0000", "rules": "old"}')
    (tmp_path / "grades.csv").write_text("student\n")
    place = changes.keep_reports(tmp_path)
    (tmp_path / "grades.csv").write_text("half a regrade\n")
    assert changes.keep_reports(tmp_path) == place
    assert (place / "grades.csv").read_text() == "student\n"
    assert place.name == "before-2026-11-29T020513"


def test_reports_of_which_a_copy_failed_are_copied_again(tmp_path, monkeypatch):
    for name in ("grades.csv", "class.html"):
        (tmp_path / name).write_text(name)
    copy, copied = shutil.copy2, []

    def full(source, place):
        if copied:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copied.append(copy(source, place))

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left") as caught:
        changes.keep_reports(tmp_path)
    assert caught.value.filename == str(tmp_path / "before-unknown")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["class.html", "grades.csv"]
    monkeypatch.setattr(shutil, "copy2", copy)
    place = changes.keep_reports(tmp_path)
    assert sorted(each.name for each in place.iterdir()) == ["class.html", "grades.csv"]


def test_what_changed_is_named():
    new = {
        "files of the lab": changes.rules(LAB),
        "hidden cases": "a",
        "limits": {},
        "versions": {"tf-kit": "1"},
    }
    old = new | {"files of the lab": changes.rules(LAB) | {"answers": "0"}, "limits": {"leaky": 1}}
    assert changes.differences(old, new) == ["answers of the lab", "limits"]
    assert changes.differences(new, new) == []
