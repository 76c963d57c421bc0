"""Self-test of a lab: whether its judge accepts the right answers and recognizes the wrong ones.

The solution and every variant must get all points. The stub must get no points and the task. Every known mistake must
lose points and be explained by its own sentence. All answers of a lab run in one process, one after another:

    python -m tf_kit.grading.selftest optimizers [exercise ...]
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tf_kit.grading import checking, delegation, labs, notebooks
from tf_kit.grading.exercise import Exercise
from tf_kit.grading.judge import Failure
from tf_kit.grading.labs import Lab
from tf_kit.grading.sandbox.measurement import execute

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclasses.dataclass(frozen=True)
class Row:
    """The result of an answer that the lab knows.

    Args:
        exercise: id of the exercise.
        kind: "solution", "stub", "mistake" or "variant".
        label: sentence of the mistake or name of the variant.
        points: points that the answer earned.
        maximum: points for a right answer.
        sentence: explanation that the answer got.
        fault: rule that the result violates, or "".
        seconds: time that the answer took.
        report: the report that a student would get.
    """

    exercise: str
    kind: str
    label: str
    points: int
    maximum: int
    sentence: str
    fault: str
    seconds: float
    report: str


def answers(lab: Lab, exercise: Exercise) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, label, code) of every answer that the lab knows."""
    solution = lab.solution(exercise.id)
    yield "solution", "", solution
    yield "stub", "", lab.stub(exercise.id)
    for mistake in exercise.mistakes:
        yield "mistake", mistake.sentence, mistake.of(solution)
    for variant in exercise.variants:
        yield "variant", variant.name, variant.of(solution)


def run(lab: Lab, exercise: Exercise) -> list[Row]:
    """Judge every answer to an exercise that the lab knows."""
    cases = checking.visible_cases(exercise)
    known = checking.KnownMistakes(lab, exercise, cases)
    rows = []
    for kind, label, code in answers(lab, exercise):
        began = time.perf_counter()
        verdict = _verdict(lab, exercise, cases, known, code)
        fault = _fault(kind, label, verdict)
        seconds = time.perf_counter() - began
        rows.append(
            Row(
                exercise.id,
                kind,
                label,
                verdict.points,
                verdict.maximum,
                verdict.sentence,
                fault,
                seconds,
                checking.report(exercise, verdict),
            )
        )
    return rows


def _verdict(lab, exercise, cases, known, code):
    answer = lab.notebook({exercise.id: code}).answer(exercise.id, exercise.defines)
    if answer.status == "missing":
        return checking.missing(exercise, exercise.task)
    found = delegation.summary(exercise, answer.code)
    if found:
        return checking.forbidden(exercise, found)
    namespace = execute(answer.code)
    if isinstance(namespace, Failure):
        outputs = [namespace] * len(cases)
    else:
        probe = getattr(lab.probes, exercise.id)
        outputs = [checking.measure(probe, namespace, case) for case in cases]
    return checking.concluded(exercise, cases, outputs, known.outputs)


def _fault(kind, label, verdict):
    if kind in ("solution", "variant"):
        return "" if verdict.points == verdict.maximum else "must get all points"
    if kind == "stub":
        return "must get no points, and the task" if verdict.points or not verdict.sentence else ""
    if verdict.points == verdict.maximum:
        return "must lose points"
    return (
        ""
        if verdict.sentence == label
        else f"must be explained by its own sentence, not by {verdict.sentence!r}"
    )


def solved(lab: Lab, remark: str = "solution", replaced: Mapping[str, str] | None = None) -> NotebookNode:
    """Make a student notebook with answers in it.

    Args:
        lab: the lab.
        remark: comment at the top of each answer.
        replaced: id of an exercise -> code of its answer. Defaults to the solution.
    """
    notebook = notebooks.student_notebook(lab)
    for cell in notebook.cells:
        id = cell.metadata.get("tf_kit", {}).get("exercise")
        if id:
            cell.source = f"# {remark}\n{(replaced or {}).get(id, lab.solution(id))}"
    return notebook


def main(arguments: Sequence[str]) -> int:
    """Print a line per answer, with the report on each that violates a rule. Returns the exit status.

    Args:
        arguments: number or topic of the lab, then ids of exercises; without ids, all of them.
    """
    faults = 0
    name, wanted = arguments[0], arguments[1:]
    lab = labs.find(name)
    for id, exercise in lab.exercises.items():
        if wanted and id not in wanted:
            continue
        rows = run(lab, exercise)
        print(
            f"{id}: {len(exercise.mistakes)} mistakes, {len(exercise.variants)} variants, "
            f"{sum(row.seconds for row in rows):.1f} s"
        )
        for row in rows:
            mark = "✗" if row.fault else "✓"
            print(f"  {mark} {row.kind:9}{row.points}/{row.maximum} {row.seconds:5.2f} s  {row.label}")
            if row.fault:
                faults += 1
                print(f"    {row.fault}\n    " + row.report.replace("\n", "\n    "))
    print(f"{faults} answers got a wrong verdict" if faults else "all answers got the right verdict")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
