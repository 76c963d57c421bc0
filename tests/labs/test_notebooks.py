"""Student notebooks: they are generated from the current sources and contain no solutions."""

import os
import re
import subprocess
import sys

import nbformat
import pytest

from tf_kit.grading import labs, notebooks

LABS = labs.labs()
by_name = pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)


@by_name
def test_notebook_is_up_to_date(lab):
    fresh = notebooks.text_of(notebooks.student_notebook(lab))
    assert lab.notebook_path.read_text(encoding="utf-8") == fresh, (
        "stale: run `python -m tf_kit.grading.notebooks`"
    )


@by_name
def test_notebook_shows_no_solution(lab):
    text = "\n".join(cell.source for cell in nbformat.read(lab.notebook_path, as_version=4).cells)
    assert "SOLUTION" not in text
    assert "### STUB" not in text
    for id in lab.exercises:
        assert lab.stub(id).strip() in text
        assert lab.solution(id).strip() not in text


@by_name
def test_every_exercise_has_mistakes_and_variants(lab):
    assert list(lab.exercises) == list(lab.cells), "EXERCISES and the marked cells, in the same order"
    for exercise in lab.exercises.values():
        assert len(exercise.mistakes) >= 5, exercise.id
        assert len(exercise.variants) >= 3, exercise.id
        assert len({mistake.sentence for mistake in exercise.mistakes}) == len(exercise.mistakes)


def test_ids_are_unique():
    ids = [id for lab in LABS for id in lab.exercises]
    assert len(ids) == len(set(ids))


def test_check_is_a_function():
    """In a new process, because importing a submodule of that name would bind the module in its place."""
    code = "from tf_kit.grading import check; assert callable(check), check"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_first_cell_starts_tensorflow_without_a_line_of_log():
    first = nbformat.read(LABS[0].notebook_path, as_version=4).cells[0].source
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")}
    code = re.sub(r"(?m)^( *)%pip.*", r"\1raise", first) + "\nimport keras\nkeras.ops.ones(3)"
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True)
    assert done.stderr == ""
