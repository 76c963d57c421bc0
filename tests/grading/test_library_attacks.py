"""Answers that let a library do the work, or lie to a probe, earn nothing; the reading of code is switched off."""

import json

import pytest

from grading import library_attacks
from tf_kit.grading import checking, delegation, grader, judge, labs, submissions
from tf_kit.grading.judge import Failure
from tf_kit.grading.sandbox import confinement, doors
from tf_kit.grading.sandbox.measurement import execute

needs_full_confinement = pytest.mark.skipif(
    confinement.level_of(confinement.available()) != "full",
    reason="this machine confines an answer partly only",
)


@pytest.mark.slow
@pytest.mark.parametrize("target", library_attacks.TARGETS)
def test_targets_are_right_where_the_library_is_open(target):
    """Otherwise an attack would earn nothing whatever the grader did."""
    ((_, number, id, code),) = [a for a in library_attacks.calls() if a[0] == f"{target} by directly"]
    lab = labs.find(number)
    exercise, namespace = lab.exercises[id], execute(code)
    assert not isinstance(namespace, Failure), namespace
    cases = checking.visible_cases(exercise)
    outputs = [checking.measure(getattr(lab.probes, id), namespace, case) for case in cases]
    assert judge.judge(exercise, cases, outputs).points > 0


@pytest.mark.slow
def test_ways_to_an_operation_work_where_it_is_open():
    """So that each fails in the grader because its operation is refused."""
    earned = {}
    for name, number, id, code in library_attacks.operations():
        lab = labs.find(number)
        exercise, namespace = lab.exercises[id], execute(code)
        assert not isinstance(namespace, Failure), namespace
        cases = checking.visible_cases(exercise)
        outputs = [checking.measure(getattr(lab.probes, id), namespace, case) for case in cases]
        earned[name] = judge.judge(exercise, cases, outputs).points
    assert len(earned) == 2 * len(library_attacks.OPERATIONS)
    assert all(earned.values()), earned


def test_attacks_cover_all_labs():
    assert len(library_attacks.ATTACKS) >= 120
    assert {attack[1] for attack in library_attacks.ATTACKS} == {lab.number for lab in labs.labs()}


@pytest.mark.slow
@needs_full_confinement
@pytest.mark.parametrize("number", sorted({attack[1] for attack in library_attacks.ATTACKS}))
def test_attack_earns_nothing(number, tmp_path, monkeypatch):
    monkeypatch.setattr(delegation, "summary", lambda *_: "")
    lab = labs.find(number)
    attacks = [attack for attack in library_attacks.ATTACKS if attack[1] == number]
    papers = []
    for i, (_, _, id, code) in enumerate(attacks):
        cell = {"cell_type": "code", "source": code, "metadata": {"tf_kit": {"exercise": id}}}
        path = tmp_path / f"{i}.ipynb"
        path.write_text(json.dumps({"cells": [cell]}))
        papers.append(submissions.Submission(str(i), path))
    with grader.Grader(lab, secret="a secret of the course") as judge_:
        judge_.ready()
        grades = {int(each.student): each for each in judge_.grade(papers)}
    earned = {attacks[i][0]: [r.points for r in grade.results] for i, grade in grades.items() if grade.points}
    assert len(grades) == len(attacks)
    assert not earned


def test_code_of_a_function_is_replaced_wherever_it_is_held():
    def work(x, y=2, *, z=3):
        return x + y + z

    kept = work

    def refused(*_, **__):
        raise PermissionError

    doors.shut(work, refused)
    for call in (lambda: kept(1), lambda: kept(), lambda: kept(1, 2, 3, w=4)):
        with pytest.raises(PermissionError):
            call()
