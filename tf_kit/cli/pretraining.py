"""tf-kit pretrain METHOD, a command for each method, whose flags derive from the method's declaration."""

from __future__ import annotations

import functools
import shlex
from typing import Any

import click

from tf_kit.cli import flags
from tf_kit.cli.refusals import Command, Group
from tf_kit.options import flags_of
from tf_kit.pretraining.methods import METHODS, Method

IMAGE_SIZE = click.option(
    "--image-size",
    help="Pixels per side, or height,width, that images are scaled to. [default: by the images]",
)
LABELS = click.option(
    "--labels", help="Number of labels it may use, or a fraction such as 0.1. [default: all]"
)
TEXT = click.option(
    "--data", default="tiny_shakespeare", show_default=True, help="Text file, or prepared text set."
)


class _MethodCommand(Command):
    """The command of one method; a flag of another method is refused with the name of its owner."""

    def parse_args(self, ctx, args):
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            owners = [name for name in METHODS if error.option_name in _flags_of(name)]
            if not owners:
                raise
            line = (
                f"`{error.option_name}` must be left out for {self.name}. It belongs to {', '.join(owners)}."
            )
            raise click.UsageError(line, ctx) from None


class _Methods(Group):
    """`tf-kit pretrain`: the methods are its commands."""

    def list_commands(self, ctx):
        return list(METHODS)

    def get_command(self, ctx, name):
        return _command(name) if name in METHODS else None

    def parse_args(self, ctx, args):
        names = [word for word in args if word in METHODS]
        if args and args[0].startswith("-") and names:  # flags were typed before the method
            args = [names[0], *(word for i, word in enumerate(args) if i != args.index(names[0]))]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx, args):
        if args[0] not in METHODS:
            raise click.UsageError(f"`METHOD` must be one of {', '.join(METHODS)}. Received: {args[0]}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        with formatter.section("Methods"):
            formatter.write_dl([(name, method.learns) for name, method in METHODS.items()])


@click.group(cls=_Methods, subcommand_metavar="METHOD [FLAGS]")
def pretrain() -> None:
    """Pretrain an encoder on unlabelled data.

    The run folder then holds the encoder, the curves, and figures of what was learned: filters, views,
    reconstructions. During training, nearest neighbors and the rank of the representation are measured on validation
    images, and a collapse is reported. `tf-kit pretrain METHOD --help` lists the flags of a method.
    """


@functools.cache
def _command(name: str) -> click.Command:
    method = METHODS[name]
    command = flags.on_replicas(functools.partial(_run, name))
    for decorate in reversed(_shared(name, method)):
        command = decorate(command)
    shared = command.__click_params__[::-1]
    own = [
        flag
        for declaration, names, defaults in method.declarations()
        for flag in flags_of(declaration, defaults)
        if flag.name in names
    ]
    return _MethodCommand(
        name,
        params=[*own, *shared],
        callback=command,
        help=f"{method.title}: {method.learns}.",
        epilog=_examples(name, method),
    )


def _shared(name: str, method: Method) -> list:
    out = flags.out(f"runs/{name}-<data>")
    if method.reads_text:
        return [TEXT, flags.DATA_DIR, flags.SEED, out, flags.RESUME]
    labels = [LABELS] if method.supervised else []
    return [flags.DATA, flags.DATA_DIR, IMAGE_SIZE, *labels, flags.SEED, out, flags.RESUME]


def _flags_of(name: str) -> set[str]:
    return {flag for parameter in _command(name).params for flag in parameter.opts}


def _examples(name: str, method: Method) -> str:
    own = "my-text.txt" if method.reads_text else "my-images"
    lines = [
        f"tf-kit pretrain {name} {method.example}".rstrip(),
        f"tf-kit pretrain {name} --data {own} --out runs/mine",
    ]
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


def _run(method: str, data: str, out: str | None, **options: Any) -> None:
    from tf_kit.runs.pretraining import pretrain

    if "image_size" in options:
        options["image_size"] = flags.image_size(options["image_size"])
    if "labels" in options:
        options["labels"] = flags.label_count(options["labels"])
    out = out or f"runs/{method}-{flags.last_part(data)}"
    results = pretrain(method, data, out=out, **options)
    if "test" in results:  # of a text
        for name, accuracy in results["test"].items():
            click.echo(f"test, masked characters: {name} {accuracy:.2f} %")
        click.echo(f"encoder, curves and figures/filled_in.txt in {out}")
        return
    for stage, metrics in results["stages"].items():
        values = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "seconds")
        click.echo(f"{stage}: {values}")
    for stage, epoch in results.get("collapsed_in", {}).items():
        click.echo(f"{stage}: collapsed in epoch {epoch}; this encoder is hardly worth fine-tuning")
    click.echo(f"encoder, curves and figures in {out}; next: tf-kit finetune {shlex.quote(str(out))}")
