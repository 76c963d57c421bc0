"""tf-kit lecture: list, run and export the demos."""

from __future__ import annotations

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command, Group


class _Lectures(Group):
    """`tf-kit lecture`, which has a command for each demo, with the fields of its `Config` as flags."""

    def get_command(self, ctx, name):
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        from tf_kit import lectures

        demo = lectures.find(name)
        return Command(
            name,
            params=[*lectures.flags(demo), *lectures.general_flags(), _NOTEBOOK],
            callback=lambda **options: _run(demo, **options),
            help=lectures.docstring(demo),
            short_help=demo.question,
        )


_NOTEBOOK = click.Option(
    ["--notebook"], is_flag=True, help="Write the demo as a notebook into the folder instead of running it."
)


@click.group(
    cls=_Lectures,
    options_metavar="",
    subcommand_metavar="list | slides | all | NN | NAME [OPTIONS]",
    short_help="Run a demo of the lecture.",
)
def lecture() -> None:
    """Run a demo of the lecture.

    A demo asks one question, answers it with numbers and a figure, and checks the answer. `tf-kit lecture list` shows
    the numbers and names of the demos, `tf-kit lecture NN --help` the options of one.
    """


def _run(demo, quick, out, notebook, **changes):
    from tf_kit import lectures

    if notebook:
        click.echo(f"{lectures.write_notebook(demo, out)}")
        return
    flags.import_tensorflow()
    module = lectures.load(demo)
    try:
        lectures.perform(module, lectures.configure(module, quick, **changes), out)
    except AssertionError as error:
        click.echo(f"tf-kit: the claim does not hold: {error}", err=True)
        raise SystemExit(1) from None


@lecture.command("list")
def list_lectures() -> None:
    """List the demos: number, topic, expected time, question."""
    from tf_kit import lectures

    for demo in lectures.demos():
        click.echo(f"{demo.number}  {demo.topic:16}{demo.seconds:>5g} s  {demo.title}: {demo.question}")


@lecture.command("slides", short_help="Show the answer to each slide.")
def list_slides() -> None:
    """Go through the slides in their order: title, statement, answer of the kit, command, modules, lab."""
    from tf_kit.lectures import index

    click.echo(index.as_text())


@lecture.command("all", short_help="Run every demo.")
@click.option("--quick", is_flag=True, help="Run a smaller version of each demo.")
@flags.text("--out", "Folder for the figures", "figures", metavar="FOLDER")
def all_lectures(quick: bool, out: str) -> None:
    """Run every demo, one after another.

    The exit status is 1 if a claim does not hold.
    """
    from tf_kit import lectures

    flags.import_tensorflow()
    failed = []
    for demo in lectures.demos():
        click.echo(f"\n{demo.number} {demo.title}")
        module = lectures.load(demo)
        try:
            lectures.perform(module, lectures.configure(module, quick), out)
        except AssertionError as error:
            failed.append(demo.number)
            click.echo(f"the claim does not hold: {error}", err=True)
    if failed:
        claims = "claim does" if len(failed) == 1 else "claims do"
        click.echo(f"tf-kit: {len(failed)} {claims} not hold: {', '.join(failed)}", err=True)
        raise SystemExit(1)
