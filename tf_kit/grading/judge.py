"""The judge: compares an answer's arrays with the reference. It needs NumPy only and never runs a student's code."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_kit.grading import foreign_text
from tf_kit.grading.exercise import Between, Close, Exercise, Holds, Mistake

MOST_REFERENCES = 256  # that are kept for the next submission
STATUSES = ("ok", "wrong", "error", "timeout", "memory", "crashed", "forbidden", "missing")


@dataclasses.dataclass(frozen=True)
class Failure:
    """An exception that an answer raised on a case instead of returning arrays.

    Args:
        kind: name of the exception's class.
        message: the exception's message, in one line.
        line: number of the line of the answer that raised it.
        text: that line.
    """

    kind: str
    message: str
    line: int | None = None
    text: str = ""

    @property
    def unwritten(self) -> bool:
        """Whether the answer is still the stub."""
        return self.kind == "NotImplementedError"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault of an answer in one case.

    Args:
        case: index of the case.
        about: name of the case.
        part: part of the exercise that the case belongs to.
        name: array that is wrong, or "" if the case raised an exception.
        what: the fault.
    """

    case: int
    about: str
    part: str
    name: str
    what: str


@dataclasses.dataclass
class Verdict:
    """The points of an answer and the reasons for them.

    Args:
        exercise: id of the exercise.
        points: points earned.
        maximum: points for a right answer.
        status: one of `STATUSES`.
        earned: part -> points earned.
        findings: faults in the cases.
        sentence: explanation of the status, or of the known mistake that the answer makes.
    """

    exercise: str
    points: int
    maximum: int
    status: str
    earned: dict[str, int]
    findings: list[Finding]
    sentence: str = ""


def judge(
    exercise: Exercise, cases: list[dict[str, Any]], outputs: list[dict[str, np.ndarray] | Failure]
) -> Verdict:
    """Compare the outputs on all cases with the reference.

    Args:
        exercise: the exercise.
        cases: its cases.
        outputs: for each case the probe's dict of arrays, or a `Failure`.

    Returns:
        A verdict with status "ok", "wrong" or "error". Each part of the exercise is all or nothing.
    """
    findings, failed = [], False
    for i, (case, sent) in enumerate(zip(cases, outputs, strict=True)):
        output = computed(exercise, case, sent)
        part, about = exercise.part_of(case), str(case.get("about", f"case {i + 1}"))
        if isinstance(output, Failure):
            failed = True
            findings.append(
                Finding(i, about, part, "", f"raised {output.kind}: {output.message}".rstrip(": "))
            )
            continue
        expected = _expected(exercise, case)
        for name, value in expected.items():
            what = compare(exercise, case, name, value, output)
            if what:
                findings.append(Finding(i, about, part, name, what))
    lost = {finding.part for finding in findings}
    earned = {part: 0 if part in lost else points for part, points in exercise.parts_points().items()}
    status = "ok" if not findings else "error" if failed else "wrong"
    return Verdict(exercise.id, sum(earned.values()), exercise.points, status, earned, findings)


def _expected(exercise, case):
    """The reference on a case, which a grader asks for once for every submission."""
    key = id(exercise), id(case)
    if key not in _references:
        if len(_references) >= MOST_REFERENCES:
            del _references[next(iter(_references))]
        _references[key] = exercise, case, exercise.reference(case)
    return _references[key][2]


# Both objects are held, so that no others get their numbers.
_references: dict[tuple[int, int], tuple[Exercise, dict[str, Any], dict[str, Any]]] = {}


def computed(
    exercise: Exercise, case: dict[str, Any], output: dict[str, np.ndarray] | Failure
) -> dict[str, np.ndarray] | Failure:
    """Compute from the arrays of an answer those that are compared, if its exercise says how."""
    if exercise.computes is None or isinstance(output, Failure):
        return output
    try:
        with np.errstate(all="ignore"):
            return {name: np.asarray(each) for name, each in exercise.computes(case, output).items()}
    except Exception as error:  # arrays of unexpected shapes or dtypes, or none at all
        return Failure(type(error).__name__, "the arrays that were returned do not fit together")


