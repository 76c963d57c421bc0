"""The labs: their files and exercises, and the stub and solution of each exercise.

A lab has four files of one name:

    labs/NN_topic.py              source: prose, stubs, solutions (a percent script that runs as a program)
    labs/probes/NN_topic.py       one function per exercise, which turns a student's objects into arrays
    labs/answers/NN_topic.py      `EXERCISES` with cases, references, mistakes and variants, for the judge; NumPy only
    labs/notebooks/NN_topic.ipynb student notebook, generated from the source

The cell of an exercise starts with a line such as `# %% exercise="momentum"`. The part that the student must write is
between `### BEGIN SOLUTION` and `### END SOLUTION`. In the student notebook it is replaced by the commented lines under
a `### STUB` right above it, or by a line that raises `NotImplementedError`.

A teacher's own lab lies in one folder: `circles/circles.py`, `circles/probes/circles.py`,
`circles/answers/circles.py`. It is found by its path, or by its topic if `TF_KIT_LABS` names its folder.
"""

import dataclasses
import difflib
import functools
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from tf_kit.checks import refuse
from tf_kit.grading import consistency, reading
from tf_kit.grading.exercise import Exercise
from tf_kit.grading.slicing import Cell, Notebook

FOLDERS = "TF_KIT_LABS"  # environment variable that names the folders of a teacher's own labs
_SOLUTION = re.compile(
    r"^(?P<indent> *)### (?:STUB\n(?P<stub>(?: *#(?!##)[^\n]*\n)*) *### )?BEGIN SOLUTION\n"
    r"(?P<solution>.*?) *### END SOLUTION\n",
    re.MULTILINE | re.DOTALL,
)
_MARKER = re.compile(r"# *(?:begin|end) +solution", re.IGNORECASE)  # also one that is misspelled


@dataclasses.dataclass(frozen=True)
class Lab:
    """A lab. Its files are read when their contents are first used.

    Args:
        number: its number, as in the names of its files, or "".
        topic: its topic, as in the names of its files.
        source: path of its source.
    """

    number: str
    topic: str
    source: Path

    @property
    def name(self) -> str:
        """Number and topic: the name of its files without the suffix."""
        return self.source.stem

    @functools.cached_property
    def title(self) -> str:
        """First heading of the source."""
        found = re.search(r"^# # (.+)$", self.source.read_text(encoding="utf-8"), re.MULTILINE)
        return found.group(1) if found else self.topic.replace("_", " ").capitalize()

    @functools.cached_property
    def exercises(self) -> dict[str, Exercise]:
        """Exercises by id, in the order of the lab."""
        module = _load(self.answers_path, f"tf_kit_lab_answers_{self.name}")
        found = getattr(module, "EXERCISES", None)
        if not isinstance(found, list | tuple) or not all(isinstance(each, Exercise) for each in found):
            refuse(
                "lab",
                "have a list `EXERCISES` of `Exercise` among its answers",
                f"{self.answers_path}",
                flag="NAME",
            )
        return {exercise.id: exercise for exercise in found}

    @functools.cached_property
    def probes(self) -> ModuleType:
        """Module of the probes. It imports Keras, so only a process that runs answers may load it."""
        return _load(self.probes_path, f"tf_kit_lab_probes_{self.name}")

    @property
    def folder(self) -> Path:
        """Folder of the source."""
        return self.source.parent

    @property
    def probes_path(self) -> Path:
        """File of the probes."""
        return self.folder / "probes" / self.source.name

    @property
    def answers_path(self) -> Path:
        """File of the exercises, for the judge."""
        return self.folder / "answers" / self.source.name

    @property
    def notebook_path(self) -> Path:
        """File of the student notebook."""
        return self.folder / "notebooks" / f"{self.name}.ipynb"

    @functools.cached_property
    def code(self) -> list[tuple[str, str]]:
        """Code cells of the source: (id of the exercise or "", text with markers)."""
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
    def cells(self) -> dict[str, str]:
        """Source of each exercise's cell by id, with its markers."""
        return {id: text for id, text in self.code if id}

    def notebook(self, replaced: Mapping[str, str] | None = None) -> Notebook:
        """Make a notebook of the lab with its solutions.

        Args:
            replaced: id of an exercise -> code of an answer in place of the solution.
        """
        answers = {id: self.solution(id) for id in self.cells} | dict(replaced or {})
        return Notebook(
            [Cell(answers.get(id, text), (id,) if id else ()) for id, text in self.code], self.stubs
        )

    @functools.cached_property
    def stubs(self) -> dict[str, tuple[tuple[str, ...], str]]:
        """Names that each exercise asks for and its cell as handed out, by id."""
        return {id: (exercise.defines, self.stub(id)) for id, exercise in self.exercises.items()}

    def solution(self, id: str) -> str:
        """Return the cell of an exercise with its solution."""
        return solution_of(self.cells[id])

    def stub(self, id: str) -> str:
        """Return the cell of an exercise as handed out."""
        return stub_of(self.cells[id])

    def unmarked(self) -> list[str]:
        """Return the ids of the exercises whose solution is not marked, so that their stubs would show it."""
        return [
            id
            for id, cell in self.cells.items()
            if not _SOLUTION.search(cell) or _MARKER.search(_SOLUTION.sub("", cell))
        ]

    @property
    def points(self) -> int:
        """Points for all exercises."""
        return sum(exercise.points for exercise in self.exercises.values())


