"""`check` in a notebook cell: its report fits on one screen and explains the answer without hidden cases."""

import io
import logging
import os
import re
import sys
import warnings

import numpy as np
import pytest

from grading.class_of_students import DESCENT, LAB, LEAKY
from tf_kit import stderr
from tf_kit.data import waiting
from tf_kit.grading import Mistake, checking, labs
from tf_kit.grading.judge import Failure


@pytest.fixture(autouse=True)
def _testing_lab_only(monkeypatch):
    monkeypatch.setattr(labs, "labs", lambda: [LAB])


def printed(capsys, id, code):
    import keras

    namespace = {
        "__name__": "__main__",
        "np": np,
        "keras": keras,
        "ops": keras.ops,
        "In": ["import keras", code],
    }
    exec(code, namespace)
    checking.check(id, namespace)
    return capsys.readouterr().out


def test_right_answer_gets_all_points(capsys):
    assert printed(capsys, "leaky", LEAKY).splitlines() == [
        "Leaky ReLU: 2 of 2 points",
        "  ✓ values, 2 points",
    ]
    assert "3 of 3" in printed(capsys, "descent", DESCENT)


def test_undefined_name_is_reported(capsys):
    checking.check("leaky", {})
    assert "missing: `leaky_relu` is not defined yet" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [lambda x: x, [1], 3, "leaky_relu"])
def test_answer_in_place_of_the_names_is_refused(answer, capsys):
    checking.check("leaky", answer)
    assert capsys.readouterr().out == 'check finds your answer by its name: write check("leaky") alone.\n'


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize(
    "done",
    [
        "sys.{name}.close()",
        "sys.{name} = None",
        "sys.{name} = io.StringIO()",
        "print('x', file=sys.{name}), sys.{name}.close(), print('x', file=sys.{name})",
        "sys.{name}.__exit__(None, None, None)",
    ],
)
def test_answer_that_closes_or_replaces_a_stream_is_reported(name, done, capsys):
    code = LEAKY.replace("    return", f"    {done.format(name=name)}\n    return", 1)
    before = sys.stdout, sys.stderr
    assert "2 of 2 points" in printed(capsys, "leaky", f"import io, sys\n{code}")
    assert (sys.stdout, sys.stderr) == before
    assert not sys.stdout.closed
    assert not sys.stderr.closed


@pytest.mark.parametrize("id", ["leaky", "descent", "momentum", "batch_norm"])
@pytest.mark.parametrize("setting", ["set_floatx", "set_dtype_policy"])
@pytest.mark.parametrize("where", ["in a cell", "in the answer"])
def test_precision_that_a_notebook_has_set_costs_no_points(id, setting, where, monkeypatch):
    """The grader begins each answer in float32, so `check` does too."""
    import keras

    monkeypatch.undo()
    lab, exercise = (LAB, LAB.exercises[id]) if id in LAB.exercises else labs.find_exercise(id)
    own = keras.config.floatx(), keras.config.dtype_policy()
    namespace = {"__name__": "__main__", "np": np, "keras": keras, "ops": keras.ops}
    exec(lab.solution(id), namespace)
    name = exercise.defines[0]
    right, change = namespace[name], getattr(keras.config, setting)
    if where == "in a cell":
        change("float16")
    else:
        inner = right.__init__ if isinstance(right, type) else right

        def changing(*arguments, **options):
            change("float16")
            return inner(*arguments, **options)

        if isinstance(right, type):
            right.__init__ = changing
        else:
            namespace[name] = changing
    left = keras.config.floatx(), keras.config.dtype_policy()
    try:
        if where == "in a cell":
            assert checking.review(lab, exercise, namespace).status == "ok"
        else:
            checking.review(lab, exercise, namespace)  # what it changes may cost its own points
        assert (keras.config.floatx(), keras.config.dtype_policy()) == left
    finally:
        keras.config.set_floatx(own[0])
        keras.config.set_dtype_policy(own[1])


class _OnlyWritten:
    """The least that people replace a stream by."""

    def write(self, text):
        pass

    def flush(self):
        pass


