"""Tests of runs whose data have changed: refused with what has changed and a remedy; growth does not block."""

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli.typed import run_main
from PIL import Image
from support.cases import mostly_slow

from tf_kit.errors import InputError
from tf_kit.runs import Run, classification, pretraining, text
from tf_kit.runs.progress import Progress

OPTIONS = {"data": "mine", "units": [8]}
X, Y = np.ones((4, 3), "float32"), np.arange(4)


def begin(folder, resume=True, options=OPTIONS, **arrays):
    arrays = {"x": X, "y": Y} | arrays
    return Run(folder, options, resume=resume, progress=Progress(), data=arrays)


def test_arrays_that_have_changed_are_refused(tmp_path):
    begin(tmp_path / "run")
    begin(tmp_path / "run", y=Y.copy())
    with pytest.raises(InputError) as caught:
        begin(tmp_path / "run", y=Y[::-1])
    assert str(caught.value) == (
        "`Run.data` must be the data that the run began with. Received: the arrays, where 1 changed: y. "
        "Put back what it was. Another folder starts a new run."
    )
    with pytest.raises(InputError, match=r"holds a run on the arrays, where 1 changed: x\. Another folder"):
        begin(tmp_path / "run", resume=False, x=2 * X)


def test_config_states_what_the_fingerprint_covers(tmp_path):
    begin(tmp_path / "run")
    data = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert data.keys() == {"entries", "bytes", "digest", "covers"}
    assert (data["entries"], data["bytes"], data["covers"]) == (2, 48 + 32, "all values of the arrays")


def test_other_data_are_named_as_options_and_what_follows_from_the_data_is_not(tmp_path):
    begin(tmp_path / "run", options=OPTIONS | {"color": "grey"})
    with pytest.raises(InputError, match="data='yours', but the run began with 'mine'"):
        begin(tmp_path / "run", options=OPTIONS | {"data": "yours"}, x=2 * X)
    with pytest.raises(InputError, match="where 1 changed: x"):
        begin(tmp_path / "run", options=OPTIONS | {"color": "rgb"}, x=2 * X)
    with pytest.raises(InputError, match="color='rgb', but the run began with 'grey'"):
        begin(tmp_path / "run", options=OPTIONS | {"color": "rgb"})


def test_run_of_an_older_version_resumes_and_says_so(tmp_path, capsys):
    Run(tmp_path / "run", OPTIONS)
    begin(tmp_path / "run", x=2 * X)
    line = (
        "was begun without a fingerprint of its data, by an older version, so changes of them are not noticed"
    )
    assert capsys.readouterr().err.splitlines() == [f"{tmp_path / 'run'} {line}"]


@pytest.mark.parametrize(
    "damage", [None, b"", b"name,bytes,hash\nx,48,\n", b"\xff\xd8 a photograph", b"\x00" * 99]
)
def test_lost_list_of_the_data_is_written_again_or_counts_are_named(damage, tmp_path):
    """A process that is killed between the two files leaves only the first."""
    begin(tmp_path / "run")
    path = tmp_path / "run" / "data.csv"
    content = path.read_bytes()

    def lose():
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)

    lose()
    begin(tmp_path / "run")
    assert path.read_bytes() == content
    lose()
    with pytest.raises(InputError, match="where then 2 with 80 bytes, now 2 with 104 bytes") as caught:
        begin(tmp_path / "run", x=np.ones((6, 3), "float32"))
    assert "\n" not in str(caught.value)


# Commands on files.


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


def kill(*arguments, **options):
    raise Killed


def pictures(folder, names, first=0):
    for i, name in enumerate(names, first):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), "uint8")
        Image.fromarray(pixels).save(path)
    return folder


