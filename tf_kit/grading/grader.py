"""Grading a class: every submission's every answer in confined children, and a record that can be gone on with."""

import contextlib
import dataclasses
import json
import os
import secrets
import time
from pathlib import Path

import numpy as np

from tf_kit import __version__, _checks
from tf_kit.grading import checking, delegation, judge, submissions
from tf_kit.grading.children import Children, Job, Request, ZygoteDied, may_share
from tf_kit.grading.judge import Failure
from tf_kit.grading.slicing import Notebook

RECORD = "grades.jsonl"
MOST_SHOWN = 6
SHARED = 0.25  # of its limit that an answer may use beside others; alone it has the rest


@dataclasses.dataclass
class Result:
    """What one answer earned, as the reports say it. Nothing in it tells of a hidden case more than that it failed."""

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
    """The results of one submission."""

    student: str
    lab: str
    results: list[Result]
    digest: str = ""
    number: str = ""
    file: str = ""
    recorded: bool = False

    @property
    def points(self):
        return sum(result.points for result in self.results)

    @property
    def maximum(self):
        return sum(result.maximum for result in self.results)

    @property
    def status(self):
        """The submission's status in one word: ok, or that of its worst answer."""
        worst = max((judge.STATUSES.index(result.status) for result in self.results), default=0)
        return judge.STATUSES[worst]


class Grader:
    """Grades submissions to a lab. Use it in a `with`.

    Args:
        lab: the `Lab`.
        jobs: answers that run at a time. Defaults to the number of processors.
        seconds: limit for one answer, over that of its exercise.
        secret: what the hidden cases are drawn from; without it there are none.
        allow_unsandboxed: hidden cases even where nothing confines an answer.

    Raises:
        ValueError: hidden cases are asked for on a system that cannot protect them.
    """

    def __init__(self, lab, jobs=None, seconds=None, secret=None, allow_unsandboxed=False):
        self.lab = lab
        self.seconds = seconds
        self._exercises = lab.exercises
        self._visible = {id: checking.visible_cases(exercise) for id, exercise in self._exercises.items()}
        self._hidden = {
            id: hidden_cases(lab, exercise, secret) if secret else []
            for id, exercise in self._exercises.items()
        }
        self._secret = secret
        self._mistakes = {}  # exercise -> outputs on the visible cases of every known mistake
        self._children = Children(lab, jobs or os.cpu_count() or 1)
        self._allow_unsandboxed = allow_unsandboxed

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self._children.__exit__(*details)

    def ready(self):
        """Waits for the zygote; returns the sandbox level.

        Raises:
            ValueError: hidden cases are asked for on a system that cannot protect them.
        """
        level = self._children.level
        if level == "none" and self._secret and not self._allow_unsandboxed:
            _checks.refuse(
                "--course-secret",
                "be used where answers can be confined, since they could read the hidden cases",
                "sandbox level none",
                "Grade on Linux, use --visible-only, or take the risk with --allow-unsandboxed",
            )
        return level

    @property
    def parts(self):
        """What confines an answer: part -> bool."""
        return self._children.parts

    def identity(self):
        """A hash of everything but the submission that a grade depends on."""
        lab = self.lab
        files = [
            path.read_bytes()
            for path in (lab.source, lab.probes_path, lab.folder / "answers" / lab.source.name)
        ]
        return submissions.digest(*files, self._secret or "", self.seconds or "", __version__)

    def grade(self, pending):
        """Grades submissions, several at a time. Yields each one's `Grade` as soon as it is whole."""
        pending, open_ = list(reversed(pending)), {}
        queue = []
        while pending or open_ or queue:
            while pending and len(queue) < self._children.jobs:
                submission = pending.pop()
                paper = _Paper(submission, self)
                if paper.whole:
                    yield paper.grade()
                    continue
                open_[submission] = paper
                queue += paper.jobs()
            self._start(queue)
            ended = self._ended()
            self._start(queue)  # before this process compares: what is ready need not wait for that
            for job in ended:
                if isinstance(job.key, str):
                    self._learn(job)
                    papers = list(open_.values())
                else:
                    job.key.take(job)
                    papers = [job.key]
                for paper in papers:
                    queue[:0] = paper.jobs()
                    if paper.whole:
                        del open_[paper.submission]
                        yield paper.grade()

    def _start(self, queue):
        while queue and self._children.free:
            self._children.start(queue.pop(0))

    def _ended(self):
        try:
            return self._children.wait()
        except ZygoteDied as error:
            level_jobs = error.args[0]
            self._children.__exit__(None, None, None)
            self._children = Children(self.lab, self._children.jobs)
            self.ready()
            return level_jobs

    def _learn(self, job):
        self._mistakes[job.key] = [request.outputs for request in job.requests]

    def mistakes(self, id):
        """(jobs to run first, outputs of each known mistake on the visible cases or None while they run)."""
        if id not in self._mistakes:
            self._mistakes[id] = None
            exercise, solution = self._exercises[id], self.lab.solution(id)
            requests = [
                Request(
                    exercise, checking.code_of(self.lab, exercise, mistake.of(solution)), self._visible[id]
                )
                for mistake in exercise.mistakes
            ]
            return ([Job(requests, key=id)] if requests else []), (None if requests else [])
        return [], self._mistakes[id]


