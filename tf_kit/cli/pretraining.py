"""tf-kit pretrain METHOD: one command per method, with flags from the declaration of the method."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import click

from tf_kit.cli import flags
from tf_kit.cli.config import CONFIG, ConfiguredCommand, file_in, read_config
from tf_kit.cli.refusals import Group
from tf_kit.options import flags_of
from tf_kit.pretraining.methods import METHODS, Method
from tf_kit.pretraining.run_options import SIZES, EncoderOptions

TEXT = flags.text(
    "--data", "Text file, folder of texts, or prepared text set", "tiny_shakespeare", metavar="NAME"
)

# Sections of the help, with the flags that each lists after those of the method itself.
SECTIONS = {
    "Data": ("data", "data_dir", "image_size", "color", "unlabeled", "labels_file", "labels", "length"),
    "Encoder": ("encoder", "units", "activation", "filters", "patch_size", "width", "depth"),
    "Training": ("epochs", "batch_size", "learning_rate", "precision", "seed", "monitor_every", "keep"),
    "Run": ("out", "resume", "config", "replicas", "strategy", "help"),
}


class _MethodCommand(ConfiguredCommand):
    """Command of one method, which refuses a flag of another method with the names of the methods that have it."""

    def format_options(self, ctx, formatter):
        listed = {name for names in SECTIONS.values() for name in names}
        parameters = {each.name: each for each in self.params} | {"help": self.get_help_option(ctx)}
        own = [name for name in parameters if name not in listed]
        for title, names in {f"Options of {self.name}": own, **SECTIONS}.items():
            records = [parameters[name].get_help_record(ctx) for name in names if name in parameters]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

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
    """`tf-kit pretrain`, whose commands are the methods."""

    def list_commands(self, ctx):
        return list(METHODS)

    def get_command(self, ctx, name):
        return _command(name) if name in METHODS else None

    def parse_args(self, ctx, args):
        names = [word for word in args if word in METHODS]
        file = file_in(args)
        if file is not None and not names:
            method = str(read_config(file, ctx).get("method"))
            if method not in METHODS:
                received = f"{file}, with method = {method}"
                line = f"`METHOD` must be one of {', '.join(METHODS)}, typed or in the file. Received: {received}."
                raise click.UsageError(line, ctx)
            args, names = [method, *args], [method]
        if args and args[0].startswith("-") and names:  # flags are allowed before the method
            args = [names[0], *(word for i, word in enumerate(args) if i != args.index(names[0]))]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx, args):
        if args[0] not in METHODS:
            raise click.UsageError(f"`METHOD` must be one of {', '.join(METHODS)}. Received: {args[0]}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        with formatter.section("Methods"):
            formatter.write_dl([(name, method.learns) for name, method in METHODS.items()])


@click.group(cls=_Methods, options_metavar="", subcommand_metavar="METHOD [OPTIONS]")
def pretrain() -> None:
    """Pretrain an encoder on unlabelled data.

    The run folder then holds the encoder, the history of the training, and figures: curves, filters, views,
    reconstructions. During training, nearest neighbors and the rank of the representation are measured on validation
    images, and a collapse is reported. `tf-kit pretrain METHOD --help` lists the options of a method.
    """


@functools.cache
def _command(name: str) -> click.Command:
    method = METHODS[name]
    command: Any = flags.on_replicas(functools.partial(_run, name))
    for decorate in reversed(_shared(name, method)):
        command = decorate(command)
    shared = command.__click_params__[::-1]
    own = [
        flag
        for declaration, names, defaults in method.declarations()
        for flag in flags_of(declaration, defaults | _sizes(method), _helps(method))
        if flag.name in names
    ]
    return _MethodCommand(
        name,
        params=[*own, *shared],
        callback=command,
        help=f"{method.title[0].upper()}{method.title[1:]}: the network {method.learns}.",
        epilog=_examples(name, method),
    )


def _sizes(method: Method) -> dict[str, Any]:
    """Default sizes that depend on the method alone, as in `runs.encoders`, which imports Keras."""
    units = {"units": (200, 200, 200)} if method.encoders == ("mlp",) else {}
    return units | {"activation": "sigmoid" if method.greedy else "relu"}


def _helps(method: Method) -> dict[str, str]:
    """Help of flags whose meaning depends on the method."""
    helps = {"epochs": "Passes over the data for each layer" if method.greedy else "Passes over the data"}
    if len(method.encoders) > 1:
        for field in dataclasses.fields(EncoderOptions):
            kinds = [kind for kind in method.encoders if field.name in SIZES[kind]]
            helps |= {field.name: f"{field.metadata['help']}, for {' and '.join(kinds)}"} if kinds else {}
    return helps


def _shared(name: str, method: Method) -> list:
    out = flags.out(f"runs/{name}-<data>")
    if method.reads_text:
        return [TEXT, flags.DATA_DIR, flags.SEED, out, flags.RESUME, CONFIG]
    labels = [] if method.labels == "ignored" else [flags.LABELS]
    reading = [flags.IMAGE_SIZE, flags.COLOR, flags.UNLABELED, flags.LABELS_FILE]
    return [flags.DATA, flags.DATA_DIR, *reading, *labels, flags.SEED, out, flags.RESUME, CONFIG]


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
    from tf_kit.runs.report import as_argument

    out = out or f"runs/{method}-{flags.last_part(data)}"
    folder = Path(out).expanduser()
    results = pretrain(method, data, out=out, **options)
    if "test" in results:  # a text is tested in the run itself
        for name, accuracy in results["test"].items():
            click.echo(f"test, masked characters: {name} {accuracy:.2f} %")
        click.echo(f"{_encoder_in(folder)}curves and figures/filled_in.txt in {out}")
        return
    for stage, metrics in results["stages"].items():
        measured = {name: value for name, value in metrics.items() if name != "seconds" and value is not None}
        click.echo(f"{stage}: {', '.join(f'{name} {value:.4g}' for name, value in measured.items())}")
    for stage, epoch in results.get("collapsed_in", {}).items():
        click.echo(f"{stage}: the embeddings collapsed in epoch {epoch}, so fine-tuning will gain little")
    for stage, kept in results.get("kept", {}).items():
        click.echo(f"{stage}: {kept['text']}")
    after = f"; next: tf-kit finetune {as_argument(out)}" if _encoder_in(folder) else ""
    click.echo(f"{_encoder_in(folder)}curves and figures in {out}{after}")


def _encoder_in(folder: Path) -> str:
    return "encoder, " if (folder / "encoder.keras").is_file() else ""
