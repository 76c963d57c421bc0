"""Tests of damaged files of a run folder: each is repaired, or refused in one line."""

import json
import shutil

import keras
import numpy as np
import pytest
from runs.damage import cut, empty, flip_a_bit, make_foreign, remove
from support.cases import mostly_slow

from tf_kit import whole_files
from tf_kit.errors import InputError, RunStopped
from tf_kit.pretraining import Autoencoder
from tf_kit.runs import Run, checkpoint, files, read_json, write_json
from tf_kit.runs.progress import Progress

X = np.random.default_rng(0).random((48, 6)).astype("float32")
EPOCHS = 4


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


class KillIn(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Killed


def autoencoder():
    model = Autoencoder(
        keras.Sequential(
            [keras.layers.Dense(3, "sigmoid", kernel_initializer=keras.initializers.GlorotUniform(1))]
        )
    )
    model.compile(keras.optimizers.Adam(0.01))
    return model


def train(folder, *callbacks, **options):
    """Train in a folder; return the run and the model."""
    model, run = autoencoder(), Run(folder, {"test": 1}, resume=True, **options)
    run.fit(model, X, stage="only", epochs=EPOCHS, batch_size=16, callbacks=callbacks)
    return run, model


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder whose process was killed after three epochs, and the weights of the uninterrupted training."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.raises(Killed):
        train(folder / "killed", KillIn(3))
    _, model = train(folder / "whole")
    return folder / "killed", model.get_weights()


def replace_by_an_older_one(path):
    older = path.with_name("epoch-00002.npz")
    shutil.copyfile(older, path)


DAMAGES = [empty, cut, flip_a_bit, make_foreign, remove]
LAST, BEFORE = "epoch-00003.npz", "epoch-00002.npz"
# Damaged files, the damage, and the epoch after which the training continues.
REPAIRED = [
    *(((name,), damage, 2) for name in (LAST, "state.json") for damage in DAMAGES),
    ((LAST,), replace_by_an_older_one, 2),
    *(((BEFORE,), damage, 3) for damage in DAMAGES),
    (("state-before.json",), cut, 3),
    ((LAST, BEFORE), flip_a_bit, 0),
    (("state.json", "state-before.json"), empty, 0),
    ((LAST, "state-before.json"), cut, 0),
]
QUICK = [((LAST,), flip_a_bit, 2), (("state.json",), empty, 2), ((LAST, "state-before.json"), cut, 0)]


@pytest.mark.parametrize(
    ("names", "damage", "epoch"),
    mostly_slow(REPAIRED, QUICK),
    ids=[f"{damage.__name__} {' '.join(names)}" for names, damage, _ in REPAIRED],
)
def test_training_continues_from_the_checkpoint_before(names, damage, epoch, killed, tmp_path, capsys):
    folder, weights = killed
    shutil.copytree(folder, tmp_path / "run")
    stage = tmp_path / "run" / "checkpoints" / "only"
    for name in names:
        damage(stage / name)
    began = []
    spy = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: began.append(epoch))
    run, model = train(tmp_path / "run", spy)
    assert began == list(range(epoch, EPOCHS))
    for ours, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert len(run.history()["only"]["loss"]) == EPOCHS
    lines = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line]
    if epoch == 3 or (damage is remove and names == ("state.json",)):
        assert lines == [], "the record that is read is intact"
    else:
        assert len(lines) == 1 + (epoch == 0) * len(lines[1:])
        assert names[0] in lines[0]
        assert "using the checkpoint before it" in lines[0]
        assert (epoch > 0) or "starts again" in lines[-1]
        assert damage is remove or (stage / f"damaged-{names[0]}").exists()


DAMAGED_JSON = {
    "empty": "",
    "cut": '{"opt',
    "no keys": "{}",
    "a list": "[1]",
    "a number": "3",
    "bytes": "\x00\x00",
}


@pytest.mark.parametrize("damage", DAMAGED_JSON)
@pytest.mark.parametrize("resume", [True, False])
def test_damaged_config_is_refused(damage, resume, tmp_path):
    Run(tmp_path / "run", {"test": 1})
    (tmp_path / "run" / "config.json").write_text(DAMAGED_JSON[damage])
    with pytest.raises(InputError, match=r"^`config\.json` must be a readable JSON file of a run") as caught:
        Run(tmp_path / "run", {"test": 1}, resume=resume)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "a list"])
def test_damaged_results_are_refused_or_computed_again(damage, killed, tmp_path, capsys):
    folder, weights = killed
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text(DAMAGED_JSON[damage])
    if damage == "a list":
        with pytest.raises(InputError, match=r"^`results\.json` must be .*resumed\.$"):
            _ = Run(tmp_path / "run", {"test": 1}, resume=True).results
        return
    _, model = train(tmp_path / "run")
    assert "results.json is damaged; the run continues from its checkpoints" in capsys.readouterr().err
    for ours, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, expected)
    run = Run(tmp_path / "other", {"test": 1})
    run.finish({"answer": 1})
    (tmp_path / "other" / "results.json").write_text(DAMAGED_JSON[damage])
    with pytest.raises(InputError, match=r"^`results\.json` must be a readable JSON file.*Remove it"):
        _ = Run(tmp_path / "other", {"test": 1}, resume=True).results


