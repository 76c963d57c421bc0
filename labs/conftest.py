"""`pytest labs --submission notebook.ipynb`: the points of the grader as tests of pytest, one per exercise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tf_kit.errors import InputError
from tf_kit.grading import labs, submissions
from tf_kit.grading.record import Result

collect_ignore_glob = ["*.py"]  # sources, probes and answers are not tests


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("labs")
    group.addoption("--submission", help="Notebook to grade.")
    group.addoption(
        "--course-secret",
        default=os.environ.get("TF_KIT_COURSE_SECRET"),
        help="Any text, from which the hidden cases are drawn. Defaults to none: no hidden cases.",
    )
    group.addoption("--lab", help="Number or topic of the lab. Found from the notebook's cells by default.")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> LabFile | None:
    submission = parent.config.getoption("--submission")
    if submission and file_path.suffix == ".ipynb" and file_path.parent.name == "notebooks":
        name = parent.config.getoption("--lab")
        try:
            lab = labs.find(name) if name else labs.of_notebook(Path(submission))
        except InputError as error:
            raise pytest.UsageError(str(error)) from None
        if file_path.stem == lab.name:
            return LabFile.from_parent(parent, path=file_path, lab=lab)
    return None


class LabFile(pytest.File):
    """The exercises of a lab, graded for one submission.

    Args:
        lab: the lab.
        arguments: arguments of `pytest.File`.
    """

    def __init__(self, *, lab: labs.Lab, **arguments: Any):
        super().__init__(**arguments)
        self.lab = lab
        self._results = None

    def collect(self) -> Iterator[ExerciseItem]:
        """Yield a test per exercise."""
        for exercise in self.lab.exercises.values():
            yield ExerciseItem.from_parent(self, name=exercise.id)

    def results(self) -> dict[str, Result]:
        """Return the result of each exercise. The first call grades the submission."""
        if self._results is None:
            from tf_kit.grading.grader import Grader

            path = Path(self.config.getoption("--submission"))
            with Grader(self.lab, secret=self.config.getoption("--course-secret")) as grader:
                grader.ready()
                (grade,) = grader.grade([submissions.Submission(path.stem, path)])
            self._results = {result.exercise: result for result in grade.results}
            self.config.stash[POINTS] = grade
        return self._results


class ExerciseItem(pytest.Item):
    """Test of one exercise, which passes if the answer gets all points."""

    def runtest(self) -> None:
        """Fail unless the answer gets all points."""
        result = self.parent.results()[self.name]
        self.add_report_section("call", "points", f"{result.points} of {result.maximum}")
        self.user_properties.append(("points", result.points))
        if result.status != "ok":
            raise LostPoints(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        """Describe the points that were lost and why."""
        if isinstance(excinfo.value, LostPoints):
            result = excinfo.value.args[0]
            head = f"{result.title}: {result.points} of {result.maximum} points, {result.status}"
            return "\n".join([head, *([result.sentence] if result.sentence else []), *result.findings])
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the test after its exercise."""
        return self.path, None, self.name


class LostPoints(Exception):
    """An answer did not get all points."""


POINTS = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    grade = config.stash.get(POINTS, None)
    if grade is not None:
        terminalreporter.write_line(f"{grade.lab}: {grade.points} of {grade.maximum} points")
