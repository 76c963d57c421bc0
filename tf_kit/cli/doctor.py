"""tf-kit doctor: versions, devices, data and sandbox of this machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import click

from tf_kit import __version__
from tf_kit.cli import flags
from tf_kit.cli.refusals import Command

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn", "matplotlib")


@click.command(cls=Command, short_help="Print versions, devices, data and sandbox of this machine.")
@flags.DATA_DIR
def doctor(data_dir: str | None) -> None:
    """Print what this machine has.

    Versions, devices, the strategy that training would use, the data sets, and the sandbox for graded answers.
    """
    flags.import_tensorflow()
    import tensorflow as tf

    from tf_kit.data import available
    from tf_kit.grading.sandbox import confinement
    from tf_kit.training.strategy import plan

    click.echo(f"tf-kit {__version__}")
    click.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        click.echo(f"{package} {_version(package)}")
    gpus = tf.config.list_physical_devices("GPU")
    plural = "s" if len(gpus) != 1 else ""
    click.echo(f"devices: {len(gpus)} GPU{plural}, {os.cpu_count()} processor cores")
    for gpu in gpus:
        click.echo(f"  {tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)}")
    click.echo(f"strategy: {plan()}")
    found = ", ".join(str(row.name) for row in available(data_dir=data_dir))
    click.echo(f"data: {found}")
    parts = confinement.available()
    present = ", ".join(part for part, is_present in parts.items() if is_present)
    click.echo(f"sandbox for graded answers: {confinement.level_of(parts)} ({present or 'nothing'})")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # TensorFlow has several, such as tensorflow-cpu
        return "under another name"