TINY = {"units": (8,), "epochs": 1, "batch_size": 8, "monitor_every": 0}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Forty images in two classes, and a run that was pretrained on them."""
    place = tmp_path_factory.mktemp("originals")
    names = [f"{name}/{i:02}.png" for name in ("cat", "dog") for i in range(20)]
    folder = pictures(place / "my pictures", names)
    pretraining.pretrain("masked", str(folder), place / "run", **TINY)
    return place


@pytest.fixture
def folder(originals, tmp_path):
    return shutil.copytree(originals / "my pictures", tmp_path / "my pictures")


@pytest.fixture
def pretrained(originals, folder, tmp_path):
    """A copy of the run, on the copy of the images."""
    run = shutil.copytree(originals / "run", tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["options"]["data"] = str(folder)
    (run / "config.json").write_text(json.dumps(config))
    return run


def typed(monkeypatch, capsys, *words):
    """Status and last line of a command."""
    status, out, err = run_main(monkeypatch, capsys, *words)
    return status, (err or out).splitlines()[-1]


def start_text(monkeypatch):
    """Begin or resume a run on a text, up to the training."""
    with monkeypatch.context() as patch:
        patch.setattr(text.methods, "train", kill)
        with pytest.raises(Killed):
            pretraining.pretrain("tokens", "rhyme.txt", "run", length=24, resume=True)


def test_rewritten_text_does_not_resume(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rhyme.txt").write_text("the cat sat on the mat. " * 300)
    words = ["pretrain", "tokens", "--data", "rhyme.txt", "--length", "24", "--out", "run"]
    start_text(monkeypatch)
    Path("rhyme.txt").write_text("the cat sat on the hat. " * 300)
    status, line = typed(monkeypatch, capsys, *words, "--resume")
    assert (status, line) == (
        2,
        "tf-kit: `--data` must be the data that the run began with. Received: rhyme.txt, where 1 changed: "
        "rhyme.txt. Put back what it was. `--out` with another folder starts a new run.",
    )
    Path("rhyme.txt").write_text("the cat sat on the mat. " * 300)
    start_text(monkeypatch)


@pytest.mark.slow
def test_prepared_set_that_was_prepared_anew_does_not_resume(tmp_path, monkeypatch):
    there = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser() / "tiny_shakespeare"
    if not there.is_dir():
        pytest.skip("tiny_shakespeare is not prepared here")
    shutil.copytree(there, tmp_path / "sets" / "tiny_shakespeare")
    monkeypatch.setattr(text.methods, "train", kill)

    def train():
        pretraining.pretrain(
            "tokens", "tiny_shakespeare", tmp_path / "run", resume=True, data_dir=tmp_path / "sets"
        )

    with pytest.raises(Killed):
        train()
    with pytest.raises(Killed):
        train()
    one, other = (next(tmp_path.rglob(f"*-{part}.tfrecord*")) for part in ("validation", "test"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(
        InputError, match=r"sets/tiny_shakespeare, where 2 changed: 1\.0\.0/tiny_shakespeare-test"
    ):
        train()


CHANGES = {
    "changed": (lambda folder: pictures(folder, ["cat/03.png"], 99), "1 changed: cat/03.png"),
    "removed": (lambda folder: (folder / "dog" / "00.png").unlink(), "1 removed: dog/00.png"),
    "added": (
        lambda folder: pictures(folder, ["eel/1.png", "eel/2.png"], 99),
        "2 added: eel/1.png, eel/2.png",
    ),
}


@pytest.mark.parametrize("change", mostly_slow(CHANGES, quick=1))
def test_pretraining_on_a_changed_folder_does_not_resume(change, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "pretrain_into", kill)
    for _ in range(2):
        with pytest.raises(Killed):
            pretraining.pretrain("masked", str(folder), tmp_path / "run", resume=True, units=(8,))
    do, line = CHANGES[change]
    do(folder)
    with pytest.raises(InputError, match=f"where {line}\\. Put back") as caught:
        pretraining.pretrain("masked", str(folder), tmp_path / "run", resume=True, units=(8,))
    assert str(folder) in str(caught.value)


def refused(folder, pretrained, monkeypatch, capsys):
    """Change a folder and remove an image; return the line that refuses to fine-tune on it."""
    CHANGES["changed"][0](folder)
    CHANGES["removed"][0](folder)
    status, line = typed(monkeypatch, capsys, "finetune", str(pretrained), "--epochs", "1")
    assert status == 2
    return line


def test_fine_tuning_on_a_changed_folder_is_refused(folder, pretrained, monkeypatch, capsys):
    line = refused(folder, pretrained, monkeypatch, capsys)
    assert line.startswith("tf-kit: `RUN` must find the data of its pretraining as they were. Received: ")
    assert f"{folder}, where 1 changed: cat/03.png; 1 removed: dog/00.png. Put back what it was, or " in line
    assert not list(pretrained.glob("finetune*")), "no folder is made"


@pytest.mark.slow
def test_remedy_can_be_typed(folder, pretrained, monkeypatch, capsys):
    remedy = refused(folder, pretrained, monkeypatch, capsys).split("; `")[-1].split("`")[0]
    words = ["finetune", str(pretrained), "--epochs", "1", *shlex.split(remedy)]
    status, _ = typed(monkeypatch, capsys, *words)
    assert status == 0
    results = json.loads(next(pretrained.glob("finetune*/results.json")).read_text())
    assert results["test_seen_in_pretraining"] > 0


@pytest.mark.slow
def test_growth_does_not_block_fine_tuning(folder, pretrained, capsys, monkeypatch, tmp_path):
    """New images are not used, nor their classes, and an interrupted fine-tuning resumes after the growth."""
    judge = classification.finetune_run
    expected = judge(pretrained, epochs=3, out=tmp_path / "before")
    with monkeypatch.context() as patch:
        patch.setattr(classification, "save_model", kill)
        with pytest.raises(Killed):
            judge(pretrained, epochs=3)
    CHANGES["added"][0](folder)
    found = judge(pretrained, epochs=3, resume=True)
    assert found == expected
    assert "new images are not used: 2 added: eel/1.png, eel/2.png" in capsys.readouterr().err
    inputs = json.loads(next(pretrained.glob("finetune*/inputs.json")).read_text())
    assert inputs["class_names"] == ["cat", "dog"]


@pytest.mark.slow
def test_encoder_that_was_pretrained_anew_does_not_resume(pretrained, folder, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(classification, "save_model", kill)
        with pytest.raises(Killed):
            classification.probe_run(pretrained, epochs=1, out=tmp_path / "probe")
    pretraining.pretrain("masked", str(folder), tmp_path / "other", **(TINY | {"epochs": 2}))
    shutil.copyfile(tmp_path / "other" / "encoder.keras", pretrained / "encoder.keras")
    with pytest.raises(InputError, match="where 1 changed: weights of the encoder"):
        classification.probe_run(pretrained, epochs=1, out=tmp_path / "probe", resume=True)


@pytest.mark.slow
def test_images_of_before_the_growth_are_not_tested_on(folder, pretrained, tmp_path):
    """With classes from a file for the images of the pretraining and for new ones: the new ones are for test."""
    pictures(folder, [f"{name}/new {i}.png" for name in ("cat", "dog") for i in range(20)], 200)
    results = classification.probe_run(pretrained, epochs=1, data=str(folder))
    assert "test_seen_in_pretraining" not in results
    CHANGES["changed"][0](folder)
    with pytest.raises(InputError, match="hold no example of the pretraining"):
        classification.probe_run(pretrained, epochs=1, data=str(folder), out=tmp_path / "probe")


def with_labels(folder, n):
    rows = [f"{i:02}.png,{'even' if i % 2 == 0 else 'odd'}" for i in range(n)]
    (folder.parent / "labels.csv").write_text("file,label\n" + "\n".join(rows) + "\n")


@pytest.mark.slow
def test_more_labels_keep_the_parts_of_the_images(tmp_path, capsys):
    """Otherwise the division, which depends on the classes, would put training images into test."""
    folder = pictures(tmp_path / "flat", [f"{i:02}.png" for i in range(40)])
    with_labels(folder, 24)
    pretraining.pretrain("masked", str(folder), tmp_path / "run", labels_file=tmp_path / "labels.csv", **TINY)
    before = classification.probe_run(tmp_path / "run", epochs=1)
    assert (tmp_path / "run" / "data.csv").read_text().splitlines()[-1].startswith("labels in labels.csv,")
    with_labels(folder, 40)
    after = classification.probe_run(tmp_path / "run", epochs=1, out=tmp_path / "again")
    assert after["labels"] > before["labels"]
    assert "labels in labels.csv have changed since the pretraining; the images keep their parts" in (
        capsys.readouterr().err
    )
    with pytest.raises(InputError, match="where 1 changed: classes of the images"):
        classification.probe_run(tmp_path / "run", epochs=1, resume=True)


@pytest.mark.parametrize("damage", [None, b"", b"file,bytes,part\nx.png,a,b\n", b"\xff\xd8 a photograph"])
def test_lost_division_is_refused_in_one_line(damage, folder, pretrained):
    CHANGES["added"][0](folder)
    path = pretrained / "images.csv"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(InputError, match=r"pretrain again") as caught:
        classification.finetune_run(pretrained)
    assert "\n" not in str(caught.value)
