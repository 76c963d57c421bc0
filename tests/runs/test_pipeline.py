"""Tests of pretraining, fine-tuning and probing: exact after a kill, from arrays as from files, on any images."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from tf_kit import networks, runs
from tf_kit.errors import InputError
from tf_kit.pretraining.methods import IMAGE_METHODS, own_options
from tf_kit.runs import checkpoint, classification, encoders, methods, pretraining, training_data

TINY = {"epochs": 3, "batch_size": 16}
SIZES = {"mlp": {"units": (8,)}, "cnn": {"filters": (4, 4), "units": (8,)}, "vit": {"width": 8, "depth": 1}}


@pytest.fixture
def flat(tmp_path):
    """Forty grey images without classes: a square at a random place, each of a different brightness."""
    rng = np.random.default_rng(0)
    (tmp_path / "squares").mkdir()
    for i in range(40):
        image = np.zeros((8, 8), "uint8")
        y, x = rng.integers(0, 5, 2)
        image[y : y + 3, x : x + 3] = 200 - i
        Image.fromarray(image).save(tmp_path / "squares" / f"{i:02}.png")
    return tmp_path / "squares"


@pytest.fixture
def classes(flat, tmp_path):
    """The same images and darker ones, in two subfolders."""
    for i, file in enumerate(sorted(flat.iterdir())):
        image = np.asarray(Image.open(file))
        for name, pixels in (("dim", np.maximum(image, 140) - 140), ("bright", image)):
            (tmp_path / "lights" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "lights" / name / f"{i:02}.png")
    return tmp_path / "lights"


def pretrain(method, name, out, **options):
    options = TINY | SIZES[methods.METHODS[method].encoders[0]] | options
    pretraining.pretrain(method, str(name), out=out, **options)
    return keras.models.load_model(out / "encoder.keras").get_weights()


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


@pytest.mark.slow
def test_killed_run_ends_with_the_same_weights(flat, tmp_path, monkeypatch):
    """On a folder of images; `test_killed.py` kills every method."""
    expected = pretrain("masked", flat, tmp_path / "whole")
    save = checkpoint.StageState.save

    def kill_in_the_third(self, model, stage, epoch, logs, **options):
        if epoch == 3:
            raise Killed
        save(self, model, stage, epoch, logs, **options)

    monkeypatch.setattr(checkpoint.StageState, "save", kill_in_the_third)
    with pytest.raises(Killed):
        pretrain("masked", flat, tmp_path / "killed")
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "results.json").exists()
    resumed = pretrain("masked", flat, tmp_path / "killed", resume=True)
    for ours, theirs in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["masked", "denoising", "supervised", "byol"])
def test_streamed_folder_trains_as_one_in_memory(method, classes, tmp_path, monkeypatch):
    """The batches are the same: weights are equal, up to the rounding of sums for layers on top of layers."""
    held = pretrain(method, classes, tmp_path / "held")
    monkeypatch.setattr(training_data, "STREAM_ABOVE_BYTES", 0)
    monkeypatch.setattr(training_data.data, "load", None)
    streamed = pretrain(method, classes, tmp_path / "streamed")
    for ours, theirs in zip(streamed, held, strict=True):
        if methods.METHODS[method].greedy:
            np.testing.assert_allclose(ours, theirs, atol=2e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_killed_stream_ends_with_the_same_weights(flat, tmp_path, monkeypatch):
    """Killed in the last stage, after two of three epochs."""
    monkeypatch.setattr(training_data, "STREAM_ABOVE_BYTES", 0)
    expected = pretrain("denoising", flat, tmp_path / "whole", units=(8, 6))
    fit = runs.Run.fit

    def two_epochs(self, *arguments, stage, epochs, **options):
        if stage == "layer 1":
            return fit(self, *arguments, stage=stage, epochs=epochs, **options)
        fit(self, *arguments, stage=stage, epochs=2, **options)
        raise Killed

    monkeypatch.setattr(runs.Run, "fit", two_epochs)
    with pytest.raises(Killed):
        pretrain("denoising", flat, tmp_path / "killed", units=(8, 6))
    monkeypatch.setattr(runs.Run, "fit", fit)
    resumed = pretrain("denoising", flat, tmp_path / "killed", units=(8, 6), resume=True)
    for ours, theirs in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("method", ["masked", "denoising"])
def test_damaged_file_of_a_stream_is_named(method, flat, tmp_path, monkeypatch):
    """The header is readable, so the damage is found during an epoch."""
    monkeypatch.setattr(training_data, "STREAM_ABOVE_BYTES", 0)
    for file in (flat / f"{i:02}.png" for i in range(10, 40)):
        file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(
        InputError, match=r"^`.*squares/\d\d.png` must be a readable image. .*damaged"
    ) as caught:
        pretrain(method, flat, tmp_path / "run")
    assert "\n" not in str(caught.value)


def history(folder):
    """Column → texts of `history.csv`."""
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("method", ["denoising", pytest.param("simclr", marks=pytest.mark.slow)])
def test_pretraining_is_monitored(method, classes, tmp_path):
    """Monitors include neighbors if there are classes, cover each layer, and do not change the weights."""
    watched = pretrain(method, classes, tmp_path / "run", monitor_every=2)
    found = history(tmp_path / "run")
    for name in ("rankme", "feature_deviation", "uniformity", "val_knn_accuracy"):
        assert [bool(each) for each in found[name][:3]] == [True, False, True], name
        assert 0.2 < float(found["val_knn_accuracy"][0]) <= 1
    assert (tmp_path / "run" / "figures" / "monitors.png").is_file()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["collapsed_in"] == {}
    for metrics in results["stages"].values():
        assert metrics["rankme"] >= 1
    unwatched = pretrain(method, classes, tmp_path / "unwatched", monitor_every=0)
    for ours, theirs in zip(watched, unwatched, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "rankme" not in history(tmp_path / "unwatched")


@pytest.mark.slow
def test_without_classes_only_collapse_is_monitored(flat, tmp_path, monkeypatch):
    pretrain("masked", flat, tmp_path / "held")
    monkeypatch.setattr(training_data, "STREAM_ABOVE_BYTES", 0)
    pretrain("masked", flat, tmp_path / "streamed")
    for run in ("held", "streamed"):
        assert "rankme" in history(tmp_path / run)
        assert "val_knn_accuracy" not in history(tmp_path / run)
    assert history(tmp_path / "held")["rankme"] == history(tmp_path / "streamed")["rankme"]


@pytest.mark.slow
def test_three_images_are_trained_on_but_not_monitored(flat, tmp_path):
    for file in sorted(flat.iterdir())[3:]:
        file.unlink()
    pretrain("masked", flat, tmp_path / "run", epochs=1)
    assert "rankme" not in history(tmp_path / "run")


@pytest.mark.slow
def test_collapse_is_printed_in_one_line(classes, tmp_path, monkeypatch, capsys):
    """The epoch is also in the results."""
    monkeypatch.setattr(networks, "mlp", dead_mlp)
    pretrain("masked", classes, tmp_path / "run", epochs=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "collapsed" in line]
    assert len(lines) == 1
    assert lines[0].startswith("pretraining, epoch 1: the embeddings have collapsed: effective rank ")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["collapsed_in"] == {"pretraining": 1}


def dead_mlp(units, **options):
    """Make a network with ReLU units that are all zero."""
    options |= {"activation": "relu"}
    network = make_mlp(units, **options)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([0 * layer.get_weights()[0], layer.get_weights()[1] - 9])
    return network


make_mlp = networks.mlp


@pytest.mark.slow
def test_copies_in_train_and_validation_are_no_neighbors(classes, tmp_path):
    """Monitors leave out duplicate images instead of refusing them."""
    for file in classes.rglob("0*.png"):
        Image.open(classes / file.parent.name / "00.png").save(file)
    pretrain("masked", classes, tmp_path / "run", epochs=1)
    assert "val_knn_accuracy" in history(tmp_path / "run")


@pytest.mark.slow
def test_missing_labels_are_refused(flat, tmp_path):
    pretrain("masked", flat, tmp_path / "run", epochs=1)
    for judge in (classification.finetune_run, classification.probe_run):
        with pytest.raises(InputError, match=r"a subfolder of images for each class.*squares"):
            judge(tmp_path / "run")
    with pytest.raises(InputError, match="a subfolder of images for each class"):
        pretrain("supervised", flat, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "squares"]


@pytest.mark.slow
def test_pretraining_on_unlabelled_images_then_labelled_ones(flat, classes, tmp_path):
    """Fine-tuning on a folder with classes refuses test images that the pretraining has used."""
    pretrain("simclr", flat, tmp_path / "run", augment="none")
    # The new names change the order, so the same seed gives a different split.
    for file in list((classes / "bright").iterdir()):
        file.rename(file.with_name(f"{file.stem[::-1]} turned.png"))
    for judge in (classification.finetune_run, classification.probe_run):
        with pytest.raises(
            InputError, match=r"hold no example of the pretraining\. Received: \d+ of 12 test"
        ):
            judge(tmp_path / "run", data=str(classes))
    seen = classification.probe_run(tmp_path / "run", data=str(classes), epochs=1, test_on_seen=True)
    assert seen["test_seen_in_pretraining"] == 6, "one of the two classes"
    for file in classes.rglob("*.png"):  # a little brighter, so they are different images
        Image.fromarray(np.asarray(Image.open(file)) + 3).resize((16, 16)).save(file)
    results = classification.finetune_run(tmp_path / "run", data=str(classes), epochs=15, learning_rate=0.01)
    assert (results["labels"], results["error"]["test"] < 20) == (56, True)
    assert (tmp_path / "run" / "finetune-lights-all-seed-0" / "classifier.keras").is_file()
    with pytest.raises(
        InputError, match=r"images of 8×8×1, as in the pretraining. Received: two_moons, \(2,\)"
    ):
        classification.probe_run(tmp_path / "run", data="two_moons")
    with pytest.raises(InputError, match="a subfolder of images for each class"):
        classification.probe_run(tmp_path / "run", data=str(flat))
    flat.rename(tmp_path / "gone")
    again = {"labels": 4, "epochs": 1, "out": tmp_path / "again"}
    results = classification.probe_run(tmp_path / "run", data=str(classes), **again)
    assert results["labels"] == 4, "without the images of the pretraining there is no check"


@pytest.mark.slow
def test_grey_images_get_three_channels_for_a_color_encoder(classes, tmp_path):
    (tmp_path / "colors").mkdir()
    for i in range(12):
        colors = np.random.default_rng(i).integers(0, 255, (8, 8, 3), "uint8")
        Image.fromarray(colors).save(tmp_path / "colors" / f"{i}.png")
    pretrain("masked", tmp_path / "colors", tmp_path / "run", epochs=1)
    assert classification.probe_run(tmp_path / "run", data=str(classes), epochs=1)["labels"] == 56
    pretrain("masked", classes, tmp_path / "grey", epochs=1)
    for name in ("red", "blue"):
        shutil.copytree(tmp_path / "colors", tmp_path / "sorted" / name)
        for i, file in enumerate((tmp_path / "sorted" / name).iterdir()):
            pixels = np.asarray(Image.open(file)).copy()
            pixels[0, 0] = (i, 100, 0) if name == "red" else (0, 100, i)
            Image.fromarray(pixels).save(file)
    results = classification.probe_run(tmp_path / "grey", data=str(tmp_path / "sorted"), epochs=1)
    assert results["labels"] == 16, "images in color become grey"


@pytest.mark.slow
def test_folder_that_grew_keeps_its_division(classes, tmp_path, capsys):
    """Each image stays in the part that it had in the pretraining; new ones are not used."""
    pretrain("masked", classes, tmp_path / "run", epochs=1)
    before = classification.probe_run(tmp_path / "run", epochs=1)
    Image.fromarray(np.zeros((8, 8), "uint8")).save(classes / "dim" / "another.png")
    after = classification.probe_run(tmp_path / "run", epochs=1, out=tmp_path / "again")
    line = "has grown since the pretraining, and new images are not used: 1 added: dim/another.png"
    assert line in capsys.readouterr().err
    assert after == before
    with pytest.raises(InputError, match=r"lights, where 1 added: dim/another.png\."):
        pretrain("masked", classes, tmp_path / "run", epochs=1, resume=True)
    (tmp_path / "run" / "images.csv").unlink()
    for judge in (classification.finetune_run, classification.probe_run):
        with pytest.raises(InputError, match=r"as they were. Received: .*with 81 images, .*with 80 images"):
            judge(tmp_path / "run")


@pytest.mark.slow
def test_classes_of_a_folder_are_learned(classes, tmp_path, monkeypatch):
    """Also from another working directory: the run records the path of the images and their size."""
    monkeypatch.chdir(tmp_path)
    pretrain("simclr", "lights", tmp_path / "run", augment="none", image_size=(12, 12))
    monkeypatch.chdir("/")
    results = classification.finetune_run(tmp_path / "run", epochs=15, labels=20, learning_rate=0.01)
    assert results["labels"] == 20
    assert results["error"]["test"] < 20


@pytest.mark.slow
def test_neighbors_are_at_most_the_labels_per_class(classes, tmp_path):
    """If all labelled images were neighbors, every image would get the same class."""
    pretrain("masked", classes, tmp_path / "run", epochs=1)
    classification.probe_run(tmp_path / "run", labels=10, epochs=1)
    options = json.loads((tmp_path / "run" / "probe-10-seed-0" / "config.json").read_text())
    assert options["options"]["k"] == 5


@pytest.mark.slow
def test_images_in_both_training_and_test_are_refused(classes, tmp_path, capsys):
    """A test on copies of training images would measure memory."""
    for file in classes.rglob("*.png"):
        Image.open(classes / "dim" / "00.png").save(file)
    pretrain("masked", classes, tmp_path / "run", epochs=1)
    for judge in (classification.finetune_run, classification.probe_run):
        with pytest.raises(InputError, match="1 and 39 copies of it"):
            judge(tmp_path / "run")
    assert "fine-tuning on these classes would be refused" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*-seed-0"))


@pytest.mark.slow
def test_figures_show_views_and_reconstructions(flat, tmp_path):
    for method, figures in {
        "barlow": {"curves", "monitors", "views"},
        "mae": {"curves", "monitors", "reconstructions"},
    }.items():
        pretrain(method, flat, tmp_path / method, epochs=1)
        assert {path.stem for path in (tmp_path / method / "figures").iterdir()} == figures


@pytest.mark.parametrize("name", IMAGE_METHODS)
def test_each_method_trains_the_encoders_that_it_declares(name):
    """Residual networks and models of Keras have tests of their own."""
    method = methods.find(name)
    for kind in {"mlp", "cnn", "vit"} & {*method.encoders}:
        sizes = encoders.encoder_options(name, kind, (8, 8, 1), {})
        encoder = encoders.make_encoder((8, 8, 1), **sizes)
        if not method.greedy:
            model = methods.make_pretrainer(name, encoder, own_options(name, {}))
            model.prepare(np.random.default_rng(0).random((4, 8, 8, 1), "float32"))
            assert model.encoder is encoder


@pytest.mark.parametrize(
    ("shape", "filters", "patch"),
    [((8, 8, 1), (16, 32), 2), ((28, 28, 1), (16, 32, 64), 4), ((64, 48, 3), (16, 32, 64, 128), 4)],
)
def test_sizes_depend_on_the_images(shape, filters, patch):
    assert encoders.usual_sizes("cnn", shape)["filters"] == filters
    assert encoders.usual_sizes("vit", shape)["patch_size"] == patch


def test_augmentation_depends_on_the_data():
    def parts(*arguments):
        return [type(part).__name__ for part in methods.augmentation(*arguments).parts]

    assert "RandomFlip" not in parts("mnist", (28, 28, 1))
    assert "RandomFlip" in parts("fashion_mnist", (28, 28, 1))
    assert "ColorJitter" in parts("pets", (64, 64, 3))
    assert methods.augmentation("mnist", (28, 28, 1), "none") is None
