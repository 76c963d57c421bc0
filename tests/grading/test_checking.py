"""`check` in a notebook cell: its report fits on one screen and explains the answer without hidden cases."""

import logging
import os
import re
import sys
import warnings

import numpy as np
import pytest

from grading.class_of_students import DESCENT, LAB, LEAKY
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
