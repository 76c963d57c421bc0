"""`--keep`: which epoch of a pretraining is saved, what is said about it, and that a kill does not change it."""

import csv
import re
import subprocess

import keras
import numpy as np
import pytest

from tf_kit.errors import InputError
from tf_kit.pretraining import rankme
from tf_kit.runs import checkpoint, pretraining
from tf_kit.runs.checkpoint import StageState
from tf_kit.runs.training_data import training_data
from tf_kit.runs.watching import VALIDATION
from tf_kit.training.representation import represent

SIZES = {"units": (12,), "epochs": 5, "batch_size": 128}


def pretrain(out, method="masked", name="digits", **options):
    return pretraining.pretrain(method, name, out=out, **SIZES, **options)


def history(out):
    with (out / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0] if name != "stage"
    }


def weights(out):
    return keras.models.load_model(out / "encoder.keras").get_weights()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Choice → results and folder of a training whose learning rate makes its measures go up and down."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for keep in ("last", "best:knn", "best:rankme", "best:loss"):
        out = folder / keep.replace(":", "-")
        results = pretrain(out, keep=keep, monitor_every=1, learning_rate=0.1)
        found[keep] = results, out
    return found


METRICS = {
    "best:knn": ("val_knn_accuracy", np.argmax),
    "best:rankme": ("rankme", np.argmax),
    "best:loss": ("loss", np.argmin),
}


@pytest.mark.slow
@pytest.mark.parametrize("keep", METRICS)
def test_keeps_the_epoch_with_the_best_value(runs, keep):
    results, out = runs[keep]
    metric, best = METRICS[keep]
    values = history(out)[metric]
    kept = results["kept"]["pretraining"]
    assert (kept["epoch"], kept["epochs"], kept["by"]) == (1 + best(values), 5, keep)
    np.testing.assert_allclose(kept["rank"], history(out)["rankme"][kept["epoch"] - 1], rtol=1e-4)
    np.testing.assert_allclose(
        kept["neighbors"], history(out)["val_knn_accuracy"][kept["epoch"] - 1], rtol=1e-4
    )
    assert f"kept epoch {kept['epoch']} of 5" in kept["text"]
    assert (
        f"neighbors {100 * kept['neighbors']:.0f} % right, untrained {100 * kept['untrained']:.0f} %"
        in kept["text"]
    )


@pytest.mark.slow
def test_choices_differ_and_do_not_change_the_training(runs):
    """All four train the same; the loss, the neighbors and the rank do not agree on the best epoch."""
    losses = [history(out)["loss"] for _, out in runs.values()]
    assert losses[1:] == losses[:-1]
    epochs = {keep: results["kept"]["pretraining"]["epoch"] for keep, (results, _) in runs.items()}
    assert epochs["last"] == 5
    assert len(set(epochs.values())) > 1


@pytest.mark.slow
def test_saved_encoder_is_that_of_the_epoch(runs):
    """The rank of the saved encoder is that of the kept epoch."""
    images = training_data("digits").watched("val", VALIDATION).x
    for results, out in runs.values():
        encoder = keras.models.load_model(out / "encoder.keras")
        rank = rankme(represent(encoder, images))
        np.testing.assert_allclose(rank, results["kept"]["pretraining"]["rank"], rtol=1e-3)


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


@pytest.mark.slow
def test_killed_run_keeps_the_same_epoch(runs, tmp_path, monkeypatch):
    results, out = runs["best:rankme"]
    save = checkpoint.StageState.save

    def kill_in_the_fourth(self, model, stage, epoch, logs, **options):
        if epoch == 4:
            raise Killed
        save(self, model, stage, epoch, logs, **options)

    options = {"keep": "best:rankme", "monitor_every": 1, "learning_rate": 0.1}
    monkeypatch.setattr(checkpoint.StageState, "save", kill_in_the_fourth)
    with pytest.raises(Killed):
        pretrain(tmp_path / "killed", **options)
    monkeypatch.undo()
    resumed = pretrain(tmp_path / "killed", resume=True, **options)
    assert resumed["kept"] == results["kept"]
    for ours, expected in zip(weights(tmp_path / "killed"), weights(out), strict=True):
        np.testing.assert_array_equal(ours, expected)
    with pytest.raises(InputError, match="keep='last', but the run began with 'best:rankme'"):
        pretrain(tmp_path / "killed", resume=True, **(options | {"keep": "last"}))


def test_epochs_that_were_not_measured_are_not_chosen(tmp_path):
    class Model:
        optimizer, variables = None, ()

    state = StageState(tmp_path, keep_best="rankme")
    for epoch, logs in enumerate(({"rankme": 3.0}, {}, {"rankme": 2.0}, {}, {"rankme": 4.0}), start=1):
        state.save(Model(), "stage", epoch, {"loss": 1.0, **logs})
        assert state.best_epoch == (1 if epoch < 5 else 5)


@pytest.mark.slow
def test_loss_needs_no_measurement(tmp_path):
    results = pretrain(tmp_path / "run", keep="best:loss", monitor_every=0)
    kept = results["kept"]["pretraining"]
    assert set(kept) == {"epoch", "epochs", "by", "rank", "features", "text"}
    begins = f"kept epoch {kept['epoch']} of 5, in which the training loss was lowest: rank "
    assert kept["text"].startswith(begins)
    assert kept["text"].endswith("of 12: no collapse")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "best"}, "keep='best'"),
        ({"keep": "best:knn", "monitor_every": 0}, "be best:loss or last where nothing is measured"),
        ({"keep": "last", "method": "supervised"}, "be left out for supervised"),
    ],
)
def test_refusals(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        pretrain(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_last_lines_of_the_command_name_the_epoch(tmp_path):
    """Standard output ends with the kept epoch and the next command; a warning is one line."""
    sizes = ["--filters", "2,2", "--units", "8", "--epochs", "2", "--batch-size", "400"]
    command = ["tf-kit", "pretrain", "simclr", "--augment", "none", *sizes, "--keep", "best:knn"]
    done = subprocess.run([*command, "--out", tmp_path / "run"], capture_output=True, text=True, check=True)
    *_, kept, following = done.stdout.splitlines()
    assert re.fullmatch(
        r"pretraining: kept epoch [12] of 2, in which neighbors were right most often: "
        r"rank \d+ of 128: no collapse; neighbors \d+ % right, untrained \d+ %",
        kept,
    )
    assert following.startswith("encoder, curves and figures in ")
    warned = [line for line in done.stderr.splitlines() if "augment" in line or "model.fit" in line]
    assert len(warned) == 1
    assert warned[0].startswith("tf-kit: SimCLR has no `augment`, so the two views of an example are equal")
