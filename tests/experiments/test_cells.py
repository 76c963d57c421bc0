"""Cells of a table in separate processes: all trained once, what fails is left, none outlives its parent."""

import functools
import os
import signal
import subprocess
import sys
import time

import keras
import pytest
from experiments.bar import BARS, Bar

from tf_kit.errors import InputError
from tf_kit.experiments import cells, pretraining_table, run_label_efficiency, run_table
from tf_kit.experiments.cells import Cells
from tf_kit.runs.progress import Progress
from tf_kit.training.precision import precision

FUNCTIONS = """
import os, pathlib, time

def note(folder, cell, progress):
    print("no answer")
    progress.print(f"cell {cell}")
    progress.advance(1.0)
    (pathlib.Path(folder) / f"{cell} {os.getpid()}").touch()
    time.sleep(0.3)

def tell_policy(cell, progress):
    import keras
    progress.print(keras.config.dtype_policy().name)

def fail_at_two(cell, progress):
    time.sleep(0.2)
    if cell == 2:
        raise RuntimeError("two")

def sleep(folder, cell, progress):
    note(folder, cell, progress)
    time.sleep(60)
"""
PARENT = """
import functools, sys
import functions_of_cells as functions
from tf_kit.experiments.cells import Cells
from tf_kit.runs.progress import Progress

with Cells(2, functools.partial(functions.sleep, sys.argv[1]), [0, 1, 2], Progress(None, quiet=True)) as cells:
    cells.wait(2)
"""


class Heard(Progress):
    def __init__(self):
        super().__init__(None, quiet=True)
        self.lines, self.amount = [], 0.0

    def print(self, line):
        self.lines.append(line)

    def advance(self, amount):
        self.amount += amount


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """Module that the processes can import too."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "functions_of_cells.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield __import__("functions_of_cells")
    del sys.modules["functions_of_cells"]


def noted(folder):
    """Cell and process of each file that `note` wrote."""
    return sorted(tuple(int(word) for word in each.name.split()) for each in folder.glob("* *"))


@pytest.mark.slow
def test_each_cell_is_trained_once_by_one_of_several_processes(functions, tmp_path):
    progress = Heard()
    with Cells(2, functools.partial(functions.note, str(tmp_path)), range(5), progress) as found:
        assert not found.wait("another"), "a cell that is not among them is not waited for"
        assert [found.wait(cell) for cell in range(5)] == [True] * 5
    found = noted(tmp_path)
    assert [cell for cell, _ in found] == list(range(5))
    assert len({process for _, process in found} - {os.getpid()}) == 2
    assert sorted(progress.lines) == [f"cell {cell}" for cell in range(5)]
    assert progress.amount == 5


@pytest.mark.slow
def test_processes_compute_in_the_precision_of_the_caller(functions):
    with precision("bfloat16"), Cells(2, functions.tell_policy, range(2), progress := Heard()) as found:
        assert [found.wait(cell) for cell in range(2)] == [True] * 2
        assert progress.lines == [keras.config.dtype_policy().name] * 2 != ["float32"] * 2


@pytest.mark.slow
def test_what_a_process_cannot_train_is_left_to_the_caller(functions):
    with Cells(2, functions.fail_at_two, range(100), Heard()) as others:
        found = [others.wait(cell) for cell in range(100)]
    assert not found[2]
    assert not any(found[50:]), "after an error no further cell is begun"


@pytest.mark.parametrize(("jobs", "given"), [(1, range(3)), (4, range(1)), (4, ())])
def test_one_job_or_one_cell_needs_no_process(jobs, given):
    with Cells(jobs, max, given, Heard()) as found:
        assert not found._processes
        assert [found.wait(cell) for cell in given] == [False] * len(given)


@pytest.mark.parametrize(("processors", "expected"), [(1, 1), (3, 3), (64, 4)])
def test_number_of_processes_follows_the_processors(processors, expected, monkeypatch):
    monkeypatch.setattr(cells, "_PROCESSORS", processors)
    assert cells.number_of_jobs("run_table.jobs", None) == expected
    assert cells.number_of_jobs("run_table.jobs", 7) == 7


@pytest.mark.parametrize("run", [run_table, run_label_efficiency])
def test_jobs_that_make_no_sense_make_no_folder(run, tmp_path):
    with pytest.raises(InputError, match=r"jobs` must be .*at least 1.*Received: jobs=0"):
        run("digits", out=tmp_path / "run", jobs=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["table", "label-efficiency"])
def test_several_jobs_and_several_replicas_are_refused(command, tmp_path):
    words = [command, "--jobs", "2", "--replicas", "2", "--out", str(tmp_path / "run")]
    ended = subprocess.run(
        [sys.executable, "-c", "from tf_kit.cli import main; main()", *words], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].startswith("tf-kit: `--jobs` must be 1 with several replicas")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_no_process_outlives_a_killed_parent(functions, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment)
    end = time.monotonic() + 60
    while len(noted(tmp_path)) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    children = [process for _, process in noted(tmp_path)]
    assert len(children) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, children))


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_table_is_the_same_with_several_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining_table, "Progress", Bar)
    sizes = {"units": 8, "layers": 2, "epochs": 2, "pretrain_epochs": 1, "batch_size": 128}
    options = {"seeds": 2, "systems": ["autoencoder", "shallow"], "quiet": True, **sizes}
    alone, both = (run_table("digits", out=tmp_path / f"{jobs}", jobs=jobs, **options) for jobs in (1, 2))
    for results in (alone, both):
        results.pop("seconds")
        for row in results["systems"].values():
            row.pop("seconds")
    assert both == alone
    bar = next(each for each in reversed(BARS) if each.total)
    assert bar._done == pytest.approx(bar.total)
    again = run_table("digits", out=tmp_path / "2", jobs=2, resume=True, **options)
    assert again["systems"]["shallow"]["test"] == both["systems"]["shallow"]["test"]
