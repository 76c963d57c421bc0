"""Tests of every kind of run in real processes, killed twice by SIGKILL at random writes of files, and resumed."""

import csv
import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from runs import killed
from support import processes

KINDS = list(killed.KINDS)
OF_ENCODERS = ["masked", "finetune", "probe", "byol", "rbm", "supervised"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    kinds = OF_ENCODERS, [kind for kind in KINDS if kind not in OF_ENCODERS]
    halves = [processes.start(killed.__file__, folder, *half) for half in kinds]
    for half in halves:
        processes.finish(half, timeout=600)
    return folder


def check_same(folder):
    whole, resumed = folder / "whole", folder / "killed"
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


@pytest.mark.parametrize("kind", KINDS)
def test_killed_run_ends_as_the_uninterrupted_one(kind, folder):
    check_same(folder / kind)


def test_wrong_twin_with_a_flipped_bit_in_the_weights_differs(folder, tmp_path):
    copy = shutil.copytree(folder / "rbm", tmp_path / "rbm")
    encoder = keras.models.load_model(copy / "killed" / "encoder.keras")
    first, *rest = encoder.get_weights()
    first[0, 0] = np.nextafter(first[0, 0], np.float32(1))
    encoder.set_weights([first, *rest])
    encoder.save(copy / "killed" / "encoder.keras")
    with pytest.raises(AssertionError):
        check_same(copy)