def compare(
    exercise: Exercise, case: dict[str, Any], name: str, expected: Any, output: dict[str, np.ndarray]
) -> str:
    """Compare one array of an answer with the reference.

    Args:
        exercise: the exercise, for its tolerances.
        case: the case, for its dtype.
        name: name of the array.
        expected: value of the reference: an array, `Close`, `Between` or `Holds`.
        output: arrays of the answer.

    Returns:
        The fault, to follow the name of the array; "" if there is none.
    """
    if name not in output:
        return "was not returned"
    got = output[name]
    if isinstance(expected, Holds):
        return "" if _holds(expected, got) else f"must {expected.what}; {_described(got)}"
    if isinstance(expected, Between):
        return _between(got, expected)
    if not isinstance(expected, Close):
        expected = Close(expected)
    return _close(exercise, case, got, expected)


def _holds(expected, got):
    with np.errstate(all="ignore"):
        try:
            return bool(expected.test(got))
        except Exception:  # the test may fail on an array of another shape or dtype
            return False


def _between(got, expected):
    low, high = np.asarray(expected.low), np.asarray(expected.high)
    if got.dtype.kind not in "biuf":
        return f"expected real numbers, got dtype {got.dtype}"
    shape = np.broadcast_shapes(low.shape, high.shape)
    if shape and got.shape != shape:
        return f"expected shape {shape}, got {got.shape}"
    outside = ~((got >= low) & (got <= high))
    if not outside.any():
        return ""
    at = _first(outside)
    low, high = (np.broadcast_to(bound, got.shape)[at] for bound in (low, high))
    return f"{_place(at)}got {_number(got[at])}, expected between {_number(low)} and {_number(high)}"


def _close(exercise, case, got, expected):
    value = np.asarray(expected.value)
    dtype = case.get("dtype") if expected.dtype == "of the case" else expected.dtype
    if value.dtype.kind in "biuUS":
        if value.dtype.kind != got.dtype.kind and not (value.dtype.kind in "biu" and got.dtype.kind in "iu"):
            return f"expected {value.dtype.name} values, got dtype {got.dtype}"
        if got.shape != value.shape:
            return f"expected shape {value.shape}, got {got.shape}"
        unequal = got != value
        if not unequal.any():
            return ""
        at = _first(unequal)
        return f"{_place(at)}got {foreign_text.line(got[at], 60)}, expected {value[at]}"
    if got.dtype.kind not in "biuf":
        return f"expected real numbers, got dtype {got.dtype}"
    if got.shape != value.shape:
        return f"expected shape {value.shape}, got {got.shape}"
    if dtype is not None and got.dtype.name != dtype:
        return f"expected dtype {dtype}, got {got.dtype.name}"
    rtol, atol = exercise.tolerance(dtype)
    rtol = rtol if expected.rtol is None else expected.rtol
    atol = atol if expected.atol is None else expected.atol
    with np.errstate(all="ignore"):
        got = got.astype("float64")
        if np.isfinite(value).all() and (np.abs(got - value) <= atol + rtol * np.abs(value)).all():
            return ""  # what `isclose` computes, in a third of its time
        apart = ~np.isclose(got, value, rtol=rtol, atol=atol, equal_nan=True)
        if not apart.any():
            return ""
        return _difference(got, value.astype("float64"), apart)


def _difference(got, value, apart):
    """Describe a difference: non-finite values, the worst element, the median ratio (it shows a missing factor)."""
    notes = []
    unexpected = ~np.isfinite(got) & np.isfinite(value)
    if unexpected.any():
        notes.append(f"{unexpected.sum()} of {got.size} not finite")
    distance = np.where(apart, np.abs(got - value), -1.0)
    distance = np.where(apart & ~np.isfinite(distance), np.inf, distance)
    at = np.unravel_index(int(np.argmax(distance)), distance.shape) if got.shape else ()
    notes.append(f"{_place(at)}got {_number(got[at])}, expected {_number(value[at])}")
    if got.size > 1:
        notes.append(f"{apart.sum()} of {got.size} differ")
    usable = np.isfinite(got) & np.isfinite(value) & (np.abs(value) > 1e-12)
    if usable.any():
        ratio = float(np.median(got[usable] / value[usable]))
        if abs(ratio - 1) > 1e-3:
            notes.append(f"median of got/expected {_number(ratio)}")
    return "; ".join(notes)


