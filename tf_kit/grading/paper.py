"""A submission while it is graded: its answers, the processes that they need, and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tf_kit.grading import checking, delegation, foreign_text, judge, reading, submissions
from tf_kit.grading.exercise import Exercise
from tf_kit.grading.judge import Failure, Verdict
from tf_kit.grading.record import Grade, Result
from tf_kit.grading.sandbox.processes import Job, Request, may_share
from tf_kit.grading.slicing import UNCHANGED, Answer, Cell, Notebook, in_order_of_execution

if TYPE_CHECKING:
    from tf_kit.grading.grader import Grader
    from tf_kit.grading.submissions import Submission

MOST_SHOWN = 6
MOST_SLICES = 3  # wider slices of a notebook that are tried if the first does not get all points
LONGEST_SENTENCE = 2000  # characters
BY_HAND = "it must be graded by hand"
SHARED = 0.25  # fraction of its time limit that an answer gets in a shared child; in its own child it gets the rest
OUTSIDE = (
    "only the cells of the notebook are graded, without files that lie next to it and without what `%run` runs: "
    "write the code into a cell, or into one that begins with `%%writefile NAME.py`"
)


class Paper:
    """A submission while it is graded: first all answers run in one child, then each that failed in its own child.

    Args:
        submission: the submission.
        grader: the grader, which knows the lab, the cases and the known mistakes.
    """

    def __init__(self, submission: Submission, grader: Grader) -> None:
        self.submission = submission
        self._grader, self._lab = grader, grader.lab
        self._results: dict[str, Result] = {}
        self._codes: dict[str, str] = {}
        self._waiting: dict[str, tuple[Any, ...]] = {}  # id -> what is needed to explain the loss of points
        self._answers: dict[str, Answer] = {}  # as they were cut out
        self._wider: dict[str, list[str]] = {}  # id -> wider slices to try
        self._best: dict[str, tuple[Any, ...]] = {}  # id -> outcome of the best slice so far
        self._executed: list[Cell] | None = None  # cells in another order than that of the notebook
        self._shared: list[str] = []
        self._own: list[str] = []
        self._groups: list[list[str]] = []
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
            self._executed = in_order_of_execution(cells)
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
    def complete(self) -> bool:
        """Whether every exercise has a result."""
        return len(self._results) == len(self._lab.exercises)

    def grade(self) -> Grade:
        """Put the results together."""
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

    def jobs(self) -> list[Job]:
        """List the jobs that can start now."""
        return self._guarded(self._jobs) or []

    def take(self, job: Job) -> None:
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
            requests = [Request(exercise, self._codes[id], self._grader.visible[id])]
            if self._grader.hidden[id]:
                requests.append(Request(exercise, None, self._grader.hidden[id]))
            jobs.append(Job(requests, key=self, seconds=self._grader.seconds, share=1 - SHARED, own=True))
        self._own = []
        for id in list(self._waiting):
            first, known = self._grader.mistakes(id)
            jobs += first
            if known is not None:
                self._explain(id, *self._waiting.pop(id), known)
        return jobs

    def _first(self, id):
        cases = self._grader.hidden[id] or self._grader.visible[id]
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
            found = [*allowed[:MOST_SLICES], *self._as_executed(exercise)]
            self._wider[id] = [each for each in dict.fromkeys(found) if each != self._codes[id]]
        return self._wider[id]

    def _as_executed(self, exercise):
        """List the answer as `check` saw it, if the cells were executed in another order than they stand in."""
        if self._executed is None:
            return []
        answer = Notebook(self._executed, self._lab.stubs).answer(exercise.id, exercise.defines)
        return [] if answer.status or delegation.summary(exercise, answer.code) else [answer.code]

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
