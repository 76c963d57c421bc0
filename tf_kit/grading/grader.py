"""The grader: runs the answers of many submissions in confined children, whose outputs `paper.py` judges."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from tf_kit import __version__
from tf_kit.checks import number, refuse
from tf_kit.errors import InputError
from tf_kit.grading import checking, labs, reading
from tf_kit.grading.exercise import LONGEST, Exercise
from tf_kit.grading.labs import Lab
from tf_kit.grading.paper import Paper
from tf_kit.grading.record import Grade
from tf_kit.grading.sandbox.processes import Children, Job, Request, ZygoteDied
from tf_kit.grading.submissions import Submission

MOST_PREPARED = 100  # submissions that are read while the first process starts


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
        self.visible = {id: checking.visible_cases(exercise) for id, exercise in self._exercises.items()}
        self.hidden = {
            id: hidden_cases(lab, exercise, secret) if secret else []
            for id, exercise in self._exercises.items()
        }
        self._secret = secret
        # Id of an exercise -> outputs of each known mistake on the visible cases; None while they are computed.
        self._mistakes: dict[str, list[Any] | None] = {}
        self._allow_unsandboxed = allow_unsandboxed
        self._prepared: dict[Submission, Paper] = {}

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
            self._prepared[submission] = Paper(submission, self)

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
        open_: dict[Submission, Paper] = {}
        queue: list[Job] = []
        while pending or open_ or queue:
            while pending and len(queue) < self._children.jobs:
                submission = pending.pop()
                paper = self._prepared.pop(submission, None) or Paper(submission, self)
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
                    if paper.complete and paper.submission in open_:
                        del open_[paper.submission]
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
                    exercise, checking.code_of(self.lab, exercise, mistake.of(solution)), self.visible[id]
                )
                for mistake in exercise.mistakes
            ]
            return ([Job(requests, key=id)] if requests else []), (None if requests else [])
        return [], self._mistakes[id]


def hidden_cases(lab: Lab, exercise: Exercise, secret: str) -> list[dict[str, Any]]:
    """Draw the cases that no student sees, as the visible ones but from a seed that depends on the secret."""
    seed = reading.digest(secret, lab.name, exercise.id)
    return exercise.cases(np.random.default_rng(int(seed[:32], 16)))
