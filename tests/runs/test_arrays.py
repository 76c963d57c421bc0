"""A run on a file of arrays: pretrained without labels, fine-tuned with those of another file, used on new arrays."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from support.cases import mostly_slow

from tf_kit.data import array_files
from tf_kit.data.given import find_images
from tf_kit.errors import InputError
from tf_kit.runs.classification import finetune_run
from tf_kit.runs.embedding import embed
from tf_kit.runs.files import read_json
from tf_kit.runs.inputs import divisor_in
from tf_kit.runs.maps import draw_map
from tf_kit.runs.prediction import predict, softmax
from tf_kit.runs.pretraining import pretrain
from tf_kit.runs.training_data import training_data

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (60, 6, 5), "uint8"), np.arange(60) % 3
PRETRAINING = {"method": "masked", "epochs": 1, "units": (4,), "batch_size": 30, "monitor_every": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with arrays, and in `run` a pretraining on those without labels."""
    place = tmp_path_factory.mktemp("place")
    np.save(place / "x.npy", X)
    np.save(place / "y.npy", Y)
    np.savez(place / "labelled.npz", x=255 - X, y=np.array(["a", "b", "c"])[Y])
    pretrain(name=str(place / "x.npy"), out=place / "run", **PRETRAINING)
    return place


@pytest.mark.slow
def test_examples_without_classes_are_all_used(place):
    found = training_data(str(place / "x.npy"))
    assert (found.num_examples, found.num_classes) == (60, 0)
    assert training_data(str(place / "labelled.npz")).num_examples == 42


