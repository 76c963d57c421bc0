"""Tests of the owner of a run folder: one process at a time, and no lock survives its process."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from tf_kit import ownership
from tf_kit.errors import InputError
from tf_kit.runs import Run
from tf_kit.runs.progress import Progress

OPTIONS = {"command": "test"}
HOLDER = """
import sys, time, pathlib
from tf_kit import ownership
lock = ownership.own(pathlib.Path(sys.argv[1]))
print("owned", flush=True)
time.sleep(100)
"""


def quiet_run(folder, **kwargs):
    return Run(folder, OPTIONS, progress=Progress(quiet=True), **kwargs)


def test_folder_in_use_is_refused_until_its_process_is_killed(tmp_path):
    folder = tmp_path / "run"
    quiet_run(folder)
    # A stand-in for `tf_kit.runs` would not import TensorFlow, but would not be the code under test either.
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "owned\n"
        for resume in (False, True):
            in_use = rf"no other process uses\. Received: .*run, in use by process {other.pid} on {platform.node()}"
            with pytest.raises(InputError, match=in_use) as caught:
                quiet_run(folder, resume=resume)
            assert "\n" not in str(caught.value)
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert quiet_run(folder, resume=True).folder == folder
    finally:
        other.kill()
        other.communicate()


def test_one_process_may_open_a_folder_several_times(tmp_path):
    first = quiet_run(tmp_path / "run")
    second = quiet_run(tmp_path / "run", resume=True)
    first.finish({"answer": 1})
    assert (tmp_path / "run" / ownership.OWNER).exists(), "the second still uses it"
    del second
    assert not (tmp_path / "run" / ownership.OWNER).exists()
    assert quiet_run(tmp_path / "run", resume=True).results == {"answer": 1}


def test_refused_folder_is_not_kept(tmp_path):
    quiet_run(tmp_path / "run")
    with pytest.raises(InputError, match="options that the run began with"):
        Run(tmp_path / "run", {"command": "other"}, resume=True)
    lock = ownership.own(tmp_path / "run")
    assert lock.lock_counter == 1
    ownership.disown(lock)


@pytest.mark.parametrize("left", [".config.json.unfinished", ownership.LOCK, ownership.OWNER])
def test_files_of_a_killed_start_leave_the_folder_usable(left, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("half")
    run = quiet_run(tmp_path / "run")
    assert (run.folder / "config.json").exists()
    assert not (run.folder / ".config.json.unfinished").exists()


def test_file_system_without_locks_is_used_without_one(tmp_path, monkeypatch):
    class Unsupported:
        def __init__(self, *arguments, **options):
            pass

        def acquire(self, timeout):
            raise NotImplementedError

    monkeypatch.setattr(ownership.filelock, "FileLock", Unsupported)
    assert quiet_run(tmp_path / "run").folder.is_dir()


def test_only_the_chief_owns_the_folder(tmp_path, monkeypatch):
    from tf_kit.training import workers

    monkeypatch.setattr(workers, "done_by_chief", lambda function: None)
    monkeypatch.setattr(workers, "folder_from_chief", lambda folder, patterns: folder)
    monkeypatch.setattr(workers, "is_chief", lambda: False)
    quiet_run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_owner_is_named_without_its_file(tmp_path):
    assert ownership._owner(tmp_path) == "another process"
    (tmp_path / ownership.OWNER).write_text(f"process {os.getpid()} on here")
    assert ownership._owner(tmp_path) == f"process {os.getpid()} on here"