def test_damaged_history_is_written_again(killed, tmp_path):
    folder, _ = killed
    shutil.copytree(folder, tmp_path / "run")
    before = (folder / "history.csv").read_text().splitlines()
    make_foreign(tmp_path / "run" / "history.csv")
    run, _ = train(tmp_path / "run")
    assert (run.folder / "history.csv").read_text().splitlines()[: len(before)] == before


@pytest.mark.slow
def test_checkpoints_left_by_a_kill_in_the_clean_up_are_removed(tmp_path, monkeypatch):
    run, _ = train(tmp_path / "run")

    def kill(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", kill)
        with pytest.raises(Killed):
            run.finish({"answer": 1})
    assert (tmp_path / "run" / "checkpoints").exists()
    assert Run(tmp_path / "run", {"test": 1}, resume=True).results == {"answer": 1}
    assert not (tmp_path / "run" / "checkpoints").exists()
    kept, _ = train(tmp_path / "kept")
    kept.finish({"answer": 1}, keep_checkpoints=True)
    assert Run(tmp_path / "kept", {"test": 1}, resume=True).results == {"answer": 1}
    assert (tmp_path / "kept" / "checkpoints" / "only" / "state.json").exists()


def test_files_left_half_written_are_removed(killed, tmp_path):
    folder, _ = killed
    shutil.copytree(folder, tmp_path / "run")
    left = [
        tmp_path / "run" / ".results.json.unfinished",
        tmp_path / "run" / ".encoder.keras.unfinished.keras",
    ]
    left.append(tmp_path / "run" / "checkpoints" / "only" / ".epoch-00004.npz.unfinished")
    for path in left:
        path.write_bytes(b"half")
    Run(tmp_path / "run", {"test": 1}, resume=True)
    assert not [path for path in left if path.exists()]


class FullDisk:
    """Makes the n-th flush to the disk fail, as on a full disk."""

    def __init__(self, monkeypatch, after):
        self.flush, self.left = whole_files._flush, after
        monkeypatch.setattr(whole_files, "_flush", self)

    def __call__(self, path):
        self.left -= 1
        if self.left == 0:
            raise OSError(28, "No space left on device")
        self.flush(path)


@pytest.mark.slow
@pytest.mark.parametrize("after", range(3, 14))
def test_full_disk_stops_in_one_line_and_the_run_continues(after, killed, tmp_path, monkeypatch):
    _, weights = killed
    with monkeypatch.context() as patch:
        FullDisk(patch, after)
        with pytest.raises(RunStopped, match="cannot be written: No space left") as caught:
            train(tmp_path / "run", progress=Progress(quiet=True))
    assert "\n" not in str(caught.value)
    _, model = train(tmp_path / "run", progress=Progress(quiet=True))
    for ours, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow
def test_stages_keep_their_order(tmp_path):
    """Also if their files have been copied, which changes the times of the file system."""
    run = Run(tmp_path / "run", {"test": 1})
    for stage in ("second", "first", "third"):
        run.fit(autoencoder(), X, stage=stage, epochs=1)
    for stage in ("third", "second", "first"):
        path = tmp_path / "run" / "checkpoints" / stage / "state.json"
        path.write_text(path.read_text())
    assert list(run.history()) == ["second", "first", "third"]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    write_json(tmp_path / "a.json", {"loss": float("nan"), "rates": [1.0, float("inf")]})
    assert read_json(tmp_path / "a.json", "a") == {"loss": None, "rates": [1.0, None]}
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)


def test_two_checkpoints_and_the_best_are_kept(tmp_path):
    folder = tmp_path / "stage"
    folder.mkdir()
    model = autoencoder()
    model.prepare_from(X)
    state = checkpoint.StageState(folder, "loss", "smallest")
    state.order = 0
    for epoch, loss in enumerate((3.0, 1.0, float("nan"), 2.0, 5.0), start=1):
        state.save(model, "stage", epoch, {"loss": loss})
    names = {path.name for path in folder.iterdir()}
    assert names == {"state.json", "state-before.json", *(f"epoch-0000{epoch}.npz" for epoch in (2, 4, 5))}
    assert checkpoint.StageState(folder, "loss", "smallest").best_epoch == 2


def test_variables_and_models_are_saved_under_a_path_as_text(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    checkpoint.save_variables(model, f"{tmp_path}/v.npz")
    checkpoint.load_variables(model, f"{tmp_path}/v.npz")
    files.save_model(model, f"{tmp_path}/m.keras")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.keras", "v.npz"]