@pytest.mark.parametrize("stream", [None, _OnlyWritten()], ids=["none", "only written"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_program_with_an_unusual_stream_can_check(name, stream, monkeypatch):
    """None is that of a program that Windows starts without a console."""
    monkeypatch.setattr(sys, name, stream)
    checking.check("leaky", {})
    assert not stderr.is_terminal()
    assert list(waiting.reporting("ab", 2, "reading letters")) == ["a", "b"]


def test_program_that_has_closed_standard_error_can_check(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    checking.check("leaky", {})
    assert not stderr.is_terminal()
    assert list(waiting.reporting("ab", 2, "reading letters")) == ["a", "b"]


def test_stub_gets_the_task(capsys):
    assert "missing: write the leaky ReLU." in printed(capsys, "leaky", LAB.stub("leaky"))


@pytest.mark.parametrize(
    "mistake", LAB.exercises["leaky"].mistakes, ids=lambda mistake: mistake.sentence[:20]
)
def test_known_mistake_is_explained(mistake, capsys):
    out = printed(capsys, "leaky", mistake.of(LEAKY))
    assert mistake.sentence in out
    assert len(out.splitlines()) <= 24


def test_warning_of_a_known_mistake_is_not_shown(capsys):
    """The student would take it for one of the answer."""
    noisy = LEAKY.replace("def leaky_relu", "import sys\n\n\ndef leaky_relu").replace(
        "    return", "    print('not yours', file=sys.stderr)\n    return"
    )
    exercise = LAB.exercises["leaky"]
    known = checking.KnownMistakes(LAB, exercise, checking.visible_cases(exercise))
    assert not isinstance(known.outputs(Mistake("a noisy one", code=noisy), 0), Failure)
    assert capsys.readouterr().err == ""


def test_unknown_mistake_shows_the_largest_difference(capsys):
    out = printed(capsys, "leaky", "def leaky_relu(x, slope):\n    return x * slope")
    assert "expected" in out
    assert "median of got/expected" in out
    assert "Known mistake" not in out


def test_exception_is_reported(capsys):
    assert "raised ZeroDivisionError" in printed(
        capsys, "leaky", "def leaky_relu(x, slope):\n    return 1 / 0"
    )


@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("descent", "class Descent(keras.optimizers.SGD): pass"),
        ("descent", "class Descent: pass"),
        ("leaky", "def leaky_relu(x, slope):\n    return keras.ops.leaky_relu(x, slope)"),
    ],
)
def test_delegation_is_forbidden(id, code, capsys):
    assert "forbidden: " in printed(capsys, id, code)


def test_definition_before_a_syntax_error_is_not_judged(capsys):
    namespace = {"np": np}
    exec(LEAKY, namespace)
    namespace["In"] = [LEAKY, "# exercise: leaky\ndef leaky_relu(x, slope:\n    return x", 'check("leaky")']
    checking.check("leaky", namespace)
    assert "missing: the cell that you ran last has an error in line 2" in capsys.readouterr().out
    namespace["In"] += [LEAKY]
    checking.check("leaky", namespace)
    assert "2 of 2 points" in capsys.readouterr().out


def test_hint_says_where_then_why_and_begins_again_for_another_answer(capsys):
    def hint(code):
        namespace = {"np": np}
        exec(code, namespace)
        checking.check("leaky", namespace, hint=True)
        return capsys.readouterr().out

    mistake = LAB.exercises["leaky"].mistakes[0]
    first = hint(mistake.of(LEAKY))
    assert re.search(r'where it goes wrong:\n  in the case ".+"(; look at `\w+`)?\. Ask', first)
    assert mistake.sentence not in first
    assert "expected" not in first
    assert f"why it goes wrong:\n  known mistake: {mistake.sentence}" in hint(mistake.of(LEAKY))
    other = "def leaky_relu(x, slope):\n    return x * slope"
    assert "where it goes wrong" in hint(other)
    assert "expected" in hint(other)
    assert "2 of 2 points" in hint(LEAKY)
    assert "where it goes wrong" in hint(other)


@pytest.mark.parametrize("cell", [f"# exercise: leaky\n{LEAKY}", 'check("leaky", hint=True)'])
def test_whole_lab_shows_points_and_what_is_left(cell, capsys):
    namespace = {"np": np, "In": [cell]}
    exec(LEAKY, namespace)
    checking.check(namespace=namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f": 2 of {sum(each.points for each in LAB.exercises.values())} points")
    assert lines[1] == "  ✓ leaky: 2 of 2 points, ok"
    assert "✗ descent: 0 of 3 points, missing" in "\n".join(lines)
    assert lines[-1] == f"  left: {', '.join(id for id in LAB.exercises if id != 'leaky')}"


def test_whole_lab_needs_a_cell_of_a_lab(capsys):
    checking.check(namespace={"In": ["1 + 1"]})
    assert "found no cell of an exercise" in capsys.readouterr().out


@pytest.mark.parametrize("id", ["leeky", pytest.param(type("leaky_relu", (), {}), id="the object itself")])
def test_unknown_exercise_is_answered_with_the_nearest_id_and_those_of_the_lab(id, capsys):
    checking.check(id, {})
    line = capsys.readouterr().out
    name = id if isinstance(id, str) else "leaky_relu"
    assert line.startswith(f'There is no exercise `{name}`. Did you mean check("leaky")?')
    assert ", ".join(LAB.exercises) in " ".join(line.split())


def test_exercise_unlike_any_is_answered_with_the_way_to_find_its_name(capsys):
    checking.check("qqqqqq", {})
    assert "check() alone lists the exercises of its lab" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("None", "returned None; a function without `return` does"),
        ("(v for v in [1.0])", "returned generator, not numbers"),
        ("{}", "returned dict, not numbers"),
        ("object()", "returned object, not numbers"),
        ("np.array([None])", "returned ndarray of dtype object, not numbers"),
    ],
)
def test_answer_that_returns_no_numbers_learns_what_it_returned(returned, said, capsys):
    out = " ".join(printed(capsys, "leaky", f"def leaky_relu(x, slope):\n    return {returned}").split())
    assert f"TypeError: the answer {said}" in out


