"""Confinement: levels, and the filter of system calls."""

import subprocess
import sys

import pytest

from tf_kit.grading.sandbox import confinement


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        ((), "full"),
        (("namespaces",), "partial"),
        (("landlock",), "partial"),
        (("namespaces", "seccomp"), "partial"),
        (("landlock", "seccomp"), "none"),
    ],
)
def test_level_depends_on_the_missing_parts(missing, level):
    assert confinement.level_of({part: part not in missing for part in confinement.PARTS}) == level


def test_available_reports_every_part():
    assert set(confinement.available()) == set(confinement.PARTS)


@pytest.mark.skipif(
    not confinement.available()["seccomp"], reason="this system has no filter of system calls"
)
def test_parts_are_those_that_a_fork_could_not_get_through(tmp_path, monkeypatch):
    walls = confinement.Walls(tmp_path, namespaces=False)
    assert (walls.parts["namespaces"], walls.parts["seccomp"], walls.parts["limits"]) == (False, True, True)
    monkeypatch.setattr(confinement, "install", lambda program: None)
    monkeypatch.setattr(confinement, "_limit", lambda *_: None)
    open_walls = confinement.Walls(tmp_path, namespaces=False)
    assert (open_walls.parts["seccomp"], open_walls.parts["limits"]) == (False, False)
    monkeypatch.setattr(confinement, "_settle", lambda _: 1 / 0)
    assert not any(confinement.Walls(tmp_path, namespaces=False).parts.values())


FILTERED = """
import os, sys
from tf_kit.grading.sandbox.system_calls import call, filter_program, install

call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, without which no filter may be installed
install(filter_program(os.getpid()))
os.kill(os.getpid(), 0)  # a signal to itself is allowed
try:
    os.execv(sys.executable, [sys.executable, "-c", ""])
except PermissionError:
    sys.exit(7)
"""


@pytest.mark.skipif(
    not confinement.available()["seccomp"], reason="this system has no filter of system calls"
)
def test_forbidden_call_fails_in_a_filtered_process():
    assert subprocess.run([sys.executable, "-c", FILTERED], check=False).returncode == 7