def _first(mask):
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _place(at):
    return f"at [{', '.join(str(int(i)) for i in at)}] " if len(at) else ""


def _number(value):
    """Write a number with at most six digits.

    Example:
        >>> _number(0.1 + 0.2), _number(1e-9), _number(float("nan"))
        ('0.3', '1e-09', 'nan')
    """
    value = float(value)
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def _described(got):
    finite = got.dtype.kind not in "fc" or bool(np.isfinite(got).all())
    return f"it has shape {got.shape}, dtype {got.dtype}{'' if finite else ', not all finite'}"


def same(
    exercise: Exercise,
    case: dict[str, Any],
    one: dict[str, np.ndarray] | Failure,
    other: dict[str, np.ndarray] | Failure,
) -> bool:
    """Whether two answers behave alike on a case, so that an answer can be recognized as a known mistake.

    Arrays with expected values must be close to each other; random arrays must be on the same side of their bounds;
    failures must be of the same kind.
    """
    one, other = computed(exercise, case, one), computed(exercise, case, other)
    if isinstance(one, Failure) or isinstance(other, Failure):
        return isinstance(one, Failure) and isinstance(other, Failure) and one.kind == other.kind
    for name, expected in _expected(exercise, case).items():
        if (name in one) != (name in other):
            return False
        if name not in one:
            continue
        if isinstance(expected, Between | Holds):
            verdicts = [_side(each[name], expected) for each in (one, other)]
            if verdicts[0] != verdicts[1]:
                return False
        elif not _alike(exercise, case, expected, one[name], other[name]):
            return False
    return True


def _side(got, expected):
    """Classify each element as below, inside or above the bounds; for a property, whether it holds."""
    if isinstance(expected, Holds):
        return _holds(expected, got)
    if got.dtype.kind not in "biuf":
        return str(got.dtype)
    try:
        below, above = got < np.asarray(expected.low), got > np.asarray(expected.high)
    except ValueError:
        return got.shape
    return (below * -1 + above * 1 + np.isnan(got.astype("float64")) * 9).tolist()


def _alike(exercise, case, expected, one, other):
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return False
    if one.dtype.kind not in "f":
        return bool((one == other).all())
    if one.dtype != other.dtype:
        return False
    rtol, atol = exercise.tolerance(case.get("dtype"))
    if isinstance(expected, Close):
        rtol = rtol if expected.rtol is None else expected.rtol
        atol = atol if expected.atol is None else expected.atol
    with np.errstate(all="ignore"):
        one, other = one.astype("float64"), other.astype("float64")
        return bool(np.isclose(one, other, rtol=rtol, atol=atol, equal_nan=True).all())


def matching(
    exercise: Exercise,
    cases: list[dict[str, Any]],
    outputs: list[dict[str, np.ndarray] | Failure],
    run: Callable[[Mistake, int], dict[str, np.ndarray] | Failure],
) -> str:
    """Find the known mistake that an answer makes.

    Args:
        exercise: the exercise.
        cases: its cases.
        outputs: outputs of the answer on the cases, as for `judge`.
        run: function of a mistake and the index of a case that returns the outputs of the mistake on the case.

    Returns:
        Sentence of the first known mistake that behaves as the answer does on every case; "" if there is none.
    """
    order = sorted(range(len(cases)), key=lambda i: not _fails(exercise, cases[i], outputs[i]))
    for mistake in exercise.mistakes:
        if all(same(exercise, cases[i], outputs[i], run(mistake, i)) for i in order):
            return mistake.sentence
    return ""


def _fails(exercise, case, output):
    output = computed(exercise, case, output)
    if isinstance(output, Failure):
        return True
    return any(
        compare(exercise, case, name, value, output) for name, value in _expected(exercise, case).items()
    )
