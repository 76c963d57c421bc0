"""`check("adam")` in a notebook cell: one clear report of one answer on its visible cases."""

import contextlib
import io
import logging
import sys

import numpy as np

from tf_kit import _stderr
from tf_kit.grading import closing, delegation, judge, labs, seeding
from tf_kit.grading.judge import Failure
from tf_kit.grading.probing import execute, measure
from tf_kit.grading.slicing import Cell, Notebook

VISIBLE_SEED = 0
MOST_FINDINGS = 4


def check(id, namespace=None):
    """Checks your answer to an exercise and says on one screen what is right and what is not.

    It uses the visible cases only. The grader draws others of the same kind, so an answer that is fitted to what is
    shown here will not pass there.

    Args:
        id: the exercise's id, the word in the first line of its cell.
        namespace: where your names are. Defaults to those of the notebook or module that calls.

    Raises:
        ValueError: no exercise has this id.
    """
    lab, exercise = labs.find_exercise(id)
    if namespace is None:
        namespace = sys._getframe(1).f_globals
    print(report(exercise, review(lab, exercise, namespace)), flush=True)


def points(id, namespace=None):
    """The points of your answer to an exercise on its visible cases: what nbgrader and otter ask for.

    Nothing is written to stderr meanwhile: nbgrader gives no point to a cell that does, and TensorFlow does so when
    it starts.

    Args:
        id: the exercise's id.
        namespace: where the names are. Defaults to those of the notebook or module that calls.

    Raises:
        ValueError: no exercise has this id.
    """
    lab, exercise = labs.find_exercise(id)
    if namespace is None:
        namespace = sys._getframe(1).f_globals
    with _without_stderr():
        return review(lab, exercise, namespace).points


@contextlib.contextmanager
def _without_stderr():
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # a logger keeps the stream that it found when it was made
    try:
        with _stderr.closed(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def visible_cases(exercise):
    """The cases that a student may see: the same on every machine."""
    return exercise.cases(np.random.default_rng(VISIBLE_SEED))


def review(lab, exercise, namespace):
    """The `Verdict` on the objects that a namespace holds."""
    absent = [name for name in exercise.defines if name not in namespace]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent)
        return missing(
            exercise, f"{names} is not defined yet: run the cell of the exercise, then this one again"
        )
    found = _delegated(lab, exercise, namespace)
    if found:
        return forbidden(exercise, found)
    cases = visible_cases(exercise)
    probe = getattr(lab.probes, exercise.id)
    outputs = [_measure(probe, namespace, case) for case in cases]
    known = KnownMistakes(lab, exercise, cases)
    return concluded(exercise, cases, outputs, known.does)


def concluded(exercise, cases, outputs, run):
    """The `Verdict` on outputs, with the sentence of the exercise or of the mistake that explains them."""
    verdict = judge.judge(exercise, cases, outputs)
    if outputs and all(isinstance(output, Failure) and output.unwritten for output in outputs):
        verdict.status, verdict.sentence = "missing", exercise.task
    elif verdict.status != "ok":
        verdict.sentence = judge.matching(exercise, cases, outputs, run)
    return verdict


def missing(exercise, sentence):
    """The verdict on an answer that is not there."""
    return _nothing(exercise, "missing", sentence)


def forbidden(exercise, sentence):
    """The verdict on an answer that lets others do the work."""
    return _nothing(exercise, "forbidden", sentence)


def _nothing(exercise, status, sentence):
    earned = dict.fromkeys(exercise.parts_points(), 0)
    return judge.Verdict(exercise.id, 0, exercise.points, status, earned, [], sentence)


def _delegated(lab, exercise, namespace):
    """What the grader would refuse: seen in the classes' bases, and in the cells that a notebook remembers."""
    for name, base in exercise.bases.items():
        if not closing.derives(namespace[name], base):
            return f"`{name}` must derive from `{base}`"
        others = closing.strangers(namespace[name], base)
        if others:
            return f"`{name}` derives from `{others[0]}`; it must derive from `{base}` alone"
    cells = [Cell(source) for source in namespace.get("In", ()) if isinstance(source, str)]
    code = Notebook(cells, lab.stubs).answer(exercise.id, exercise.defines).code
    return delegation.said(exercise, code)


class KnownMistakes:
    """What the known mistakes of an exercise do on its cases, run when first asked for."""

    def __init__(self, lab, exercise, cases):
        self._lab, self._exercise, self._cases = lab, exercise, cases
        self._namespaces, self._outputs = {}, {}

    def does(self, mistake, index):
        """The output of a mistake on the case of an index."""
        key = (mistake.sentence, index)
        if key not in self._outputs:
            if mistake.sentence not in self._namespaces:
                code = code_of(self._lab, self._exercise, mistake.of(self._lab.solution(self._exercise.id)))
                self._namespaces[mistake.sentence] = execute(code)
            namespace = self._namespaces[mistake.sentence]
            probe = getattr(self._lab.probes, self._exercise.id)
            failed = isinstance(namespace, Failure)
            self._outputs[key] = namespace if failed else _measure(probe, namespace, self._cases[index])
        return self._outputs[key]


def code_of(lab, exercise, answer):
    """An answer of the lab's own, with what it uses of the lab's other cells."""
    return lab.notebook({exercise.id: answer}).answer(exercise.id, exercise.defines).code


def report(exercise, verdict):
    """The verdict as text of at most one screen."""
    lines = [f"{exercise.title}: {verdict.points} of {verdict.maximum} points"]
    if verdict.status in ("missing", "forbidden"):
        return "\n".join([*lines, f"  {verdict.status}: {verdict.sentence}"])
    lost = {finding.part for finding in verdict.findings}
    for part, points in exercise.parts_points().items():
        lines.append(f"  {'✗' if part in lost else '✓'} {part}, {points} point{'s' if points != 1 else ''}")
        mine = [finding for finding in verdict.findings if finding.part == part]
        lines += [f"      {finding.about}: {described(finding)}" for finding in mine[:MOST_FINDINGS]]
        if len(mine) > MOST_FINDINGS:
            lines.append(f"      and {len(mine) - MOST_FINDINGS} more like these")
    if verdict.sentence:
        lines.append(f"  Known mistake: {verdict.sentence}")
    return "\n".join(lines)


def described(finding):
    """A finding with the name of the array it is about."""
    return f"`{finding.name}` {finding.what}" if finding.name else finding.what


def _measure(probe, namespace, case):
    seeding.seed()
    copied = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    return measure(probe, namespace, copied)
