"""Hostile submissions: none gains what it did not earn, none hurts another's grade, none reads what is hidden."""

import json
import os
import textwrap
from pathlib import Path

import numpy as np
import pytest

import tf_kit
from grading import attacks
from grading.class_of_students import DESCENT, LAB, LEAKY, notebook, write
from tf_kit.grading import course, delegation, grader, labs
from tf_kit.grading.sandbox import confinement

pytestmark = pytest.mark.slow

READ = (
    "infinite loop",
    "fork bomb",
    "Keras's own",
    "Keras's own by getattr",
    "imports the kit",
    "takes 3 GB",
)
SECRET = "the secret of the course"
LEVEL = confinement.level_of(confinement.available())
needs_walls = pytest.mark.skipif(
    LEVEL != "full", reason=f"this machine confines an answer at level {LEVEL} only"
)


def leaky(body):
    return "def leaky_relu(x, slope):\n" + textwrap.indent(body, "    ") + "\n"


def hand_in(folder, out, attacked):
    """Attacks as notebooks: the attacked exercise beside a right answer to the other; honest students around them."""
    places = {
        "class_": str(folder),
        "out": str(out),
        "package": str(Path(tf_kit.__file__).parent),
        "answers": str(LAB.folder / "answers" / LAB.source.name),
        "source": str(LAB.source),
        "judge": str(os.getpid()),
    }
    write(folder, "aaa the first", notebook())
    for name, (body, _) in attacks.IN_A_CALL.items():
        if attacked is None or name in attacked:
            write(folder, name, notebook(leaky=leaky(body)))
    for name, body in attacks.SPIES.items() if attacked is None else ():
        for key, place in places.items():
            body = body.replace("{" + key + "}", place)
        write(folder, f"spy, {name}", notebook(leaky=leaky(body)))
    for name, code in attacks.DELEGATIONS.items():
        write(folder, f"delegates, {name}", notebook(descent=code))
    write(folder, "zzz the last", notebook())


def grade_all(tmp, monkeypatch, attacked=None):
    folder, out = tmp / "class", tmp / "out"
    folder.mkdir()
    hand_in(folder, out, attacked)
    monkeypatch.setattr(labs, "find", lambda name: LAB)
    monkeypatch.setenv("TF_KIT_COURSE_SECRET", SECRET)
    assert course.secret(out)  # a file that a spy looks for
    grades = course.grade(
        "testing", [folder], out, jobs=2, seconds=3.0, secret=SECRET, allow_unsandboxed=False
    )
    return {grade.student: {r.exercise: r for r in grade.results} for grade in grades}, out


@pytest.fixture(scope="module")
def read_and_confined(tmp_path_factory):
    """The grades as a teacher would get them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield grade_all(tmp_path_factory.mktemp("read"), monkeypatch, READ)


@pytest.fixture(scope="module")
def confined_alone(tmp_path_factory):
    """The grades when nobody reads the code before it runs: what the walls alone hold back."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(delegation, "summary", lambda *_: "")
        yield grade_all(tmp_path_factory.mktemp("confined"), monkeypatch)


@pytest.fixture(params=["read_and_confined", "confined_alone"])
def graded(request):
    return request.getfixturevalue(request.param)


def assert_held(results, statuses):
    assert results["leaky"].points == 0
    assert results["leaky"].status in statuses, results["leaky"]
    assert (results["descent"].points, results["descent"].status) == (3, "ok")


@needs_walls
@pytest.mark.parametrize("name", attacks.IN_A_CALL)
def test_attack_earns_nothing_and_costs_its_own_question_only(name, confined_alone):
    assert_held(confined_alone[0][name], attacks.IN_A_CALL[name][1])


@needs_walls
@pytest.mark.parametrize("name", READ)
def test_so_it_is_where_the_code_is_read_first(name, read_and_confined):
    assert_held(read_and_confined[0][name], attacks.IN_A_CALL[name][1])


@needs_walls
@pytest.mark.parametrize("name", attacks.SPIES)
def test_spy_finds_nothing(name, confined_alone):
    results = confined_alone[0][f"spy, {name}"]
    assert_held(results, {"error"})
    said = [words for words in results["leaky"].findings if not words.startswith("in the line")]
    assert not [words for words in said if "found" in words], said


@needs_walls
@pytest.mark.parametrize("name", attacks.DELEGATIONS)
def test_delegation_is_forbidden(name, graded):
    results = graded[0][f"delegates, {name}"]
    assert results["descent"].points == 0
    assert results["descent"].status == "forbidden", results["descent"]
    assert results["leaky"].points == 2


@needs_walls
def test_honest_students_beside_them_lose_nothing(graded):
    for name in ("aaa the first", "zzz the last"):
        assert sum(result.points for result in graded[0][name].values()) == 5


@needs_walls
def test_reports_say_nothing_of_hidden_cases(graded):
    """Every number of every hidden input, as any of the reports might spell it."""
    _, out = graded
    hidden = grader.hidden_cases(LAB, LAB.exercises["leaky"], SECRET)[0]
    spellings = {repr(float(v)) for v in hidden["x"]} | {repr(hidden["slope"])}
    spellings |= {f"{float(v):.6g}" for v in [*hidden["x"], hidden["slope"]]}
    for path in out.rglob("*"):
        if path.is_file() and path.suffix != ".png":
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [each for each in spellings if each in text], path
            assert SECRET not in text, path
    assert all(np.isfinite(float(each)) for each in spellings)


@needs_walls
def test_nothing_is_left_behind(graded):
    assert not Path("/tmp/owned").exists()
    assert not (Path(tf_kit.__file__).parent / "written.py").exists()
    lines = (graded[1] / "grades.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in lines)


def test_right_answers_are_right_here_too():
    assert "np.where" in LEAKY
    assert "assign_sub" in DESCENT
