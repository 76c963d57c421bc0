"""tf-kit lab: list, release, check, grade."""

from __future__ import annotations

from pathlib import Path

import click

from tf_kit.checks import refuse
from tf_kit.cli import flags
from tf_kit.cli.refusals import Group
from tf_kit.options import help_text

TIMEOUT = flags.number(
    "--timeout", "Seconds for one answer", float, default_text="those of its exercise", at_least=0.1
)


@click.group(cls=Group)
def lab() -> None:
    """List, release, check and grade the labs."""


@lab.command("list")
def list_labs() -> None:
    """List the labs: number, topic, number of exercises, points, title."""
    from tf_kit.grading import labs

    for each in labs.labs():
        count = len(each.exercises)
        click.echo(f"{each.number}  {each.topic:20}{count:>2} exercises{each.points:>4} points  {each.title}")


@lab.command()
@click.argument("name")
@click.option("--out", required=True, type=click.Path(), metavar="FOLDER", help="Folder for the notebook.")
@flags.choice(
    "--format", "Plain, or the source format of another grader", ("plain", "nbgrader", "otter"), "plain"
)
@flags.text(
    "--install",
    "Package that the first cell installs if the kit is missing: a name, a URL or a wheel",
    "tf-kit",
)
def release(name: str, out: str, format: str, install: str) -> None:
    """Write the student notebook of lab NAME.

    nbgrader and otter run the tests in the student's process, where an answer can read them, change them or write its
    own mark. Use `tf-kit lab grade` for marks that count.
    """
    from tf_kit.grading import labs, notebooks

    each = labs.find(name)
    path = Path(out) / f"{each.name}.ipynb"
    if path.exists():
        refuse(
            "--out",
            f"be a folder without {path.name}, which may hold a student's work",
            f"{out!r}",
            "Choose another folder, or move the file",
        )
    click.echo(f"{notebooks.write(notebooks.released(each, format, install), path)}")


@lab.command("check", short_help="Check every answer in NOTEBOOK on the visible cases.")
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--lab",
    "name",
    metavar="NAME",
    help=help_text("Number or topic of the lab", "found from the notebook's cells"),
)
@TIMEOUT
def check_notebook(notebook: str, name: str | None, timeout: float | None) -> None:
    """Check every answer in NOTEBOOK on the visible cases, as `check(…)` does in its cells."""
    from tf_kit.grading import grader, labs, submissions

    submission = submissions.Submission(Path(notebook).stem, Path(notebook))
    each = labs.find(name) if name else labs.of_notebook(submission.path)
    with grader.Grader(each, seconds=timeout) as judge:
        judge.ready()
        for grade in judge.grade([submission]):
            click.echo(f"{each.title}: {grade.points} of {grade.maximum} points")
            for result in grade.results:
                mark = "✓" if result.status == "ok" else "✗"
                click.echo(f"  {mark} {result.title}: {result.points} of {result.maximum}, {result.status}")
                for words in (result.sentence, *result.findings):
                    if words:
                        click.echo(f"      {words}")


@lab.command(short_help="Grade notebooks of lab NAME.")
@click.argument("name")
@click.argument("submission", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out", required=True, type=click.Path(), metavar="FOLDER", help="Folder for the record and the reports."
)
@flags.number("--jobs", "Answers that run at once", default_text="number of processors")
@TIMEOUT
@flags.text(
    "--course-secret",
    "Any text, from which the hidden cases are drawn; also read from TF_KIT_COURSE_SECRET",
    default_text="created once, in OUT/course-secret",
    envvar="TF_KIT_COURSE_SECRET",
)
@click.option(
    "--roster",
    type=click.Path(),
    metavar="FILE",
    help="Table of the students of the class, to list who handed in nothing.",
)
@click.option("--visible-only", is_flag=True, help="Grade without hidden cases.")
@click.option(
    "--allow-unsandboxed",
    is_flag=True,
    help="Use hidden cases even if the system cannot confine answers, which could then read them.",
)
def grade(
    name: str,
    submission: tuple[str, ...],
    out: str,
    jobs: int | None,
    timeout: float | None,
    course_secret: str | None,
    roster: str | None,
    visible_only: bool,
    allow_unsandboxed: bool,
) -> None:
    """Grade the notebooks SUBMISSION… (files, folders, archives) of lab NAME.

    Each answer runs in a separate process, confined by the system, which never receives the expected values. Every
    grade is appended to the record OUT/grades.jsonl at once. To continue after an interruption, run the same command
    again: a submission on record is not graded twice. The reports are written at the end.
    """
    from tf_kit.grading import course, labs, submissions
    from tf_kit.grading import roster as rosters

    # Refuse mistakes before the folder and its secret are made.
    each = labs.find(name)
    submissions.find(submission, each)
    if roster:
        rosters.read(roster)
    secret = None if visible_only else course_secret or course.secret(out)
    try:
        course.grade(name, submission, out, jobs, timeout, secret, allow_unsandboxed, roster)
    except KeyboardInterrupt:
        click.echo(
            "tf-kit: interrupted; run the same command again to continue after the last submission on record",
            err=True,
        )
        raise click.exceptions.Exit(130) from None
