"""`pytest labs --submission notebook.ipynb`: the grader's points as pytest's tests, one for each exercise."""

import os
from pathlib import Path

import pytest

from tf_kit.grading import labs, submissions

collect_ignore_glob = ["*.py"]  # sources, probes and answers are not tests


def pytest_addoption(parser):
    group = parser.getgroup("labs")
    group.addoption("--submission", help="Notebook to grade.")
    group.addoption(
        "--course-secret", default=os.environ.get("TF_KIT_COURSE_SECRET"), help="Seed of hidden cases."
    )
    group.addoption("--lab", help="Which lab it is. Defaults to what the notebook says.")


def pytest_collect_file(file_path, parent):
    submission = parent.config.getoption("--submission")
    if submission and file_path.suffix == ".ipynb" and file_path.parent.name == "notebooks":
        name = parent.config.getoption("--lab")
        lab = labs.find(name) if name else labs.of_notebook(Path(submission))
        if file_path.stem == lab.name:
            return LabFile.from_parent(parent, path=file_path, lab=lab)
    return None


class LabFile(pytest.File):
    """The exercises of the lab that the submission answers."""

    def __init__(self, *, lab, **arguments):
        super().__init__(**arguments)
        self.lab = lab
        self._results = None

    def collect(self):
        for exercise in self.lab.exercises.values():
            yield ExerciseItem.from_parent(self, name=exercise.id)

    def results(self):
        """Result of each exercise; graded when the first is asked for."""
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
    """One exercise: passes with every point."""

    def runtest(self):
        result = self.parent.results()[self.name]
        self.add_report_section("call", "points", f"{result.points} of {result.maximum}")
        self.user_properties.append(("points", result.points))
        if result.status != "ok":
            raise LostPoints(result)

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, LostPoints):
            result = excinfo.value.args[0]
            head = f"{result.title}: {result.points} of {result.maximum} points, {result.status}"
            return "\n".join([head, *([result.sentence] if result.sentence else []), *result.findings])
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name


class LostPoints(Exception):
    """An answer without all of its points."""


POINTS = pytest.StashKey()


def pytest_terminal_summary(terminalreporter, config):
    grade = config.stash.get(POINTS, None)
    if grade is not None:
        terminalreporter.write_line(f"{grade.lab}: {grade.points} of {grade.maximum} points")