@pytest.mark.slow
def test_path_is_recorded_whole(place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    pretrain(name="x.npy", out=tmp_path / "run", **PRETRAINING)
    assert read_json(tmp_path / "run" / "config.json", "config.json")["options"]["data"] == str(
        place / "x.npy"
    )


@pytest.mark.slow
def test_changed_arrays_do_not_resume(place, tmp_path):
    file, folder = tmp_path / "x.npy", tmp_path / "run"
    np.save(file, X)
    pretrain(name=str(file), out=folder, **PRETRAINING)
    np.save(file, X // 2)
    with pytest.raises(InputError, match=r"the data that the run began with.*1 changed: x.npy"):
        pretrain(name=str(file), out=folder, resume=True, **PRETRAINING)


def test_fine_tuning_needs_labels_and_other_examples(place, tmp_path):
    tune = {"epochs": 1, "out": tmp_path / "tuned"}
    with pytest.raises(InputError, match="an array y next to x"):
        finetune_run(place / "run", **tune)
    with pytest.raises(InputError, match="9 of 9 test examples"):
        finetune_run(place / "run", labels_file=place / "y.npy", **tune)
    with pytest.raises(InputError, match="left out for data sets"):
        finetune_run(place / "run", data="digits", labels_file=place / "y.npy", **tune)


def test_what_is_unusual_about_arrays_is_said_by_every_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("xy.npz", x=X // 17, y=Y, ids=Y)
    note = "xy.npz: arrays passed over: ids; no value above 15 where white is 255"
    with pytest.warns(UserWarning, match=note):
        find_images("predict.pictures", "xy.npz", shape=(6, 5, 1))
    pretrain(name="xy.npz", out="run", **PRETRAINING)
    capsys.readouterr()
    for given in ({}, {"data": "xy.npz", "test_on_seen": True}):
        finetune_run("run", epochs=1, out=f"tuned{len(given)}", **given)
        assert capsys.readouterr().err.count(note) == 1


@pytest.mark.slow
def test_fine_tuned_classifier_names_the_rows_of_new_arrays(place, tmp_path):
    finetune_run(place / "run", data=str(place / "labelled.npz"), epochs=1, out=tmp_path / "tuned")
    shutil.copy(place / "x.npy", tmp_path / "new.npy")
    found = predict(tmp_path / "tuned", tmp_path / "new.npy")
    assert (found.files[3], found.class_names) == (f"{tmp_path / 'new.npy'}[3]", ("a", "b", "c"))
    np.save(tmp_path / "color.npy", np.repeat(X[..., None], 3, -1).repeat(2, 1))
    color = predict(tmp_path / "tuned", [tmp_path / "color.npy", Path(place / "labelled.npz")])
    assert len(color) == 120
    np.testing.assert_allclose(color.probabilities[:60], found.probabilities, atol=0.1)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "named.npz"])
def test_as_few_rows_as_there_are_are_used(name, number, tmp_path):
    """Only a division into parts needs more."""
    file = tmp_path / name
    save = {"x.npy": np.save, "x.npz": lambda file, x: np.savez(file, x=x)}
    save.get(name, lambda file, x: np.savez(file, x_test=x))(file, X[:number])
    (found,) = [find_images("predict.pictures", file, shape=(6, 5, 1))]
    np.testing.assert_allclose(
        [each.example((6, 5, 1)) for each in found.files], X[:number, ..., None] / 255, rtol=1e-6
    )


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("model", [(6, 5, 1), (32, 32, 3)])
def test_one_picture_is_not_taken_for_many_grey_ones(model, channels, tmp_path):
    np.save(tmp_path / "x.npy", np.repeat(X[0][..., None], channels, -1))
    with pytest.raises(InputError, match=r"looks like one image with channels\. Save x\[None\]"):
        find_images("predict.pictures", tmp_path / "x.npy", shape=model)
    assert len(find_images("predict.pictures", tmp_path / "x.npy", shape=(6, channels, 1)).files) == 6


def test_vectors_are_pretrained_on(tmp_path):
    np.save(tmp_path / "v.npy", RNG.normal(size=(40, 7)))
    pretrain(name=str(tmp_path / "v.npy"), out=tmp_path / "run", **PRETRAINING)
    assert (tmp_path / "run" / "encoder.keras").is_file()
    assert not (tmp_path / "run" / "figures" / "filters.png").exists()


def test_vectors_are_embedded_and_classified(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = RNG.normal(size=(60, 7)).astype("float32")
    np.savez("xy.npz", x=x, y=np.arange(60) % 2)
    np.save("new.npy", x[:5])
    np.save("long.npy", x[:5].repeat(2, 1))
    pretrain(name="xy.npz", out="run", **PRETRAINING)
    finetune_run("run", epochs=1, out="tuned")
    found = predict("tuned", ["new.npy", "xy.npz"])
    assert found.files[4] == "new.npy[4]"
    expected = softmax(keras.models.load_model("tuned/classifier.keras").predict(x, verbose=0))
    np.testing.assert_allclose(found.probabilities[:5], expected[:5], atol=1e-6)
    ours = found.probabilities[5:]  # those for training come first
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(expected, axis=0), atol=1e-6)
    assert embed("run", "new.npy").x.shape == (5, embed("run", "xy.npz").x.shape[1])
    with pytest.raises(InputError, match=r"long.npy` must hold vectors \(n, 7\). Received: shape \(5, 14\)"):
        predict("tuned", "long.npy")
    with pytest.raises(InputError, match=r"name .npy or .npz files of vectors \(n, 7\)"):
        predict("tuned", str(tmp_path))
    with pytest.raises(InputError, match=r"`embed.map` must be of images. Received: vectors of 7 numbers"):
        draw_map(embed("run", "new.npy"), "map")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xy.npz", "xy.npy"])
def test_large_files_are_streamed_with_the_same_result(name, tmp_path, monkeypatch):
    """The weights after a pretraining and a fine-tuning on arrays in memory, and read as they are needed."""
    np.save(tmp_path / "y.npy", Y)
    np.save(tmp_path / "xy.npy", X) if name == "xy.npy" else np.savez(tmp_path / name, x=X, y=Y)
    how = {"labels_file": tmp_path / "y.npy"} if name == "xy.npy" else {}
    weights, outputs = [], []
    for limit in (1 << 40, 0):
        monkeypatch.setattr("tf_kit.runs.training_data.STREAM_ABOVE_BYTES", limit)
        run = tmp_path / f"run-{limit}"
        pretrain(name=str(tmp_path / name), out=run, **PRETRAINING, **how)
        weights.append(keras.models.load_model(run / "encoder.keras").get_weights())
        finetune_run(run, epochs=1, out=run / "tuned")
        outputs.append(predict(run / "tuned", tmp_path / name).probabilities)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(*outputs)


def test_array_in_npy_stays_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    found = array_files.read(tmp_path / "x.npy")
    assert isinstance(found.arrays[0], np.memmap)
    some = np.array([5, 1, 5])
    np.testing.assert_array_equal(found.examples(some), found.x[some])
    np.testing.assert_array_equal(found.x, X[..., None] / np.float32(255))


@pytest.mark.parametrize("trained", mostly_slow(["float32", "uint8"], quick=1))
def test_vectors_of_another_scale_than_those_of_the_training_are_refused(trained, tmp_path, monkeypatch):
    """Bytes are divided by 255, and other numbers are not: the type of a file decides on its scale."""
    monkeypatch.chdir(tmp_path)
    x, y = RNG.integers(0, 17, (60, 7)), np.arange(60) % 2
    np.savez("xy.npz", x=x.astype(trained), y=y)
    others = {"uint8"} if trained == "float32" else {"int64", "float32", "float16"}
    for kind in ("uint8", "int64", "float32", "float16"):
        np.savez(f"{kind}.npz", x=x.astype(kind), y=y)
    pretrain(name="xy.npz", out="run", **PRETRAINING)
    finetune_run("run", epochs=1, out="tuned")
    expected = predict("tuned", "xy.npz").probabilities
    for kind in ("uint8", "int64", "float32", "float16"):
        if kind in others:
            refused = pytest.raises(
                InputError, match=rf"{kind}.npz` must hold numbers of the type of the training"
            )
            with refused:
                predict("tuned", f"{kind}.npz")
            with refused:
                embed("run", f"{kind}.npz")
            with refused:
                finetune_run("run", data=f"{kind}.npz", epochs=1, out="other", test_on_seen=True)
            assert not Path("other").exists()
        else:
            np.testing.assert_allclose(predict("tuned", f"{kind}.npz").probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("recorded", [None, "255", -1, 0])
def test_scale_that_an_older_run_has_not_recorded_is_not_checked(recorded, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 7), "uint8"))
    assert divisor_in({} if recorded is None else {"divisor": recorded}) is None
    assert len(find_images("predict.pictures", tmp_path / "x.npy", shape=(7,), divisor=None).files) == 3
