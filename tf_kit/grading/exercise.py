"""One exercise as one object, and how an answer's arrays may be compared with what is expected."""

import dataclasses
from collections.abc import Callable

from tf_kit import _checks

TOLERANCES = {
    "float16": (1e-2, 1e-3),
    "bfloat16": (3e-2, 1e-2),
    "float32": (1e-4, 1e-6),
    "float64": (1e-9, 1e-12),
}


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A known wrong answer, and what a teacher says when a student hands it in.

    Args:
        sentence: what is wrong and why it matters, to the student: "this is Adam without bias correction: …".
        edits: pieces of the solution and what stands there instead; each piece must occur exactly once.
        code: the whole answer, where edits would be unreadable.
    """

    sentence: str
    edits: dict[str, str] | None = None
    code: str | None = None

    def of(self, solution):
        """The code of this wrong answer."""
        return _rewritten(self, solution)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Another right answer; it must get every point.

    Args:
        name: in what it differs: "keeps its state in a dict".
        edits: pieces of the solution and what stands there instead; each piece must occur exactly once.
        code: the whole answer.
    """

    name: str
    edits: dict[str, str] | None = None
    code: str | None = None

    def of(self, solution):
        """The code of this right answer."""
        return _rewritten(self, solution)


def _rewritten(answer, solution):
    if answer.code is not None:
        return answer.code
    for old, new in (answer.edits or {}).items():
        if solution.count(old) != 1:
            label = getattr(answer, "sentence", None) or answer.name
            _checks.refuse(
                "edits",
                "replace a piece that occurs exactly once in the solution",
                f"{old!r}, {solution.count(old)} times, in {label!r}",
                "Take more of the line",
            )
        solution = solution.replace(old, new)
    return solution


@dataclasses.dataclass(frozen=True)
class Close:
    """An expected array with its own tolerance or dtype. A plain array in `reference` means `Close(array)`.

    Args:
        value: float64 for real numbers; integers, booleans and strings are compared exactly.
        rtol, atol: relative and absolute tolerance. Default to those of the exercise for the case's dtype.
        dtype: what the answer's array must have, or None if any will do. Defaults to the case's "dtype".
    """

    value: object
    rtol: float | None = None
    atol: float | None = None
    dtype: str | None = "of the case"


@dataclasses.dataclass(frozen=True)
class Between:
    """Every element of the answer lies in [low, high]: for what is random, with bounds computed from n."""

    low: object
    high: object


@dataclasses.dataclass(frozen=True)
class Holds:
    """A property that the answer's array has: `test(array)` is true. `what` ends the sentence "it must …"."""

    test: Callable
    what: str


@dataclasses.dataclass(frozen=True)
class Exercise:
    """A question, how an answer is measured, and everything that is known of right and wrong answers.

    The object lives with the judge and needs NumPy only. Its probe, which turns a student's objects into arrays and
    may need Keras, is the function named `id` in `labs/probes/NN_topic.py`; its stub and its solution are the cell
    marked `exercise="id"` in `labs/NN_topic.py`.

    Args:
        id: a word that names it in all labs, and its probe.
        title: what the reports call it.
        points: what a right answer earns.
        task: one sentence that tells who has not begun what to do.
        cases: `cases(rng)` draws a list of dicts of arrays, numbers and strings: what the probe is given. Hidden
            cases are drawn by the same function from a secret seed. Keys with a meaning: "about" (a few words that
            name the case), "part" (see `parts`), "dtype" (the answer's arrays must have it; chooses the tolerance).
        reference: `reference(case)` returns what the probe should return: a dict of float64 arrays, `Close`,
            `Between` or `Holds`.
        defines: names that an answer must define.
        bases: for a name of `defines`, the dotted name of the class that it must derive from directly.
        forbids: dotted names that would do the work: a class, a function or a whole module.
        allows: modules of this kit that an answer may use besides `tf_kit.data`.
        tolerances: dtype -> (rtol, atol), over `TOLERANCES`.
        parts: part -> points, where a part of the cases earns points of its own. Each part is all or nothing.
        mistakes: known wrong answers, the more likely first.
        variants: other right answers.
        seconds: limit for one answer with all its cases.
        memory_mb: limit of what one answer may take beyond an idle TensorFlow.
    """

    id: str
    title: str
    points: int
    task: str
    cases: Callable
    reference: Callable
    defines: tuple[str, ...]
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
            _checks.refuse("Exercise.id", "be a name that Python allows", f"id={self.id!r}")
        for field in ("defines", "forbids", "allows", "mistakes", "variants"):
            if not isinstance(getattr(self, field), tuple):  # a string alone would be taken letter by letter
                received = f"{field}={getattr(self, field)!r}"
                _checks.refuse(
                    f"Exercise.{field}", "be a tuple", received, "A tuple of one ends with a comma"
                )
        for name in self.forbids:
            if name in ("tensorflow.keras", "tf.keras"):  # other names of `keras`: all of it would be closed
                _checks.refuse(
                    "Exercise.forbids",
                    "say whether all of Keras is meant",
                    f"forbids={self.forbids!r}",
                    "Write `keras` for all of it, else the part, such as `keras.optimizers`",
                )
        _checks.count("Exercise.points", self.points)
        if sum(self.parts_points().values()) != self.points:
            _checks.refuse("Exercise.parts", f"add up to points={self.points}", f"parts={self.parts!r}")

    def parts_points(self):
        """Part -> points; one part, "values", where the exercise names none."""
        return dict(self.parts) if self.parts else {"values": self.points}

    def part_of(self, case):
        """The part a case belongs to: what it says, else the first."""
        part = case.get("part", next(iter(self.parts_points())))
        return _checks.choice(f"part of a case of {self.id}", part, tuple(self.parts_points()))

    @property
    def opens(self):
        """Dotted names that an answer may use although they lie in what is forbidden."""
        return (*self.allows, *self.bases.values())

    @property
    def kit(self):
        """The modules of this kit that an answer may import."""
        return ("data", *(name.split(".")[1] for name in self.allows if name.startswith("tf_kit.")))

    def tolerance(self, dtype):
        """(rtol, atol) for a dtype; float32's where the case names none."""
        return {**TOLERANCES, **self.tolerances}.get(dtype or "float32", TOLERANCES["float32"])
