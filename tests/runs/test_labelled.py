"""Tests of labelled images: read from disk as they are needed, left out, and not known to be new."""

import functools
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tf_kit.data import fetch, folder
from tf_kit.errors import InputError
from tf_kit.runs import classification, labelled, pretraining, training_data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run of a pretraining on sixty images of two classes: noise that is dark above or below."""
    place = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for i in range(60):
        image = rng.integers(0, 200, (8, 8), dtype="uint8")
        image[4 * (i % 2) :][:4] += 30
        folder = place / "images" / ("below" if i % 2 else "above")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    options = {"units": (8,), "epochs": 1, "batch_size": 16, "monitor_every": 0}
    pretraining.pretrain("masked", str(place / "images"), place / "run", **options)
    return place / "run"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["finetune", "probe"])
def test_stream_gives_the_results_of_arrays(kind, run, tmp_path, monkeypatch):
    """Errors, best epoch, and the confusion matrix, whose rows need images and classes in one order."""
    classify = {"finetune": classification.finetune_run, "probe": classification.probe_run}[kind]
    held = classify(run, epochs=3, batch_size=8, out=tmp_path / "held")
    monkeypatch.setattr(training_data, "STREAM_ABOVE_BYTES", 0)
    read = folder.read_images

    def few(found, indices, *options, **more):
        assert len(indices) <= 12, "a figure shows the few images that are most wrong"
        return read(found, indices, *options, **more)

    monkeypatch.setattr(folder, "read_images", few)
    streamed = classify(run, epochs=3, batch_size=8, out=tmp_path / "streamed")
    assert streamed == held
    confusion = np.array(held["test_by_class"]["confusion"])
    assert held["error"]["test"] == pytest.approx(100 * (1 - confusion.trace() / confusion.sum()), abs=1e-3)


@pytest.fixture
def others(run, tmp_path):
    """A folder of images like those of the pretraining."""
    folder = shutil.copytree(run.parent / "images", tmp_path / "others")
    for file in folder.rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(file)) + 7).save(file)
    return folder


def prepared(run, **given):
    """Examples for the run, without training on them."""
    options = json.loads((run / "config.json").read_text())["options"]
    return labelled.labelled_examples("finetune_run", run, (8, 8, 1), options, **given)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["subfolders", "labels_file", "own"])
def test_files_that_are_left_out_are_named(source, run, others, tmp_path):
    """Of another folder next to what was found, of that of the pretraining alone."""
    given = {"name": str(others)}
    if source == "labels_file":
        rows = [f"{file.name},{file.parent.name}" for file in sorted(others.rglob("*.png"))]
        given["labels_file"] = tmp_path / "labels.csv"
        given["labels_file"].write_text("\n".join(["file,label", *rows, "gone.png,above"]))
    if source == "own":
        others, given = run.parent / "images", {}
    (others / "above" / "film.mp4").write_bytes(b"")
    (note,) = prepared(run, **given).notes
    (others / "above" / "film.mp4").unlink()
    found = "" if source == "own" else "60 images in 2 classes, 8×8 grey; "
    missing = "; 1 row of labels.csv without an image: gone.png" if source == "labels_file" else ""
    assert note == f"{others}: {found}1 file passed over: 1 .mp4{missing}"


@pytest.fixture
def older(run, tmp_path):
    """The run as an older version left it, which did not record the images that it was fitted on."""
    folder = shutil.copytree(run, tmp_path / "older")
    rows = [line.rpartition(",")[0] for line in (run / "images.csv").read_text().splitlines()]
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_it_is_recorded_that_images_of_the_pretraining_may_be_tested_on(run, older, others, tmp_path, capsys):
    folder = run.parent / "images"
    folder.rename(folder.with_name("moved"))
    try:
        results = classification.probe_run(older, epochs=1, data=str(others), out=tmp_path / "probe")
    finally:
        folder.with_name("moved").rename(folder)
    line = f"{folder}, the data of the pretraining, are no longer there, so whether test images were seen in "
    assert results["unchecked"] == f"{line}pretraining is not known"
    assert results["unchecked"] in capsys.readouterr().err
    assert results["unchecked"] in (tmp_path / "probe" / "report.html").read_text()
    again = classification.probe_run(older, epochs=1, data=str(others), out=tmp_path / "again")
    assert "unchecked" not in again


GONE = pytest.mark.parametrize(("option", "kind"), [("data", "data"), ("labels_file", "labels")])


def finding(run, option):
    """`labelled_examples` for a run whose data or labels were those of another machine."""
    options = json.loads((run / "config.json").read_text())["options"] | {option: "/of/another/machine"}
    return functools.partial(labelled.labelled_examples, "finetune_run", run, (8, 8, 1), options)


@GONE
def test_data_of_the_pretraining_that_are_gone_are_named_with_a_remedy(option, kind, older, others, tmp_path):
    """As those of a run from another machine; other data do without them."""
    find = finding(older, option)
    line = rf"find the {kind} of its pretraining\. Received: /of/another/machine, which does not exist\. .*`data`"
    with pytest.raises(InputError, match=line):
        find()
    found = find(name=str(others))
    assert f"the {kind} of the pretraining, are no longer there" in found.unchecked


@GONE
def test_files_of_data_that_are_gone_are_known_by_their_content(option, kind, run, others, tmp_path):
    """Those that the pretraining was fitted on are not tested on, whatever their names and folder are now."""
    find = finding(run, option)
    found = find(name=str(others))
    assert (found.unchecked, found.seen) == ("", 0)
    line = f"/of/another/machine, the {kind} of the pretraining, are no longer there, so the files in {others} are "
    assert found.notes[0] == f"{line}compared with those in its record: 0 of 60 were seen"

    moved = shutil.copytree(run.parent / "images", tmp_path / "moved")
    for file in [*moved.rglob("*.png")]:
        file.rename(file.with_name(f"of {file.name}"))
    found = find(name=str(moved))
    fitted = sum(line.endswith("yes") for line in (run / "images.csv").read_text().splitlines())
    assert fitted == 40
    assert found.notes[0].endswith(": 40 of 60 were seen")
    assert (len(found.val), len(found.test), found.seen) == (10, 10, 0)
    then = labelled.labelled_examples("finetune_run", run, (8, 8, 1), finding(run, "none").args[3])
    assert {*found.val.prints(), *found.test.prints()} == {*then.val.prints(), *then.test.prints()}

    for file in [*moved.rglob("*.png")]:
        shutil.copy(next((run.parent / "images").rglob(file.name.removeprefix("of "))), file)
    seen = [row.split(",")[0] for row in (run / "images.csv").read_text().splitlines() if row.endswith("yes")]
    for file in [*moved.rglob("*.png")]:
        if f"{file.parent.name}/{file.name.removeprefix('of ')}" not in seen:
            file.unlink()
    with pytest.raises(InputError, match=r"6 of 6 test examples of .* that the pretraining has seen"):
        find(name=str(moved))
    assert find(name=str(moved), test_on_seen=True).seen == 6


def test_images_without_classes_were_all_fitted_on(run, others, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in others.rglob("*.png"):
        shutil.copy(file, flat)
    options = {"units": (8,), "epochs": 1, "batch_size": 16, "monitor_every": 0}
    pretraining.pretrain("masked", str(flat), tmp_path / "run", **options)
    rows = (tmp_path / "run" / "images.csv").read_text().splitlines()[1:]
    assert {row.split(",")[2] for row in rows} == {"train", "val", "test"}
    assert all(row.endswith(",yes") for row in rows)
    with pytest.raises(InputError, match=r"10 of 10 test examples of .* that the pretraining has seen"):
        finding(tmp_path / "run", "data")(name=str(others))


def test_prepared_set_of_the_pretraining_is_looked_for_in_the_folder_that_is_given(
    run, tmp_path, monkeypatch
):
    """As the set lies elsewhere on another machine, or nowhere."""
    options = json.loads((run / "config.json").read_text())["options"]
    options |= {"data": "mnist", "data_dir": str(tmp_path / "gone")}
    monkeypatch.setattr(fetch, "_silence", lambda url: "no network")
    with pytest.raises(InputError, match=r"`mnist` must be a set on this machine.*data_dir or TFDS_DATA_DIR"):
        labelled.labelled_examples("finetune_run", run, (8, 8, 1), options)
    monkeypatch.setattr(fetch, "downloaded", lambda name, data_dir: 1 / (data_dir != "here"))
    with pytest.raises(ZeroDivisionError):
        labelled.labelled_examples("finetune_run", run, (8, 8, 1), options, data_dir="here")


def test_images_of_another_size_are_refused_with_the_size_to_pretrain_with():
    with pytest.raises(InputError, match=r"images of 8×8×3.*image_size=\(8, 12\) gets images of this size"):
        labelled._refuse_shape("data", "wide", (8, 12, 3), (8, 8, 3))
