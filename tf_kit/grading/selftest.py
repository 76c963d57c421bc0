"""The self-test of a lab: does its judge know right from wrong?

The solution and every variant must get all points, the stub none and a sentence, every known mistake must lose points
and be named by its own sentence. All answers of a lab run in one process, one after another:

    python -m tf_kit.grading.selftest optimizers [exercise ...]
"""

import dataclasses
import sys
import time

from tf_kit.grading import checking, delegation, labs, notebooks
from tf_kit.grading.judge import Failure
from tf_kit.grading.probing import execute


@dataclasses.dataclass(frozen=True)
class Row:
    """One answer of the lab's own, what it earned, and what is wrong with that ("" if nothing is)."""

    exercise: str
    kind: str
    label: str
    points: int
    maximum: int
    sentence: str
    fault: str
    seconds: float
    report: str


def answers(lab, exercise):
    """(kind, label, code) of every answer that the lab knows."""
    solution = lab.solution(exercise.id)
    yield "solution", "", solution
    yield "stub", "", lab.stub(exercise.id)
    for mistake in exercise.mistakes:
        yield "mistake", mistake.sentence, mistake.of(solution)
    for variant in exercise.variants:
        yield "variant", variant.name, variant.of(solution)


def run(lab, exercise):
    """Judges every answer to an exercise and returns a `Row` for each."""
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
    found = delegation.said(exercise, answer.code)
    if found:
        return checking.forbidden(exercise, found)
    namespace = execute(answer.code)
    if isinstance(namespace, Failure):
        outputs = [namespace] * len(cases)
    else:
        probe = getattr(lab.probes, exercise.id)
        outputs = [checking._measure(probe, namespace, case) for case in cases]
    return checking.concluded(exercise, cases, outputs, known.does)


def _fault(kind, label, verdict):
    if kind in ("solution", "variant"):
        return "" if verdict.points == verdict.maximum else "must get every point"
    if kind == "stub":
        return "must get no point and a sentence" if verdict.points or not verdict.sentence else ""
    if verdict.points == verdict.maximum:
        return "must lose points"
    return (
        "" if verdict.sentence == label else f"must be named by its own sentence, not by {verdict.sentence!r}"
    )


def solved(lab, remark="solution", replaced=None):
    """The student notebook with the lab's solutions in it, or other answers: id -> code."""
    notebook = notebooks.student_notebook(lab)
    for cell in notebook.cells:
        id = cell.metadata.get("tf_kit", {}).get("exercise")
        if id:
            cell.source = f"# {remark}\n{(replaced or {}).get(id, lab.solution(id))}"
    return notebook


def main(arguments):
    """Prints one line for each answer and the report of each that is not as it must be; returns the exit status."""
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
    print(f"{faults} faults" if faults else "as it must be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
