"""Labs: how the lab of a notebook is found."""

import errno
import resource

import pytest

from tf_kit.grading import labs, notebooks, selftest


def test_lab_of_a_notebook_without_metadata_is_found(tmp_path):
    lab = labs.find("optimizers")
    made = selftest.solved(lab)
    made.metadata.clear()
    for cell in made.cells:
        cell.metadata.clear()
    assert labs.of_notebook(notebooks.write(made, tmp_path / "x.ipynb")) is lab


def test_full_disk_names_the_notebook_and_leaves_none(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"student\.ipynb") as caught:
            notebooks.write(notebooks.student_notebook(labs.find("optimizers")), tmp_path / "student.ipynb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())
