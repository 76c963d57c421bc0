"""The grader: runs the answers of many submissions in confined children and judges their outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from tf_kit import __version__
from tf_kit.checks import number, refuse
from tf_kit.errors import InputError
from tf_kit.grading import checking, delegation, foreign_text, judge, labs, reading, submissions
from tf_kit.grading.exercise import LONGEST, Exercise
from tf_kit.grading.judge import Failure, Verdict
from tf_kit.grading.labs import Lab
from tf_kit.grading.record import Grade, Result
from tf_kit.grading.sandbox.processes import Children, Job, Request, ZygoteDied, may_share
from tf_kit.grading.slicing import UNCHANGED, Notebook
from tf_kit.grading.submissions import Submission

MOST_SHOWN = 6
MOST_PREPARED = 100  # submissions that are read while the first process starts
MOST_SLICES = 3  # wider slices of a notebook that are tried if the first does not get all points
LONGEST_SENTENCE = 2000  # characters
BY_HAND = "it must be graded by hand"
OUTSIDE = (
    "only the cells of the notebook are graded, without files that lie next to it and without what `%run` runs: "
    "write the code into a cell, or into one that begins with `%%writefile NAME.py`"
)
SHARED = 0.25  # fraction of its time limit that an answer gets in a shared child; in its own child it gets the rest


class Grader:
    """Grades submissions to a lab. Use it as a context manager.

    Args:
        lab: the lab.
        jobs: number of answers that run at once. Defaults to the number of processors.
        seconds: time limit for one answer, at most a day. Defaults to that of its exercise.
        secret: string from which the hidden cases are drawn. Without it there are none.
        allow_unsandboxed: whether to use hidden cases even if the system cannot confine an answer.

    Raises:
        InputError: the system cannot run the grader, or the time limit is out of range.
    """

    def __init__(
        self,
        lab: Lab,
        jobs: int | None = None,
        seconds: float | None = None,
        secret: str | None = None,
        allow_unsandboxed: bool = False,
    ):
        self.lab = lab
        if seconds is not None:
            number("Grader.seconds", seconds, at_least=0.1, at_most=LONGEST)
        self.seconds = seconds
        self._exercises = lab.exercises
        self._children = Children(lab, jobs or os.cpu_count() or 1)  # it starts while the cases are drawn
        self._visible = {id: checking.visible_cases(exercise) for id, exercise in self._exercises.items()}
        self._hidden = {
            id: hidden_cases(lab, exercise, secret) if secret else []
            for id, exercise in self._exercises.items()
        }
        self._secret = secret
        # Id of an exercise -> outputs of each known mistake on the visible cases; None while they are computed.
        self._mistakes: dict[str, list[Any] | None] = {}
        self._allow_unsandboxed = allow_unsandboxed
        self._prepared: dict[Submission, _Paper] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._children.__exit__(kind, error, traceback)

    def prepare(self, pending: Sequence[Submission]) -> None:
        """Cut the answers out of the first submissions until the first answer can run."""
        for submission in pending[:MOST_PREPARED]:
            if not self._children.starting:
                break
            self._prepared[submission] = _Paper(submission, self)

    def ready(self) -> str:
        """Wait until answers can run, and return the sandbox level: "full", "partial" or "none".

        Raises:
            InputError: there are hidden cases, and the system cannot protect them, or no answer can run at all.
        """
        try:
            level = self._children.level
        except InputError:
            if self.lab not in labs.built_in():
                _ = self.lab.probes  # refused with the line at which they fail, if they do
            raise
        if level == "none" and self._secret and not self._allow_unsandboxed:
            refuse(
                "--course-secret",
                "be used on a system that can confine answers, which could otherwise read the hidden cases",
                "sandbox level none",
                "Grade on Linux, or use --visible-only, or accept the risk with --allow-unsandboxed",
            )
        return level

    @property
    def parts(self) -> dict[str, bool]:
        """Whether each part of the confinement is in force."""
        return self._children.parts

    @property
    def memory(self) -> str:
        """How the memory of an answer is limited: one of the kinds of `memory.Wall`."""
        return self._children.memory

    def identity(self) -> str:
        """Hash everything except the submission that a grade depends on."""
        lab = self.lab
        files = [path.read_bytes() for path in (lab.source, lab.probes_path, lab.answers_path)]
        return reading.digest(*files, self._secret or "", self.seconds or "", __version__)

    def grade(self, pending: Sequence[Submission]) -> Iterator[Grade]:
        """Grade submissions, several at once. Yields each `Grade` as soon as it is complete."""
        pending = list(reversed(pending))
        open_: dict[Submission, _Paper] = {}
        queue: list[Job] = []
        while pending or open_ or queue:
            while pending and len(queue) < self._children.jobs:
                submission = pending.pop()
                paper = self._prepared.pop(submission, None) or _Paper(submission, self)
                first = paper.jobs()
                if paper.complete:
                    yield paper.grade()
                    continue
                open_[submission] = paper
                queue += first
            self._start(queue)
            ended = self._ended()
            self._start(queue)  # children start before this process judges outputs, which takes time
            for job in ended:
                if isinstance(job.key, str):
                    self._learn(job)
                    papers = list(open_.values())
                else:
                    job.key.take(job)
                    papers = [job.key]
                for paper in papers:
                    queue[:0] = paper.jobs()
                    if paper.complete and open_.pop(paper.submission, None):
                        yield paper.grade()

    def _start(self, queue):
        while queue and self._children.free:
            self._children.start(queue.pop(0))

    def _ended(self):
        try:
            return self._children.wait()
        except ZygoteDied as error:
            interrupted = error.args[0]
            self._children.__exit__(None, None, None)
            self._children = Children(self.lab, self._children.jobs)
            self.ready()
            return interrupted

    def _learn(self, job):
        self._mistakes[job.key] = [request.outputs for request in job.requests]

    def mistakes(self, id: str) -> tuple[list[Job], list[Any] | None]:
        """Get the outputs of the known mistakes of an exercise on its visible cases.

        Returns:
            Jobs that must run first, and the outputs of each mistake, or None until those jobs have ended.
        """
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


def hidden_cases(lab: Lab, exercise: Exercise, secret: str) -> list[dict[str, Any]]:
    """Draw the cases that no student sees, as the visible ones but from a seed that depends on the secret."""
    seed = reading.digest(secret, lab.name, exercise.id)
    return exercise.cases(np.random.default_rng(int(seed[:32], 16)))


class _Paper:
    """A submission while it is graded: first all answers run in one child, then each that failed in its own child."""

    def __init__(self, submission, grader):
        self.submission = submission
        self._grader, self._lab = grader, grader.lab
        self._results, self._codes, self._waiting = {}, {}, {}
        self._answers, self._wider = {}, {}  # id -> answer as it was cut out, wider slices to try
        self._best = {}  # id -> outcome of the best slice so far
        self._shared, self._own, self._groups = [], [], []
        self._outside = {"ModuleNotFoundError", "FileNotFoundError", "PermissionError"}
        self.digest = submissions.digest_of(submission)
        self._guarded(self._open)

    def _guarded(self, step, *arguments):
        """Take a step. Whatever a submission provokes costs the answers that are open, and not the batch."""
        try:
            return step(*arguments)
        except Exception as error:
            self._give_up(
                "error", f"the grader failed on this submission ({type(error).__name__}): {BY_HAND}"
            )
            return None

    def _open(self):
        submission = self.submission
        try:
            if submission.note:
                raise reading.Unreadable(submission.note)
            cells = reading.read(submission.path)
            notebook = Notebook(cells, self._lab.stubs)
        except reading.Unreadable as error:
            self._give_up("missing", str(error))
            return
        if any("%run" in cell.source for cell in cells):
            self._outside.add("NameError")
        self._split(notebook)
        self._groups = self._grouped()

    def _give_up(self, status, why):
        """Give all exercises that have no result yet the same one."""
        for id, exercise in self._lab.exercises.items():
            self._results.setdefault(id, _result(exercise, status, why))
        self._shared, self._own, self._groups, self._waiting = [], [], [], {}

    def _split(self, notebook):
        for id, exercise in self._lab.exercises.items():
            answer = notebook.answer(id, exercise.defines)
            if answer.status == "missing":
                words = exercise.task if answer.why == UNCHANGED else answer.why
                self._results[id] = _result(exercise, "missing", words)
            elif answer.status:
                self._results[id] = _result(exercise, answer.status, answer.why)
            else:
                self._codes[id] = answer.code
                self._answers[id] = answer
                found = delegation.summary(exercise, answer.code)
                if found:
                    self._results[id] = _result(exercise, "forbidden", found)
                else:
                    self._shared.append(id)

    @property
    def complete(self):
        return len(self._results) == len(self._lab.exercises)

    def grade(self):
        results = [self._results[id] for id in self._lab.exercises]
        submission = self.submission
        return Grade(
            submission.student,
            self._lab.name,
            results,
            self.digest,
            submission.number,
            foreign_text.line(submission.path, 400),
            late=submission.late,
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
        """List the jobs that can start now."""
        return self._guarded(self._jobs) or []

    def take(self, job):
        """Judge the outputs of a job that has ended."""
        if not self.complete:
            self._guarded(self._take_own if job.own else self._take_shared, job)

    def _jobs(self):
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
        """Take the outcome of an answer; if it lost points, try the next wider slice of the notebook."""
        id = job.requests[0].exercise.id
        outcome = self._outcome(job)
        best = self._best.pop(id, None)
        if best is None or outcome[0] > best[0]:
            best = outcome
        if best[0] < job.requests[0].exercise.points and best[1] != "forbidden" and self._others(id):
            self._best[id], self._codes[id] = best, self._others(id).pop(0)
            self._own.append(id)
        elif isinstance(best[2], Result):
            self._results[id] = best[2]
        else:
            self._waiting[id] = best[2]

    def _others(self, id):
        """List the wider slices of an answer that are left to try. Most answers need none, so they are cut out late."""
        if id not in self._wider:
            exercise = self._lab.exercises[id]
            allowed = [o for o in self._answers[id].others if not delegation.summary(exercise, o)]
            self._wider[id] = allowed[:MOST_SLICES]
        return self._wider[id]

    def _outcome(self, job):
        """Judge an answer: its points, its status, and a `Result` or what is needed to explain the loss of points."""
        exercise = job.requests[0].exercise
        visible = job.requests[0].outputs
        hidden = job.requests[1].outputs if len(job.requests) > 1 else []
        stopped = self._ended_early(exercise, job, visible, hidden)
        if stopped:
            return 0, stopped.status, stopped
        verdict = judged(exercise, job.requests[0].cases, visible)
        behind = judged(exercise, job.requests[1].cases, hidden) if hidden else None
        if verdict.status == "ok" and (behind is None or behind.status == "ok"):
            return verdict.points, "ok", _result(exercise, "ok", points=verdict.points, seconds=job.cpu)
        earned = verdict.points
        if behind is not None:
            earned = sum(min(points, behind.earned[part]) for part, points in verdict.earned.items())
        return earned, verdict.status, (job.requests[0].cases, visible, verdict, behind, job.cpu)

    def _ended_early(self, exercise, job, visible, hidden):
        """Return the result of an answer that was stopped, or None."""
        if job.ended == "timeout":
            return self._stopped(exercise)
        if job.ended == "memory":
            return self._too_large(exercise)
        if job.ended:
            return _result(exercise, "crashed", "the answer ended the Python process that ran it")
        failures = [each for each in [*visible, *hidden] if isinstance(each, Failure)]
        if any(each.kind == "NotAllowed" for each in failures):
            words = next(
                (e.message for e in visible if isinstance(e, Failure) and e.kind == "NotAllowed"), ""
            )
            return _result(
                exercise, "forbidden", words or "the answer used something that its exercise forbids"
            )
        if any(_memory(each) for each in failures):
            return self._too_large(exercise)
        return None

    def _too_large(self, exercise):
        limit = exercise.memory_mb
        return _result(
            exercise, "memory", f"the answer needed more than the {limit} MB of memory that it may use"
        )

    def _stopped(self, exercise):
        limit = self._grader.seconds or exercise.seconds
        return _result(exercise, "timeout", f"the answer did not finish within {limit:g} s")

    def _explain(self, id, cases, outputs, verdict, behind, seconds, known):
        exercise = self._lab.exercises[id]
        by_mistake = dict(zip((mistake.sentence for mistake in exercise.mistakes), known, strict=False))

        def outputs_of(mistake, index):
            found = by_mistake.get(mistake.sentence)
            return found[index] if found else Failure("NotRun", "")

        unwritten = outputs and all(isinstance(each, Failure) and each.unwritten for each in outputs)
        sentence, status = "", verdict.status
        if unwritten:
            sentence, status = exercise.task, "missing"
        elif verdict.status != "ok":
            sentence = judge.matching(exercise, cases, outputs, outputs_of)
        earned = dict(verdict.earned)
        findings = [
            f"{finding.about}: {checking.described(finding)}" for finding in verdict.findings[:MOST_SHOWN]
        ]
        first = next((each for each in outputs if isinstance(each, Failure) and each.text), None)
        if first and not unwritten:
            findings.append(f"in the line `{first.text}`")
        if any(isinstance(each, Failure) and each.kind in self._outside for each in outputs):
            findings.append(OUTSIDE)
        if behind is not None and behind.status != "ok":
            earned = {part: min(points, behind.earned[part]) for part, points in earned.items()}
            if verdict.status == "ok":
                status = behind.status
            parts = sorted({finding.part for finding in behind.findings})
            findings += [f"hidden cases of {part}: not passed" for part in parts]
        result = _result(exercise, status, sentence, sum(earned.values()), seconds)
        result.findings = [foreign_text.line(finding, 2 * foreign_text.LONGEST) for finding in findings]
        self._results[id] = result


def judged(
    exercise: Exercise, cases: list[dict[str, Any]], outputs: list[dict[str, np.ndarray] | Failure]
) -> Verdict:
    """Judge outputs from a process that may have sent any arrays."""
    try:
        return judge.judge(exercise, cases, outputs)
    except Exception as error:  # a reference may fail to compare with arrays of unexpected shapes
        finding = judge.Finding(0, "", "", "", f"cannot be compared ({type(error).__name__})")
        earned = dict.fromkeys(exercise.parts_points(), 0)
        return judge.Verdict(exercise.id, 0, exercise.points, "wrong", earned, [finding])


def _memory(failure):
    return failure.kind in ("MemoryError", "ResourceExhaustedError", "_ArrayMemoryError")


def _result(exercise, status, sentence="", points=0, seconds=0.0):
    sentence = foreign_text.line(sentence, LONGEST_SENTENCE)
    return Result(
        exercise.id, exercise.title, points, exercise.points, status, sentence, [], round(seconds, 3)
    )
