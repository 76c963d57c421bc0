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
