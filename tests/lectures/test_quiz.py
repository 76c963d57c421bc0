"""The quiz: its questions, the judgment of answers, the notebook, and the command in a terminal and in a pipe."""

import collections
import os
import pty
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from cli.typed import type_command
from click import testing

from tf_kit import lectures
from tf_kit.cli import cli
from tf_kit.errors import InputError
from tf_kit.lectures import quiz
from tf_kit.lectures.terminal import fitted

QUESTIONS = quiz.everything()
COMMAND = [sys.executable, "-c", "from tf_kit.cli import main; main()", "quiz"]


def test_eight_review_questions_and_others_on_every_demo():
    assert len(quiz.questions("review")) == 8
    assert len(QUESTIONS) == 69
    assert len({each.name for each in QUESTIONS}) == len({each.ask for each in QUESTIONS}) == 69
    assert {each.topic for each in QUESTIONS} == {demo.topic for demo in lectures.demos()}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.name)
def test_right_answer_is_right_and_others_are_wrong(question):
    assert question.reason.endswith((".", "¹⁰."))
    if question.number is not None:
        assert not question.choices
        assert question.is_right(f"{question.number!r}")
        assert not question.is_right(f"{question.number * 1.2 + 0.1}")
        return
    assert len(set(question.choices)) == len(question.choices) >= 3
    shown = question.shown(seed=5)
    assert sorted(shown) == sorted(question.choices)
    judged = [question.is_right(letter, shown) for letter in quiz.LETTERS[: len(shown)]]
    assert judged == [choice == question.choices[0] for choice in shown]


def test_place_of_the_right_choice_does_not_give_it_away():
    places = collections.Counter(
        each.shown(seed).index(each.choices[0]) for each in QUESTIONS if each.choices for seed in range(20)
    )
    total = sum(places.values())
    assert all(0.18 < places[place] / total < 0.32 for place in range(4)), places


@pytest.mark.parametrize("typed", ["a.", " B) ", "c"])
def test_letter_is_read_as_people_type_it(typed):
    question = quiz.find("xor")
    place = quiz.LETTERS.index(typed.strip(" .)").lower())
    shown = question.shown()
    assert question.is_right(typed, shown) == (shown[place] == question.choices[0])


@pytest.mark.parametrize("typed", ["e", "ab", "1", "ä", "?"])
def test_other_letters_are_refused(typed):
    with pytest.raises(InputError, match="a letter from a to d"):
        quiz.find("xor").is_right(typed, quiz.find("xor").shown())


@pytest.mark.parametrize("typed", ["a quarter", "1/0", "", "nan", "--1"])
def test_text_that_is_no_number_is_refused(typed):
    with pytest.raises(InputError, match="must be a number"):
        quiz.find("sigmoid-slope").is_right(typed)


def test_unknown_topic_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"Did you mean optimizers\?"):
        quiz.questions("optimisers")
    assert quiz.questions("6") == quiz.questions("06") == quiz.questions("optimizers")
    assert quiz.questions("batch-norm") == quiz.questions("batch_norm")


def asked(*arguments, typed=""):
    return subprocess.run([*COMMAND, *arguments], input=typed, capture_output=True, text=True, timeout=30)


def test_pipe_is_answered_at_once_with_points_at_its_end():
    ended = asked("review", "--seed", "3", typed="".join(f"{letter}\n" for letter in "abcdabcd"))
    shown = [each.shown(3) for each in quiz.questions("review")]
    right = sum(
        choices[quiz.LETTERS.index(letter)] == each.choices[0]
        for each, choices, letter in zip(quiz.questions("review"), shown, "abcdabcd", strict=True)
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith(f"\n{right} of 8 points.\n")
    assert ended.stdout.count("Right.") == right
    assert ended.stdout.count("Shown by: tf-kit ") == 8


def test_wrong_input_is_asked_again_and_end_of_input_ends_politely():
    ended = asked("activations", "--seed", "1", typed="nonsense\n\n")
    assert ended.returncode == 0
    assert "An answer must be a" in ended.stdout
    assert "Skipped: " in ended.stdout
    assert ended.stdout.endswith("0 of 1 points; 2 not asked.\n")


def test_q_ends_with_the_points():
    ended = asked("activations", "--seed", "1", typed="\n Q \na\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("3 questions, seed 1. Enter skips, q ends.\n")
    assert ended.stdout.endswith("> \n0 of 1 points; 2 not asked.\n")


def test_seed_gives_the_same_order():
    first, second, other = (
        asked("--seed", seed, "--questions", "3", typed="\n\n\n").stdout for seed in "778"
    )
    assert first == second
    assert first.replace("seed 7", "") != other.replace("seed 8", "")


def test_interruption_ends_with_the_points():
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 130
    assert out.endswith("0 of 0 points; 69 not asked.\n")


def test_terminal():
    """A pseudo terminal, in which Ctrl-D ends the quiz."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(COMMAND[0], [*COMMAND, "xor-nothing"])
    shown = b""
    while chunk := read(terminal):
        shown += chunk
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(COMMAND[0], [*COMMAND, "perceptron", "--seed", "2"])
    shown = b""
    while b"> " not in shown:
        shown += read(terminal)
    os.write(terminal, b"\n")
    while shown.count(b"> ") < 2:
        shown += read(terminal)
    os.write(terminal, b"\x04")
    while chunk := read(terminal):
        shown += chunk
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert shown.decode().rstrip().endswith("0 of 1 points; 2 not asked.")


def test_lines_fit_the_terminal_and_stay_whole_in_a_pipe(monkeypatch):
    line = "      → " + "long-winded words " * 9
    assert fitted(line) == line
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    shown = fitted(f"{line}\n\n{'x' * 50}").split("\n")
    assert max(map(len, shown[:-2])) <= 40
    assert all(each.startswith("      ") for each in shown[:-2])
    assert shown[-2:] == ["", "x" * 50]
    assert " ".join(" ".join(shown[:-2]).split()) == " ".join(line.split())


def read(terminal):
    """Read from a pseudo terminal, which fails once its program has ended."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_starts_without_anything_heavy():
    code = (
        "import sys; sys.argv = ['tf-kit', 'quiz', '--questions', '1']\n"
        "from tf_kit.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted(sys.modules.keys() & {'tensorflow', 'keras', 'numpy', 'matplotlib'}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], input="\n", capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_mistake_is_one_line():
    ended = type_command("quiz", "optimisers")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "Did you mean optimizers?" in ended.stderr


def test_notebook_asks_the_questions(tmp_path, capsys):
    path = quiz.write_quiz(quiz.questions("dropout"), tmp_path)
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len(code) == 1 + len(quiz.questions("dropout"))
    names = {}
    for source in code:
        exec(source.replace('""', '"0.2"') if "rate-of" in source else source, names)
    printed = capsys.readouterr().out
    assert printed.count("Skipped: ") == len(code) - 2
    assert printed.count("Right.") == 1


def test_notebook_without_a_seed_has_one_order(tmp_path):
    typed = ["quiz", "dropout", "--notebook", "--out", str(tmp_path)]
    runner = testing.CliRunner()
    assert runner.invoke(cli, typed).exit_code == 0
    written = (tmp_path / "quiz.ipynb").read_bytes()
    assert runner.invoke(cli, typed).exit_code == 0
    assert (tmp_path / "quiz.ipynb").read_bytes() == written
    assert runner.invoke(cli, [*typed, "--seed", "1"]).exit_code != 0