@pytest.mark.parametrize("id", ["sigmoid", "cross_entropy_cost"])
def test_errors_of_numpy_that_a_notebook_asks_for_leave_the_kit_alone(id, monkeypatch):
    """As by `np.seterr(all="raise")`: cases and references of the kit may underflow."""
    import keras

    monkeypatch.undo()
    lab, exercise = labs.find_exercise(id)
    monkeypatch.setattr(checking.judge, "_references", {})
    namespace = {"__name__": "__main__", "np": np, "keras": keras, "ops": keras.ops}
    exec(lab.solution(id), namespace)
    with np.errstate(all="raise"):
        verdict = checking.review(lab, exercise, namespace)
        assert np.geterr()["over"] == "raise"
    assert all("FloatingPointError" in finding.what for finding in verdict.findings), "the answer's alone"


def test_points_are_returned_for_other_graders():
    namespace = {"np": np}
    exec(LEAKY, namespace)
    assert checking.points("leaky", namespace) == 2


def test_points_write_nothing_to_stderr(capfd):
    """nbgrader counts a cell that writes there as failed."""

    namespace = {"np": np}
    exec(LEAKY, namespace)
    quiet = namespace["leaky_relu"]

    before, created_inside = logging.getLogger("before"), logging.getLogger("inside")
    before.addHandler(logging.StreamHandler())

    def loud(*arguments, **options):
        os.write(2, b"from C")
        print("from Python", file=sys.stderr)
        warnings.warn("a warning", stacklevel=1)
        before.warning("by a logger that existed before")
        created_inside.addHandler(logging.StreamHandler())
        return quiet(*arguments, **options)

    assert checking.points("leaky", {**namespace, "leaky_relu": loud}) == 2
    created_inside.warning("no error of a closed file")
    before.warning("afterwards")
    assert capfd.readouterr().err == "afterwards\n"
