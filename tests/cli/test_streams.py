"""Tests of standard streams that are closed, full or no longer read: a command works, and loses only its lines."""

import subprocess
import sys

import pytest

MAIN = "from tf_kit.cli import main; main()"
NO_TRAINING = ["lecture", "nosuch"]  # one line on standard error, status 2
CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]
PROGRAM = """
import os, signal, sys
sys.argv = ["tf-kit", "doctor"]
import tf_kit.cli
def command(**options):
    for number in range(3):
        os.fstat(number)
    opened = os.open(os.devnull, os.O_RDONLY)
    assert opened > 2, "a file took the place of a standard stream"
    for _ in range(3):
        print("progress", file=sys.stderr, flush=True)
    sys.exit(7)
tf_kit.cli.cli.main = command
tf_kit.cli.main()
"""


def run(words, streams, program=MAIN, unbuffered=""):
    line = f'exec "$0" $1 -c "$2" "${{@:3}}" {streams}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable, unbuffered, program, *words], timeout=60
    ).returncode


@pytest.mark.parametrize("unbuffered", ["", "-u"])
@pytest.mark.parametrize("streams", [*CLOSED, "2>/dev/full", "2> >(exec <&-)"])
def test_command_needs_no_standard_stream(streams, unbuffered):
    assert run([], streams, PROGRAM, unbuffered) == 7


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full"])
def test_refusal_that_nobody_reads_keeps_its_status(streams):
    assert run(NO_TRAINING, streams) == 2


def test_warning_of_a_command_is_one_line():
    """Without the line of the package that warns."""
    code = "import sys, warnings, tf_kit.cli; tf_kit.cli.cli.main = lambda **options: warnings.warn('odd folder')\n"
    code += "usual = warnings.formatwarning\ntry:\n    tf_kit.cli.main()\nfinally:\n"
    code += "    assert warnings.formatwarning is usual"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "tf-kit: odd folder\n")


@pytest.mark.slow
@pytest.mark.parametrize("streams", [*CLOSED[1:], "2>/dev/full"])
def test_training_ends_without_standard_streams(streams, tmp_path):
    words = ["pretrain", "masked", "--units", "8", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert run(words, streams) == 0
    assert (tmp_path / "run" / "results.json").exists()


def test_backend_of_a_notebook_that_is_not_installed_here_is_not_used(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://no_such_package.backend")
    code = f"import sys; sys.argv = ['tf-kit', 'lecture', 'nosuch']\ntry:\n    {MAIN}\nexcept SystemExit:\n    pass\n"
    code += "import matplotlib; assert matplotlib.get_backend().lower() == 'agg'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


@pytest.mark.slow
def test_commands_run_on_tensorflow_whatever_a_shell_chooses(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "no_backend")
    code = f"import sys; sys.argv = ['tf-kit', 'lecture', 'nosuch']\ntry:\n    {MAIN}\nexcept SystemExit:\n    pass\n"
    code += "import keras; assert keras.backend.backend() == 'tensorflow'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
