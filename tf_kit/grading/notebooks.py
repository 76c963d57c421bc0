"""Student notebooks, generated from the sources of the labs, without solutions, tests or outputs.

    python -m tf_kit.grading.notebooks [lab ...]

writes the notebook of every lab, or of those named, into the folder `notebooks` next to its source. It also writes the
badges of the labs into the guides of the labs and of the lecture.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tf_kit import colab
from tf_kit.checks import refuse
from tf_kit.first_cell import first_cell
from tf_kit.grading import labs
from tf_kit.whole_files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tf_kit.grading.exercise import Exercise
    from tf_kit.grading.labs import Lab

_BADGE = f" {colab.BADGE}"
OWN_LAB = """

import os

if "{variable}" not in os.environ:
    os.environ["{variable}"] = "{folder}"  # folder with the checks, next to this notebook"""


def student_notebook(lab: Lab, requirement: str = "", folder: str | None = None) -> NotebookNode:
    """Make the notebook that is handed out: prose, stubs, and a mark in each cell that a student must complete.

    Args:
        lab: the lab.
        requirement: what pip is to install where the kit is missing, see `first_cell`.
        folder: folder of that repository in which the notebook lies, for the badge that opens it in Colab. Defaults to
            None, `labs/notebooks` for a lab of this kit, and no badge for your own lab.

    Returns:
        The notebook. The cell of an exercise is marked by its first line, `# exercise: momentum (3 points)`, and by its
        metadata.

    Raises:
        InputError: a solution is not marked as one, so that the notebook would show it, or `colab.badge` refuses the
            folder.
    """
    wanted = folder is not None or lab in labs.built_in()
    return _generated(
        lab, requirement, colab.badge(f"{lab.name}.ipynb", requirement, folder) if wanted else ""
    )


def _generated(lab, requirement, badge):
    import jupytext
    import nbformat

    shown = lab.unmarked()
    if shown:
        marked = "have each solution between the lines `### BEGIN SOLUTION` and `### END SOLUTION`"
        refuse("lab", marked, f"{lab.source}, where {', '.join(shown)} lacks one", flag="NAME")
    source = jupytext.reads(lab.source.read_text(encoding="utf-8"), fmt="py:percent")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["tf_kit"] = {"lab": lab.name}
    install = first_cell(requirement)
    if lab not in labs.built_in():
        install += OWN_LAB.format(variable=labs.FOLDERS, folder=lab.name)
    notebook.cells.append(_code("install", install))
    for i, cell in enumerate(source.cells):
        if cell.cell_type == "markdown":
            text, badge = colab.beneath_heading(cell.source, badge), ""  # beneath the first
            notebook.cells.append(nbformat.v4.new_markdown_cell(text, id=f"text-{i}"))
        elif "exercise" in cell.metadata:
            notebook.cells.append(answer_cell(lab, cell.metadata["exercise"]))
        else:
            notebook.cells.append(_code(f"code-{i}", cell.source))
    nbformat.validate(notebook)
    return notebook


def released(lab: Lab, form: str = "plain", requirement: str = "", folder: str | None = None) -> NotebookNode:
    """Make the student notebook, plain or in the format of nbgrader or otter.

    Both of these run their tests in the student's process, where an answer can read them, change them or write its
    own mark. Their tests are the visible cases only. Marks that count should come from the grader of this kit.

    Args:
        lab: the lab.
        form: "plain", "nbgrader" (source version, for `nbgrader generate_assignment`) or "otter" (with the tests in
            the metadata).
        requirement: as for `student_notebook`.
        folder: likewise; without it only the plain notebook has a badge.
    """
    import nbformat

    badged = form == "plain" or folder is not None
    notebook = student_notebook(lab, requirement, folder) if badged else _generated(lab, requirement, "")
    if form == "plain":
        return notebook
    cells, tests = [], {}
    for cell in notebook.cells:
        cells.append(cell)
        id = cell.metadata.get("tf_kit", {}).get("exercise")
        if id is None:
            continue
        maximum = lab.exercises[id].points
        call = f'points("{id}")'
        if form == "nbgrader":
            cell.metadata["nbgrader"] = _nbgrader(id, solution=True)
            test = _code(f"test-{id}", f"from tf_kit.grading import points\n\n{call}")
            test.metadata["nbgrader"] = _nbgrader(f"{id}_test", points=maximum)
            cells.append(test)
        else:
            code = f">>> from tf_kit.grading import points\n>>> {call}\n{maximum}"
            case = {"code": code, "hidden": False, "locked": False}
            suite = {"cases": [case], "scored": True, "setup": "", "teardown": "", "type": "doctest"}
            tests[id] = {"name": id, "points": maximum, "suites": [suite]}
            cells.append(_code(f"otter-{id}", f'grader.check("{id}")'))
    if form == "otter":
        notebook.metadata["otter"] = {"OK_FORMAT": True, "tests": tests}
        grader = f'otter.Notebook("{lab.name}.ipynb")'  # otter reads the tests from this file
        cells.insert(1, _code("otter", f"import otter\n\ngrader = {grader}"))
    notebook.cells = cells
    nbformat.validate(notebook)
    return notebook


