"""Tests of every kind of run in real processes, killed by SIGKILL at random writes of files, and resumed.

Two kills for every kind are part of the slow tests. More of them, here twelve on two replicas:

    PYTHONPATH=tests python tests/runs/test_killed.py /tmp/killed rbm simclr table --kills 12 --replicas 2
"""

import csv
import itertools
import json
import shutil
import sys
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from runs import killed
from support import processes
from support.sampling import cases_of_this_run, tests_of_this_run

KINDS = list(killed.KINDS)
OF_ENCODERS = ["masked", "finetune", "probe", "byol", "supervised", "denoising"]

OF_RBM = {
    "test_run_killed_six_times_ends_as_the_uninterrupted_one",
    "test_wrong_twin_with_a_flipped_bit_in_the_weights_differs",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """Folder of every kind of this run killed twice and of `rbm` killed six times, with subfolders for two replicas and
    the wrong twin; all from two processes, since an import of TensorFlow takes long."""
    folder = tmp_path_factory.mktemp("killed")
    kinds = cases_of_this_run(request, "test_killed_run_ends_as_the_uninterrupted_one")
    here = tests_of_this_run(request)
    encoders = [kind for kind in OF_ENCODERS if kind in kinds]
    others = [kind for kind in kinds if kind not in OF_ENCODERS]
    halves = [[], []]  # lines of `killed.py`
    if encoders:
        halves[0] += [[folder, *encoders]]
    if "test_wrong_twin_that_forgets_a_slot_differs" in here:
        halves[0] += [[folder / "twin", "simclr", "--forget-a-slot", "--kills", 1]]
    if others:
        halves[1] += [[folder, *others]]
    if here & OF_RBM:
        halves[1] += [[folder, "rbm", "--kills", 6]]
    if "test_run_killed_on_two_replicas_ends_as_the_uninterrupted_one" in here:
        halves[1] += [[folder / "replicas", "rbm", "--replicas", 2]]
    halves = [
        processes.start(killed.__file__, *itertools.chain(*(["then", *line] for line in lines)))
        for lines in halves
        if lines
    ]
    for half in halves:
        processes.finish(half, timeout=900)
    return folder


def check_all_same(folder):
    """Check every killed run of a kind; return the number of them."""
    killed_runs = sorted(folder.glob("killed-?"))
    for run in killed_runs:
        check_same(folder / "whole", run)
    return len(killed_runs)


def check_same(whole, resumed):
    names = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    kept = {name for name in names if "events" not in name.parts}
    assert kept == {
        path.relative_to(resumed)
        for path in resumed.rglob("*")
        if path.is_file() and "events" not in path.parts and "damaged-" not in path.name
    }
    for name in sorted(kept):
        if name.suffix == ".keras":
            for one, other in zip(weights(whole / name), weights(resumed / name), strict=True):
                np.testing.assert_array_equal(one, other)
        elif name.name == "history.csv":
            assert rows(whole / name) == rows(resumed / name)
        elif name.name == "results.json":
            assert without_seconds(read(whole / name)) == without_seconds(read(resumed / name)), name
    assert events(whole) == events(resumed)


def weights(path):
    """All arrays of a `.keras` file, also those that no class is at hand for."""
    found = []
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as file,
        h5py.File(file) as stored,
    ):
        stored.visititems(lambda _, each: found.append(each[()]) if isinstance(each, h5py.Dataset) else None)
    assert found
    return found


def rows(path):
    with path.open() as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


def read(path):
    return json.loads(path.read_text())


def without_seconds(content):
    if isinstance(content, dict):
        return {name: without_seconds(value) for name, value in content.items() if name != "seconds"}
    return [without_seconds(value) for value in content] if isinstance(content, list) else content


def events(folder):
    """(stage, metric, epoch, value) of all events of all runs in a folder, sorted, with doubles."""
    found = []
    for path in folder.rglob("events.out*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag != "seconds":
                    number = float(tf.make_ndarray(value.tensor))
                    found.append((path.parent.relative_to(folder).as_posix(), value.tag, event.step, number))
    return sorted(found)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rbm"])
def test_killed_run_ends_as_the_uninterrupted_one(kind, folder):
    assert check_all_same(folder / kind) == 1


def test_run_killed_six_times_ends_as_the_uninterrupted_one(folder):
    moments = json.loads((folder / "rbm" / "moments.json").read_text())["killed before"]
    assert [len(each) for each in moments] == [3, 3]
    assert check_all_same(folder / "rbm") == 2


def test_run_killed_on_two_replicas_ends_as_the_uninterrupted_one(folder):
    config = json.loads((folder / "replicas" / "rbm" / "killed-0" / "config.json").read_text())
    assert config["replicas"] == 2
    assert check_all_same(folder / "replicas" / "rbm") == 1


def test_wrong_twin_that_forgets_a_slot_differs(folder):
    """Checkpoints without the last slot of the optimizer, which is zero after a resume."""
    with pytest.raises(AssertionError):
        check_all_same(folder / "twin" / "simclr")


def test_wrong_twin_with_a_flipped_bit_in_the_weights_differs(folder, tmp_path):
    copy = shutil.copytree(folder / "rbm", tmp_path / "rbm")
    encoder = keras.models.load_model(copy / "killed-0" / "encoder.keras")
    first, *rest = encoder.get_weights()
    first[0, 0] = np.nextafter(first[0, 0], np.float32(1))
    encoder.set_weights([first, *rest])
    encoder.save(copy / "killed-0" / "encoder.keras")
    with pytest.raises(AssertionError):
        check_all_same(copy)


def main(folder, *words):
    """Run `killed.py` and check its runs."""
    began = time.perf_counter()
    killed.main(folder, *words)
    for kind in KINDS:
        if (Path(folder) / kind / "moments.json").exists():
            moments = (Path(folder) / kind / "moments.json").read_text()
            print(
                f"{kind}: {check_all_same(Path(folder) / kind)} runs end as the uninterrupted one; {moments}"
            )
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
