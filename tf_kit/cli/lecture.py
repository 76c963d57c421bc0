"""tf-kit lecture: list, run and export the demos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from tf_kit import folders
from tf_kit.checks import refuse
from tf_kit.cli import flags
from tf_kit.cli.refusals import Command, Group


class _Lectures(Group):
    """`tf-kit lecture`, which has a command for each demo, with the fields of its `Config` as flags."""

    def get_command(self, ctx, name):
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        from tf_kit import lectures

        demo = lectures.find(name, self.commands)
        return Command(
            name,
            params=[
                *lectures.flags(demo),
                *lectures.general_flags(),
                _NOTEBOOK,
                _INSTALL,
                _COLAB,
                _SLIDES,
                _SLIDERS,
                _ANIMATE,
            ],
            callback=lambda **options: _run(demo, **options),
            help=lectures.docstring(demo),
            short_help=demo.question,
        )


_NOTEBOOK = click.Option(
    ["--notebook"], is_flag=True, help="Write the demo as a notebook into the folder instead of running it."
)


_INSTALL = click.Option(
    ["--install"],
    default=None,
    metavar="ADDRESS",
    help="With --notebook: a wheel, or git+ and an address, that its first cell installs where the kit is missing.",
)


_COLAB = click.Option(
    ["--colab"],
    default=None,
    metavar="FOLDER",
    help="With --notebook: folder on GitHub into which you put the notebook, for a badge that opens it in Colab.",
)


_SLIDES = click.Option(
    ["--slides"],
    is_flag=True,
    help="Write question, figure, answer and code as slides, one HTML file in the folder, in place of the figure.",
)


_SLIDERS = click.Option(
    ["--sliders"],
    is_flag=True,
    help="Write a page with sliders, one HTML file that works without Python, in place of the figure.",
)


_ANIMATE = click.Option(
    ["--animate"], is_flag=True, help="Write an animation, a GIF, in place of the figure."
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


def _run(demo, quick, out, notebook, install, colab, slides, sliders, animate, **changes):
    from tf_kit.lectures.catalog import moving

    if install is not None and not notebook:
        refuse(
            "install",
            "be used with --notebook, whose first cell it changes",
            f"{install!r}",
            "Add --notebook",
        )
    if colab is not None and not notebook:
        refuse("colab", "be used with --notebook, to which it adds a badge", f"{colab!r}", "Add --notebook")
    for kind, wanted in (("sliders", sliders), ("animation", animate)):
        if wanted:
            moving(demo, kind)

    with folders.made(out):  # a file in its place is refused before the demo runs
        _written(demo, quick, Path(out), notebook, install, colab, slides, sliders, animate, changes)


def _written(demo, quick, out, notebook, install, colab, slides, sliders, animate, changes):
    """Write what the flags ask for, or run the demo, into an existing folder."""
    from tf_kit import lectures

    if notebook:
        values = _values(demo, quick, changes)
        click.echo(f"{lectures.write_notebook(demo, out, install or '', values, colab)}")
        if not (slides or sliders or animate):
            return
    flags.import_tensorflow()
    module = lectures.load(demo)
    config = lectures.configure(module, quick, **changes)
    if sliders or animate:
        _write_moving(demo, module, config, out, sliders, animate)
    if slides:
        _write_deck([(demo, module, config)], out / f"{demo.path.stem}.html")
    if sliders or animate or slides:
        return
    try:
        lectures.perform(module, config, out)
    except AssertionError as error:
        click.echo(f"tf-kit: {error}", err=True)
        raise SystemExit(1) from None


def _values(demo, quick, changes):
    """Return the parameters of a demo that flags change: name -> value."""
    from tf_kit import lectures

    if not quick:
        return {name: value for name, value in changes.items() if value is not None}
    flags.import_tensorflow()
    return dataclasses.asdict(lectures.configure(lectures.load(demo), quick, **changes))


def _write_moving(demo, module, config, out, sliders, animate):
    """Write the page with sliders and the animation of a demo."""
    from tf_kit.lectures import states

    if sliders:
        path = out / f"{demo.path.stem}_sliders.html"
        click.echo(f"{states.write_page(module.sliders(config), path, demo.question)}")
    if animate:
        path = out / f"{demo.path.stem}.gif"
        click.echo(f"{states.write_animation(module.animation(config), path)}")


def _write_deck(demos, path):
    """Run demos and write one deck of them; the exit status is 1 if a claim does not hold."""
    from tf_kit.lectures.deck import write_deck
    from tf_kit.lectures.performance import announce, carry_out

    done = []
    for demo, module, config in demos:
        announce(module, config)
        done.append((demo, carry_out(module, config)))
        click.echo(done[-1][1].answer)
    click.echo(f"{write_deck(done, path)}")
    _report([demo.number for demo, performance in done if not performance.holds])


def _report(failed):
    """End with status 1 if the claims of some demos do not hold."""
    if failed:
        claims = "claim does" if len(failed) == 1 else "claims do"
        click.echo(f"tf-kit: {len(failed)} {claims} not hold: {', '.join(failed)}", err=True)
        raise SystemExit(1)


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
    from tf_kit.lectures.terminal import fitted

    click.echo(fitted(index.as_text()))


@lecture.command("all", short_help="Run every demo.")
@click.option("--quick", is_flag=True, help="Run a smaller version of each demo.")
@click.option(
    "--slides", is_flag=True, help="Write one HTML file with the slides of all demos, lecture.html."
)
@flags.text("--out", "Folder for the figures", "figures", metavar="FOLDER")
def all_lectures(quick: bool, slides: bool, out: str) -> None:
    """Run every demo, one after another.

    The exit status is 1 if a claim does not hold.
    """
    with folders.made(out):
        _all_written(quick, slides, Path(out))


def _all_written(quick, slides, out):
    """Run every demo, into an existing folder."""
    from tf_kit import lectures

    flags.import_tensorflow()
    modules = [(demo, lectures.load(demo)) for demo in lectures.demos()]
    configured = [(demo, module, lectures.configure(module, quick)) for demo, module in modules]
    if slides:
        _write_deck(configured, out / "lecture.html")
        return
    failed = []
    for demo, module, config in configured:
        click.echo(f"\n{demo.number} {demo.title}")
        try:
            lectures.perform(module, config, out)
        except AssertionError as error:
            failed.append(demo.number)
            click.echo(f"{error}", err=True)
    _report(failed)
