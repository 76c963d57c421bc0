"""Questions on the lecture, each with its reason and the command that shows it.

The declaration is `questions.toml`; `tf-kit quiz` asks the questions, and a notebook asks them cell by cell.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import random
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.lectures.catalog import demos
from tf_kit.lectures.index import read
from tf_kit.lectures.notebooks import write_once

LETTERS = "abcdef"


@dataclasses.dataclass(frozen=True)
class Question:
    """One question, which asks for a choice or for a number.

    Attributes:
        name: unique name.
        topic: topic of the demo that shows the answer.
        ask: the question.
        reason: why the answer is right.
        command: command that shows it.
        review: review question of the deck that this one stands for, or "".
        choices: possible answers, the right one first; none if a number is asked for.
        number: the right number, or None.
        tolerance: share of the number by which an answer may be off.
    """

    name: str
    topic: str
    ask: str
    reason: str
    command: str
    review: str = ""
    choices: tuple[str, ...] = ()
    number: float | None = None
    tolerance: float = 0.01

    def shown(self, seed: int = 0) -> tuple[str, ...]:
        """Return the choices in the order in which a seed shows them."""
        return tuple(random.Random(f"{seed}/{self.name}").sample(self.choices, len(self.choices)))

    def is_right(self, given: str, shown: Sequence[str] = ()) -> bool:
        """Return whether a typed answer is right.

        Args:
            given: a letter, counted from `a` in the order of `shown`, or a number such as `0.25`, `1/4` or `25 %`.
            shown: choices in the order in which they were shown.

        Raises:
            InputError: it is neither.
        """
        if self.number is None:
            return self._choice(given, shown) == self.choices[0]
        value = parse_number(given)
        return math.isclose(value, self.number, rel_tol=self.tolerance, abs_tol=1e-9)

    def _choice(self, given, shown):
        letters = LETTERS[: len(shown)]
        typed = given.strip().rstrip(").").lower()
        if len(typed) != 1 or typed not in letters:
            refuse("answer", f"be a letter from {letters[0]} to {letters[-1]}", repr(given.strip()))
        return shown[letters.index(typed)]

    def right_answer(self, shown: Sequence[str] = ()) -> str:
        """Return the right answer, with its letter if it was a choice."""
        if self.number is not None:
            return f"{self.number:.6g}"
        return f"{LETTERS[shown.index(self.choices[0])]}) {self.choices[0]}"


def parse_number(text: str) -> float:
    """Parse a number as people type it.

    Example:
        >>> [parse_number(text) for text in ("1/4", "25 %", "0,25", "1,024", "9.5e-7")]
        [0.25, 0.25, 0.25, 1024.0, 9.5e-07]

    Raises:
        InputError: the text is not a number.
    """
    typed = text.replace(" ", "").replace("−", "-")
    share, typed = typed.endswith("%"), typed.removesuffix("%")
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", typed):
        typed = typed.replace(",", "")
    try:
        value = float(Fraction(typed.replace(",", ".")))
    except (ValueError, ZeroDivisionError, OverflowError):
        refuse("answer", "be a number, such as 0.25 or 1/4", repr(text.strip()))
    return value / 100 if share else value


@functools.cache
def everything() -> tuple[Question, ...]:
    """Return all questions in the order of their declaration."""
    found = []
    for each in read("questions.toml")["questions"]:
        found.append(Question(**{**each, "choices": tuple(each.get("choices", ()))}))
    return tuple(found)


def questions(topic: str | None = None) -> tuple[Question, ...]:
    """Return the questions on a topic.

    Args:
        topic: topic or number of a demo, or `"review"` for the review questions of the deck. Defaults to None, all.

    Raises:
        InputError: there is no such topic.
    """
    if topic is None:
        return everything()
    if topic == "review":
        return tuple(each for each in everything() if each.review)
    numbers = {number: demo.topic for demo in demos() for number in (demo.number, demo.number.lstrip("0"))}
    name = numbers.get(topic, topic.replace("-", "_"))
    found = tuple(each for each in everything() if each.topic == name)
    if not found:
        near = difflib.get_close_matches(name, [*numbers.values(), "review"], n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        remedy, typed = f"{hint}`lectures.demos()` lists them", f"{hint}`tf-kit lecture list` shows them"
        rule = "be the topic or number of a demo, or review"
        refuse("questions.topic", rule, repr(topic), remedy, typed_remedy=typed)
    return found


def find(name: str) -> Question:
    """Return the question with a name."""
    for each in everything():
        if each.name == name:
            return each
    refuse("find.name", "be the name of a question", repr(name), "`quiz.everything()` lists them")


def answer(name: str, given: str | float) -> None:
    """Judge an answer in a notebook: print whether it is right, the reason, and the command that shows it.

    Args:
        name: name of the question.
        given: letter of the choice, or the number.

    Example:
        >>> answer("sigmoid-slope", 0.25)
        Right. σ' = σ(1 − σ), which is largest at z = 0, where σ = 1/2.
        Shown by: tf-kit lecture activations
    """
    question = find(name)
    print(verdict(question, str(given), question.shown())[1])


def verdict(question: Question, given: str, shown: Sequence[str]) -> tuple[bool, str]:
    """Return whether a typed answer is right, and the lines to print; an empty answer is a skipped question."""
    right = bool(given.strip()) and question.is_right(given, shown)
    word = "Right." if right else f"{'No' if given.strip() else 'Skipped'}: {question.right_answer(shown)}."
    return right, f"{word} {question.reason}\nShown by: {question.command}"


def write_quiz(asked: Sequence[Question], out: str | Path) -> Path:
    """Write questions as a notebook, one cell for each answer.

    Args:
        asked: the questions.
        out: folder for the notebook.

    Returns:
        Path of the notebook, `quiz.ipynb`.

    Raises:
        InputError: the folder holds another notebook of that name.
    """
    import nbformat

    new = nbformat.v4
    head = "# Quiz\n\nType a letter or a number between the quotes and run the cell."
    cells = [
        new.new_markdown_cell(head),
        new.new_code_cell("from tf_kit.lectures.quiz import answer"),
    ]
    for i, each in enumerate(asked, 1):
        lines = [f"**{i}.** {each.ask}", ""]
        lines += [f"- {letter}) {choice}" for letter, choice in zip(LETTERS, each.shown(), strict=False)]
        cells += [new.new_markdown_cell("\n".join(lines)), new.new_code_cell(f'answer("{each.name}", "")')]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return write_once(notebook, Path(out) / "quiz.ipynb")
