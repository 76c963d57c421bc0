"""The autograder for Gradescope: its zip file, and a run of it in a folder that is laid out as on Gradescope."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from grading import importers
from grading.class_of_students import LAB, LEAKY, notebook, write
from tf_kit.errors import InputError
from tf_kit.grading import gradescope, labs, submissions


def unpacked(archive, root):
    """Unpack an autograder as Gradescope does, with the modes of its files."""
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            path = file.extract(entry, root / "source")
            os.chmod(path, entry.external_attr >> 16 & 0o777)
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    for name in ("submission", "results"):
        (root / name).mkdir()


def test_zip_has_the_files_of_an_autograder_at_its_root(tmp_path):
    lab = labs.find("backpropagation")
    gradescope.write(lab, tmp_path / "a.zip", "git+https://git.example.org/my kit", "secret of the course")
    unpacked(tmp_path / "a.zip", tmp_path / "root")
    source = tmp_path / "root" / "source"
    assert {path.name for path in source.iterdir()} == {"setup.sh", "run_autograder", "autograder.json"}
    for name in ("setup.sh", "run_autograder"):
        assert os.access(source / name, os.X_OK)
        assert (source / name).read_bytes().startswith(b"#!/usr/bin/env bash\n")
        subprocess.run(["bash", "-n", source / name], check=True)
    assert "pip\" install --quiet 'git+https://git.example.org/my kit'\n" in (source / "setup.sh").read_text()
    assert json.loads((source / "autograder.json").read_text())["lab"] == "02_backpropagation"
    with pytest.raises(InputError, match="does not exist"):
        gradescope.write(lab, tmp_path / "a.zip", "tf-kit", None)


def test_wheel_and_own_lab_lie_in_the_zip(tmp_path):
    wheel = tmp_path / "tf_kit-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    gradescope.write(LAB, tmp_path / "a.zip", str(wheel), None)
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = set(file.namelist())
        assert "install --quiet ./tf_kit-0.1.0-py3-none-any.whl" in file.read("setup.sh").decode()
    assert {wheel.name, "lab/90_testing.py", "lab/probes/90_testing.py", "lab/answers/90_testing.py"} < names


def test_notebook_is_found_among_the_files_of_a_student(tmp_path):
    assert submissions.of_student(tmp_path, LAB, "Ada").note == "no file was handed in"
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    assert "notes.pdf" in submissions.of_student(tmp_path, LAB, "Ada").note
    (tmp_path / "inner").mkdir()
    best = write(tmp_path / "inner", "work", notebook())
    write(tmp_path, "empty", notebook(leaky=LAB.stub("leaky"), descent=LAB.stub("descent")))
    found = submissions.of_student(tmp_path, LAB, "Ada")
    assert (found.student, found.path, found.note) == ("Ada", best, "")


@pytest.mark.slow
@pytest.mark.parametrize("secret", ["a secret of the course", None])
def test_run_autograder_writes_results_as_documented(secret, tmp_path):
    gradescope.write(LAB, tmp_path / "a.zip", "tf-kit", secret)
    root = tmp_path / "autograder"
    unpacked(tmp_path / "a.zip", root)
    wrong = LEAKY.replace("slope * x", "0 * x")
    write(root / "submission", "my work", notebook(leaky=wrong))
    (root / "submission_metadata.json").write_text('{"users": [{"name": "Ada"}, {"name": "Alan"}]}')
    environment = {**os.environ, "AUTOGRADER": str(root), "AUTOGRADER_PYTHON": sys.executable}
    done = subprocess.run(
        [root / "run_autograder"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((root / "results" / "results.json").read_text())
    assert importers.gradescope(results) == 3
    assert [test["status"] for test in results["tests"]] == ["failed", "passed"]
    assert "this is the ReLU" in results["tests"][0]["output"]
    assert os.listdir(root / "results") == ["results.json"]
    assert ("hidden cases" in json.dumps(results)) == (secret is not None)
    assert "a secret of" not in json.dumps(results) + done.stdout
