"""tf-kit lab: list, release, check, grade."""

from pathlib import Path

import click

from tf_kit import _checks


@click.group()
def lab():
    """The labs: exercises that check themselves, and a grader for a whole class."""


@lab.command("list")
def list_labs():
    """The labs: number, topic, exercises, points, title."""
    from tf_kit.grading import labs

    for each in labs.labs():
        count = len(each.exercises)
        click.echo(f"{each.number}  {each.topic:20}{count:>2} exercises{each.points:>4} points  {each.title}")


@lab.command()
@click.argument("name")
@click.option("--out", required=True, type=click.Path(), help="Folder for the notebook.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["plain", "nbgrader", "otter"]),
    default="plain",
    show_default=True,
    help="Plain, or the source format of another grader.",
)
@click.option(
    "--install",
    default="tf-kit",
    show_default=True,
    help="What the first cell installs where the kit is missing: a name, an address or a wheel.",
)
def release(name, out, form, install):
    """Write the student notebook of lab NAME.

    nbgrader and otter run the tests in the student's process: an answer can read them, change them or write its own
    mark. Use `tf-kit lab grade` for marks that count.
    """
    from tf_kit.grading import labs, notebooks

    each = labs.find(name)
    path = Path(out) / f"{each.name}.ipynb"
    if path.exists():
        _checks.refuse(
            "--out", f"be a folder without {path.name}", f"{out!r}", "A student's work is not written over"
        )
    click.echo(f"{notebooks.write(notebooks.released(each, form, install), path)}")


@lab.command("check")
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False))
@click.option("--lab", "name", help="Which lab it is. Defaults to what the notebook says.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), help="Seconds for one answer, over its exercise's."
)
def check_notebook(notebook, name, timeout):
    """Check every answer of NOTEBOOK on the visible cases, as `check(…)` does in its cells."""
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


@lab.command()
@click.argument("name")
@click.argument("submission", nargs=-1, required=True, type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="Folder for the record and the reports.")
@click.option("--jobs", type=click.IntRange(1), help="Answers that run at a time. [default: processors]")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), help="Seconds for one answer, over its exercise's."
)
@click.option(
    "--course-secret",
    envvar="TF_KIT_COURSE_SECRET",
    help="What the hidden cases are drawn from. [default: made once, in OUT/course-secret]",
)
@click.option("--visible-only", is_flag=True, help="No hidden cases.")
@click.option("--allow-unsandboxed", is_flag=True, help="Hidden cases even where answers cannot be confined.")
def grade(name, submission, out, jobs, timeout, course_secret, visible_only, allow_unsandboxed):
    """Grade the notebooks SUBMISSION… (files or folders) of lab NAME.

    An answer runs in a process of its own, confined by the system; what it should return never enters that process.
    The record OUT/grades.jsonl is appended to after every submission: run the command again and it goes on; an
    identical submission is answered from it. The reports are written at the end.
    """
    from tf_kit.grading import course

    secret = None if visible_only else course_secret or course.secret(out)
    try:
        course.grade(name, submission, out, jobs, timeout, secret, allow_unsandboxed)
    except KeyboardInterrupt:
        click.echo(
            "tf-kit: interrupted; the same command goes on after the last submission on record", err=True
        )
        raise click.exceptions.Exit(1) from None