def _nbgrader(id, solution=False, points=None):
    """Make nbgrader's metadata of a cell to be completed, or of a cell whose last value is the points."""
    described = {"grade": points is not None, "grade_id": id, "locked": not solution, "solution": solution}
    return {
        **described,
        "schema_version": 3,
        "task": False,
        **({"points": points} if points is not None else {}),
    }


def answer_cell(lab: Lab, id: str) -> NotebookNode:
    """Make the cell of an exercise with its stub, marked by its first line and its metadata."""
    cell = _code(f"exercise-{id}".replace("_", "-"), f"{mark(lab.exercises[id])}\n{lab.stub(id).rstrip()}")
    cell.metadata["tf_kit"] = {"exercise": id, "points": lab.exercises[id].points}
    return cell


def mark(exercise: Exercise) -> str:
    """Write the first line of the cell of an exercise in the student notebook."""
    return f"# exercise: {exercise.id} ({exercise.points} point{'s' if exercise.points != 1 else ''})"


def write(notebook: NotebookNode, path: str | Path) -> Path:
    """Write a notebook to a file, the same bytes for the same notebook. Returns the path.

    The file appears once it is complete, because one that exists is taken for a student's work.

    Raises:
        OSError: the file, which the error names, cannot be written.
    """
    return write_text(path, text_of(notebook))


def with_badges(guide: str) -> str:
    """Return the text of a guide with the badges of the labs, in the table of labs and in the lines of the demos."""
    for lab in labs.built_in():
        row = rf"^\| \[`{lab.number}`\]\({lab.name}\.py\)[^|\[]*?(?= \||{_BADGE})"
        mention = rf"Lab: \[`{lab.number}`\]\(\S+/{lab.name}\.ipynb\)"
        badge = colab.badge(f"{lab.name}.ipynb")
        after = f" {badge}" if badge else ""
        guide = re.sub(rf"({row}|{mention})(?:{_BADGE})?", rf"\g<1>{after}", guide, flags=re.MULTILINE)
    return guide


def write_checks(lab: Lab, folder: str | Path) -> Path:
    """Copy the files that `check` needs, which hold the solutions, into a folder. Returns the folder."""
    folder = Path(folder)
    for path in (lab.source, lab.probes_path, lab.answers_path):
        place = folder / path.relative_to(lab.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return folder


def text_of(notebook: NotebookNode) -> str:
    """Return the text that `write` would write, to find out whether a file is stale."""
    import nbformat

    return nbformat.writes(notebook) + "\n"


def _code(id, source):
    import nbformat

    if not re.fullmatch(r"[a-zA-Z0-9-]{1,64}", id):
        id = re.sub(r"[^a-zA-Z0-9-]", "-", id)[:64]
    return nbformat.v4.new_code_cell(source, id=id)


if __name__ == "__main__":
    for each in map(labs.find, sys.argv[1:]) if sys.argv[1:] else labs.built_in():
        print(write(student_notebook(each), each.notebook_path))
    for guide in (labs.folder() / "README.md", labs.folder().parent / "lectures" / "README.md"):
        if guide.is_file():
            write_text(guide, with_badges(guide.read_text(encoding="utf-8")))
