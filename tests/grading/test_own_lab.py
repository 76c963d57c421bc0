"""A teacher's own lab, outside the repository: made, tested, released, checked, graded, changed, graded again."""

import errno
import os
import re

import nbformat
import pytest
from cli.typed import run_main

from tf_kit.errors import InputError
from tf_kit.grading import checking, grader, labs, new_lab, notebooks, selftest


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return new_lab.create("circles", tmp_path_factory.mktemp("own"))


def test_new_lab_is_right_at_once(own):
    found = list(selftest.report(own, sandbox=False))
    assert [line for right, line in found if not right] == []
    assert any("6 of 6 mistakes" in line for _, line in found)
    assert any("hidden cases" in line for _, line in found)


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("circles.py", "axis=1))", "axis=1)) + 1", "the solution gets all points"),
        ("circles.py", "    ### BEGIN SOLUTION\n", "    pass\n    ### BEGIN SOLUTION\n", "is up to date"),
        ("answers/circles.py", '{"axis=1": "axis=0"}', '{"axis=1": "axis=-1"}', "5 of 6 mistakes"),
        ("answers/circles.py", 'id="circles_distances"', 'id="discs"', "the answers are of discs"),
        ("probes/circles.py", "def circles_distances", "def distances", "but for circles_distances"),
        ("circles.py", "### BEGIN SOLUTION", "### Begin solution", "but for that of circles_distances"),
        ("circles.py", "    ### END SOLUTION\n", "", "but for that of circles_distances"),
        (
            "circles.py",
            "    ### END SOLUTION\n",
            "    ## END SOLUTION\n",
            "but for that of circles_distances",
        ),
    ],
)
def test_self_test_finds_what_is_wrong(file, old, new, line, own, tmp_path):
    made = new_lab.create("circles", tmp_path)
    path = made.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    changed = labs.Lab("", "circles", made.source)  # as a new process reads it
    failed = [text for right, text in selftest.report(changed, sandbox=False) if not right]
    assert any(line in text for text in failed)


def test_lab_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(notebook, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(notebooks, "write", full)
        with pytest.raises(OSError, match="No space left") as caught:
            new_lab.create("circles", tmp_path)
    assert caught.value.filename == str(tmp_path / "circles")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "circles").mkdir()
    assert new_lab.create("circles", tmp_path).notebook_path.is_file()
    assert [each.name for each in tmp_path.iterdir()] == ["circles"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("### BEGIN SOLUTION", "### Begin solution"),
        ("    ### END SOLUTION\n", ""),
        ("    ### END SOLUTION\n", "    # end solution\n"),
        ("    ### BEGIN SOLUTION\n", ""),
    ],
)
def test_a_solution_that_is_not_marked_is_never_released(old, new, tmp_path):
    made = new_lab.create("circles", tmp_path)
    assert old in made.source.read_text()
    made.source.write_text(made.source.read_text().replace(old, new))
    with pytest.raises(InputError, match=r"### END SOLUTION.*circles_distances lacks one"):
        notebooks.released(labs.Lab("", "circles", made.source))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "answers/circles.py",
            "EXERCISES = [",
            "EXERCISES = [[",
            r"answers/circles\.py, line \d+: SyntaxError",
        ),
        ("answers/circles.py", "EXERCISES = [", "EXERCISE = [", "list `EXERCISES`"),
        (
            "answers/circles.py",
            "EXERCISES = [",
            "unknown\nEXERCISES = [",
            r"line \d+: NameError: name 'unknown'",
        ),
        ("probes/circles.py", "def ", "def def ", r"probes/circles\.py, line \d+: SyntaxError"),
    ],
)
def test_an_error_in_a_lab_is_one_line(file, old, new, words, tmp_path):
    made = new_lab.create("circles", tmp_path)
    path = made.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=words) as raised:
        list(selftest.report(labs.Lab("", "circles", made.source), sandbox=False))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "circles.py",
            'exercise="circles_distances"',
            'exercise="circle_distances"',
            r"circles\.py lacks circles_distances; answers/circles\.py lacks circle_distances; "
            r"probes/circles\.py lacks circle_distances",
        ),
        ("circles.py", ' exercise="circles_distances"', "", r": circles\.py lacks circles_distances\. "),
        ("answers/circles.py", 'id="circles_distances"', 'id="discs"', "circles.py lacks discs; answers/circles.py "),
        ("probes/circles.py", "def circles_distances", "def distances", ": probes/circles.py lacks circles_distances"),
        ("probes/circles.py", "def ", "def def ", r"probes/circles\.py, line \d+: SyntaxError"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["release", "grade", "gradescope", "check"])
def test_a_lab_with_different_exercises_in_its_files_is_refused_at_once(
    command, file, old, new, words, tmp_path, monkeypatch, capsys
):
    made = new_lab.create("circles", tmp_path)
    path = made.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    labs._lab.cache_clear()  # as a new process reads it
    given = {"grade": [made.notebook_path], "check": [made.notebook_path, "--lab"]}.get(command, [])
    name = [made.folder]
    typed = [*given, *name] if command == "check" else [*name, *given]
    typed += [] if command == "check" else ["--out", tmp_path / "out"]
    status, out, err = run_main(monkeypatch, capsys, "lab", command, *typed)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert re.search(words, err)
    assert not (tmp_path / "out").exists()


