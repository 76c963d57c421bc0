"""Record of grades: it survives a crash and recognizes identical submissions."""

import errno
import os

import pytest

from grading.class_of_students import LAB
from tf_kit.grading.record import Grade, Record, Result
from tf_kit.grading.submissions import Submission


def grade(student, points=2, status="ok"):
    results = [
        Result("leaky", "Leaky ReLU", points, 2, status),
        Result("descent", "Gradient descent", 3, 3, "ok"),
    ]
    return Grade(student, LAB.name, results, digest=student)


def test_record_survives_an_unfinished_line(tmp_path):
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


def test_timeout_is_not_transferred_to_other_students(tmp_path):
    record = Record(tmp_path)
    record.append(grade("alice", 0, "timeout"), "rules")
    assert record.known(Submission("alice", tmp_path), "alice", "rules") is not None
    assert record.known(Submission("bob", tmp_path), "alice", "rules") is None


def test_full_disk_names_the_record(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    record = Record(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        record.append(grade("alice"), "rules")
    assert caught.value.filename == str(record.path)
