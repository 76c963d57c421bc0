"""Property tests of the command line: whatever is typed, a command begins, or gives one line and exit status 2.

Nothing is trained, exported or run: each command is stopped where its work would begin.
"""

import click
import numpy as np
import pytest
from cli.typed import run_main, write_folders
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tf_kit import lectures
from tf_kit.cli.main import cli
from tf_kit.grading import course
from tf_kit.grading import selftest as tests_of_labs
from tf_kit.grading.grader import Grader
from tf_kit.lectures import deck
from tf_kit.runs import Run, exporting, pretraining

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
LONG = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=FIXTURES)


class Started(BaseException):
    """Raised in place of work that would begin."""


def start(*arguments, **options):
    raise Started


# Words that mean something to some flag, and words that mean nothing.
NUMBERS = ["0", "1", "2", "-1", "nan", "inf", "1e999", "0x8", "１２", "½", "3.0", "1_0", "9" * 30, "1e-320"]
NAMES = [
    "digits",
    "xor",
    "dbn",
    "masked",
    "all",
    "review",
    "optimizers",
    "06",
    "6",
    "bfloat16",
    "today",
    "rgb",
]
PATHS = [
    "missing",
    "flat",
    "empty",
    "damaged",
    "classes",
    "a file.txt",
    "flat/0.png",
    "run",
    "~",
    "~x",
    ".",
    "/",
]
PATHS += ["a file.txt/x", "/dev/null/x", "//", "loop", "a" * 300, "image.npz", "café 日本"]
OTHERS = [
    "",
    " ",
    ",",
    "a,,b",
    "8,8",
    "'",
    '"',
    "--",
    "-",
    "%s",
    "{}",
    "\n",
    "\t",
    "a\nb",
    "\x1b[31m",
    "*",
    "[",
    "\udcff",
]
WORDS = st.sampled_from([*NUMBERS, *NAMES, *PATHS, *OTHERS]) | st.text(
    st.characters(exclude_characters="\0/~.", exclude_categories=["Cs"]), max_size=4
)

COMMANDS = [
    "table",
    "finetune",
    "probe",
    "predict",
    "embed",
    "export",
    "label-efficiency",
    "search-recipe",
    "data list",
    "data check",
    "data import",
    "lecture",
    "lecture list",
    "lecture slides",
    "lecture 06",
    "lab list",
    "lab new",
    "lab selftest",
    "lab release",
    "lab check",
    "lab grade",
    "quiz",
    "doctor",
]


def find(path):
    """Return the command of some words, such as "data check"."""
    command = cli
    for word in path.split():
        command = command.get_command(click.Context(command), word)
    return command


@st.composite
def lines(draw, path):
    """Words after a command: up to three of its flags, with a value each, and its arguments, all odd."""
    flags, arguments = [], []
    for parameter in find(path).params:
        if isinstance(parameter, click.Option):
            flags.append(parameter)
        else:
            count = draw(st.integers(1, 2)) if parameter.nargs < 0 else 1
            usual = {"run": st.just("run"), "pictures": st.just("classes")}.get(parameter.name, WORDS)
            arguments += [draw(usual | WORDS) for _ in range(count)]
    chosen = draw(st.lists(st.sampled_from(flags), max_size=3)) if flags else []
    typed = []
    for flag in chosen:
        typed += [draw(st.sampled_from(flag.opts)), *([] if flag.is_flag else [draw(WORDS)])]
    missing = [flag for flag in flags if flag.required and flag not in chosen]
    typed += [word for flag in missing for word in (flag.opts[0], draw(WORDS))]
    return [*path.split(), *typed, *(["--"] if draw(st.booleans()) else []), *arguments]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_folders(place)
    for i in range(12):
        (place / "classes" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), "uint8")
        Image.fromarray(pixels).save(place / "classes" / "ab"[i % 2] / f"{i}.png")
    (place / "a file.txt").write_text("file,class\n0.png,a\n")
    (place / "loop").symlink_to("loop")
    pretraining.pretrain(
        "masked", "digits", place / "run", units=(8,), epochs=1, batch_size=512, monitor_every=0
    )
    return place


@pytest.fixture
def stopped(place, monkeypatch):
    """Stop each command where its work would begin."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(Run, "_begin", start)
    monkeypatch.setattr(exporting, "_write", start)
    monkeypatch.setattr(lectures, "perform", start)
    monkeypatch.setattr("tf_kit.cli.lecture._write_moving", start)
    monkeypatch.setattr(deck, "write_deck", start)
    monkeypatch.setattr("tf_kit.lectures.performance.carry_out", start)
    monkeypatch.setattr(course, "grade", start)
    monkeypatch.setattr(Grader, "__init__", start)
    monkeypatch.setattr(tests_of_labs, "main", start)
    monkeypatch.setattr("builtins.input", lambda *arguments: (_ for _ in ()).throw(EOFError))


@pytest.mark.slow
@pytest.mark.parametrize("path", COMMANDS)
@LONG
@given(data=st.data())
def test_any_words_begin_or_are_refused(path, data, stopped, monkeypatch, capsys):
    check(monkeypatch, capsys, data.draw(lines(path), label="tf-kit"))


def test_impossible_path_is_one_line(monkeypatch, capsys):
    status, _, err = run_main(monkeypatch, capsys, "lab", "release", "1", "--out", "a" * 300)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "cannot be used: File name too long" in err


@pytest.mark.slow
def test_name_that_is_not_text_is_printed(monkeypatch, capsys, tmp_path):
    """The bytes of a file name may be any, and reach Python as surrogates."""
    monkeypatch.chdir(tmp_path)
    status, out, _ = run_main(monkeypatch, capsys, "lab", "new", "own", "--out", "\udcff")
    assert status == 0
    assert "\\udcff/own" in out


def check(monkeypatch, capsys, words):
    try:
        status, _, err = run_main(monkeypatch, capsys, *words)
    except Started:
        return
    if status not in (0, 1):
        assert status == 2, err
        assert err.startswith("tf-kit: ")
        assert len(err.splitlines()) == 1, err