def test_an_error_that_running_the_probes_shows_names_the_line(own, monkeypatch, tmp_path):
    class Children:
        def __init__(self, lab, jobs):
            pass

        def __exit__(self, *error):
            pass

        @property
        def level(self):
            raise InputError("a process that ended at once")

    monkeypatch.setattr(grader, "Children", Children)
    made = new_lab.create("circles", tmp_path)
    for text, words in (("unknown\n", r"circles\.py, line 1: NameError"), ("", "ended at once")):
        code = text + "def circles_distances(namespace, case): pass\n"
        made.probes_path.write_text(code)
        with (
            pytest.raises(InputError, match=words),
            grader.Grader(labs.Lab("", "circles", made.source), 1) as judge,
        ):
            judge.ready()


def test_lab_is_found_by_folder_and_source(own, monkeypatch):
    assert labs.find(str(own.folder)) == own
    assert labs.find(str(own.source)) == own
    monkeypatch.chdir(own.folder.parent)
    assert labs.find("circles") == own
    assert labs.find("optimizers").number == "03"


def test_lab_without_all_files_is_refused(tmp_path):
    made = new_lab.create("circles", tmp_path)
    made.probes_path.unlink()
    with pytest.raises(InputError, match=r"no probes/circles\.py"):
        labs.find(str(made.folder))


def test_check_finds_the_lab_that_the_variable_names(own, monkeypatch, capsys):
    monkeypatch.setenv(labs.FOLDERS, str(own.folder))
    namespace = {}
    exec(own.solution("circles_distances").replace("np.sqrt", ""), {"np": __import__("numpy")}, namespace)
    lab, exercise = labs.find_exercise("circles_distances")
    assert lab == own
    verdict = checking.review(lab, exercise, namespace)
    assert "the root of (1) is missing" in verdict.sentence
    monkeypatch.setenv(labs.FOLDERS, "nowhere")
    with pytest.raises(InputError, match="next to the notebook"):
        labs.labs()


@pytest.mark.parametrize("name", ["Circles", "2circles", "class", "a/b", "optimizers", ""])
def test_names_that_cannot_be_used_are_refused(name, tmp_path):
    with pytest.raises(InputError, match="`name`"):
        new_lab.create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_overwritten(own):
    before = own.source.read_bytes()
    with pytest.raises(InputError, match="without files"):
        new_lab.create("circles", own.folder.parent)
    assert own.source.read_bytes() == before


@pytest.mark.parametrize(
    "address", ["tf-kit", "git+https://git.example.org/a b/kit@v1", "kit @ https://example.org/k.whl"]
)
def test_first_cell_installs_what_was_given(address, own):
    lab = labs.find("backpropagation")
    cell = notebooks.student_notebook(lab, address).cells[0].source
    quoted = address if address == "tf-kit" else f"'{address}'"
    assert f"%pip install --quiet {quoted}\n" in f"{cell}\n"
    assert labs.FOLDERS not in cell
    assert labs.FOLDERS in notebooks.student_notebook(own).cells[0].source


def typed(monkeypatch, capsys, *words):
    status, out, err = run_main(monkeypatch, capsys, "lab", *words)
    labs._lab.cache_clear()  # the next command is another process
    assert status == 0, out + err
    return out


@pytest.mark.slow
def test_own_lab_from_new_to_regrade(tmp_path, monkeypatch, capsys):
    """As typed by a teacher in an empty folder, without the repository."""
    monkeypatch.chdir(tmp_path)
    assert "circles/answers/circles.py" in typed(monkeypatch, capsys, "new", "circles")
    assert "everything is right" in typed(monkeypatch, capsys, "selftest", "circles")
    assert "--with-checks" in typed(monkeypatch, capsys, "release", "circles", "--out", "plain")
    typed(monkeypatch, capsys, "release", "circles", "--out", "handout", "--with-checks")
    assert (tmp_path / "handout" / "circles" / "answers" / "circles.py").is_file()
    made = nbformat.read(tmp_path / "handout" / "circles.ipynb", as_version=4)
    (tmp_path / "class").mkdir()
    right = labs.at(tmp_path / "circles").solution("circles_distances")
    for name, answer in {"ada": right, "alan": right.replace("axis=1", "axis=0"), "grace": None}.items():
        for cell in made.cells:
            if cell.metadata.get("tf_kit", {}).get("exercise") and answer:
                cell.source = answer
        nbformat.write(made, tmp_path / "class" / f"{name}.ipynb")
    assert "3 of 3 points" in typed(monkeypatch, capsys, "check", "class/ada.ipynb", "--lab", "circles")
    assert "mean 1.0 of 3 points" in typed(
        monkeypatch, capsys, "grade", "circles", "class", "--out", "grades"
    )
    path = tmp_path / "circles" / "answers" / "circles.py"
    path.write_text(path.read_text().replace("points=3", "points=5"))
    shown = typed(monkeypatch, capsys, "grade", "circles", "class", "--out", "grades")
    assert (
        "under other rules here (changed: answers of the lab, limits)" in shown
        or "answers of the lab)" in shown
    )
    assert "1 of 3 students have other points (1 more, 0 fewer)" in shown
    assert len((tmp_path / "grades" / "changes.csv").read_text().splitlines()) == 2
    shown = typed(
        monkeypatch, capsys, "grade", "circles", "class", "--out", "elsewhere", "--compare", "grades"
    )
    assert "0 of 3 students have other points" in shown
    secrets = {(tmp_path / each / "course-secret").read_text() for each in ("grades", "elsewhere")}
    assert len(secrets) == 1
