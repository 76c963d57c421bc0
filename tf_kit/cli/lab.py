"""tf-kit lab: list, new, selftest, release, gradescope, check, grade."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from tf_kit import folders
from tf_kit.checks import refuse
from tf_kit.cli import flags
from tf_kit.cli.refusals import Group
from tf_kit.options import help_text

LONGEST = 86_400  # a day, as for `Exercise.seconds`
TIMEOUT = flags.number(
    "--timeout",
    "Seconds for one answer",
    float,
    default_text="those of its exercise",
    at_least=0.1,
    at_most=LONGEST,
)


@click.group(cls=Group)
def lab() -> None:
    """List, write, release, check and grade labs.

    NAME is the number or the topic of a lab of this kit, or the folder of your own (see `tf-kit lab new`).
    """


@lab.command("list", short_help="List the labs.")
def list_labs() -> None:
    """List the labs: number, topic, number of exercises, points, title."""
    from tf_kit.grading import labs

    found = labs.labs()
    width = max((len(each.topic) for each in found), default=0)
    for each in found:
        count = len(each.exercises)
        click.echo(
            f"{each.number:2}  {each.topic:{width}}{count:>3} exercises{each.points:>4} points  {each.title}"
        )


@lab.command(short_help="Write the files of a new lab.")
@click.argument("name")
@click.option(
    "--out",
    default=".",
    type=flags.Place(),
    metavar="FOLDER",
    help=help_text("Folder in which the folder of the lab is made", "this one"),
)
def new(name: str, out: str) -> None:
    """Write the files of a new lab: one exercise with its stub, solution, cases, mistakes and variants.

    Change them to your own exercise, and run `tf-kit lab selftest` until it finds nothing.
    """
    from tf_kit.grading import new_lab

    made = new_lab.create(name, out)
    for path in (made.source, made.probes_path, made.answers_path, made.notebook_path):
        click.echo(f"{Path(out) / made.name / path.relative_to(made.folder)}")
    click.echo(f"test it with `tf-kit lab selftest {shlex.quote(str(Path(out) / made.name))}`")


@lab.command(short_help="Test lab NAME: its solutions, stubs, mistakes, notebook.")
@click.argument("name")
@click.argument("exercise", nargs=-1)
def selftest(name: str, exercise: tuple[str, ...]) -> None:
    """Test lab NAME, or the given exercises of it: a line per test, with ✗ where something must be mended.

    The solutions must get all points, also on hidden cases and in the sandbox, the stubs none; every known mistake must
    lose points and be named; the student notebook must be up to date and show no solution.
    """
    from tf_kit import stderr
    from tf_kit.grading import selftest as tests

    with stderr.closed():
        status = tests.main([name, *exercise])
    if status:
        raise click.exceptions.Exit(status)


@lab.command()
@click.argument("name")
@click.option("--out", required=True, type=flags.Place(), metavar="FOLDER", help="Folder for the notebook.")
@flags.choice(
    "--format", "Plain, or the source format of another grader", ("plain", "nbgrader", "otter"), "plain"
)
@flags.text(
    "--install",
    "Package that the first cell installs if the kit is missing: a name, a URL, a wheel or git+https://…",
    default_text="the repository's address in pyproject.toml; if it has none, the cell tells what to do",
)
@flags.text(
    "--colab",
    "Folder on GitHub into which you put the notebook, for a badge that opens it in Colab",
    default_text="labs/notebooks for a plain notebook of this kit, else no badge",
    metavar="FOLDER",
)
@click.option(
    "--with-checks",
    is_flag=True,
    help="For your own lab: write its folder too, which `check` needs and which holds the solutions.",
)
def release(
    name: str, out: str, format: str, install: str | None, colab: str | None, with_checks: bool
) -> None:
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
    checks, own = Path(out) / each.name, each not in labs.built_in()
    if with_checks and not own:
        refuse(
            "--with-checks",
            "be used with your own lab",
            f"{name!r}",
            "`check` finds the labs of this kit",
        )
    if with_checks and os.path.lexists(checks):
        refuse("--out", f"be a folder without {each.name}", f"{out!r}", "Choose another folder")
    released = notebooks.released(each, format, install or "", colab)
    folders.make(out)
    click.echo(f"{notebooks.write(released, path)}")
    if with_checks:
        click.echo(f"{notebooks.write_checks(each, checks)}")
    elif own:
        click.echo(
            f"`check` in the notebook needs the folder {each.name}, which holds the solutions; "
            "with --with-checks it is written next to the notebook"
        )


@lab.command(short_help="Write the autograder of lab NAME for Gradescope.")
@click.argument("name")
@click.option(
    "--out", required=True, type=flags.Place(), metavar="FILE", help="File for the autograder, a .zip."
)
@flags.text(
    "--install",
    "Package that Gradescope installs: a name, a URL, git+https://…, or a wheel, which the file then holds",
    default_text="the repository's address in pyproject.toml",
)
@flags.text(
    "--course-secret",
    "Any text, from which the hidden cases are drawn; also read from TF_KIT_COURSE_SECRET",
    default_text="a new one, kept in the file",
    envvar="TF_KIT_COURSE_SECRET",
)
@click.option("--visible-only", is_flag=True, help="Grade without hidden cases.")
def gradescope(
    name: str, out: str, install: str | None, course_secret: str | None, visible_only: bool
) -> None:
    """Write the autograder of lab NAME for Gradescope, which grades each submission there as `tf-kit lab grade` does.

    The file holds the secret of the hidden cases: upload it, and do not hand it out.
    """
    import secrets

    from tf_kit.first_cell import address
    from tf_kit.grading import gradescope as autograder
    from tf_kit.grading import labs

    _refuse_contradiction(visible_only)
    secret = None if visible_only else course_secret or secrets.token_hex(16)
    click.echo(f"{autograder.write(labs.find(name), out, address(install or ''), secret)}")


@lab.command("check", short_help="Check every answer in NOTEBOOK on the visible cases.")
@click.argument("notebook", type=flags.Place(exists=True, dir_okay=False))
@click.option(
    "--lab",
    "name",
    type=flags.Word(),
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
@click.argument("submission", nargs=-1, required=True, type=flags.Place())
@click.option(
    "--out",
    required=True,
    type=flags.Place(),
    metavar="FOLDER",
    help="Folder for the record and the reports.",
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
    type=flags.Place(),
    metavar="FILE",
    help="Table of the students of the class, to list who handed in nothing.",
)
@click.option(
    "--compare",
    type=flags.Place(),
    metavar="FOLDER",
    help=help_text(
        "Earlier grades, to list whose points have changed since", "those in OUT under other rules"
    ),
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
    compare: str | None,
    visible_only: bool,
    allow_unsandboxed: bool,
) -> None:
    """Grade the notebooks SUBMISSION… (files, folders, archives) of lab NAME.

    Each answer runs in a separate process, confined by the system, which never receives the expected values. Every
    grade is appended to the record OUT/grades.jsonl at once. To continue after an interruption, run the same command
    again: a submission on record is not graded twice. The reports are written at the end, above all OUT/class.html.

    If the lab has changed since, the same command grades all submissions again and lists whose points have changed.
    """
    from tf_kit.grading import changes, course, labs, submissions
    from tf_kit.grading import roster as rosters

    # Refuse mistakes before the folder and its secret are made.
    each = labs.find(name)
    submissions.find(submission, each)
    course.refuse_folder_of(submission, out)
    if roster:
        rosters.read(roster)
    if compare:
        changes.grades_of(compare, each)
    _refuse_contradiction(visible_only)
    secret = None if visible_only else course_secret or course.secret(out, like=compare)
    try:
        course.grade(name, submission, out, jobs, timeout, secret, allow_unsandboxed, roster, compare)
    except KeyboardInterrupt as error:
        error.add_note("run the same command again to continue after the last submission on record")
        raise


def _refuse_contradiction(visible_only: bool) -> None:
    """Refuse a secret that is typed next to `--visible-only`; that of the environment is there for other commands."""
    source = click.get_current_context().get_parameter_source("course_secret")
    if visible_only and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "`--course-secret` must be left out with --visible-only, which uses no hidden cases."
        )
