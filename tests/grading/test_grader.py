"""Grader: hidden cases are used only on a system that can protect them."""

import pytest

from grading.class_of_students import LAB
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
