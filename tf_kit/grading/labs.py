"""The labs: where they are, their exercises, and the stub and solution of each.

A lab has four files of one name:

    labs/NN_topic.py              its only source: prose, stubs, solutions (a percent script that runs as a program)
    labs/probes/NN_topic.py       public: one function an exercise, turns a student's objects into arrays
    labs/answers/NN_topic.py      the judge's: `EXERCISES`, with cases, references, mistakes and variants; NumPy only
    labs/notebooks/NN_topic.ipynb the student notebook, generated

The cell of an exercise is opened by a line such as `# %% exercise="momentum"`. In it, what the student is to write
stands between `### BEGIN SOLUTION` and `### END SOLUTION`; commented lines under a `### STUB` right above are what
the student notebook holds instead (without them, a line that raises `NotImplementedError`).
"""

import dataclasses
import difflib
import functools
import importlib.util
import re
import sys
from pathlib import Path

from tf_kit import _checks
from tf_kit.grading import submissions
from tf_kit.grading.slicing import Cell, Notebook

_SOLUTION = re.compile(
    r"^(?P<indent> *)### (?:STUB\n(?P<stub>(?: *#(?!##)[^\n]*\n)*) *### )?BEGIN SOLUTION\n"
    r"(?P<solution>.*?) *### END SOLUTION\n",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Lab:
    """A lab by its number and topic, read from its files when asked."""

    number: str
    topic: str
    source: Path

    @property
    def name(self):
        return self.source.stem

    @functools.cached_property
    def title(self):
        """The first heading of the source."""
        found = re.search(r"^# # (.+)$", self.source.read_text(encoding="utf-8"), re.MULTILINE)
        return found.group(1) if found else self.topic.replace("_", " ").capitalize()

    @functools.cached_property
    def exercises(self):
        """id -> `Exercise`, in the order of the lab."""
        module = _load(self.folder / "answers" / self.source.name, f"tf_kit_lab_answers_{self.name}")
        return {exercise.id: exercise for exercise in module.EXERCISES}

    @functools.cached_property
    def probes(self):
        """The module of probes: it imports Keras, so only a student's process asks for it."""
        return _load(self.probes_path, f"tf_kit_lab_probes_{self.name}")

    @property
    def folder(self):
        return self.source.parent

    @property
    def probes_path(self):
        return self.folder / "probes" / self.source.name

    @property
    def notebook_path(self):
        return self.folder / "notebooks" / f"{self.name}.ipynb"

    @functools.cached_property
    def code(self):
        """The code cells of the source: (id of the exercise or "", text with markers)."""
        text = self.source.read_text(encoding="utf-8")
        heads = [*re.finditer(r"^# %%(.*)\n", text, re.MULTILINE)]
        ends = [head.start() for head in heads[1:]] + [len(text)]
        cells = []
        for head, end in zip(heads, ends, strict=True):
            if "[markdown]" not in head.group(1):
                id = re.search(r'\bexercise="(\w+)"', head.group(1))
                cells.append((id.group(1) if id else "", text[head.end() : end].strip() + "\n"))
        return cells

    @functools.cached_property
    def cells(self):
        """id -> the source of the exercise's cell, with its markers."""
        return {id: text for id, text in self.code if id}

    def notebook(self, replaced=None):
        """The lab with its solutions as a `Notebook`; `replaced` maps ids to other answers' code."""
        answers = {id: self.solution(id) for id in self.cells} | dict(replaced or {})
        return Notebook(
            [Cell(answers.get(id, text), (id,) if id else ()) for id, text in self.code], self.stubs
        )

    @functools.cached_property
    def stubs(self):
        """id -> (names the exercise asks for, its cell as the student finds it)."""
        return {id: (exercise.defines, self.stub(id)) for id, exercise in self.exercises.items()}

    def solution(self, id):
        """The exercise's cell with the solution in it."""
        return solution_of(self.cells[id])

    def stub(self, id):
        """The exercise's cell as the student finds it."""
        return stub_of(self.cells[id])

    @property
    def points(self):
        return sum(exercise.points for exercise in self.exercises.values())


def solution_of(cell):
    """A marked cell without its markers and stubs.

    >>> print(solution_of("def f(x):\\n    ### BEGIN SOLUTION\\n    return x\\n    ### END SOLUTION\\n"), end="")
    def f(x):
        return x
    """
    return _SOLUTION.sub(lambda found: found["solution"], cell).rstrip() + "\n"


def stub_of(cell):
    """A marked cell with its stubs in place of the solutions.

    >>> print(stub_of("### STUB\\n# x = 0\\n### BEGIN SOLUTION\\nx = 1\\n### END SOLUTION\\n"), end="")
    x = 0
    """

    def stub(found):
        if found["stub"] is None:
            return f'{found["indent"]}raise NotImplementedError("your turn")\n'
        return re.sub(r"^( *)# ?", r"\1", found["stub"], flags=re.MULTILINE)

    return _SOLUTION.sub(stub, cell).rstrip() + "\n"


def folder():
    """The folder of the labs: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "_labs"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "labs"


@functools.cache
def labs():
    """All labs in order."""
    return [Lab(*path.stem.split("_", 1), path) for path in sorted(folder().glob("[0-9][0-9]_*.py"))]


def find(name):
    """The lab of a number ("3", "03") or a topic ("optimizers"), or `InputError` that names the nearest."""
    for lab in labs():
        if name in (lab.topic, lab.number, lab.number.lstrip("0"), lab.name):
            return lab
    near = difflib.get_close_matches(name, [lab.topic for lab in labs()], n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    _checks.refuse(
        "lab", "be the number or the name of a lab", f"{name!r}", f"{hint}`tf-kit lab list` shows them"
    )


def of_notebook(path):
    """The lab that a notebook answers: what its metadata says, else the one most of whose answers it defines.

    Raises:
        ValueError: it answers no lab, or is not a notebook.
    """
    try:
        cells = submissions.read(path)
    except submissions.Unreadable as error:
        _checks.refuse("NOTEBOOK", "be a notebook", f"{str(path)!r}", str(error))
    marks = {mark for cell in cells for mark in cell.marks}
    text = "\n".join(cell.source for cell in cells)

    def answered(lab):
        names = [name for exercise in lab.exercises.values() for name in exercise.defines]
        return len(marks & set(lab.exercises)), sum(
            bool(re.search(rf"^(?:class|def) +{name}\b|^{name} *=", text, re.MULTILINE)) for name in names
        )

    best = max(labs(), key=answered)
    if answered(best) == (0, 0):
        _checks.refuse("NOTEBOOK", "answer a lab", f"{str(path)!r}", "Name the lab by --lab")
    return best


def find_exercise(id):
    """(lab, exercise) of an exercise's id, or `InputError` that names the nearest."""
    known = {}
    for lab in labs():
        for exercise in lab.exercises.values():
            known[exercise.id] = (lab, exercise)
    if id in known:
        return known[id]
    near = difflib.get_close_matches(id, list(known), n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    _checks.refuse(
        "exercise",
        "be the id of an exercise",
        f"{id!r}",
        f"{hint}They are {', '.join(known) or 'not written'}",
    )


def _load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
