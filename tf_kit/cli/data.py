"""tf-kit data: list, download, import and check data sets."""

from __future__ import annotations

import os

import click

from tf_kit.checks import refuse
from tf_kit.cli import flags
from tf_kit.cli.refusals import Group


@click.group(cls=Group)
def data() -> None:
    """List, download, import and check data sets."""


@data.command("list")
@flags.DATA_DIR
def list_data(data_dir: str | None) -> None:
    """List the data sets of this machine.

    Any other image set of tensorflow-datasets can be used by its name after `tf-kit data get NAME`.
    """
    from tf_kit.data import available

    click.echo(f"{'name':24}{'kind':12}{'examples':>10}  {'shape':16}{'classes':>7}{'MB':>8}")
    for row in available(data_dir=data_dir):
        shape = "×".join("?" if size < 0 else str(size) for size in row.shape) if row.shape else "not images"
        examples = f"{row.examples:,}" if row.examples is not None else "?"
        size = f"{row.size_bytes / 1e6:.1f}" if row.size_bytes else ""
        line = f"{row.name:24}{row.kind:12}{examples:>10}  {shape:16}{row.num_classes or '':>7}{size:>8}"
        click.echo(line.rstrip() + (f"  {row.problem}" if row.problem else ""))


@data.command("get", short_help="Download and prepare the data set NAME.")
@click.argument("name")
@flags.NEW_DATA_DIR
def get_data(name: str, data_dir: str | None) -> None:
    """Download and prepare the data set NAME of tensorflow-datasets."""
    flags.import_tensorflow()
    from tf_kit.data import get

    folder = get(name, data_dir=data_dir)
    click.echo(f"{name} is in {folder}" if folder else f"{name} comes with the kit")


@data.command("import", short_help="Prepare the data set NAME from its raw files.")
@click.argument("name")
@click.argument("folder", type=flags.Place())
@flags.NEW_DATA_DIR
def import_data(name: str, folder: str, data_dir: str | None) -> None:
    """Prepare the data set NAME from its original raw files in FOLDER, without a network."""
    flags.import_tensorflow()
    from tf_kit.data import import_raw, prepared

    with prepared.name_of("import_raw.name", "NAME"):
        before = prepared.find(name, data_dir)
    found = import_raw(name, folder, data_dir=data_dir)
    click.echo(f"{name} was in {found} before; {folder} was not read" if before else f"{name} is in {found}")


@data.command("check", short_help="Look at every image of FOLDER and report what is wrong.")
@click.argument("folder", type=flags.Place())
@flags.UNLABELED
@flags.LABELS_FILE
@click.option("--exact", is_flag=True, help="Look for equal files only, not for images that look alike.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check_data(folder: str, unlabeled: bool, labels_file: str | None, exact: bool, as_json: bool) -> None:
    """Look at every image of FOLDER, or example of a file .npy or .npz: classes, sizes, damaged files, duplicates.

    The last lines name what a later command would refuse. The exit status is 0, or 1 if a file is damaged or something
    would be refused.
    """
    from tf_kit.data import check
    from tf_kit.data.array_files import is_array_file
    from tf_kit.data.folder import is_folder
    from tf_kit.data.listing import instead_of_file

    if not is_folder(folder) and not is_array_file(folder):
        exists = os.path.exists(folder)
        received = f"{folder}, a file" if exists else f"{folder}, which does not exist"
        remedy = instead_of_file(folder) if exists else ""
        refuse("check.path", "be a folder of images, or a file .npy or .npz", received, remedy, flag="FOLDER")
    report = check(folder, unlabeled=unlabeled, labels_file=labels_file, near=not exact)
    click.echo(report.to_json() if as_json else report)
    if not report.is_usable:
        raise SystemExit(1)
