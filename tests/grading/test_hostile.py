"""Hostile submissions: they earn no points, do not affect other grades, and cannot read hidden files or memory."""

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
needs_full_confinement = pytest.mark.skipif(
    LEVEL != "full", reason=f"this machine confines an answer at level {LEVEL} only"
)


def leaky(body):
    return "def leaky_relu(x, slope):\n" + textwrap.indent(body, "    ") + "\n"


def hand_in(folder, out, attacked):
    """Write notebooks with one attack and one right answer each, and two honest notebooks before and after them."""
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
    assert course.secret(out)  # creates a file that a spy tries to read
    grades = course.grade(
        "testing", [folder], out, jobs=2, seconds=3.0, secret=SECRET, allow_unsandboxed=False
    )
    return {grade.student: {r.exercise: r for r in grade.results} for grade in grades}, out


@pytest.fixture(scope="module")
def read_and_confined(tmp_path_factory):
    """Grades of some attacks, as a teacher would get them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield grade_all(tmp_path_factory.mktemp("read"), monkeypatch, READ)


@pytest.fixture(scope="module")
def confined_alone(tmp_path_factory):
    """Grades of all attacks without a search for delegation in the code, so that only the sandbox stops them."""
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


@needs_full_confinement
@pytest.mark.parametrize("name", attacks.IN_A_CALL)
def test_attack_earns_nothing_and_affects_only_its_own_exercise(name, confined_alone):
    assert_held(confined_alone[0][name], attacks.IN_A_CALL[name][1])


@needs_full_confinement
@pytest.mark.parametrize("name", READ)
def test_attack_earns_nothing_if_the_code_is_read_first(name, read_and_confined):
    assert_held(read_and_confined[0][name], attacks.IN_A_CALL[name][1])


@needs_full_confinement
@pytest.mark.parametrize("name", attacks.SPIES)
def test_spy_finds_nothing(name, confined_alone):
    results = confined_alone[0][f"spy, {name}"]
    assert_held(results, {"error"})
    findings = [each for each in results["leaky"].findings if not each.startswith("in the line")]
    assert not [each for each in findings if "found" in each], findings


@needs_full_confinement
@pytest.mark.parametrize("name", attacks.DELEGATIONS)
def test_delegation_is_forbidden(name, graded):
    results = graded[0][f"delegates, {name}"]
    assert results["descent"].points == 0
    assert results["descent"].status == "forbidden", results["descent"]
    assert results["leaky"].points == 2


@needs_full_confinement
def test_honest_submissions_keep_their_points(graded):
    for name in ("aaa the first", "zzz the last"):
        assert sum(result.points for result in graded[0][name].values()) == 5


@needs_full_confinement
def test_reports_do_not_reveal_hidden_cases(graded):
    """No number of a hidden input is in any report, in any spelling that a report may use."""
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


@needs_full_confinement
def test_no_file_is_left_behind(graded):
    assert not Path("/tmp/owned").exists()
    assert not (Path(tf_kit.__file__).parent / "written.py").exists()
    lines = (graded[1] / "grades.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in lines)


def test_solutions_have_the_code_that_the_attacks_replace():
    assert "np.where" in LEAKY
    assert "assign_sub" in DESCENT
