"""Tests of a finished run in use: classes, embeddings and exported models, the same as those of the model itself."""

import csv
import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from cli.typed import run_main
from PIL import Image

from tf_kit import networks, pretraining, regularization, runs
from tf_kit.errors import InputError, RunStopped
from tf_kit.runs import classification, embedding, exporting, files
from tf_kit.runs.files import save_model, write_json
from tf_kit.runs.inputs import write_inputs

NAMES = ("a, b", "café")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with an encoder, and within it the folder of a classifier of two classes, as runs write them."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    trained = folder / "finetune-all-seed-0"
    trained.mkdir(parents=True)
    encoder = networks.cnn(
        num_classes=None,
        filters=(4,),
        units=(6,),
        input_shape=(8, 10, 3),
        normalization=regularization.BatchNorm,
    )
    save_model(encoder, folder / "encoder.keras")
    write_inputs(folder, encoder, NAMES)
    classifier = pretraining.finetune(encoder, 2)
    classifier.prepare_from(np.zeros((2, 8, 10, 3), "float32"), np.zeros(2, "int64"))
    save_model(classifier, trained / "classifier.keras")
    write_inputs(trained, classifier, NAMES)
    return folder


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder `new` of images of other sizes and modes, one of them cut."""
    rng = np.random.default_rng(0)
    (tmp_path / "new" / "more").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (8, 10, 3), "uint8")).save(tmp_path / "new" / "a.png")
    Image.fromarray(rng.integers(0, 256, (31, 17), "uint8")).save(tmp_path / "new" / "more" / "b, c.png")
    (tmp_path / "new" / "cut.png").write_bytes((tmp_path / "new" / "a.png").read_bytes()[:100])
    monkeypatch.chdir(tmp_path)
    return "new"


def pixels():
    return np.random.default_rng(1).integers(0, 256, (3, 8, 10, 3)).astype("float32")


def test_predictions_are_those_of_the_classifier(run, pictures):
    trained = run / "finetune-all-seed-0"
    found = runs.predict(trained, pictures)
    assert found.files == ("new/a.png", "new/more/b, c.png")
    assert found.left_out == "1 file that cannot be read: new/cut.png (a damaged or truncated file)"
    image = np.asarray(Image.open("new/a.png"), "float32") / np.float32(255)
    z = keras.models.load_model(trained / "classifier.keras")(image[None])
    np.testing.assert_allclose(found.probabilities[0], keras.ops.softmax(z)[0], atol=1e-6)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [*rows[0]] == ["file", "class", "probability", "p(a, b)", "p(café)"]
    assert [row["class"] for row in rows] == list(found.classes)
    assert float(rows[1]["probability"]) == pytest.approx(found.probabilities[1].max(), rel=1e-5)


def test_embeddings_come_with_names_in_both_kinds_of_files(run, pictures, tmp_path):
    found = runs.embed(run, [pictures, "new/a.png"])
    image = np.asarray(Image.open("new/a.png"), "float32") / np.float32(255)
    expected = keras.models.load_model(run / "encoder.keras")(image[None])
    np.testing.assert_allclose(found.x[0], expected[0], atol=1e-6)
    np.testing.assert_array_equal(runs.embed(run / "finetune-all-seed-0", pictures).x, found.x)
    found.save(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz") as file:
        assert file["files"].tolist() == ["new/a.png", "new/more/b, c.png"]
        np.testing.assert_array_equal(file["embeddings"], found.x)
    found.save(tmp_path / "e.parquet")
    from pyarrow import parquet

    table = parquet.read_table(tmp_path / "e.parquet").to_pydict()
    assert table["file"] == list(found.files)
    np.testing.assert_array_equal(np.array(table["embedding"], "float32"), found.x)
    with pytest.raises(InputError, match=r"must end in .npz or .parquet. Received: e.csv"):
        found.save("e.csv")


def test_pretraining_has_no_classes_and_names_the_run_that_has(run, pictures):
    with pytest.raises(InputError, match=f"Give {run}/finetune-all-seed-0"):
        runs.predict(run, pictures)


def test_folder_of_damaged_images_only_is_refused(run, pictures, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "new" / "cut.png").rename(tmp_path / "bad" / "cut.png")
    with pytest.raises(InputError, match=r"hold an image that can be read. Received: bad/cut.png: "):
        runs.embed(run, "bad")
    shutil.copy("bad/cut.png", "bad/torn.png")
    with pytest.raises(InputError, match=r"Received: 2 files that cannot be read, the first bad/cut.png: "):
        runs.embed(run, "bad")


def test_embeddings_are_not_saved_in_a_missing_folder(tmp_path):
    found = embedding.Embeddings(("a.png",), np.zeros((1, 2), "float32"))
    with pytest.raises(InputError, match="must lie in a folder that exists"):
        found.save(tmp_path / "no" / "e.npz")


def test_arrays_are_refused_as_pictures(run):
    with pytest.raises(
        InputError, match=r"`embed\.pictures` must be paths.*Received: a ndarray\. .*load_model"
    ):
        runs.embed(run, pixels())


def test_encoder_that_is_gone_is_pretrained_again(tmp_path):
    with pytest.raises(InputError, match="`resume=True` finishes one that was interrupted"):
        classification.finetune_run(tmp_path)
    write_json(tmp_path / "results.json", {})
    with pytest.raises(InputError, match=r"it is missing\. Remove results\.json there, and pretrain again"):
        classification.finetune_run(tmp_path)


def test_runs_that_cannot_be_used_are_refused(run, pictures, tmp_path):
    with pytest.raises(InputError, match="nowhere, which does not exist"):
        runs.predict("nowhere", pictures)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "encoder.keras").write_bytes((run / "encoder.keras").read_bytes()[:500])
    with pytest.raises(InputError, match="must hold an encoder that can be read"):
        runs.embed("cut", pictures)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "encoder.keras").write_bytes((run / "encoder.keras").read_bytes())
    write_json(tmp_path / "text" / "inputs.json", {"shape": [64]})
    with pytest.raises(InputError, match="must be a run on images"):
        runs.export("text")


def test_export_within_the_scope_of_a_strategy_is_refused(run):
    with (
        tf.distribute.MirroredStrategy(["CPU:0"]).scope(),
        pytest.raises(
            InputError, match=r"outside the scope of a strategy\. Received: the scope of a Mirrored"
        ),
    ):
        runs.export(run)


USES = [
    lambda run: runs.predict(run, "new"),
    lambda run: runs.embed(run, "new"),
    runs.export,
    classification.finetune_run,
    classification.probe_run,
]


@pytest.mark.parametrize("use", USES)
def test_folder_that_is_not_named_by_a_path_is_refused_in_one_line(use, pictures, tmp_path):
    for folder, received in {
        None: "None",
        "": "''",
        7: "7",
        ".": f"{tmp_path}",
        "new/..": f"{tmp_path}",
    }.items():
        with pytest.raises(InputError, match=rf"must be the .*\. Received: {re.escape(received)}"):
            use(folder)


@pytest.mark.parametrize("given", [5, None, b"new", [None], ["new", 5]])
def test_pictures_that_are_not_paths_are_refused(given, run, pictures):
    with pytest.raises(InputError, match=r"`embed\.pictures` must be paths of images\. Received: a "):
        runs.embed(run, given)


def test_run_on_text_is_refused_by_every_use(tmp_path):
    encoder = networks.TokenEncoder(5, width=4, depth=1)
    encoder(np.zeros((1, 8), "int32"))
    save_model(encoder, tmp_path / "encoder.keras")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((4, 8), "float32"))
    for use in (runs.embed, runs.predict, lambda run, x: runs.export(run)):
        with pytest.raises(InputError, match=r"must be a run on images.* a run on text\. .*load_text"):
            use(tmp_path, tmp_path / "x.npy")


@pytest.mark.parametrize("inputs", [{"shape": ["a"]}, {"shape": [8, 10, 3], "class_names": 7}, [1]])
def test_damaged_description_of_inputs_is_refused(inputs, run, pictures, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "encoder.keras").write_bytes((run / "encoder.keras").read_bytes())
    write_json(tmp_path / "run" / "inputs.json", inputs)
    with pytest.raises(InputError, match=r"`inputs\.json` must hold the shape of the images and a list"):
        runs.embed("run", pictures)


@pytest.mark.parametrize(
    "words", [["embed"], ["embed", "--out", "r/e.npz"], ["predict", "--out", "r/p.csv"], ["export"]]
)
def test_folder_that_may_not_be_written_is_refused_first(words, run, tmp_path, monkeypatch, capsys):
    """As the run of somebody else; the pictures, which do not exist, are not looked for."""
    command, *out = words
    monkeypatch.setattr(files, "may_be_written", lambda path: False)
    monkeypatch.setattr(exporting, "may_be_written", lambda path: False)
    given = [] if command == "export" else ["nowhere"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").mkdir()
    status, _, err = run_main(monkeypatch, capsys, command, run / "finetune-all-seed-0", *given, *out)
    assert status == 2
    assert re.search(r"^tf-kit: `--out` must .* in a folder that can be written\. .*`--out", err)


def test_error_of_writing_promises_checkpoints_only_where_there_are_some(tmp_path):
    (tmp_path / "run" / "checkpoints" / "stage").mkdir(parents=True)
    for file, promised in {
        "run/config.json": True,
        "run/checkpoints/stage/a.npz": True,
        "p.csv": False,
    }.items():
        with pytest.raises(RunStopped) as caught, files.replacing(tmp_path / file):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert str(caught.value).endswith("checkpoints written before are kept") == promised


def test_commands_print_a_table_and_name_what_was_left_out(run, pictures, monkeypatch, capsys):
    status, out, err = run_main(monkeypatch, capsys, "predict", run / "finetune-all-seed-0", pictures)
    assert status == 0
    assert out == runs.predict(run / "finetune-all-seed-0", pictures).to_csv()
    assert err == "left out: 1 file that cannot be read: new/cut.png (a damaged or truncated file)\n"
    status, out, _ = run_main(monkeypatch, capsys, "embed", run, pictures, "--out", "e.npz")
    assert (status, out) == (0, "2 embeddings of 6 numbers in e.npz\n")
    status, out, err = run_main(monkeypatch, capsys, "predict", run, pictures, "--out", "no/such/p.csv")
    assert status == 2
    assert "`--out`" in err


@pytest.mark.slow
def test_savedmodel_scales_pixels_and_knows_its_classes(run, tmp_path):
    """In the folder of an older one, which it replaces."""
    for _ in range(2):
        done = runs.export(run / "finetune-all-seed-0", out=tmp_path / "m")
    assert done.difference <= 1e-5
    (tmp_path / "link").symlink_to(tmp_path / "m")
    assert runs.export(run / "finetune-all-seed-0", out=tmp_path / "link").path == tmp_path / "link"
    assert (tmp_path / "link").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "m"]
    about = json.loads((tmp_path / "m" / "assets.extra" / "model.json").read_text(encoding="utf-8"))
    assert about["class_names"] == list(NAMES)
    assert about["input"]["color"] == "rgb"
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="replaced"):
        runs.export(run, out=tmp_path / "taken")


def test_format_without_its_packages_names_the_command_that_installs_them(run, monkeypatch):
    monkeypatch.setattr(runs.exporting, "_is_installed", lambda name: False)
    with pytest.raises(
        InputError, match=r'which needs onnx and tf2onnx\. `pip install "tf-kit\[export\]"` installs'
    ):
        runs.export(run, "onnx")


@pytest.mark.parametrize(
    ("found", "difference"), [([300, 0.503], 1e-5), ([303, 0.5], 1e-2), ([300.0], np.inf)]
)
def test_difference_is_relative_to_the_largest_output_of_an_image(found, difference):
    """A residual network whose embeddings reach 300 rounds all of them in the fifth decimal."""
    outputs = np.array([[300.0, 0.5]] * 4)
    measured = runs.exporting._difference(
        lambda x, training: outputs, (2, 2, 1), lambda path, x: np.array([found] * 4), None, None
    )
    assert measured == pytest.approx(difference)


def test_model_is_put_where_a_link_leads_and_into_a_pipe(tmp_path):
    def put(name):
        (tmp_path / "unfinished").write_bytes(b"new")
        exporting._put(tmp_path / "unfinished", tmp_path / name)

    (tmp_path / "target.onnx").write_bytes(b"old")
    (tmp_path / "link.onnx").symlink_to("target.onnx")
    put("link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "target.onnx").read_bytes() == b"new"
    put("/dev/null")
    assert not os.path.isfile("/dev/null")
    put("first.onnx")
    assert (tmp_path / "first.onnx").read_bytes() == b"new"


@pytest.mark.parametrize("kind", [OSError, tf.errors.UnknownError])
def test_export_to_a_full_disk_names_the_file(kind, run, tmp_path, monkeypatch):
    def write(*arguments):
        reason = os.strerror(errno.ENOSPC)
        raise OSError(errno.ENOSPC, reason) if kind is OSError else kind(None, None, f"part-0; {reason}")

    monkeypatch.setattr(exporting, "_write", write)
    with pytest.raises(RunStopped, match=r"model cannot be written: No space left on device"):
        exporting.export(run, out=tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_other_outputs_are_refused_and_leave_no_file(run, tmp_path, monkeypatch):
    monkeypatch.setitem(runs.exporting._RUN, "savedmodel", lambda path, x: np.full((4, 2), 0.5, "float32"))
    with pytest.raises(InputError, match="must give the outputs of the run within 1e-05"):
        runs.export(run / "finetune-all-seed-0", out=tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "finetune-all-seed-0"])
def test_onnx_gives_the_same_outputs(part, run, tmp_path):
    for name in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(name, reason="pip install onnx tf2onnx onnxruntime")
    import onnxruntime

    done = runs.export(run / part, "onnx", tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == (
        list(NAMES) if part else []
    )
    assert done.difference <= 1e-5
    np.testing.assert_allclose(session.run(None, {"pixels": pixels()})[0], wanted(run, part), atol=1e-5)


@pytest.mark.slow
def test_vision_transformer_with_gelu_exports_to_onnx(tmp_path):
    for name in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(name, reason="pip install onnx tf2onnx onnxruntime")
    encoder = pretraining.PatchEncoder(patch_size=4, width=8, depth=1, seed=0)
    encoder.build((None, 8, 8, 1))
    save_model(encoder, tmp_path / "encoder.keras")
    write_inputs(tmp_path, encoder)
    assert runs.export(tmp_path, "onnx").difference <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "finetune-all-seed-0"])
def test_litert_gives_the_same_outputs(part, run, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert")
    done = runs.export(run / part, "litert", tmp_path / "m.tflite")
    with zipfile.ZipFile(tmp_path / "m.tflite") as files:
        assert ("labels.txt" in files.namelist()) == bool(part)
    model = interpreter.Interpreter(model_path=str(tmp_path / "m.tflite"))
    given = model.get_input_details()[0]["index"]
    model.resize_tensor_input(given, (3, 8, 10, 3))
    model.allocate_tensors()
    model.set_tensor(given, pixels())
    model.invoke()
    found = model.get_tensor(model.get_output_details()[0]["index"])
    assert done.difference <= 1e-5
    np.testing.assert_allclose(found, wanted(run, part), atol=1e-5)


def wanted(run, part):
    """Outputs of the model that the run has saved, on `pixels`."""
    saved = keras.models.load_model(run / part / ("classifier.keras" if part else "encoder.keras"))
    z = saved(pixels() / 255)
    return keras.ops.convert_to_numpy(keras.ops.softmax(z) if part else z)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "finetune-all-seed-0"])
def test_line_in_the_run_folder_loads_the_model_in_a_new_process(part, run):
    line = json.loads((run / part / "inputs.json").read_text(encoding="utf-8"))["load"]
    done = subprocess.run([sys.executable, "-c", line], cwd=run / part, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# `--out` on the command line. A pattern after it names a file of the user, which must not be lost.


def write_picture(path):
    Image.fromarray(np.zeros((8, 8, 3), "uint8")).save(path)


def write_arrays(path):
    np.savez(path, x=np.zeros((2, 8, 10, 3), "uint8"))


def write_labels(path):
    path.write_text("file,label\na.png,cat\n")


FOREIGN = [
    ("predict", "picture.png", write_picture),
    ("predict", "labels.csv", write_labels),
    ("predict", "arrays.npz", write_arrays),
    ("embed", "arrays.npz", write_arrays),
    ("embed", "labels.npz", write_labels),
    ("embed", "labels.parquet", write_labels),
]


@pytest.mark.parametrize(("command", "name", "write"), FOREIGN, ids=[" ".join(each[:2]) for each in FOREIGN])
def test_out_does_not_replace_other_files(command, name, write, run, pictures, tmp_path, monkeypatch, capsys):
    file = tmp_path / name
    write(file)
    before = file.read_bytes()
    words = (command, run / "finetune-all-seed-0", pictures, "--out", name)
    status, out, err = run_main(monkeypatch, capsys, *words)
    assert (status, out) == (2, "")
    assert f"Received: {name}, which holds something else." in err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "name"), [("predict", "p.csv"), ("embed", "e.npz"), ("embed", "e.parquet")]
)
def test_out_replaces_an_empty_file_and_its_own(command, name, run, pictures, tmp_path, monkeypatch, capsys):
    (tmp_path / name).touch()
    for given in ("new/a.png", pictures):
        words = (command, run / "finetune-all-seed-0", given, "--out", name)
        status, _, _ = run_main(monkeypatch, capsys, *words)
        assert status == 0
        last = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    assert run_main(monkeypatch, capsys, *words)[0] == 0
    assert (tmp_path / name).stat().st_size == len(last), "the second call has replaced the first"


def test_export_does_not_replace_a_file_of_another_kind(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_is_installed", lambda name: True)
    for format in ("onnx", "litert"):
        file = tmp_path / "encoder.keras"
        file.write_bytes((run / "encoder.keras").read_bytes())
        with pytest.raises(InputError, match=r"`export\.out` must .*end in"):
            runs.export(run, format, out=file)
        assert file.read_bytes() == (run / "encoder.keras").read_bytes()
