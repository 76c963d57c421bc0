"""tf-kit lecture: list, run and export the demos."""

from __future__ import annotations

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command, Group


class _Lectures(Group):
    """`lecture NN` and `lecture NAME` are commands whose flags derive from the demo's `Config`."""

    def get_command(self, ctx, name):
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        from tf_kit import lectures
        from tf_kit.options import flags_of

        demo = lectures.find(name)
        flags.import_tensorflow()
        module = lectures.load(demo)
        return Command(
            name,
            params=[*flags_of(module.Config), *lectures.general_flags(), _NOTEBOOK],
            callback=lambda **options: _run(demo, module, **options),
            help=module.__doc__,
            short_help=demo.question,
        )


_NOTEBOOK = click.Option(
    ["--notebook"], is_flag=True, help="Write the demo as a notebook into the folder instead of running it."
)


@click.group(cls=_Lectures, subcommand_metavar="list | all | NN | NAME")
def lecture() -> None:
    """Run a demo of the lecture: it poses one question, answers it and checks the answer."""


def _run(demo, module, quick, out, notebook, **changes):
    from tf_kit import lectures

    if notebook:
        click.echo(f"{lectures.write_notebook(demo, out)}")
        return
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


@lecture.command("all")
@click.option("--quick", is_flag=True, help="Run a smaller version of each demo.")
@click.option("--out", default="figures", show_default=True, help="Folder for the figures.")
def all_lectures(quick: bool, out: str) -> None:
    """Run every demo, one after another; the exit status is 1 if a claim does not hold."""
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
        click.echo(f"tf-kit: {len(failed)} claims do not hold: {', '.join(failed)}", err=True)
        raise SystemExit(1)
