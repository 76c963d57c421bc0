"""The grader gives what `check` gave: honest notebooks of unusual form, run in IPython and graded."""

import contextlib
import functools
import io
import json
import sys

import pytest
from IPython.core import interactiveshell
from support.cases import mostly_slow

from grading import oddities
from grading.class_of_students import LAB
from tf_kit.grading import checking, delegation, grader, judge, paper, submissions
from tf_kit.grading.judge import Failure
from tf_kit.grading.sandbox.measurement import execute
from tf_kit.grading.slicing import Cell, Notebook

NAMES = list(oddities.NOTEBOOKS)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Function of a notebook's name that runs it in IPython: the best points that a check of each exercise gave."""
    import tf_kit.grading as kit

    shell = interactiveshell.InteractiveShell.instance()
    current = {}

    def record(id="", namespace=None):
        for each in [id] if id else LAB.exercises:
            verdict = checking.review(LAB, LAB.exercises[each], shell.user_ns)
            current[each] = max(verdict.points, current.get(each, 0))

    @functools.cache
    def run(name):
        shell.reset(new_session=True)
        current.clear()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for cell in oddities.NOTEBOOKS[name]:
                shell.run_cell(cell, store_history=True)
        return dict(current)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("run"))
        monkeypatch.setattr(sys, "path", ["", *sys.path])
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.setattr(kit, "check", record, raising=False)
        yield run
    interactiveshell.InteractiveShell.clear_instance()


def sliced(cells):
    """Points of the slices of a notebook, tried one after the other as the grader does, without a sandbox."""
    marks = {id: f"# exercise: {id}\n" for id in LAB.exercises}
    marked = [Cell(cell, tuple(id for id in marks if cell.startswith(marks[id]))) for cell in cells]
    notebook = Notebook(marked, LAB.stubs)
    points = {}
    for id, exercise in LAB.exercises.items():
        answer = notebook.answer(id, exercise.defines)
        allowed = [code for code in (answer.code, *answer.others) if not delegation.summary(exercise, code)]
        best = 0
        for code in allowed[: 1 + paper.MOST_SLICES] if answer.code and answer.code in allowed else ():
            with contextlib.redirect_stdout(io.StringIO()), pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setitem(sys.modules, "__main__", None)  # put back afterwards
                best = max(best, _points(exercise, execute(code, keep=True)))
        points[id] = best
    return points


def _points(exercise, namespace):
    if isinstance(namespace, Failure):
        return 0
    cases = checking.visible_cases(exercise)
    probe = getattr(LAB.probes, exercise.id)
    outputs = [checking.measure(probe, namespace, case) for case in cases]
    return judge.judge(exercise, cases, outputs).points


def test_corpus_is_large():
    assert len(NAMES) >= 60


@pytest.mark.parametrize("name", mostly_slow(NAMES, NAMES[1::40]))
def test_slices_get_what_check_gave(name, checked):
    found = sliced(oddities.NOTEBOOKS[name])
    assert {id: found[id] for id in checked(name)} == checked(name)


@pytest.mark.slow
def test_honest_notebooks_get_points(checked):
    """The corpus is of right answers, so that agreement at zero would show nothing."""
    assert sum(bool({2, 3} & set(checked(name).values())) for name in NAMES) >= len(NAMES) - 3


@pytest.mark.slow
def test_grader_gives_what_check_gave(checked, tmp_path):
    for i, cells in enumerate(oddities.NOTEBOOKS.values()):
        made = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
        (tmp_path / f"{'abcdefghij'[i % 10]}{i:03}.ipynb").write_text(json.dumps(made))
    with grader.Grader(LAB, secret="a secret of the course", allow_unsandboxed=True) as judge_:
        judge_.ready()
        found = {each.student[1:]: each for each in judge_.grade(submissions.find([tmp_path], LAB))}
    wrong = {}
    for i, name in enumerate(NAMES):
        results = {r.exercise: r for r in found[f"{i:03}"].results}
        for id, points in checked(name).items():
            if results[id].points != points:
                wrong[name, id] = (points, results[id])
    assert not wrong


@pytest.mark.slow
def test_cells_count_in_the_order_in_which_they_were_executed(tmp_path):
    """A right answer below, executed before the check above it was executed again."""
    cells = [oddities.IMPORTS, oddities.MARK + oddities.BODY + "x", oddities.CHECK, oddities.LEAKY]
    orders = {
        "ada": (1, 2, 4, 3),
        "bob": (1, 2, 3, 4),
        "cyd": (None,) * 4,
        "dan": (1, 2, 9, None),
        "eva": (7, 8, 8, 8),
    }
    for name, order in orders.items():
        made = [
            {"cell_type": "code", "source": cell, "execution_count": count}
            for cell, count in zip(cells, order, strict=True)
        ]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": made}))
    with grader.Grader(LAB, secret="a secret of the course", allow_unsandboxed=True) as judge_:
        judge_.ready()
        found = {
            each.student: each.results[0].points for each in judge_.grade(submissions.find([tmp_path], LAB))
        }
    assert found.pop("ada") == LAB.exercises["leaky"].points
    assert set(found.values()) == {0}