def hidden_cases(lab, exercise, secret):
    """The cases that no student sees: drawn as the visible ones are, from a seed that the secret decides."""
    seed = submissions.digest(secret, lab.name, exercise.id)
    return exercise.cases(np.random.default_rng(int(seed[:32], 16)))


class _Paper:
    """One submission on its way: first all answers in one child, then those that are not right each in its own."""

    def __init__(self, submission, grader):
        self.submission = submission
        self._grader, self._lab = grader, grader.lab
        self._results, self._codes, self._waiting = {}, {}, {}
        self._shared, self._own, self._running = [], [], 0
        self.digest = digest_of(submission)
        try:
            cells = submissions.read(submission.path)
        except (submissions.Unreadable, OSError) as error:
            for exercise in self._lab.exercises.values():
                self._results[exercise.id] = _result(exercise, "missing", str(error))
            return
        notebook = Notebook(cells, self._lab.stubs)
        for id, exercise in self._lab.exercises.items():
            answer = notebook.answer(id, exercise.defines)
            if answer.status == "missing":
                words = exercise.task if "handed out" in answer.why else answer.why
                self._results[id] = _result(exercise, "missing", words)
            elif answer.status:
                self._results[id] = _result(exercise, answer.status, answer.why)
            else:
                self._codes[id] = answer.code
                found = delegation.said(exercise, answer.code)
                if found:
                    self._results[id] = _result(exercise, "forbidden", found)
                else:
                    self._shared.append(id)
        self._groups = self._grouped()

    @property
    def whole(self):
        return len(self._results) == len(self._lab.exercises)

    def grade(self):
        results = [self._results[id] for id in self._lab.exercises]
        submission = self.submission
        return Grade(
            submission.student, self._lab.name, results, self.digest, submission.number, str(submission.path)
        )

    def _grouped(self):
        groups = []
        for id in self._shared:
            exercise = self._lab.exercises[id]
            group = next(
                (g for g in groups if all(may_share(self._lab.exercises[other], exercise) for other in g)),
                None,
            )
            if group is None:
                groups.append([id])
            else:
                group.append(id)
        return groups

    def jobs(self):
        """What is to be run next."""
        jobs = []
        for group in self._groups if self._shared else []:
            jobs.append(
                Job([self._first(id) for id in group], key=self, seconds=self._grader.seconds, share=SHARED)
            )
        self._shared = []
        for id in self._own:
            exercise = self._lab.exercises[id]
            requests = [Request(exercise, self._codes[id], self._grader._visible[id])]
            if self._grader._hidden[id]:
                requests.append(Request(exercise, None, self._grader._hidden[id]))
            jobs.append(Job(requests, key=self, seconds=self._grader.seconds, share=1 - SHARED, own=True))
        self._own = []
        for id in list(self._waiting):
            first, known = self._grader.mistakes(id)
            jobs += first
            if known is not None:
                self._explain(id, *self._waiting.pop(id), known)
        return jobs

    def _first(self, id):
        cases = self._grader._hidden[id] or self._grader._visible[id]
        return Request(self._lab.exercises[id], self._codes[id], cases)

    def take(self, job):
        """Takes in a job that has ended."""
        if job.own:
            self._take_own(job)
        else:
            self._take_shared(job)

    def _take_shared(self, job):
        rest = []
        for i, request in enumerate(job.requests):
            exercise = request.exercise
            if request.outputs is None:
                self._own.append(exercise.id)
                rest = [each.exercise.id for each in job.requests[i + 1 :]]
                break
            verdict = judged(exercise, request.cases, request.outputs)
            if verdict.status == "ok":
                self._results[exercise.id] = _result(
                    exercise, "ok", points=verdict.points, seconds=job.cpu / len(job.requests)
                )
            else:
                self._own.append(exercise.id)
        self._shared, self._groups = rest, [rest] if rest else []

    def _take_own(self, job):
        exercise = job.requests[0].exercise
        visible = job.requests[0].outputs
        hidden = job.requests[1].outputs if len(job.requests) > 1 else []
        if job.ended == "timeout":
            self._results[exercise.id] = self._stopped(exercise)
        elif job.ended:
            self._results[exercise.id] = _result(
                exercise, "crashed", "the answer ended the Python that ran it"
            )
        elif any(isinstance(each, Failure) and each.kind == "NotAllowed" for each in [*visible, *hidden]):
            words = next(
                (e.message for e in visible if isinstance(e, Failure) and e.kind == "NotAllowed"), ""
            )
            self._results[exercise.id] = _result(
                exercise, "forbidden", words or "the answer used what its exercise forbids"
            )
        elif any(isinstance(each, Failure) and _memory(each) for each in [*visible, *hidden]):
            limit = exercise.memory_mb
            self._results[exercise.id] = _result(
                exercise, "memory", f"the answer asked for more than its {limit} MB of memory"
            )
        else:
            verdict = judged(exercise, job.requests[0].cases, visible)
            behind = judged(exercise, job.requests[1].cases, hidden) if hidden else None
            if verdict.status == "ok" and (behind is None or behind.status == "ok"):
                self._results[exercise.id] = _result(exercise, "ok", points=verdict.points, seconds=job.cpu)
            else:
                self._waiting[exercise.id] = (job.requests[0].cases, visible, verdict, behind, job.cpu)

    def _stopped(self, exercise):
        limit = self._grader.seconds or exercise.seconds
        return _result(exercise, "timeout", f"the answer was stopped after {limit:g} s")

    def _explain(self, id, cases, outputs, verdict, behind, seconds, known):
        exercise = self._lab.exercises[id]
        by_mistake = dict(zip((mistake.sentence for mistake in exercise.mistakes), known, strict=False))

        def does(mistake, index):
            outputs = by_mistake.get(mistake.sentence)
            return outputs[index] if outputs else Failure("NotRun", "")

        unwritten = outputs and all(isinstance(each, Failure) and each.unwritten for each in outputs)
        sentence, status = "", verdict.status
        if unwritten:
            sentence, status = exercise.task, "missing"
        elif verdict.status != "ok":
            sentence = judge.matching(exercise, cases, outputs, does)
        earned = dict(verdict.earned)
        findings = [
            f"{finding.about}: {checking.described(finding)}" for finding in verdict.findings[:MOST_SHOWN]
        ]
        first = next((each for each in outputs if isinstance(each, Failure) and each.text), None)
        if first and not unwritten:
            findings.append(f"in the line `{first.text}`")
        if behind is not None and behind.status != "ok":
            earned = {part: min(points, behind.earned[part]) for part, points in earned.items()}
            if verdict.status == "ok":
                status = behind.status
            parts = sorted({finding.part for finding in behind.findings})
            findings += [f"hidden cases of {part}: not passed" for part in parts]
        result = _result(exercise, status, sentence, sum(earned.values()), seconds)
        result.findings = findings
        self._results[id] = result


