"""`tf-kit lab …` as a teacher runs it."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import pytest

from tf_kit import cli
from tf_kit.grading import labs, notebooks, selftest


def run_main(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tf-kit", "lab", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    captured = capsys.readouterr()
    return exit_.value.code or 0, captured.out, captured.err


def test_list(monkeypatch, capsys):
    status, out, _ = run_main(monkeypatch, capsys, "list")
    assert status == 0
    assert len(out.splitlines()) == len(labs.labs())


@pytest.mark.parametrize("form", ["plain", "nbgrader", "otter"])
def test_release(form, monkeypatch, capsys, tmp_path):
    status, out, _ = run_main(
        monkeypatch, capsys, "release", "optimizers", "--out", tmp_path, "--format", form
    )
    assert status == 0
    path = Path(out.strip())
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    lab = labs.find("optimizers")
    answers = [cell for cell in made.cells if "exercise" in cell.metadata.get("tf_kit", {})]
    assert [cell.metadata["tf_kit"]["exercise"] for cell in answers] == list(lab.exercises)
    if form == "nbgrader":
        assert all(cell.metadata["nbgrader"]["solution"] for cell in answers)
        points = [
            cell.metadata["nbgrader"].get("points", 0) for cell in made.cells if "nbgrader" in cell.metadata
        ]
        assert sum(points) == lab.points
    if form == "otter":
        tests = made.metadata["otter"]["tests"]
        assert sum(test["points"] for test in tests.values()) == lab.points
        assert any(f'otter.Notebook("{path.name}")' in cell.source for cell in made.cells), (
            "otter reads the tests from this file"
        )
    before = path.read_bytes()
    status, _, err = run_main(
        monkeypatch, capsys, "release", "optimizers", "--out", tmp_path, "--format", form
    )
    assert (status, len(err.splitlines())) == (2, 1)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["release", "optimzers", "--out", "o"], "Did you mean optimizers?"),
        (["release", "99", "--out", "o"], "'99'"),
        (["release", "optimizers"], "--out"),
        (["check", "nothing.ipynb"], "nothing.ipynb"),
        (["check", "text.ipynb"], "text.ipynb"),
        (["check", "other.ipynb"], "--lab"),
        (["grade", "optimizers", "nothing", "--out", "o"], "nothing"),
        (["grade", "optimizers", "empty", "--out", "o"], "empty"),
        (["grade", "optimizers", "other.ipynb", "--out", "o", "--jobs", "0"], "--jobs"),
        (["grade", "optimizers", "other.ipynb", "--out", "o", "--timeout", "-1"], "--timeout"),
        (["grade", "optimizers", "other.ipynb", "--out", "text.ipynb"], "--out"),
        (
            ["grade", "optimizers", "other.ipynb", "--out", "o", "--visible-only", "--course-secret", "s"],
            "`--course-secret` must be left out with --visible-only",
        ),
        (
            ["gradescope", "optimizers", "--out", "a.zip", "--visible-only", "--course-secret", "s"],
            "`--course-secret` must be left out with --visible-only",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_input_error_is_one_line_and_status_2(arguments, expected, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("text.ipynb").write_text("not a notebook")
    Path("empty").mkdir()
    Path("other.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[])))
    status, out, err = run_main(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert expected in err


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file", "which is a file"),
        ("file/inside", "which cannot be made: Not a directory"),
        ("dangling", "which is a link that leads to no folder"),
        ("loop", "which is a link that leads to no folder"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "lab release optimizers",
        "lab new circles",
        "lab grade optimizers ada.ipynb",
        "lab gradescope optimizers --install tf-kit",
        "quiz --notebook",
    ],
)
def test_place_that_cannot_be_a_folder_is_refused_with_the_reason(
    command, place, reason, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    Path("ada.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[])))
    before = sorted(Path().iterdir())
    out = f"{place}/a.zip" if "gradescope" in command else place
    monkeypatch.setattr(sys, "argv", ["tf-kit", *command.split(), "--out", out])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    shown, err = capsys.readouterr()
    assert (exit_.value.code, shown) == (2, "")
    assert "`--out` must be a" in err
    assert f"{place!r}, {reason}. Choose another folder." in err
    assert sorted(Path().iterdir()) == before


def test_autograder_is_not_written_over_a_link_or_left_half(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("dangling.zip").symlink_to("nowhere")
    for out, message in {
        "dangling.zip": "must be a file that does not exist. Received: 'dangling.zip'",
        "folder": "must be a file that ends in .zip. Received: 'folder'",
    }.items():
        arguments = ("gradescope", "optimizers", "--out", out, "--install", "tf-kit")
        status, _, err = run_main(monkeypatch, capsys, *arguments)
        assert (status, message in err) == (2, True)
    Path("kit.whl").write_bytes(b"x")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.write", full)
    arguments = ("gradescope", "optimizers", "--out", "a.zip", "--install", "kit.whl")
    status, _, err = run_main(monkeypatch, capsys, *arguments)
    assert (status, "'a.zip': No space left on device" in err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling.zip", "kit.whl"]


def test_autograder_does_not_install_a_package_that_nobody_named(monkeypatch, capsys, tmp_path):
    out = tmp_path / "a.zip"
    status, _, err = run_main(monkeypatch, capsys, "gradescope", "optimizers", "--out", out)
    assert (status, "`--install` must be given" in err, out.exists()) == (2, True, False)
    monkeypatch.setattr("tf_kit.first_cell._repository", lambda: "tf-kit @ git+https://git.example.org/kit")
    assert run_main(monkeypatch, capsys, "gradescope", "optimizers", "--out", out)[0] == 0
    with zipfile.ZipFile(out) as archive:
        assert b"install --quiet 'tf-kit @ git+https://git.example.org/kit'" in archive.read("setup.sh")


@pytest.mark.parametrize("name", ["a", "class", "a" * 42, "Circles", "a-b", "../x", "été", ""])
def test_rule_of_the_name_of_a_new_lab_is_whole(name, monkeypatch, capsys, tmp_path):
    status, _, err = run_main(monkeypatch, capsys, "new", name, "--out", tmp_path)
    assert status == 2
    assert (
        "2 to 41 lower-case letters, digits and underscores that begins with a letter, and no keyword" in err
    )


def test_command_that_tests_a_new_lab_can_be_pasted(monkeypatch, capsys, tmp_path):
    _, out, _ = run_main(monkeypatch, capsys, "new", "circles", "--out", tmp_path / "my labs")
    command = out.splitlines()[-1].partition("`")[2].rstrip("`")
    assert shlex.split(command) == ["tf-kit", "lab", "selftest", str(tmp_path / "my labs" / "circles")]


def test_refused_folder_of_submissions_gets_no_secret(monkeypatch, capsys, tmp_path):
    (tmp_path / "ada.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[])))
    status, _, err = run_main(monkeypatch, capsys, "grade", "optimizers", tmp_path, "--out", tmp_path)
    assert (status, "another folder than that of the submissions" in err) == (2, True)
    assert [each.name for each in tmp_path.iterdir()] == ["ada.ipynb"]


@pytest.mark.slow
def test_check_and_pytest_give_the_same_points_as_grade(monkeypatch, capsys, tmp_path):
    lab = labs.find("optimizers")
    first, *_ = lab.exercises.values()
    wrong = {first.id: first.mistakes[0].of(lab.solution(first.id))}
    path = notebooks.write(selftest.solved(lab, replaced=wrong), tmp_path / "student.ipynb")
    out = tmp_path / "out"
    status, shown, _ = run_main(
        monkeypatch,
        capsys,
        "grade",
        "optimizers",
        path,
        "--out",
        out,
        "--course-secret",
        "s",
        "--allow-unsandboxed",
    )
    assert status == 0
    assert "most frequent mistakes" in shown
    (line,) = (out / "canvas.csv").read_text().splitlines()[2:]
    points = line.rsplit(",", 1)[1]
    expected = f"{points} of {lab.points} points"

    status, shown, _ = run_main(monkeypatch, capsys, "check", path)
    assert status == 0
    assert expected in shown
    assert first.mistakes[0].sentence in shown

    code = [sys.executable, "-m", "pytest", labs.folder(), "-p", "no:cacheprovider", "-n", "0", "-q"]
    code += ["--submission", path, "--course-secret", "s"]
    result = subprocess.run(list(map(str, code)), capture_output=True, text=True, check=False)
    assert expected in result.stdout, result.stdout + result.stderr
    assert first.mistakes[0].sentence in result.stdout
    assert result.returncode == 1


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_prints_how_to_continue(number, expected, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)  # a test run may ignore them

    def interrupted(*_):
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("tf_kit.grading.course.grade", interrupted)
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "ada.ipynb").write_text("{}")
    arguments = ("grade", "optimizers", str(tmp_path / "submissions"), "--out", str(tmp_path / "out"))
    status, _, words = run_main(monkeypatch, capsys, *arguments)
    assert status == expected
    continuation = "run the same command again to continue after the last submission on record"
    assert words.strip() == f"tf-kit: interrupted; {continuation}"


@pytest.mark.slow
def test_killed_run_can_be_continued_and_leaves_no_process(tmp_path):
    """After SIGKILL no submission on record is graded again, and no process of the first run is left."""
    lab = labs.find("optimizers")
    folder, out = tmp_path / "class", tmp_path / "out"
    for i in range(12):
        notebooks.write(selftest.solved(lab, f"student {i}"), folder / f"{i:02}.ipynb")
    code = "from tf_kit.cli import main; main()"
    command = [sys.executable, "-c", code, "lab", "grade", "optimizers", folder, "--out", out, "--jobs", "1"]
    command += ["--course-secret", "s", "--allow-unsandboxed"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        end = time.monotonic() + 120
        while time.monotonic() < end and not (out / "grades.jsonl").exists():
            time.sleep(0.02)
        process.kill()
    before = (out / "grades.jsonl").read_text().splitlines()
    result = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=True
    )
    assert f"12 submissions, {len(before)} of them on record" in result.stdout
    after = (out / "grades.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) == 12
    assert 0 < len(before) < 12
    end = time.monotonic() + 20
    while _running(str(tmp_path)) and time.monotonic() < end:
        time.sleep(0.1)
    assert _running(str(tmp_path)) == []


def _running(path):
    """List the command lines of processes that contain a path."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().decode(errors="replace"))
    return [line for line in lines if path in line and "pytest" not in line.split("\0")[:3]]
