"""Grader: hidden cases are used only on a system that can protect them."""

import pytest

from grading.class_of_students import LAB
from tf_kit.cli import lab
from tf_kit.grading import grader


def test_hidden_cases_are_refused_without_a_sandbox(monkeypatch):
    """An answer that is not confined could read them."""

    class Unconfined:
        level = "none"

        def __init__(self, *_):
            pass

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(grader, "Children", Unconfined)
    with grader.Grader(LAB, secret="s") as judge, pytest.raises(ValueError, match="--allow-unsandboxed"):
        judge.ready()
    with grader.Grader(LAB, secret="s", allow_unsandboxed=True) as judge:
        assert judge.ready() == "none"
    with grader.Grader(LAB) as judge:
        assert judge.ready() == "none"


@pytest.mark.parametrize("seconds", [0, -1, 1e10, float("inf"), float("nan")])
def test_time_limit_that_the_system_cannot_count_is_refused(seconds):
    """The process of an answer would end where it sets its limit, which would cost the student every point."""
    with pytest.raises(ValueError, match=r"`Grader.seconds` must be a number in \[0.1, 86400\]"):
        grader.Grader(LAB, seconds=seconds)


def test_command_line_and_grader_have_one_longest_time():
    assert lab.LONGEST == grader.LONGEST
