"""Tests of the runner of the demos: find, configure, run, report a claim that fails, export a notebook."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.typed import type_command

from tf_kit import cli, lectures
from tf_kit.errors import InputError
from tf_kit.lectures.performance import carry_out

DEMO = '''# %%
"""Is two a prime?

Claim: yes.
"""

import dataclasses

from tf_kit import lectures, plotting

TITLE = "Primes"
SECONDS = 1


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    number: int = lectures.option(2, "Number to test")
    loud: bool = lectures.option(False, "Whether to print in capitals")

    @classmethod
    def quick(cls):
        return cls(number=3)


def run(config):
    return {"number": config.number, "divisors": sum(config.number % i == 0 for i in range(1, config.number + 1))}


def check(results):
    assert results["divisors"] == 2, f"{results['number']} has {results['divisors']} divisors"
    return f"{results['number']} is a prime."


def plot(results):
    return plotting.curves({"divisors": [1.0, results["divisors"]]})


# %%
if __name__ == "__main__":
    lectures.main(globals())
'''


@pytest.fixture
def prime(tmp_path, monkeypatch):
    folder = tmp_path / "lectures"
    folder.mkdir()
    (folder / "03_primes.py").write_text(DEMO)
    monkeypatch.setattr(lectures.catalog, "folder", lambda: folder)
    return folder / "03_primes.py"


def run_lecture(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tf-kit", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    captured = capsys.readouterr()
    return exit_.value.code or 0, captured.out.splitlines(), captured.err


def sources(path):
    return ["".join(cell["source"]) for cell in json.loads(Path(path).read_text())["cells"]]


@pytest.mark.parametrize("name", ["3", "03", "primes", "03_primes"])
def test_question_is_printed_first_and_answer_last(prime, monkeypatch, capsys, tmp_path, name):
    status, out, _ = run_lecture(monkeypatch, capsys, "lecture", name, "--out", tmp_path / "figures")
    assert status == 0
    assert out[0] == "Is two a prime? (about 1 s)"
    assert re.match(r"2 is a prime\. \(\d+ s; figure: ", out[-1])
    assert (tmp_path / "figures" / "03_primes.png").stat().st_size > 1000


def test_quick_and_options_reach_the_config(prime, monkeypatch, capsys, tmp_path):
    _, out, _ = run_lecture(monkeypatch, capsys, "lecture", "3", "--quick", "--out", tmp_path)
    assert out[0] == "Is two a prime? (about 1 s at full size)"
    assert out[-1].startswith("3 is a prime.")
    _, out, _ = run_lecture(
        monkeypatch, capsys, "lecture", "3", "--quick", "--number", "7", "--out", tmp_path
    )
    assert out[-1].startswith("7 is a prime.")


def test_claim_that_fails_gives_status_1(prime, monkeypatch, capsys, tmp_path):
    status, _, err = run_lecture(monkeypatch, capsys, "lecture", "3", "--number", "9", "--out", tmp_path)
    assert status == 1
    figure = tmp_path / "03_primes.png"
    changed = "with these parameters the claim does not hold (it is made for the defaults): 9 has 3 divisors"
    assert err == f"tf-kit: {changed} (0 s; figure: {figure})\n"
    assert figure.exists()
    # The size changes, because Python compares only the size and the second of writing to decide whether to recompile.
    prime.write_text(DEMO.replace("(2, ", "(40, "))
    status, _, err = run_lecture(monkeypatch, capsys, "lecture", "all", "--out", tmp_path)
    assert status == 1
    assert err.startswith(f"the claim does not hold: 40 has 8 divisors (0 s; figure: {figure})\n")
    assert "1 claim does not hold: 03" in err


def test_program_whose_claim_fails_prints_one_line(prime, monkeypatch, capsys, tmp_path):
    module = lectures.load(lectures.find("primes"))
    monkeypatch.setattr(sys, "argv", ["03_primes.py", "--number", "9", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        lectures.main(vars(module))
    assert exit_.value.code == 1
    assert re.match(r"with these parameters the claim does not hold .*\n$", capsys.readouterr().err)


def test_advice_on_retracing_is_not_printed(prime, caplog):
    advice = "7 out of the last 7 calls triggered tf.function retracing"
    prime.write_text(
        DEMO.replace("import dataclasses", "import dataclasses\nimport logging").replace(
            "def run(config):\n",
            f'def run(config):\n    for words in ("{advice}", "a loss is not finite"):\n'
            '        logging.getLogger("tensorflow").warning(words)\n',
        )
    )
    module = lectures.load(lectures.find("primes"))
    carry_out(module, module.Config())
    assert caplog.messages == ["a loss is not finite"]


def test_list_does_not_import_demos(prime, monkeypatch, capsys):
    prime.write_text(DEMO + "\nraise RuntimeError('imported')\n")
    status, out, _ = run_lecture(monkeypatch, capsys, "lecture", "list")
    assert status == 0
    assert out == ["03  primes              1 s  Primes: Is two a prime?"]


def test_help_shows_each_field(prime, monkeypatch, capsys):
    status, out, _ = run_lecture(monkeypatch, capsys, "lecture", "primes", "--help")
    assert status == 0
    text = " ".join(" ".join(out).split())
    assert "--number INTEGER Number to test. [default: 2]" in text
    assert "--loud / --no-loud" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["primse"], "Did you mean primes?"), (["99"], "'99'"), (["3", "--number", "two"], "--number two")],
)
def test_mistake_is_one_line(prime, monkeypatch, capsys, arguments, expected):
    status, out, err = run_lecture(monkeypatch, capsys, "lecture", *arguments)
    assert (status, out) == (2, [])
    assert len(err.splitlines()) == 1
    assert expected in err


def test_notebook_is_written(prime, monkeypatch, capsys, tmp_path):
    pytest.importorskip("jupytext", reason="needs the labs extra")
    status, out, _ = run_lecture(
        monkeypatch, capsys, "lecture", "3", "--notebook", "--out", tmp_path / "notebooks"
    )
    assert status == 0
    path = tmp_path / "notebooks" / "03_primes.ipynb"
    assert out == [str(path)]
    assert json.loads(path.read_text())["nbformat"] == 4
    assert any("class Config" in source for source in sources(path))
    assert any("lectures.main(globals())" in source for source in sources(path))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--number", "7"], {"number": 7, "loud": False}),
        (["--quick"], {"number": 3, "loud": False}),
        (["--quick", "--loud"], {"number": 3, "loud": True}),
        (["--quick", "--number", "7"], {"number": 7, "loud": False}),
    ],
)
def test_notebook_holds_the_parameters_that_were_typed(prime, monkeypatch, capsys, tmp_path, typed, expected):
    pytest.importorskip("jupytext", reason="needs the labs extra")
    status, out, _ = run_lecture(monkeypatch, capsys, "lecture", "3", "--notebook", "--out", tmp_path, *typed)
    assert status == 0
    (cell,) = [text for text in sources(out[0]) if text.startswith("# Parameters")]
    given = {}
    exec(cell, given)
    assert given["PARAMETERS"] == expected


@pytest.mark.parametrize(("typed", "asked"), [([], True), (["--noise", "0.3"], False)])
def test_notebook_asks_for_a_change_that_was_not_typed(monkeypatch, capsys, tmp_path, typed, asked):
    pytest.importorskip("jupytext", reason="needs the labs extra")
    _, out, _ = run_lecture(monkeypatch, capsys, "lecture", "01", "--notebook", "--out", tmp_path, *typed)
    assert any("Change `noise` to `0.3`" in text for text in sources(out[0])) == asked


@pytest.mark.parametrize("command", [("lecture", "01"), ("quiz", "review")])
def test_edited_notebook_is_not_overwritten(monkeypatch, capsys, tmp_path, command):
    pytest.importorskip("jupytext", reason="needs the labs extra")
    typed = (*command, "--notebook", "--out", tmp_path)
    first, second = (run_lecture(monkeypatch, capsys, *typed) for _ in range(2))
    assert first == second == (0, first[1], ""), "the same notebook again"
    (path,) = tmp_path.iterdir()
    edited = path.read_text().replace("# ", "# my ")
    path.write_text(edited)
    status, out, err = run_lecture(monkeypatch, capsys, *typed)
    assert (status, out, path.read_text()) == (2, [], edited)
    assert err == (
        f"tf-kit: `--out` must be a folder without {path.name}, which may hold a student's work. "
        f"Received: '{tmp_path}'. Choose another folder, or move the file.\n"
    )


MOVING = """
def draw(place):
    return plotting.curves({"place": [1.0, place]})


