"""tf-kit predict, embed and export: the model of a finished run in use."""

from __future__ import annotations

from pathlib import Path

import click

from tf_kit.checks import refuse
from tf_kit.cli import flags
from tf_kit.cli.refusals import Command

RUN = click.argument("run", type=flags.Place())
PICTURES = click.argument("pictures", type=flags.Place(), nargs=-1, required=True)


@click.command(cls=Command, short_help="Classify PICTURES by the classifier of a run.")
@RUN
@PICTURES
@flags.text("--out", "CSV file", default_text="standard output", type=flags.Place(), metavar="FILE")
def predict(run: str, pictures: tuple[str, ...], out: str | None) -> None:
    """Classify PICTURES by the classifier in the folder RUN of a fine-tuning or probe.

    PICTURES are images, folders of images, or arrays in .npy or .npz. Prints a table in CSV: file, class, its
    probability, and the probability of every class. Files that cannot be read are left out and named on standard error.
    """
    flags.import_tensorflow()
    from tf_kit.runs.prediction import holds_predictions
    from tf_kit.runs.prediction import predict as predict_classes

    if out is not None:
        _check_out("predict.out", out, "predictions", holds_predictions)
    found = predict_classes(run, pictures)
    if out is None:
        click.echo(found.to_csv(), nl=False)
    else:
        found.save(out)
        click.echo(f"{len(found):,} images in {len(found.class_names)} classes in {out}")
    _report(found.left_out)


@click.command(cls=Command, short_help="Write the embeddings of PICTURES by the encoder of a run.")
@RUN
@PICTURES
@flags.text(
    "--out",
    "File, .npz or .parquet",
    default_text="embeddings.npz in RUN",
    type=flags.Place(),
    metavar="FILE",
)
@flags.text(
    "--map",
    "Folder for a map of the embeddings, nearest neighbors, and files for TensorBoard's projector",
    default_text="none",
    type=flags.Place(),
    metavar="FOLDER",
)
def embed(run: str, pictures: tuple[str, ...], out: str | None, map: str | None) -> None:
    """Write the embeddings of PICTURES by the encoder in the run folder RUN.

    PICTURES are images, folders of images, or arrays in .npy or .npz. The file has the names of the images
    and a vector for each. Files that cannot be read are left out and named on standard error.
    """
    flags.import_tensorflow()
    from tf_kit.runs.embedding import check_ending, holds_embeddings
    from tf_kit.runs.embedding import embed as compute_embeddings

    path = Path(run) / "embeddings.npz" if out is None else Path(out).expanduser()
    if out is None:
        _check_writable("embed.out", path)
    else:
        check_ending("embed.out", out)
        _check_out("embed.out", out, "embeddings", holds_embeddings)
    if map is not None:
        from tf_kit.runs.maps import draw_map, map_folder

        map_folder(map)  # refuses a file before anything is computed
    found = compute_embeddings(run, pictures)
    found.save(path)
    click.echo(f"{len(found):,} embeddings of {found.x.shape[1]} numbers in {path}")
    if map is not None:
        click.echo(
            f"{draw_map(found, map)}, and neighbors in {map}; tensorboard --logdir {map} shows them too"
        )
    _report(found.left_out)


@click.command(cls=Command, short_help="Export the model of a run to ONNX, LiteRT or a SavedModel.")
@RUN
@flags.choice("--format", "Format", ("savedmodel", "onnx", "litert"), "savedmodel")
@flags.text("--out", "File or folder", default_text="in RUN", type=flags.Place(), metavar="PATH")
def export(run: str, format: str, out: str | None) -> None:
    """Export the classifier or encoder in the run folder RUN for programs without Keras.

    The exported model takes pixels from 0 to 255 and scales them itself; the names of the classes and how images are
    resized are in its metadata. It is compared with the model of the run where a program that runs it is installed.
    """
    flags.import_tensorflow()
    from tf_kit.runs.exporting import export as export_model

    done = export_model(run, format, out)
    click.echo(f"{format}: {done.path}")
    if done.difference is None:
        click.echo(f"not compared with the model of the run: `pip install {done.runtime}` allows it")
    else:
        click.echo(f"largest difference to the model of the run, in {done.runtime}: {done.difference:.1e}")


def _check_out(subject, out, content, holds_content):
    """Refuse a file that cannot be written, or that holds anything else, before anything is computed.

    A pattern after `--out` names a picture there and not the file to write.
    """
    path = Path(out).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        refuse(subject, "be a file in a folder that exists", f"{out}", flag="--out")
    _check_writable(subject, path)
    if path.is_file() and path.stat().st_size and not holds_content(path):
        requirement = f"be a new file, or one with {content}, which is replaced"
        refuse(subject, requirement, f"{out}, which holds something else", flag="--out")


def _check_writable(subject, path):
    """Refuse a file in a folder that may not be written, such as the run of somebody else."""
    from tf_kit.runs.files import may_be_written

    if path.parent.is_dir() and not may_be_written(path):
        remedy = "`--out FILE` names one in another folder"
        refuse(subject, "be a file in a folder that can be written", f"{path}", remedy, flag="--out")


def _report(left_out):
    if left_out:
        click.echo(f"left out: {left_out}", err=True)
