"""Labs: how the lab of a notebook is found."""

from tf_kit.grading import labs, notebooks, selftest


def test_lab_of_a_notebook_without_metadata_is_found(tmp_path):
    lab = labs.find("optimizers")
    made = selftest.solved(lab)
    made.metadata.clear()
    for cell in made.cells:
        cell.metadata.clear()
    assert labs.of_notebook(notebooks.write(made, tmp_path / "x.ipynb")) is lab
