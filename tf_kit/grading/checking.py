"""`check("adam")` in a notebook cell: a report on one answer, measured on its visible cases."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_kit import stderr
from tf_kit.errors import InputError
from tf_kit.grading import delegation, foreign_text, judge, labs
from tf_kit.grading.exercise import Exercise, Mistake
from tf_kit.grading.judge import Failure, Finding, Verdict
from tf_kit.grading.sandbox import measurement, prohibitions, seeds
from tf_kit.grading.shown import Shown
from tf_kit.grading.slicing import Cell, Notebook
from tf_kit.grading.statements import statements

VISIBLE_SEED = 0
MOST_FINDINGS = 4


def check(id: str = "", namespace: dict[str, Any] | None = None, hint: bool = False) -> None:
    """Check your answer to an exercise and show which parts are right and which are not.

    Only the visible cases are used. The grader draws further cases of the same kind, so an answer that is fitted to
    the visible cases does not pass there. Without an id, print the points so far in the whole lab and the exercises
    that are left. An id that no exercise has is answered with a line that names those that exist.

    Args:
        id: id of the exercise, the word in the first line of its cell. Defaults to all exercises of the lab whose
            cells were run.
        namespace: the names that you defined. Defaults to those of the notebook or module that calls `check`.
        hint: whether to give a hint in place of the report: at first where the answer goes wrong, and, asked again
            about an answer with the same faults, why.
    """
    if namespace is None:
        namespace = sys._getframe(1).f_globals
    if id == "":
        Shown(_whole_lab(namespace)).show()
        return
    try:
        lab, exercise = labs.find_exercise(id)
    except InputError:
        Shown(_unknown(id, namespace)).show()
        return
    if not isinstance(namespace, dict):  # the answer itself: check("adam", Adam)
        Shown(f'check finds your answer by its name: write check("{id}") alone.').show()
        return
    with _quiet_library():
        verdict = review(lab, exercise, namespace)
    Shown(_hint(exercise, verdict) if hint else report(exercise, verdict)).show()


def _whole_lab(namespace):
    lab = _lab_of(namespace)
    if lab is None:
        return (
            "check() found no cell of an exercise among those that were run: run one, or name the exercise, as in "
            f'check("{next(iter(labs.labs()[0].cells))}")'
        )
    with _quiet_library():
        verdicts = {name: review(lab, each, namespace) for name, each in lab.exercises.items()}
    return progress(lab, verdicts)


def _unknown(id, namespace):
    """Answer an id that no exercise has: the nearest one, and those of the lab that is open, or the names of labs."""
    if isinstance(id, str):
        given, near = foreign_text.line(id, 60), labs.nearest(id)
    else:  # often what the exercise defines: check(Adam) in place of check("adam")
        given = getattr(id, "__name__", type(id).__name__)
        near = next(
            (i for i, (_, each) in labs.exercises().items() if given in each.defines), labs.nearest(given)
        )
    lab = _lab_of(namespace) or (labs.exercises()[near][0] if near else None)
    hint = f' Did you mean check("{near}")?' if near else ""
    if lab is not None:
        return (
            f"There is no exercise `{given}`.{hint} The exercises of this lab are {', '.join(lab.exercises)}."
        )
    return (
        f"There is no exercise `{given}`. Its id is the word in the first line of its cell; run that cell, and check() "
        "alone lists the exercises of its lab."
    )


def _quiet_library():
    """Hide TensorFlow's log in a notebook, whose cells show descriptor 2. Python's own errors go another way there.

    Where Python itself writes to descriptor 2, as in a terminal, nothing is hidden: it belongs to the student.
    """
    try:
        shared = sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):  # a stream without a descriptor, as that of a notebook
        shared = False
    return contextlib.nullcontext() if shared else stderr.closed()


def _lab_of(namespace):
    """Find the lab to which most of the cells belong that were run, with their first line or without; or None."""
    sources = "\n".join(each for each in namespace.get("In", ()) if isinstance(each, str))
    ids = set(re.findall(r"^# *exercise: *(\w+)", sources, re.MULTILINE))
    ids |= set(re.findall(r"\bcheck\([\"'](\w+)[\"']", sources))
    lab = max(labs.labs(), key=lambda each: len(ids & each.cells.keys()))
    return lab if ids & lab.cells.keys() else None


def progress(lab: labs.Lab, verdicts: dict[str, Verdict]) -> str:
    """Write the points so far in a lab, and what is left of it.

    Args:
        lab: the lab.
        verdicts: id of each exercise -> verdict on its answer.
    """
    earned, maximum = (sum(getattr(each, of) for each in verdicts.values()) for of in ("points", "maximum"))
    lines = [f"{lab.title}: {earned} of {maximum} points"]
    for id, verdict in verdicts.items():
        mark = "✓" if verdict.status == "ok" else "✗"
        lines.append(f"  {mark} {id}: {verdict.points} of {verdict.maximum} points, {verdict.status}")
    left = [id for id, verdict in verdicts.items() if verdict.status != "ok"]
    return "\n".join([*lines, f"  left: {', '.join(left)}" if left else "  nothing is left"])


_located: dict[str, list[Finding]] = {}  # id of an exercise -> faults of the answer whose place was told last


def _hint(exercise, verdict):
    """Tell where an answer goes wrong, and, about the same faults again, why."""
    if not verdict.findings:
        _located.pop(exercise.id, None)
        return report(exercise, verdict)
    first = verdict.findings[0]
    if _located.get(exercise.id) != verdict.findings:
        _located[exercise.id] = verdict.findings
        part = f'in the part "{first.part}", ' if len(exercise.parts_points()) > 1 else "in "
        array = f"; look at `{first.name}`" if first.name else ""
        place = f'{part}the case "{first.about}"{array}'
        return f"{exercise.title}, where it goes wrong:\n  {place}. Ask again to hear why."
    why = f"known mistake: {verdict.sentence}" if verdict.sentence else f"{first.about}: {described(first)}"
    return f"{exercise.title}, why it goes wrong:\n  {why}"


def points(id: str, namespace: dict[str, Any] | None = None) -> int:
    """Return the points of your answer to an exercise on its visible cases, for nbgrader and otter.

    Nothing is written to standard error meanwhile: nbgrader gives no points to a cell that writes there, as
    TensorFlow does when it starts.

    Args:
        id: id of the exercise.
        namespace: the names that you defined. Defaults to those of the notebook or module that calls `points`.

    Raises:
        InputError: no exercise has this id.
    """
    lab, exercise = labs.find_exercise(id)
    if namespace is None:
        namespace = sys._getframe(1).f_globals
    with _without_stderr():
        return review(lab, exercise, namespace).points


@contextlib.contextmanager
def _without_stderr():
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # a log handler keeps the stream that it was created with
    try:
        with stderr.closed(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def visible_cases(exercise: Exercise) -> list[dict[str, Any]]:
    """Draw the cases that a student may see, the same on every machine."""
    return exercise.cases(np.random.default_rng(VISIBLE_SEED))


def review(lab: labs.Lab, exercise: Exercise, namespace: dict[str, Any]) -> Verdict:
    """Judge the objects in a namespace on the visible cases."""
    absent = [name for name in exercise.defines if name not in namespace]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent)
        verb = "is" if len(absent) == 1 else "are"
        return missing(
            exercise, f"{names} {verb} not defined yet: run the cell of the exercise, then this cell again"
        )
    broken = _broken(exercise, namespace)
    if broken:
        return missing(exercise, broken)
    found = _delegated(lab, exercise, namespace)
    if found:
        return forbidden(exercise, found)
    with np.errstate(all="ignore"):
        cases = visible_cases(exercise)
    probe = getattr(lab.probes, exercise.id)
    outputs = [measure(probe, namespace, case) for case in cases]
    known = KnownMistakes(lab, exercise, cases)
    return concluded(exercise, cases, outputs, known.outputs)


def concluded(
    exercise: Exercise,
    cases: list[dict[str, Any]],
    outputs: list[dict[str, np.ndarray] | Failure],
    run: Callable[[Mistake, int], dict[str, np.ndarray] | Failure],
) -> Verdict:
    """Judge outputs, and add the task if the answer is still the stub, or the known mistake that it makes.

    Args:
        exercise: the exercise.
        cases: its cases.
        outputs: outputs of the answer on the cases.
        run: outputs of a known mistake on a case, as for `judge.matching`.
    """
    with np.errstate(all="ignore"):  # a notebook may have called `np.seterr(all="raise")`
        verdict = judge.judge(exercise, cases, outputs)
        if outputs and all(isinstance(output, Failure) and output.unwritten for output in outputs):
            verdict.status, verdict.sentence = "missing", exercise.task
        elif verdict.status != "ok":
            verdict.sentence = judge.matching(exercise, cases, outputs, run)
    return verdict


def missing(exercise: Exercise, sentence: str) -> Verdict:
    """Return the verdict on an answer that was not written."""
    return _nothing(exercise, "missing", sentence)


def forbidden(exercise: Exercise, sentence: str) -> Verdict:
    """Return the verdict on an answer that uses what its exercise forbids."""
    return _nothing(exercise, "forbidden", sentence)


def _nothing(exercise, status, sentence):
    earned = dict.fromkeys(exercise.parts_points(), 0)
    return judge.Verdict(exercise.id, 0, exercise.points, status, earned, [], sentence)


def _broken(exercise, namespace):
    """Describe the error if the cell of the answer, as it was last run, is not Python: its names are then old ones."""
    names = "|".join(map(re.escape, exercise.defines))
    own = re.compile(
        rf"^(?:class|def) +(?:{names})\b|^(?:{names}) *=|^# *exercise: *{exercise.id}\b", re.MULTILINE
    )
    for source in reversed([each for each in namespace.get("In", ()) if isinstance(each, str)]):
        if own.search(source):
            try:
                statements(source)
            except SyntaxError as error:
                return (
                    f"the cell that you ran last has an error in line {error.lineno} ({error.msg}), so what is defined "
                    "is from an earlier run: mend it and run it again"
                )
            except (ValueError, RecursionError, MemoryError):
                return "the cell that you ran last cannot be read, so what is defined is from an earlier run"
            return ""
    return ""


def _delegated(lab, exercise, namespace):
    """Find delegation as the grader does, in the bases of the classes and in the cells that IPython remembers."""
    for name, base in exercise.bases.items():
        if not prohibitions.derives(namespace[name], base):
            return f"`{name}` must derive from `{base}`"
        others = prohibitions.foreign_bases(namespace[name], base)
        if others:
            return f"`{name}` derives from `{others[0]}`; it must derive from `{base}` alone"
    cells = [Cell(source) for source in namespace.get("In", ()) if isinstance(source, str)]
    code = Notebook(cells, lab.stubs).answer(exercise.id, exercise.defines).code
    return delegation.summary(exercise, code)


class KnownMistakes:
    """Outputs of the known mistakes of an exercise, computed when they are first needed.

    Args:
        lab: the lab of the exercise.
        exercise: the exercise.
        cases: its cases.
    """

    def __init__(self, lab: labs.Lab, exercise: Exercise, cases: list[dict[str, Any]]):
        self._lab, self._exercise, self._cases = lab, exercise, cases
        self._namespaces: dict[str, dict[str, Any] | Failure] = {}
        self._outputs: dict[tuple[str, int], dict[str, np.ndarray] | Failure] = {}

    def outputs(self, mistake: Mistake, index: int) -> dict[str, np.ndarray] | Failure:
        """Return the outputs of a mistake on the case with an index."""
        key = (mistake.sentence, index)
        if key not in self._outputs:
            if mistake.sentence not in self._namespaces:
                code = code_of(self._lab, self._exercise, mistake.of(self._lab.solution(self._exercise.id)))
                self._namespaces[mistake.sentence] = measurement.execute(code)
            namespace = self._namespaces[mistake.sentence]
            probe = getattr(self._lab.probes, self._exercise.id)
            if isinstance(namespace, Failure):
                self._outputs[key] = namespace
            else:
                with _without_stderr():  # its warnings would be taken for those of the student's code
                    self._outputs[key] = measure(probe, namespace, self._cases[index])
        return self._outputs[key]


def code_of(lab: labs.Lab, exercise: Exercise, answer: str) -> str:
    """Add to an answer that the lab knows the definitions that it uses from other cells of the lab."""
    return lab.notebook({exercise.id: answer}).answer(exercise.id, exercise.defines).code


def report(exercise: Exercise, verdict: Verdict) -> str:
    """Write a verdict as text that fits on one screen."""
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


def described(finding: Finding) -> str:
    """Write a finding as text, after the name of its array."""
    return f"`{finding.name}` {finding.what}" if finding.name else finding.what


def measure(
    probe: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    namespace: dict[str, Any],
    case: dict[str, Any],
) -> dict[str, np.ndarray] | Failure:
    """Run a probe on a copy of a case, from the seed with which every case starts."""
    seeds.seed()
    copied = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    with _lent_streams(), _first_precision():
        return measurement.measure(probe, namespace, copied)


class _Lent:
    """A stream that does everything that another one does, but does not close it."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __iter__(self):
        return iter(self._stream)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def close(self):
        pass

    def detach(self):
        raise io.UnsupportedOperation("detach")


@contextlib.contextmanager
def _first_precision():
    """Within this context Keras begins in float32, as where answers are graded; afterwards it is as before."""
    from keras import config

    own = config.floatx(), config.dtype_policy()
    config.set_floatx("float32")
    config.set_dtype_policy("float32")
    try:
        yield
    finally:
        config.set_floatx(own[0])
        config.set_dtype_policy(own[1])


@contextlib.contextmanager
def _lent_streams():
    """Within this context `sys.stdout` and `sys.stderr` may be closed or replaced; afterwards they are as before."""
    own = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (each and _Lent(each) for each in own)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = own