def solution_of(cell: str) -> str:
    """Remove markers and stubs from the cell of an exercise.

    Example:
        >>> print(solution_of("def f(x):\\n    ### BEGIN SOLUTION\\n    return x\\n    ### END SOLUTION\\n"), end="")
        def f(x):
            return x
    """
    return _SOLUTION.sub(lambda found: found["solution"], cell).rstrip() + "\n"


def stub_of(cell: str) -> str:
    """Replace the solutions in the cell of an exercise by their stubs.

    Example:
        >>> print(stub_of("### STUB\\n# x = 0\\n### BEGIN SOLUTION\\nx = 1\\n### END SOLUTION\\n"), end="")
        x = 0
    """

    def stub(found):
        if found["stub"] is None:
            return f'{found["indent"]}raise NotImplementedError("your turn")\n'
        return re.sub(r"^( *)# ?", r"\1", found["stub"], flags=re.MULTILINE)

    return _SOLUTION.sub(stub, cell).rstrip() + "\n"


def folder() -> Path:
    """Find the folder of the labs: inside an installed package, or next to the package in a checkout."""
    inside = Path(__file__).parents[1] / "_labs"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "labs"


@functools.cache
def built_in() -> list[Lab]:
    """List the labs of this kit in order."""
    return [_lab(path) for path in sorted(folder().glob("[0-9][0-9]_*.py"))]


@functools.cache
def _lab(source):
    number, topic = re.fullmatch(r"(?:(\d+)_)?(.+)", source.stem).groups(default="")
    return Lab(number, topic, source)


def labs() -> list[Lab]:
    """List all labs: those of this kit in order, then those in the folders that `TF_KIT_LABS` names.

    Raises:
        InputError: `TF_KIT_LABS` names a folder in which there is no lab.
    """
    own = []
    for path in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        lab = at(path)
        if lab is None:
            remedy = "If the notebook came with a folder of that name, put it next to the notebook"
            refuse(FOLDERS, "name folders of labs", f"{path!r}, where there is no lab", remedy)
        own.append(lab)
    return [*built_in(), *own]


def at(path: str | Path) -> Lab | None:
    """Return the lab with this folder or source; None if there is neither.

    Raises:
        InputError: the folder lacks files of a lab.
    """
    place = Path(path)
    if place.is_dir():
        place = place / f"{place.resolve().name}.py"
    if not place.is_file() or place.suffix != ".py":
        return None
    lab = _lab(place.resolve())
    missing = [part for part in (lab.probes_path, lab.answers_path) if not part.is_file()]
    if missing:
        refuse(
            "lab",
            "have a file of probes and a file of answers next to its source",
            f"{str(path)!r}, where there is no {', no '.join(str(p.relative_to(lab.folder)) for p in missing)}",
            "`tf-kit lab new NAME` makes a lab with all of its files",
            flag="NAME",
        )
    return lab


