"""The judge of every lab recognizes the solution, the stub, the known mistakes and the right variants.

The lab on backpropagation runs in every test run: it is NumPy, and its eighty answers take a second.
"""

import pytest

from tf_kit.grading import checking, delegation, grader, judge, labs, notebooks, selftest, submissions
from tf_kit.grading.sandbox.measurement import execute

EXERCISES = [
    pytest.param(
        lab,
        exercise,
        id=f"{lab.name}-{exercise.id}",
        marks=() if lab.topic == "backpropagation" else pytest.mark.slow,
    )
    for lab in labs.labs()
    for exercise in lab.exercises.values()
]


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_every_known_answer_gets_the_right_verdict(lab, exercise):
    faults = [
        f"{row.kind} {row.label}: {row.fault}\n{row.report}"
        for row in selftest.run(lab, exercise)
        if row.fault
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_known_answers_get_the_same_verdict_on_hidden_cases(lab, exercise):
    """Whether an answer is right must not hang on the cases that a secret draws."""
    cases = grader.hidden_cases(lab, exercise, "known answers")
    probe, wrong = getattr(lab.probes, exercise.id), []
    for kind, label, code in selftest.answers(lab, exercise):
        namespace = execute(checking.code_of(lab, exercise, code))
        if isinstance(namespace, judge.Failure):
            outputs = [namespace] * len(cases)
        else:
            outputs = [checking.measure(probe, namespace, case) for case in cases]
        right = judge.judge(exercise, cases, outputs).points == exercise.points
        if right != (kind in ("solution", "variant")) and not delegates(exercise, code):
            wrong.append(f"{kind} {label}")
    assert not wrong, "\n".join(wrong)


def delegates(exercise, code):
    """Whether an answer loses its points by what it calls, whatever it computes."""
    return bool(delegation.summary(exercise, code))


@pytest.mark.slow
@pytest.mark.parametrize("lab", labs.labs(), ids=lambda lab: lab.name)
def test_solution_gets_all_points_in_the_sandbox(lab, tmp_path):
    """The sandbox does not cost the solution a point, and the stub gets none."""
    path = notebooks.write(selftest.solved(lab), tmp_path / "solution.ipynb")
    stub = notebooks.write(notebooks.student_notebook(lab), tmp_path / "stub.ipynb")
    papers = [submissions.Submission("solution", path), submissions.Submission("stub", stub)]
    with grader.Grader(lab, secret="self-test", allow_unsandboxed=True) as judge:
        judge.ready()
        grades = {grade.student: grade for grade in judge.grade(papers)}
    lost = [result for result in grades["solution"].results if result.status != "ok"]
    assert not lost, lost
    assert grades["stub"].points == 0
    assert all(result.status == "missing" and result.sentence for result in grades["stub"].results)
