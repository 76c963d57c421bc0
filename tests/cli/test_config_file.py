"""Tests of `--config`: a file equals the flags, typed flags override it, mistakes are refused, runs repeat exactly."""

import json
import tomllib

import keras
import numpy as np
import pytest
from cli.typed import run_main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tf_kit.runs import classification, pretraining
from tf_kit.runs.config_file import to_toml


class Called(Exception):
    """Ends a command where its training would begin."""


@pytest.fixture
def called(monkeypatch, capsys, tmp_path):
    """Function that types a command with the text of its file, and returns what its Python function was given."""
    monkeypatch.chdir(tmp_path)

    def call(text, *words):
        (tmp_path / "run.toml").write_text(text, encoding="utf-8", newline="")
        found = []

        def record(*arguments, **options):
            found.extend([arguments, options])
            raise Called

        monkeypatch.setattr(pretraining, "pretrain", record)
        monkeypatch.setattr(classification, "finetune_run", record)
        with pytest.raises(Called):
            run_main(monkeypatch, capsys, *words)
        return found, capsys.readouterr().err

    return call


def test_file_gives_what_the_flags_give(called):
    text = 'method = "simclr"\ndata = "mnist"\nencoder = "mlp"\nunits = [20, 10]\nlearning_rate = 1e-05\n'
    text += "image-size = 32\n"
    typed = ["--data", "mnist", "--encoder", "mlp", "--units", "20,10", "--learning-rate", "1e-05"]
    typed += ["--image-size", "32"]
    by_file, err = called(text, "pretrain", "--config", "run.toml")
    assert err == ""
    assert by_file == called("", "pretrain", "simclr", *typed)[0]
    assert by_file[1]["units"] == (20, 10)
    assert called(text, "pretrain", "simclr", "--config=run.toml")[0] == by_file


def test_file_of_a_windows_editor_is_read(called):
    """It begins with a byte-order mark, and its lines end with two characters."""
    lines = ['method = "simclr"', 'encoder = "mlp"', "units = [20, 10]", ""]
    plain, marked = "\n".join(lines), "\ufeff" + "\r\n".join(lines)
    by_file, err = called(marked, "pretrain", "--config", "run.toml")
    assert (by_file, err) == called(plain, "pretrain", "--config", "run.toml")


def test_last_of_several_files_holds(called, tmp_path):
    (tmp_path / "first.toml").write_text('method = "byol"\nepochs = 1\n')
    typed = ["pretrain", "--config", "first.toml", "--config", "run.toml"]
    alone, _ = called('method = "simclr"\nepochs = 2\n', "pretrain", "--config", "run.toml")
    assert called('method = "simclr"\nepochs = 2\n', *typed)[0] == alone


def test_argument_and_flags_without_value_come_from_the_file(called):
    text = 'command = "finetune"\nrun = "runs/r"\ncompare = true\nlabels = 0.1\n'
    by_file, _ = called(text, "finetune", "--config", "run.toml")
    typed, _ = called("", "finetune", "runs/r", "--compare", "--labels", "0.1")
    assert by_file == typed
    assert by_file[1]["compare"] is True


def test_typed_flag_overrides_the_file_in_one_line(called):
    (_, options), err = called(
        'run = "r"\nepochs = 30\nlabels = 5\n', "finetune", "--config", "run.toml", "--epochs", "12"
    )
    assert (options["epochs"], options["labels"]) == (12, 5)
    assert err == "tf-kit: --epochs 12 overrides epochs = 30 of run.toml\n"
    _, err = called('run = "r"\n', "finetune", "--config", "run.toml", "other")
    assert err == "tf-kit: RUN other overrides run = r of run.toml\n"


REFUSED = {
    "epoch = 3": "with epoch; the nearest is epochs",
    "zzz = 3": "with zzz; its keys are run, labels",
    "epochs = 2.5": "`--epochs` must be a whole number. Received: --epochs 2.5",
    "epochs = -1": "`--epochs` must be a whole number of at least 1",
    "epochs = true": "with epochs = true",
    "compare = 1": "must have true or false for a flag without a value",
    "[training]\nepochs = 3": "with training; its keys are run, ",
    "epochs = {a = 1}": "must have text, numbers or a list of them for epochs",
    "epochs = ": "must be a TOML file",
    'command = "probe"': "must be a file for finetune. Received: run.toml, with command = probe",
    "resume = true": "with resume",
    'config = "other.toml"': "with config",
}