def find(name: str, consistent: bool = True) -> Lab:
    """Find a lab by its number ("3", "03"), its topic ("optimizers"), both ("03_optimizers"), or its path.

    Args:
        name: number, topic or path.
        consistent: whether to refuse a lab whose files have different exercises.

    Raises:
        InputError: there is no such lab, or its files have different exercises. The message names the most similar
            topic, or the exercises.
    """
    for lab in labs():
        if name and name in (lab.topic, lab.number, lab.number.lstrip("0"), lab.name):
            return _consistent(lab) if consistent else lab
    own = at(name) if name else None
    if own is not None:
        return _consistent(own) if consistent else own
    near = difflib.get_close_matches(name, [lab.topic for lab in labs()], n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    refuse(
        "lab",
        "be the number or the topic of a lab, or the folder of your lab",
        f"{name!r}",
        f"{hint}Run `tf-kit lab list` to see all labs",
        flag="NAME",
    )


def _consistent(lab):
    if lab not in built_in():
        consistency.require(lab)
    return lab


def of_notebook(path: str | Path) -> Lab:
    """Find the lab that a notebook answers: the one with the most exercises marked, or else defined, in its cells.

    Raises:
        InputError: the file is not a notebook, or it has no answer to any lab.
    """
    try:
        cells = reading.read(path)
    except reading.Unreadable as error:
        refuse(
            "NOTEBOOK",
            "be a Jupyter notebook",
            f"{str(path)!r}; {error}",
            "Save the notebook again as .ipynb",
        )
    best = of_cells(cells)
    if best is None:
        refuse(
            "NOTEBOOK",
            "have the cells of a lab",
            f"{str(path)!r}, which defines none of the answers",
            "Name the lab with --lab, as in `tf-kit lab check NOTEBOOK --lab optimizers`",
        )
    return _consistent(best)


def of_cells(cells: Sequence[Cell]) -> Lab | None:
    """Find the lab that the cells of a notebook answer, or None if they answer none."""
    best = max(labs(), key=lambda lab: traces(cells, lab))
    return best if traces(cells, best) != (0, 0) else None


def traces(cells: Sequence[Cell], lab: Lab) -> tuple[int, int]:
    """Count the exercises of a lab that are marked in the cells of a notebook, and its names that they define."""
    marks = {mark for cell in cells for mark in cell.marks}
    text = "\n".join(cell.source for cell in cells)
    names = [name for exercise in lab.exercises.values() for name in exercise.defines]
    return len(marks & set(lab.exercises)), sum(
        bool(re.search(rf"^(?:class|def) +{name}\b|^{name} *=", text, re.MULTILINE)) for name in names
    )


def exercises() -> dict[str, tuple[Lab, Exercise]]:
    """Return each exercise of all labs by its id, with its lab."""
    return {exercise.id: (lab, exercise) for lab in labs() for exercise in lab.exercises.values()}


def nearest(id: str) -> str:
    """Return the id of an exercise that is most similar to a word; "" if none is similar."""
    return next(iter(difflib.get_close_matches(id, list(exercises()), n=1)), "")


def find_exercise(id: str) -> tuple[Lab, Exercise]:
    """Find an exercise by its id, with its lab.

    Raises:
        InputError: there is no such exercise. The message names the most similar id.
    """
    known = exercises()
    if isinstance(id, str) and id in known:
        return known[id]
    near = nearest(id) if isinstance(id, str) else ""
    hint = f"Did you mean {near!r}? " if near else ""
    refuse(
        "exercise",
        "be the id of an exercise, the word in the first line of its cell",
        f"{id!r}",
        f"{hint}The ids are {', '.join(known)}",
    )


def _load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
        received = f"{path}, line {line}: {type(error).__name__}: {getattr(error, 'msg', error)}"
        refuse("lab", "have files that Python can run", received, flag="NAME")
    return module
