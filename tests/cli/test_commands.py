"""Tests of the commands: their output and the files that they write."""

import json
import re
import subprocess
import sys

import pytest
from cli.typed import run_main

TINY = ["--epochs", "1", "--batch-size", "256"]


def test_pretrain_finetune_probe(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run_main(monkeypatch, capsys, "pretrain", "rbm", "--units", "16,8", *TINY, "--out", "r")
    assert status == 0
    assert "reconstruction" in out
    for name in ("encoder.keras", "history.csv", "results.json", "config.json"):
        assert (tmp_path / "r" / name).is_file(), name
    for name in ("curves", "filters", "reconstructions", "samples"):
        assert (tmp_path / "r" / "figures" / f"{name}.png").is_file(), name

    status, out, _ = run_main(monkeypatch, capsys, "finetune", "r", "--labels", "0.5", *TINY)
    assert status == 0
    assert "598 labels" in out
    results = json.loads((tmp_path / "r" / "finetune-0.5-seed-0" / "results.json").read_text())
    assert f"{results['error']['test']:.2f}" in out

    status, out, _ = run_main(monkeypatch, capsys, "probe", "r", *TINY)
    assert status == 0
    assert "nearest neighbors" in out

    status, _, err = run_main(monkeypatch, capsys, "probe", "r", *TINY)
    assert status == 2
    assert "--resume" in err
    status, again, _ = run_main(monkeypatch, capsys, "probe", "r", *TINY, "--resume")
    assert (status, again) == (0, out)
    for others in (["--k", "5"], ["--k", "5", "--resume"]):
        status, _, err = run_main(monkeypatch, capsys, "probe", "r", *TINY, *others)
        assert (status, err.count("\n")) == (2, 1)
        assert "--out" in err, "the remedy"
        assert re.search(r"with --k 20, not 5|Received: --k 5, but the run began with 20", err)
    status, other, _ = run_main(monkeypatch, capsys, "probe", "r", *TINY, "--k", "5", "--out", "of-five")
    assert status == 0
    assert "of-five" in other
    assert (tmp_path / "of-five" / "classifier.keras").is_file()
    status, _, err = run_main(monkeypatch, capsys, "probe", "r", *TINY, "--labels", "50", "--k", "51")
    assert (status, "at most the 50 labels" in err) == (2, True)
    status, _, _ = run_main(monkeypatch, capsys, "probe", "r", *TINY, "--labels", "10")
    assert status == 0, "fewer labels than the usual 20 neighbors"
    (tmp_path / "r").rename(tmp_path / "moved")
    status, again, _ = run_main(monkeypatch, capsys, "probe", "moved", *TINY, "--resume")
    assert (status, again) == (0, out.replace("r/probe", "moved/probe"))
    others = [*TINY, "--k", "5", "--out", "of-five", "--resume"]
    status, _, err = run_main(monkeypatch, capsys, "probe", "moved", *others)
    assert status == 2, "the folder holds the probe of another run"
    assert re.search(r"Received: RUN .*moved, but the run began with .*r\.", err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "figures"),
    [
        pytest.param("simclr", {"curves", "monitors", "views"}, marks=pytest.mark.slow),
        pytest.param("byol", {"curves", "monitors", "views"}, marks=pytest.mark.slow),
        pytest.param("mae", {"curves", "monitors", "reconstructions"}, marks=pytest.mark.slow),
        ("masked", {"curves", "monitors", "reconstructions", "filters"}),
    ],
)
def test_methods_pretrain_and_probe_any_encoder(method, figures, monkeypatch, capsys, tmp_path):
    """Each method with its default kind of encoder, which the probe reads from the run folder."""
    monkeypatch.chdir(tmp_path)
    small = ["--width", "16", "--depth", "1"] if method == "mae" else ["--units", "16"]
    status, out, err = run_main(monkeypatch, capsys, "pretrain", method, *small, *TINY, "--out", "r")
    assert status == 0, err
    assert "pretraining: loss" in out
    assert {path.stem for path in (tmp_path / "r" / "figures").iterdir()} == figures
    assert list(json.loads((tmp_path / "r" / "results.json").read_text())["stages"]) == ["pretraining"]
    status, out, err = run_main(monkeypatch, capsys, "probe", "r", "--labels", "100", *TINY)
    assert status == 0, err
    assert "nearest neighbors" in out


