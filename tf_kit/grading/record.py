"""Grades, and the record of a folder that holds them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from tf_kit.checks import refuse
from tf_kit.grading import foreign_text, judge
from tf_kit.grading.submissions import Submission
from tf_kit.whole_files import naming

RECORD, SECRET = "grades.jsonl", "course-secret"
SHORTEST_SECRET = 16  # characters


@dataclasses.dataclass
class Result:
    """The points of one answer, as the reports show them. Of a hidden case it shows only whether it was passed.

    Args:
        exercise: id of the exercise.
        title: title of the exercise.
        points: points earned.
        maximum: points for a right answer.
        status: one of `judge.STATUSES`.
        sentence: explanation of the status, or of the known mistake that the answer makes.
        findings: faults in the visible cases, and the parts whose hidden cases were not passed.
        seconds: processor time of the answer.
    """

    exercise: str
    title: str
    points: int
    maximum: int
    status: str
    sentence: str = ""
    findings: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


@dataclasses.dataclass
class Grade:
    """The results of one submission.

    Args:
        student: name of the student.
        lab: name of the lab.
        results: result of each exercise.
        digest: hash of the submitted file.
        number: number of the student on the learning platform, or "".
        file: path of the submission.
        recorded: whether the grade was read from the record.
        late: whether the course system calls the submission late.
    """

    student: str
    lab: str
    results: list[Result]
    digest: str = ""
    number: str = ""
    file: str = ""
    recorded: bool = False
    late: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Name and number, by which students are told apart."""
        return self.student, self.number

    @property
    def points(self) -> int:
        """Points for all exercises."""
        return sum(result.points for result in self.results)

    @property
    def maximum(self) -> int:
        """Points that all exercises are worth."""
        return sum(result.maximum for result in self.results)

    @property
    def status(self) -> str:
        """Status of the worst answer, or "ok"."""
        worst = max((judge.STATUSES.index(result.status) for result in self.results), default=0)
        return judge.STATUSES[worst]


class Record:
    """The grades of a folder, one per line of a file that is only appended to. The reports are written from it.

    Args:
        folder: folder of the file `grades.jsonl`, which need not exist yet.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / RECORD
        self._grades: dict[tuple[str, str], dict[str, Any]] = {}  # name and number -> latest entry
        self._known: dict[tuple[str, str], dict[str, Any]] = {}  # digest, identity -> latest entry
        self._by_rules: dict[
            tuple[str, str], dict[str, dict[str, Any]]
        ] = {}  # student -> identity -> latest entry
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that was not finished
                    self._take(json.loads(line))

    def known(self, submission: Submission, digest: str, identity: str) -> Grade | None:
        """Look up the grade that this student, or an identical submission, got under the same rules.

        A grade that may depend on how busy the machine was (a timeout, a crash, a lack of memory) is not transferred
        to other students.

        Args:
            submission: the submission.
            digest: its hash, from `submissions.digest_of`.
            identity: hash of the rules, from `Grader.identity`.

        Returns:
            The grade, or None if there is none.
        """
        entry = self._grades.get(submission.key)
        if entry is None or (entry["digest"], entry["identity"]) != (digest, identity):
            entry = self._known.get((digest, identity))
        if entry is None:
            return None
        file = foreign_text.line(submission.path, 400)
        return _grade_of(entry, submission.student, submission.number, file, submission.late)

    def latest(self, lab: str, other_than: str = "", only: str = "") -> dict[tuple[str, str], Grade]:
        """Return the latest grade of each student in a lab.

        Args:
            lab: name of the lab.
            other_than, only: hashes of rules, from `Grader.identity`; grades under the first are left out, and if the
                second is given, all but those under it. Default to "".
        """
        found = {}
        for key, entries in self._by_rules.items():
            fitting = [
                entry
                for identity, entry in entries.items()
                if entry["lab"] == lab and identity != other_than and (not only or identity == only)
            ]
            if fitting:
                found[key] = _grade_of(fitting[-1], *key)
        return found

    @property
    def labs(self) -> set[str]:
        """Names of the labs that have grades here."""
        return {entry["lab"] for entries in self._by_rules.values() for entry in entries.values()}

    def holds(self, submission: Submission, digest: str, identity: str) -> bool:
        """Whether the record has a grade of this student for this submission under these rules."""
        entry = self._grades.get(submission.key)
        return entry is not None and (entry["digest"], entry["identity"]) == (digest, identity)

    def append(self, grade: Grade, identity: str) -> None:
        """Write a grade to the disk before the grader continues.

        Args:
            grade: the grade.
            identity: hash of the rules it was given under, from `Grader.identity`.
        """
        entry = {
            "student": grade.student,
            "number": grade.number,
            "lab": grade.lab,
            "points": grade.points,
            "maximum": grade.maximum,
            "status": grade.status,
            "digest": grade.digest,
            "identity": identity,
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "results": [dataclasses.asdict(result) for result in grade.results],
        }
        data = (json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        with naming(self.path), self.path.open("ab") as file:
            if file.tell() and not self._ends_whole():
                file.write(b"\n")
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._take(entry)

    def _ends_whole(self):
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _take(self, entry):
        key = (entry["student"], entry.get("number", ""))
        self._grades[key] = entry
        entries = self._by_rules.setdefault(key, {})
        entries.pop(entry["identity"], None)  # the latest stands last
        entries[entry["identity"]] = entry
        if all(result["status"] not in ("timeout", "crashed", "memory") for result in entry["results"]):
            self._known[entry["digest"], entry["identity"]] = entry


def _grade_of(entry, student, number, file="", late=False):
    results = [Result(**result) for result in entry["results"]]
    return Grade(student, entry["lab"], results, entry["digest"], number, file, recorded=True, late=late)


def secret_of(folder: str | Path) -> str:
    """Read the secret of a folder of grades, which only its owner may read. It is created on first use.

    Raises:
        InputError: the file is too short to be a secret, or cannot be read or written.
    """
    path = Path(folder) / SECRET
    try:
        if not path.exists():
            _write_secret(path)
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        refuse(
            "--course-secret", "be kept in a file that can be read and written", f"{str(path)!r}: {reason}"
        )
    if len(secret) < SHORTEST_SECRET:
        refuse(
            "--course-secret",
            f"have at least {SHORTEST_SECRET} characters in its file",
            f"{len(secret)} characters in {str(path)!r}",
            "Delete the file to have a new secret made, or pass the old one with --course-secret",
        )
    return secret


def _write_secret(path):
    """Write a new secret whole: a full disk must not leave an empty file that a later run takes for a secret."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(16) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path)
        except FileExistsError:  # another run was faster
            pass
        except OSError:  # a file system without links
            os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
