"""Measurement: the module in which an answer runs."""

import sys

from tf_kit.grading.sandbox.measurement import execute

ITSELF = "import sys\nmine = 1\nfound = vars(sys.modules[__name__])"


def test_answer_runs_in_a_module_that_is_registered_meanwhile():
    before = sys.modules["__main__"]
    namespace = execute(ITSELF)
    assert namespace["found"] is namespace
    assert namespace["__name__"] == "__main__"
    assert sys.modules["__main__"] is before
    execute("1 / 0")
    assert sys.modules["__main__"] is before
    assert execute(ITSELF, "no module of this name")["found"]["mine"] == 1
    assert "no module of this name" not in sys.modules


def test_module_that_is_kept_is_replaced_by_the_next(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    first = execute(ITSELF, keep=True)
    assert vars(sys.modules["__main__"]) is first
    second = execute(ITSELF.replace("mine", "other"), keep=True)
    assert vars(sys.modules["__main__"]) is second
    assert "mine" not in second["found"]
