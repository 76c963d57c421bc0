"""Self-test of a lab: whether its judge accepts the right answers and recognizes the wrong ones.

The solution and every variant must get all points. The stub must get no points and the task. Every known mistake must
lose points and be explained by its own sentence. All answers of a lab run in one process, one after another; then the
solutions and the cells as handed out are graded. On the command line it is `tf-kit lab selftest NAME [exercise ...]`.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tf_kit.checks import choice
from tf_kit.grading import checking, delegation, judge, labs, notebooks
from tf_kit.grading.exercise import Exercise
from tf_kit.grading.judge import Failure
from tf_kit.grading.labs import Lab
from tf_kit.grading.sandbox.measurement import execute

if TYPE_CHECKING:
    from nbformat import NotebookNode


ANSWERS = ("solution", "stub", "mistake", "variant")
SECRETS = 3  # from which hidden cases are drawn


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


def report(lab: Lab, wanted: Sequence[str] = (), sandbox: bool = True) -> Iterator[tuple[bool, str]]:
    """Yield (whether it is right, line) for everything that is tested about a lab.

    Args:
        lab: the lab.
        wanted: ids of exercises. Defaults to all.
        sandbox: whether the solutions and the cells as handed out are graded too.
    """
    marked, listed = list(lab.cells), list(lab.exercises)
    if marked != listed:
        cells = f"cells of the source are marked {', '.join(marked) or 'not at all'}"
        yield (
            False,
            f"exercises and marked cells are the same: {cells}; the answers are of {', '.join(listed)}",
        )
        return
    unmarked = ", ".join(lab.unmarked())
    yield (
        not unmarked,
        "each solution is marked as one" + (f", but for that of {unmarked}" if unmarked else ""),
    )
    lacking = ", ".join(id for id in listed if not callable(getattr(lab.probes, id, None)))
    yield not lacking, "there is a probe for each exercise" + (f", but for {lacking}" if lacking else "")
    if unmarked or lacking:
        return
    for id, exercise in lab.exercises.items():
        if not wanted or id in wanted:
            yield from _of_exercise(lab, exercise)
    if not wanted:
        yield from _of_files(lab)
        if sandbox:
            yield from _of_grader(lab)


def _of_exercise(lab, exercise):
    rows = run(lab, exercise)
    faulty = {kind: [row for row in rows if row.kind == kind and row.fault] for kind in ANSWERS}
    count = {kind: sum(row.kind == kind for row in rows) for kind in ANSWERS}
    seconds = sum(row.seconds for row in rows)
    yield True, f"{exercise.id}: {exercise.title}, {exercise.points} points, {seconds:.1f} s"
    yield not faulty["solution"], "  the solution gets all points"
    yield not faulty["stub"], "  the cell as handed out gets none, and the task"
    for kind, words in (
        ("mistake", "mistakes lose points and are named"),
        ("variant", "other right answers get all"),
    ):
        right = count[kind] - len(faulty[kind])
        yield not faulty[kind], f"  {right} of {count[kind]} {words}"
    for row in (row for kind in ANSWERS for row in faulty[kind]):
        yield False, f"    {row.kind} {row.label}: {row.fault}\n" + _indented(row.report)
    sentences = [mistake.sentence.strip() for mistake in exercise.mistakes]
    good = bool(sentences) and all(sentences) and len(set(sentences)) == len(sentences)
    yield good, "  there are hints: known mistakes, each with another sentence"
    yield (
        _hidden_cases_pass(lab, exercise),
        f"  the solution passes hidden cases drawn from {SECRETS} secrets",
    )


def _indented(text):
    return "      " + text.strip().replace("\n", "\n      ")


def _hidden_cases_pass(lab, exercise):
    """Whether the reference agrees with the solution on cases that nobody has looked at."""
    from tf_kit.grading.grader import hidden_cases

    code = checking.code_of(lab, exercise, lab.solution(exercise.id))
    for i in range(SECRETS):
        cases = hidden_cases(lab, exercise, f"self-test {i}")
        namespace = execute(code)
        if isinstance(namespace, Failure):
            return False
        probe = getattr(lab.probes, exercise.id)
        outputs = [checking.measure(probe, namespace, case) for case in cases]
        if judge.judge(exercise, cases, outputs).points != exercise.points:
            return False
    return True


def _of_files(lab):
    fresh = notebooks.student_notebook(lab)
    path, command = lab.notebook_path, f"python -m tf_kit.grading.notebooks {lab.source.parent}"
    if lab in labs.built_in():
        command = "python -m tf_kit.grading.notebooks"
    same = path.is_file() and path.read_text(encoding="utf-8") == notebooks.text_of(fresh)
    yield same, f"the student notebook {path.name} is up to date" + ("" if same else f": run `{command}`")
    cells = "\n".join(cell.source for cell in fresh.cells)
    shown = [id for id in lab.exercises if lab.solution(id).strip() in cells]
    yield not shown, "it shows no solution" + (f", but that of {', '.join(shown)}" if shown else "")
    others = {id for other in labs.labs() if other != lab for id in other.exercises}
    taken = sorted(others & set(lab.exercises))
    yield (
        not taken,
        "no other lab has an exercise of the same id" + (f", but for {', '.join(taken)}" if taken else ""),
    )


def _of_grader(lab):
    """Grade the solutions and the cells as handed out, as `tf-kit lab grade` does."""
    from tf_kit.grading.grader import Grader
    from tf_kit.grading.submissions import Submission

    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Grader(lab, secret="self-test", allow_unsandboxed=True) as grader,
    ):
        made = {"solution": solved(lab), "stub": notebooks.student_notebook(lab)}
        found = [
            Submission(name, notebooks.write(each, f"{folder}/{name}.ipynb")) for name, each in made.items()
        ]
        level = grader.ready()
        points = {grade.student: grade.points for grade in grader.grade(found)}
    seconds = time.perf_counter() - began
    right = points == {"solution": lab.points, "stub": 0}
    yield (
        right,
        (
            f"graded (sandbox {level}, {seconds:.1f} s): solutions get {points['solution']} of {lab.points} points, "
            f"cells as handed out {points['stub']}"
        ),
    )


def main(arguments: Sequence[str]) -> int:
    """Print a line per test of a lab, with the report on each answer that fails. Returns the exit status.

    Args:
        arguments: number, topic or path of the lab, then ids of exercises; without ids, the whole lab is tested.
    """
    lab, wanted = labs.find(arguments[0], consistent=False), arguments[1:]
    for id in wanted:
        choice("exercise", id, tuple(lab.exercises))
    began, faults = time.perf_counter(), 0
    for right, line in report(lab, wanted):
        faults += not right
        print(f"{'✓' if right else '✗'} {line}", flush=True)
    seconds = f"{time.perf_counter() - began:.1f} s"
    print(f"{faults} tests failed, {seconds}" if faults else f"{lab.title}: everything is right, {seconds}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
