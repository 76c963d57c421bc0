"""The command line as a stranger types it: help at once, one line for a mistake, nothing half-written."""

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tf_kit import cli

TINY = ["--epochs", "1", "--batch-size", "256"]


def type_command(*arguments, cwd=None, timeout=120, **environment):
    """Runs `tf-kit …` in a process of its own."""
    code = "from tf_kit.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, **environment},
    )


def run_main(monkeypatch, capsys, *arguments):
    """Runs `tf-kit …` here. Returns exit status, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["tf-kit", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    captured = capsys.readouterr()
    return exit_.value.code or 0, captured.out, captured.err


def write_folders(path):
    """Folders of images: an empty one, one without classes, one whose fourth file is cut off."""
    (path / "empty").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype="uint8")
    for name in ("flat", "damaged"):
        (path / name).mkdir()
        for i in range(6):
            Image.fromarray(pixels).save(path / name / f"{i}.png")
    cut = path / "damaged" / "3.png"
    cut.write_bytes(cut.read_bytes()[:60])


def test_help_is_light_and_quick():
    code = "import sys; from tf_kit.cli import cli; cli(['--help'], standalone_mode=False); "
    code += "print(sorted(sys.modules.keys() & {'tensorflow', 'keras', 'numpy', 'matplotlib', 'sklearn'}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]", "help must import nothing heavy"
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        type_command("--help")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5


def test_importing_the_package_is_light():
    code = "import sys, tf_kit; print(sorted(sys.modules.keys() & {'tensorflow', 'keras', 'numpy', 'matplotlib'}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_every_command_has_help(monkeypatch, capsys):
    for command in cli.cli.commands:
        status, out, _ = run_main(monkeypatch, capsys, command, "--help")
        assert status == 0
        assert re.search(r"\n {2}[A-Z]\w+", out), f"{command} does not say what it does"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tabel"], "tabel"),
        (["table", "--sedes", "2"], "--sedes"),
        (["table", "--seeds", "0"], "--seeds"),
        (["table", "--seeds", "many"], "many"),
        (["table", "--data", "diggits"], "diggits"),
        (["table", "--data", "titanic"], "titanic"),
        (["table", "--systems", "dbn,deeep"], "deeep"),
        (["table", "--learning-rates", "0.1,fast"], "0.1,fast"),
        (["table", "--learning-rates", "-1"], "-1"),
        (["table", "--out", "/dev/null/run"], "/dev/null/run"),
        (["pretrain", "simclrr"], "simclrr"),
        (["pretrain", "rbm", "--activation", "relu"], "relu"),
        (["pretrain", "rbm", "--units", "0"], "--units 0"),
        (["pretrain", "denoising", "--rate", "1.5"], "`--rate` must"),
        (["pretrain", "autoencoder", "--learning-rate", "-0.1"], "--learning-rate -0.1"),
        (["pretrain", "supervised", "--labels", "half"], "half"),
        (["pretrain", "supervised", "--labels", "5000"], "5000"),
        (["pretrain", "rbm", "--temperature", "0.5"], "--temperature"),
        (["pretrain", "rbm", "--augment", "digits"], "--augment"),
        (["pretrain", "rbm", "--encoder", "cnn"], "--encoder"),
        (["pretrain", "rbm", "--patch-size", "2"], "--patch-size"),
        (["pretrain", "simclr", "--encoder", "rnn"], "--encoder rnn"),
        (["pretrain", "simclr", "--augment", "letters"], "--augment letters"),
        (["pretrain", "simclr", "--temperature", "0"], "--temperature 0"),
        (["pretrain", "simclr", "--filters", "16,wide"], "16,wide"),
        (["pretrain", "simclr", "--data", "xor"], "(2,)"),
        (["pretrain", "byol", "--momentum", "1.5"], "--momentum 1.5"),
        (["pretrain", "mae", "--encoder", "cnn"], "--encoder"),
        (["pretrain", "mae", "--patch-size", "3"], "--patch-size 3"),
        (["pretrain", "mae", "--mask-ratio", "1"], "--mask-ratio 1"),
        (["pretrain", "masked", "--mask-ratio", "0"], "--mask-ratio 0"),
        (["pretrain", "simclr", "--data", "./no-such-folder"], "no-such-folder"),
        (["pretrain", "simclr", "--data", "empty"], "png, jpg"),
        (["pretrain", "simclr", "--data", "flat", "--image-size", "0"], "Received: 0."),
        (["pretrain", "simclr", "--data", "flat", "--image-size", "8,8,3"], "height,width"),
        (["pretrain", "simclr", "--data", "no such folder"], "or be the path of a folder of images"),
        (["pretrain", "supervised", "--data", "flat"], "a subfolder of images for each class"),
        (["table", "--data", "flat"], "a subfolder of images for each class"),
        (["label-efficiency", "--data", "flat"], "a subfolder of images for each class"),
        (["pretrain", "simclr", "--data", "damaged"], "3.png"),
        (["pretrain", "supervised", "--monitor-every", "2"], "--monitor-every"),
        (["pretrain", "simclr", "--monitor-every", "-1"], "--monitor-every"),
        (["pretrain", "tokens"], "text file"),
        (["pretrain", "tokens", "--data", "empty"], "text file"),
        (["pretrain", "tokens", "--augment", "none"], "--augment"),
        (["pretrain", "mae", "--length", "8"], "--length"),
        (["label-efficiency", "--methods", "simclr,moco"], "moco"),
        (["label-efficiency", "--labels", "50,few"], "few"),
        (["label-efficiency", "--labels", "5"], "--labels 5"),
        (["label-efficiency", "--labels", "5000"], "--labels 5000"),
        (["finetune", "no-such-run"], "no-such-run"),
        (["probe", "."], "encoder.keras"),
        (["data", "import", "mnist", "no-such-folder"], "no-such-folder"),
        (["data", "get", "mnits"], "mnits"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_status_2(arguments, expected, monkeypatch, capsys, tmp_path):
    if "--data" in arguments:
        write_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "empty"))
    status, out, err = run_main(monkeypatch, capsys, *arguments)
    assert status == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert expected in err
    assert err.startswith("tf-kit: ")
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path not in before]
    assert left == [], "nothing half-written is left behind"


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    """TensorFlow greets on standard error when it is imported; the user must see one line only."""
    result = type_command("table", "--systems", "dbn,deeep", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr


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
        assert "--out" in err, "what to do instead"
        assert "k" in re.search(r"other options \((.*?)\)|\((k)=20\)", err).groups()
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
    assert status == 2, "of another run"
    assert "run=" in err


@pytest.mark.parametrize(
    ("method", "figures"),
    [
        pytest.param("simclr", {"curves", "monitors", "views"}, marks=pytest.mark.slow),
        pytest.param("byol", {"curves", "monitors", "views"}, marks=pytest.mark.slow),
        pytest.param("mae", {"curves", "monitors", "reconstructions"}, marks=pytest.mark.slow),
        ("masked", {"curves", "monitors", "reconstructions", "filters"}),
    ],
)
def test_whole_encoders_go_the_same_way(method, figures, monkeypatch, capsys, tmp_path):
    """Pretrain, probe: each with an encoder of its own kind, read back from the run folder."""
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
def test_finetune_goes_on_with_convolutions(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    sizes = ["--filters", "4,8", "--units", "16", "--augment", "none"]
    status, _, err = run_main(monkeypatch, capsys, "pretrain", "vicreg", *sizes, *TINY, "--out", "r")
    assert status == 0, err
    status, out, err = run_main(monkeypatch, capsys, "finetune", "r", "--epochs", "15")
    assert status == 0, err
    assert float(re.search(r"test +([\d.]+)", out)[1]) < 12, out


def test_tokens_fill_in_text(monkeypatch, capsys, tmp_path):
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


def test_labels_prints_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["--methods", "masked", "--seeds", "1", "--labels", "50", "--steps", "20"]
    arguments += ["--pretrain-epochs", "1", "--learning-rates", "0.01"]
    status, out, err = run_main(monkeypatch, capsys, "label-efficiency", *arguments)
    assert status == 0, err
    assert "from scratch" in out
    assert (tmp_path / "runs" / "label-efficiency-digits" / "figures" / "label_efficiency.png").is_file()


def test_table_prints_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["table", "--systems", "shallow,deep", "--seeds", "2", "--units", "8", *TINY]
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


def test_what_needs_linux_is_asked_for_when_it_is_needed(tmp_path):
    """Without the modules and calls that Windows lacks: training goes, grading refuses in one line."""
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