@pytest.mark.parametrize("text", REFUSED)
def test_mistakes_in_the_file_are_refused(text, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(text)
    status, _, err = run_main(monkeypatch, capsys, "finetune", "r", "--config", "run.toml")
    assert status == 2
    assert REFUSED[text] in err
    assert err.count("\n") == 1


def test_no_word_shows_the_help(monkeypatch, capsys):
    status, out, err = run_main(monkeypatch, capsys, "pretrain")
    assert status in (0, 2)
    assert "simclr" in out + err


def test_file_of_another_method_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "run.toml").write_text('method = "byol"\n')
    typed = ("pretrain", "simclr", "--config", tmp_path / "run.toml")
    status, _, err = run_main(monkeypatch, capsys, *typed)
    assert status == 2
    assert "must be a file for simclr" in err


def test_file_without_a_method_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "run.toml").write_text("epochs = 3\n")
    status, _, err = run_main(monkeypatch, capsys, "pretrain", "--config", tmp_path / "run.toml")
    assert status == 2
    assert "`METHOD` must be one of" in err
    assert "with method = None" in err


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.lists(st.integers(0, 9), min_size=1),
        ),
    )
)
def test_written_values_are_read_back(values):
    assert tomllib.loads(to_toml(values)) == values


LINES = [
    "epochs = 3",
    'run = "r"',
    "units = [8, 8]",
    'method = "masked"',
    'command = "finetune"',
    "labels = 0.1",
]
LINES += [
    "[a]",
    "= 3",
    "x",
    "seed = nan",
    "epochs = 99999999999999999999",
    "epochs = 1979-05-27",
    'epochs = "3"',
]
LINES += [
    "epochs = []",
    "epochs = [[1]]",
    "compare = true",
    'compare = "x"',
    'run = "\\u0000"',
    "'' = 1",
    "a.b = 1",
]
LINES += [
    "learning-rate = 1_0.5",
    "#",
    "\ufeff",
    'units = "8,8"',
    "units = [true]",
    "mask_ratio = inf",
    "help = true",
]
FILES = st.lists(st.sampled_from(LINES) | st.text(max_size=8), max_size=5).map("\n".join)
COMMANDS = [
    ("finetune", "r"),
    ("finetune",),
    ("probe", "r"),
    ("pretrain", "masked"),
    ("pretrain",),
    ("pretrain", "tokens"),
]


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    content=FILES.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40),
    words=st.sampled_from(COMMANDS),
)
def test_any_file_begins_a_run_or_is_refused_in_one_line(content, words, monkeypatch, capsys, tmp_path):
    def start(*arguments, **options):
        raise Called

    monkeypatch.setattr(pretraining, "pretrain", start)
    monkeypatch.setattr(classification, "finetune_run", start)
    monkeypatch.setattr(classification, "probe_run", start)
    (tmp_path / "run.toml").write_bytes(content)
    try:
        status, _, err = run_main(monkeypatch, capsys, *words, "--config", tmp_path / "run.toml")
    except Called:
        return
    assert status == 2, err
    assert err.startswith("tf-kit: ")
    assert len(err.splitlines()) == 1, err


@pytest.mark.slow
def test_runs_repeat_from_their_files_to_the_bit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--epochs", "2", "--units", "9,7", "--learning-rate", "0.0033", "--monitor-every", "1"]
    flags += ["--keep", "best:rankme", "--seed", "4"]
    both = {
        "pretrain": ["masked", "--mask-ratio", "0.35", *flags],
        "finetune": ["p", "--labels", "60", "--epochs", "3", "--seed", "2", "--compare"],
        "probe": ["p", "--labels", "0.1", "--epochs", "2", "--k", "3"],
    }
    for (command, words), out in zip(both.items(), "pfq", strict=True):
        assert run_main(monkeypatch, capsys, command, *words, "--out", out)[0] == 0
        again = ("--config", f"{out}/run.toml", "--out", f"{out}-again")
        status, _, err = run_main(monkeypatch, capsys, command, *again)
        assert status == 0, err
        one, other = (json.loads((tmp_path / each / "config.json").read_text()) for each in (out, again[-1]))
        assert one["options"] == other["options"]
        file = "encoder.keras" if command == "pretrain" else "classifier.keras"
        ours, theirs = (
            keras.models.load_model(each / file) for each in (tmp_path / out, tmp_path / again[-1])
        )
        for mine, yours in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, yours)
        assert (tmp_path / out / "run.toml").read_text() == (tmp_path / again[-1] / "run.toml").read_text()