@pytest.mark.slow
def test_finetune_trains_convolutions(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    sizes = ["--filters", "4,8", "--units", "16", "--augment", "none"]
    status, _, err = run_main(monkeypatch, capsys, "pretrain", "vicreg", *sizes, *TINY, "--out", "r")
    assert status == 0, err
    status, out, err = run_main(monkeypatch, capsys, "finetune", "r", "--epochs", "15")
    assert status == 0, err
    assert float(re.search(r"test +([\d.]+)", out)[1]) < 12, out


@pytest.mark.slow
def test_tokens_learn_to_fill_in_text(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rhyme.txt").write_text("the cat sat on the mat. " * 400)
    small = ["--width", "16", "--depth", "1", "--length", "24", "--epochs", "12", "--learning-rate", "0.01"]
    status, out, err = run_main(monkeypatch, capsys, "pretrain", "tokens", "--data", "rhyme.txt", *small)
    assert status == 0, err
    accuracy, always = (float(each) for each in re.findall(r"([\d.]+) %", out))
    assert accuracy > always + 20
    run = tmp_path / "runs" / "tokens-rhyme.txt"
    assert {path.name for path in (run / "figures").iterdir()} == {"curves.png", "filled_in.txt"}
    assert "▒" in (run / "figures" / "filled_in.txt").read_text()
    status, _, err = run_main(monkeypatch, capsys, "finetune", run)
    assert (status, err.count("\n")) == (2, 1)
    assert "text" in err


@pytest.mark.slow
def test_label_efficiency_prints_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["--methods", "masked", "--seeds", "1", "--labels", "50", "--steps", "20"]
    arguments += ["--pretrain-epochs", "1", "--learning-rates", "0.01"]
    status, out, err = run_main(monkeypatch, capsys, "label-efficiency", *arguments)
    assert status == 0, err
    assert "from scratch" in out
    assert (tmp_path / "runs" / "label-efficiency-digits" / "figures" / "label_efficiency.png").is_file()


@pytest.mark.slow
def test_table_prints_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["table", "--jobs", "1", "--systems", "shallow,deep", "--seeds", "2", "--units", "8", *TINY]
    status, out, _ = run_main(monkeypatch, capsys, *arguments)
    assert status == 0
    assert "±" in out
    assert "Deep net, no pre-training" in out
    assert (tmp_path / "runs" / "table-digits" / "figures" / "table.png").is_file()


def test_data_list_and_doctor(monkeypatch, capsys):
    status, out, _ = run_main(monkeypatch, capsys, "data", "list")
    assert status == 0
    assert re.search(r"^digits +embedded +1,797 +8×8×1 +10", out, re.MULTILINE)
    status, out, _ = run_main(monkeypatch, capsys, "doctor")
    assert status == 0
    assert "keras" in out
    assert "digits" in out
    assert "strategy: " in out


def test_metric_that_the_last_epoch_did_not_measure_is_not_printed(monkeypatch, capsys):
    """As that of a callback in a run from Python, or one that is not finite, when the run is resumed."""
    results = {"stages": {"pretraining": {"seconds": 1.0, "loss": 0.5, "mine": None}}}
    monkeypatch.setattr("tf_kit.runs.pretraining.pretrain", lambda *arguments, **options: results)
    status, out, _ = run_main(monkeypatch, capsys, "pretrain", "masked", "--out", "r")
    assert (status, out.splitlines()[0]) == (0, "pretraining: loss 0.5")


def test_doctor_needs_no_package_by_its_usual_name(monkeypatch, capsys):
    monkeypatch.setattr("tf_kit.cli.doctor.PACKAGES", ("no-such-tensorflow", "numpy"))
    status, out, _ = run_main(monkeypatch, capsys, "doctor")
    assert status == 0
    assert "no-such-tensorflow under another name\nnumpy " in out


@pytest.mark.slow
def test_only_grading_needs_linux(tmp_path):
    """Without the modules and calls that Windows lacks, training works and grading is refused in one line."""
    windows = (
        "import os, sys; [sys.modules.update({name: None}) for name in ('resource', 'fcntl', 'pwd', 'grp')]; "
    )
    windows += "[delattr(os, name) for name in ('fork', 'forkpty', 'sysconf', 'wait4', 'getuid')]; "
    code = "from tf_kit.grading.sandbox.processes import Children; Children(None, 1)"
    program = [sys.executable, "-c", windows + code]
    failed = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert failed.stderr.splitlines()[-1].startswith(
        "tf_kit.errors.InputError: `tf-kit lab` must run on Linux or macOS"
    )
    for arguments in (["pretrain", "masked", "--epochs", "1", "--units", "8", "--out", "r"], ["doctor"]):
        code = f"sys.argv[1:] = {arguments}; from tf_kit.cli import main; main()"
        program = [sys.executable, "-c", windows + code]
        done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