def judged(exercise, cases, outputs):
    """The verdict on outputs from a process that may have sent anything."""
    try:
        return judge.judge(exercise, cases, outputs)
    except Exception as error:  # arrays of shapes that no reference foresees
        finding = judge.Finding(0, "", "", "", f"cannot be compared ({type(error).__name__})")
        earned = dict.fromkeys(exercise.parts_points(), 0)
        return judge.Verdict(exercise.id, 0, exercise.points, "wrong", earned, [finding])


def _memory(failure):
    return failure.kind in ("MemoryError", "ResourceExhaustedError", "_ArrayMemoryError")


def _result(exercise, status, sentence="", points=0, seconds=0.0):
    return Result(
        exercise.id, exercise.title, points, exercise.points, status, sentence, [], round(seconds, 3)
    )


def digest_of(submission):
    """What tells a submission from another: a hash of its bytes, or of why they cannot be read."""
    try:
        return submissions.digest(submissions.content(submission.path))
    except (submissions.Unreadable, OSError) as error:
        return submissions.digest("unreadable", str(error))


class Record:
    """The grades of a folder, one line each, only ever appended to: the source of every report.

    Args:
        folder: where `grades.jsonl` is or will be.
    """

    def __init__(self, folder):
        self.path = Path(folder) / RECORD
        self._grades = {}
        self._known = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that was being written
                    self._take(json.loads(line))

    def known(self, submission, digest, identity):
        """The grade that this student, or an identical submission, got under the same rules; or None.

        What depended on how busy the machine was (a timeout, a crash) counts for the student it happened to alone.
        """
        entry = self._grades.get(submission.student)
        if entry is None or (entry["digest"], entry["identity"]) != (digest, identity):
            entry = self._known.get((digest, identity))
        if entry is None:
            return None
        results = [Result(**result) for result in entry["results"]]
        return Grade(
            submission.student,
            entry["lab"],
            results,
            digest,
            submission.number,
            str(submission.path),
            recorded=True,
        )

    def holds(self, student, digest, identity):
        """Whether this very grade of this student stands in the record."""
        entry = self._grades.get(student)
        return entry is not None and (entry["digest"], entry["identity"]) == (digest, identity)

    def append(self, grade, identity):
        """Writes a grade down, for good, before anything else is said of it."""
        entry = {
            "student": grade.student,
            "lab": grade.lab,
            "points": grade.points,
            "maximum": grade.maximum,
            "status": grade.status,
            "digest": grade.digest,
            "identity": identity,
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "results": [dataclasses.asdict(result) for result in grade.results],
        }
        data = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with self.path.open("ab") as file:
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
        self._grades[entry["student"]] = entry
        if all(result["status"] not in ("timeout", "crashed", "memory") for result in entry["results"]):
            self._known[entry["digest"], entry["identity"]] = entry


def secret_of(folder):
    """The secret of a folder of grades: made when it is first asked for, readable by its owner alone."""
    path = Path(folder) / "course-secret"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(16) + "\n")
    return path.read_text(encoding="utf-8").strip()
