"""Notebooks of students with honest or hostile answers to the testing lab."""

from pathlib import Path

import nbformat

from tf_kit.grading import notebooks
from tf_kit.grading.labs import Lab

LAB = Lab("90", "testing", Path(__file__).parent / "lab" / "90_testing.py")
LEAKY = LAB.solution("leaky")
DESCENT = LAB.solution("descent")


def notebook(leaky=LEAKY, descent=DESCENT, before=(), after=()):
    """Make a student's notebook with these answers, and with cells before and after them."""
    made = notebooks.student_notebook(LAB)
    for cell in made.cells:
        id = cell.metadata.get("tf_kit", {}).get("exercise")
        if id:
            cell.source = f"# exercise: {id}\n" + {"leaky": leaky, "descent": descent}[id]
    made.cells[0:0] = [nbformat.v4.new_code_cell(source) for source in before]
    made.cells += [nbformat.v4.new_code_cell(source) for source in after]
    return made


def write(folder, name, made):
    """Write a notebook into a folder. Returns its path."""
    path = folder / f"{name}.ipynb"
    path.write_text(nbformat.writes(made), encoding="utf-8")
    return path
