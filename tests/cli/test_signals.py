"""Tests of Ctrl-C, SIGTERM and SIGHUP to a real process: it saves and names the command that continues, which works."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from cli.typed import type_command

pytestmark = pytest.mark.slow

# A process that a shell starts in the background ignores Ctrl-C, one under nohup SIGHUP, and so would their children.
PROGRAM = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from tf_kit.cli import main
main()"""
WORDS = ["pretrain", "masked", "--units", "8", "--epochs", "60", "--monitor-every", "0", "--out", "a run"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupted_process_saves_and_the_line_that_it_prints_continues(number, status, tmp_path):
    program = [sys.executable, "-c", PROGRAM, *WORDS]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, cwd=tmp_path, env=os.environ, **pipes) as process:
        while not (tmp_path / "a run" / "history.csv").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert not (tmp_path / "a run" / "results.json").exists()
    line = err.splitlines()[-1]
    assert line.startswith("tf-kit: interrupted; --resume continues: tf-kit pretrain masked ")
    rows = (tmp_path / "a run" / "history.csv").read_text().splitlines()
    resumed = type_command(*shlex.split(line.partition("continues: tf-kit ")[2]), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    after = (tmp_path / "a run" / "history.csv").read_text().splitlines()
    assert after[: len(rows)] == rows, "what was trained is not trained again"
    assert [row.split(",")[1] for row in after[1:]] == [str(epoch) for epoch in range(1, 61)]
    assert json.loads((tmp_path / "a run" / "results.json").read_text())["method"] == "masked"


LEAVING = """
import atexit, signal
import tf_kit.cli
atexit.register(signal.raise_signal, signal.SIGINT)
def interrupted(**options): raise KeyboardInterrupt
tf_kit.cli.cli.main = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
tf_kit.cli.main()
"""


def test_another_signal_ends_a_process_that_is_leaving():
    left = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=60)
    assert left.stderr.splitlines() == ["tf-kit: interrupted"]
    assert left.returncode == -signal.SIGINT
