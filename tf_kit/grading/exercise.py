"""Exercises: the question, its cases and reference, known answers, and how arrays are compared with the reference."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_kit.checks import choice, count, number, refuse

LONGEST = 86_400  # seconds of an answer, a day
TOLERANCES = {
    "float16": (1e-2, 1e-3),
    "bfloat16": (3e-2, 1e-2),
    "float32": (1e-4, 1e-6),
    "float64": (1e-9, 1e-12),
}


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A known wrong answer, with the explanation that a student gets for it.

    Args:
        sentence: the mistake and why it matters, addressed to the student: "this is Adam without bias correction: …".
        edits: piece of the solution -> replacement; each piece must occur exactly once in the solution.
        code: the whole answer, if edits would be unreadable.
    """

    sentence: str
    edits: dict[str, str] | None = None
    code: str | None = None

    def of(self, solution: str) -> str:
        """Make the code of this wrong answer from that of the solution.

        Raises:
            InputError: a piece to be replaced does not occur exactly once.
        """
        return _rewritten(self, solution)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A right answer other than the solution; it must get every point.

    Args:
        name: how it differs: "keeps its state in a dict".
        edits: piece of the solution -> replacement; each piece must occur exactly once in the solution.
        code: the whole answer, if edits would be unreadable.
    """

    name: str
    edits: dict[str, str] | None = None
    code: str | None = None

    def of(self, solution: str) -> str:
        """Make the code of this answer from that of the solution.

        Raises:
            InputError: a piece to be replaced does not occur exactly once.
        """
        return _rewritten(self, solution)


def _rewritten(answer, solution):
    if answer.code is not None:
        return answer.code
    for old, new in (answer.edits or {}).items():
        if solution.count(old) != 1:
            label = getattr(answer, "sentence", None) or answer.name
            refuse(
                f"{type(answer).__name__}.edits",
                "replace pieces that occur exactly once in the solution",
                f"{old!r}, which occurs {solution.count(old)} times, in {label!r}",
                "Use a longer piece of the line, as the solution spells it",
            )
        solution = solution.replace(old, new)
    return solution


@dataclasses.dataclass(frozen=True)
class Close:
    """An expected array with a tolerance or dtype. A plain array in `Exercise.reference` means `Close(array)`.

    Args:
        value: expected array; float64 for real numbers. Integers, booleans and strings are compared exactly.
        rtol: relative tolerance. Defaults to that of the exercise for the case's dtype.
        atol: absolute tolerance. Defaults to that of the exercise for the case's dtype.
        dtype: dtype that the answer's array must have; None allows any. Defaults to the case's "dtype".
    """

    value: Any
    rtol: float | None = None
    atol: float | None = None
    dtype: str | None = "of the case"


@dataclasses.dataclass(frozen=True)
class Between:
    """Bounds on every element of the answer's array: for random values, with bounds computed from n.

    Args:
        low: smallest allowed value, a number or an array.
        high: largest allowed value, a number or an array.
    """

    low: Any
    high: Any


@dataclasses.dataclass(frozen=True)
class Holds:
    """A property that the answer's array must have.

    Args:
        test: function that returns whether an array has the property.
        what: the property, as the end of the sentence "`name of the array` must …".
    """

    test: Callable[[np.ndarray], Any]
    what: str


@dataclasses.dataclass(frozen=True)
class Exercise:
    """A question, the cases that measure an answer, and the known right and wrong answers.

    The judge uses the object without Keras; it needs NumPy only. The probe of the exercise, which turns a student's
    objects into arrays and may need Keras, is the function named `id` in `labs/probes/NN_topic.py`. Stub and solution
    are the cell marked `exercise="id"` in `labs/NN_topic.py`.

    Args:
        id: identifier of the exercise, unique across the labs, and name of its probe.
        title: name of the exercise in the reports.
        points: points for a right answer.
        task: sentence for a student who has not started: what to write.
        cases: function of a `numpy.random.Generator` that draws the cases, a list of dicts of arrays, numbers and
            strings: the arguments of the probe. It also draws the hidden cases, from a secret seed. Keys with a
            meaning: "about" (a few words that name the case), "part" (see `parts`), "dtype" (dtype that the answer's
            arrays must have; it selects the tolerance).
        reference: function of a case that returns the values expected from the probe: a dict of float64 arrays,
            `Close`, `Between` or `Holds`.
        defines: names that an answer must define.
        computes: function of a case and the probe's arrays that returns the arrays to be compared. It runs in the
            judge: what an answer's process computes of a claim, the answer may have tampered with.
        bases: name in `defines` -> dotted name of the class that it must derive from directly.
        forbids: dotted names of classes, functions or whole modules that would do the work.
        allows: modules of this kit that an answer may use besides `tf_kit.data`.
        tolerances: dtype -> (rtol, atol), taking precedence over `TOLERANCES`.
        parts: part -> points, if parts of the cases earn points separately. Each part is all or nothing.
        mistakes: known wrong answers, the more likely first.
        variants: right answers other than the solution.
        seconds: time limit for one answer with all its cases, at most a day.
        memory_mb: memory that one answer may take beyond that of an idle TensorFlow.

    Raises:
        InputError: a field does not have the form that is described here.
    """

    id: str
    title: str
    points: int
    task: str
    cases: Callable[[np.random.Generator], list[dict[str, Any]]]
    reference: Callable[[dict[str, Any]], dict[str, Any]]
    defines: tuple[str, ...]
    computes: Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, Any]] | None = None
    bases: dict[str, str] = dataclasses.field(default_factory=dict)
    forbids: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    tolerances: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    parts: dict[str, int] | None = None
    mistakes: tuple[Mistake, ...] = ()
    variants: tuple[Variant, ...] = ()
    seconds: float = 20.0
    memory_mb: int = 1500

    def __post_init__(self):
        if not self.id.isidentifier():
            refuse(
                "Exercise.id",
                "be a valid Python name",
                f"id={self.id!r}",
                "Use letters, digits and underscores",
            )
        for field in ("defines", "forbids", "allows", "mistakes", "variants"):
            if not isinstance(getattr(self, field), tuple):  # a string would be read as a tuple of letters
                received = f"{field}={getattr(self, field)!r}"
                refuse(f"Exercise.{field}", "be a tuple", received, "A tuple of one item ends with a comma")
        for name in self.forbids:
            if name in ("tensorflow.keras", "tf.keras"):  # aliases of `keras`: all of it would be closed
                refuse(
                    "Exercise.forbids",
                    "show whether all of Keras is meant",
                    f"forbids={self.forbids!r}",
                    "Write `keras` to forbid all of it, or a part of it such as `keras.optimizers`",
                )
        count("Exercise.points", self.points)
        number("Exercise.seconds", self.seconds, at_least=0.1, at_most=LONGEST)
        count("Exercise.memory_mb", self.memory_mb)
        if sum(self.parts_points().values()) != self.points:
            refuse("Exercise.parts", f"add up to points={self.points}", f"parts={self.parts!r}")

    def parts_points(self) -> dict[str, int]:
        """Return the points of each part. An exercise without parts has one part, "values"."""
        return dict(self.parts) if self.parts else {"values": self.points}

    def part_of(self, case: dict[str, Any]) -> str:
        """Return the part that a case belongs to: that of its key "part", or the first part.

        Raises:
            InputError: the exercise has no such part.
        """
        part = case.get("part", next(iter(self.parts_points())))
        return choice(f"{self.id}.cases.part", part, tuple(self.parts_points()))

    @property
    def opens(self) -> tuple[str, ...]:
        """Dotted names that an answer may use although they are inside a forbidden module."""
        return (*self.allows, *self.bases.values())

    @property
    def kit(self) -> tuple[str, ...]:
        """Modules of this kit that an answer may import."""
        return ("data", *(name.split(".")[1] for name in self.allows if name.startswith("tf_kit.")))

    def tolerance(self, dtype: str | None) -> tuple[float, float]:
        """Return (rtol, atol) for a dtype, or for float32 if the case names no dtype."""
        return {**TOLERANCES, **self.tolerances}.get(dtype or "float32", TOLERANCES["float32"])