def sliders(config):
    return lectures.States({"place": ["0", "1"]}, draw)


def animation(config):
    return sliders(config)
"""
KINDS = {
    "--notebook": "03_primes.ipynb",
    "--slides": "03_primes.html",
    "--sliders": "03_primes_sliders.html",
    "--animate": "03_primes.gif",
}


@pytest.mark.parametrize("flags", [*itertools.combinations(KINDS, 2), tuple(KINDS)])
def test_every_kind_of_file_that_was_typed_is_written(prime, monkeypatch, capsys, tmp_path, flags):
    pytest.importorskip("jupytext", reason="needs the labs extra")
    monkeypatch.setattr("tf_kit.lectures.deck.slides_of", lambda demo, done: [])  # declared for each demo
    prime.write_text(DEMO.replace("# %%\nif __name__", f"{MOVING}\n\n# %%\nif __name__"))
    status, _, err = run_lecture(monkeypatch, capsys, "lecture", "3", *flags, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {KINDS[flag] for flag in flags}


@pytest.mark.parametrize(
    "typed",
    [
        ("lecture", "3", "--install", "kit.whl"),
        ("lecture", "3", "--install", ""),
        ("lecture", "3", "--colab", "demos"),
        ("quiz", "--out", "x"),
    ],
)
def test_flag_about_the_notebook_is_refused_without_it(prime, monkeypatch, capsys, typed):
    status, out, err = run_lecture(monkeypatch, capsys, *typed)
    assert (status, out) == (2, [])
    assert len(err.splitlines()) == 1
    assert re.match(rf"tf-kit: `{typed[-2]}` must be used with --notebook.* Add --notebook\.$", err)


NO_FOLDERS = {  # what lies in the place of the folder -> reason of the refusal
    "file": "which is a file",
    "file/figures": "which cannot be made: Not a directory",
    "dangling": "which is a link that leads to no folder",
    "dangling/figures": "which cannot be made: File exists",
}


@pytest.fixture(params=NO_FOLDERS)
def no_folder(request, prime, tmp_path):
    """A place where no folder can be made, and a demo that must not run before it is refused."""
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "deeper")
    prime.write_text(DEMO.replace('return {"number"', 'raise RuntimeError("it ran")\n    return {"number"'))
    return tmp_path / request.param, NO_FOLDERS[request.param]


@pytest.mark.parametrize(
    "typed", [("3",), ("3", "--slides"), ("3", "--notebook"), ("all",), ("all", "--slides")]
)
def test_place_that_can_be_no_folder_is_refused_before_the_demo_runs(no_folder, monkeypatch, capsys, typed):
    place, reason = no_folder
    status, out, err = run_lecture(monkeypatch, capsys, "lecture", *typed, "--out", place)
    assert (status, out) == (2, [])
    assert err == (
        f"tf-kit: `--out` must be a folder that can be written. Received: '{place}', {reason}. "
        "Choose another folder.\n"
    )


def test_program_refuses_a_place_that_can_be_no_folder(no_folder, monkeypatch, capsys):
    place, reason = no_folder
    module = lectures.load(lectures.find("primes"))
    monkeypatch.setattr(sys, "argv", ["03_primes.py", "--out", str(place)])
    with pytest.raises(SystemExit) as exit_:
        lectures.main(vars(module))
    captured = capsys.readouterr()
    assert (exit_.value.code, captured.out) == (2, "")
    assert captured.err.startswith("`--out` must be a folder that can be written.")
    assert reason in captured.err


@pytest.mark.parametrize("typed", [("3",), ("3", "--slides"), ("all",), ("all", "--slides"), None])
@pytest.mark.parametrize("kept", [True, False])
def test_demo_that_is_refused_leaves_no_empty_folder(prime, monkeypatch, capsys, tmp_path, typed, kept):
    refusal = 'checks.refuse("number", "be a prime", config.number)'
    prime.write_text(
        DEMO.replace("import lectures", "import checks, lectures").replace(
            'return {"number"', f'{refusal}\n    return {{"number"'
        )
    )
    place = tmp_path / "new" / "figures"
    if kept:
        place.parent.mkdir()
        (place.parent / "mine.txt").write_text("")
    if typed is not None:
        status, _, err = run_lecture(monkeypatch, capsys, "lecture", *typed, "--out", place)
        assert (status, "must be a prime" in err) == (2, True)
    else:
        module = lectures.load(lectures.find("primes"))
        with pytest.raises(InputError, match="must be a prime"):
            lectures.perform(module, module.Config(), place)
    assert [each.name for each in tmp_path.rglob("*") if "lectures" not in each.parts] == [
        "new",
        "mine.txt",
    ] * kept


def test_unknown_demo_is_an_input_error(prime):
    with pytest.raises(InputError, match=r"`find\.name` must .*`lectures\.demos\(\)` lists them"):
        lectures.find("nonsense")


def test_demos_of_the_repository_are_found():
    found = lectures.demos()
    assert [demo.number for demo in found] == sorted({demo.number for demo in found})
    assert {"perceptron", "dropout", "greedy"} <= {demo.topic for demo in found}


@pytest.mark.slow
@pytest.mark.parametrize("level", ["1", "2"])
def test_claim_counts_where_python_leaves_assertions_out(level, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONOPTIMIZE", level)
    done = type_command("lecture", "optimizers", "--steps", "1", cwd=tmp_path)
    assert (done.returncode, "the claim does not hold" in done.stderr) == (1, True)
    program = [sys.executable, str(lectures.find("optimizers").path), "--steps", "1"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "without -O" in done.stderr) == (1, True)
