"""tf-kit quiz: questions on the lecture in the terminal, or from a pipe."""

from __future__ import annotations

import random
import sys

import click

from tf_kit import folders
from tf_kit.checks import refuse
from tf_kit.cli import flags
from tf_kit.cli.refusals import Command
from tf_kit.errors import InputError


@click.command(cls=Command, short_help="Answer questions on the lecture.")
@click.argument("topic", required=False)
@flags.number("--questions", "Largest number of questions to ask", default_text="all")
@flags.number(
    "--seed",
    "Seed of the order of questions and choices",
    default_text="a new order each time; 0 with --notebook",
    at_least=0,
)
@click.option(
    "--notebook", is_flag=True, help="Write the questions as a notebook into the folder instead of asking."
)
@flags.text("--out", "With --notebook: folder for it", default_text="figures", metavar="FOLDER")
def quiz(topic: str | None, questions: int | None, seed: int | None, notebook: bool, out: str | None) -> None:
    """Answer questions on the lecture, on all of it or on TOPIC.

    TOPIC is the topic or number of a demo, or `review` for the eight review questions of the lecture. Each answer is
    judged at once, with the reason and the command that shows it. Type a letter or a number; Enter skips a question,
    and `q`, Ctrl-D or Ctrl-C ends with the points so far.
    """
    from tf_kit.lectures import quiz as declared

    if out is not None and not notebook:
        refuse("out", "be used with --notebook, which writes a file", f"{out!r}", "Add --notebook")
    if seed is None:
        seed = 0 if notebook else random.SystemRandom().randrange(10_000)
    asked = list(declared.questions(topic))
    if topic != "review":
        random.Random(seed).shuffle(asked)
    asked = asked[:questions]
    if notebook:
        place = "figures" if out is None else out
        folders.make(place)
        click.echo(f"{declared.write_quiz(asked, place)}")
        return
    words = "question" if len(asked) == 1 else "questions"
    click.echo(f"{len(asked)} {words}, seed {seed}. Enter skips, q ends.")
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:  # bytes that are not text then make a wrong answer instead of an error
        reconfigure(errors="replace")
    points = answered = status = 0
    try:
        for i, question in enumerate(asked, 1):
            right = _ask(question, f"\n{i}/{len(asked)}  {question.ask}", seed)
            points, answered = points + right, i
    except _Quit:
        pass
    except (EOFError, RuntimeError):  # the end of the input, or none
        click.echo("")
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:  # SIGTERM, which `main` reports
            raise
        click.echo("")
        status = 130
    left = len(asked) - answered
    click.echo(f"\n{points} of {answered} points{f'; {left} not asked' if left else ''}.")
    raise SystemExit(status)


class _Quit(Exception):
    """The reader typed `q`."""


def _ask(question, heading: str, seed: int) -> bool:
    """Ask until there is an answer that can be judged.

    Raises:
        _Quit: the reader typed `q`, which is not the letter of any choice.
    """
    from tf_kit.lectures.quiz import LETTERS, verdict
    from tf_kit.lectures.terminal import fitted

    shown = question.shown(seed)
    click.echo(fitted(heading))
    for letter, choice in zip(LETTERS, shown, strict=False):
        click.echo(fitted(f"   {letter}) {choice}"))
    while True:
        typed = input("> ")
        if typed.strip().lower() in ("q", "quit", "exit"):
            raise _Quit
        try:
            right, text = verdict(question, typed, shown)
        except InputError as error:
            click.echo(f"An answer must {error.requirement}, or q to end. Received: {error.received}.")
            continue
        click.echo(fitted(text))
        return right
