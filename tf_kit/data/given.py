"""Image files that are named in any way, as folders, files or patterns, and read in spite of damaged ones."""

from __future__ import annotations

import dataclasses
import functools
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.array_files import is_array_file
from tf_kit.data.array_rows import Row, rows
from tf_kit.data.listing import counted, list_files
from tf_kit.data.pictures import clean, decode, in_parallel, suffixes
from tf_kit.data.waiting import reporting
from tf_kit.errors import InputError

CHUNK = 256  # images that are in memory at a time


@dataclasses.dataclass(frozen=True)
class Given:
    """Images in the order in which they were named, those of a folder sorted by name.

    Args:
        files: path of each image, or its row in a file of arrays, each once.
        passed: other files of the folders, in words; "" if there are none.
    """

    files: tuple[Path | Row, ...]
    passed: str = ""


def find_images(
    subject: str,
    given: str | Path | Sequence[str | Path],
    flag: str | None = None,
    shape: tuple[int, ...] | None = None,
    divisor: float | None = None,
) -> Given:
    """Find the images that are meant by paths: of folders of any layout, of files, of arrays, or with `*` and `?`.

    Where a model takes vectors, these are rows of files of arrays.

    Args:
        subject: argument of the caller, for messages.
        given: one path or several.
        flag: word of the command line for the argument. Defaults to None.
        shape: shape of one example; `(features,)` if vectors are wanted. Defaults to images of any size.
        divisor: what the vectors of the training were divided by, see `array_scale`. Defaults to None, not known.

    Raises:
        InputError: a path does not exist, there are no images, or vectors are wanted and a path is no file of arrays.
    """
    paths = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    for each in paths:
        if not isinstance(each, str | os.PathLike):
            refuse(subject, "be paths of images", f"a {type(each).__name__}", flag=flag)
    if not paths:
        refuse(subject, "name images or folders of images", "no path", flag=flag)
    files: dict[str, Path | Row] = {}
    passed: dict[str, tuple[str, ...]] = {}
    links: tuple[str, ...] = ()
    for path in paths:
        for each in _expanded(subject, path, flag):
            if is_array_file(each):
                found: Sequence[Path | Row] = rows(each, shape, divisor)
            elif shape is not None and len(shape) == 1:
                requirement = f"name .npy or .npz files of vectors (n, {shape[0]}), which the model takes"
                refuse(subject, requirement, clean(each), flag=flag)
            elif each.is_dir():
                listing = list_files(each)
                found = listing.files
                links += listing.links
                for reason, names in listing.passed.items():
                    passed[reason] = passed.get(reason, ()) + names
            else:
                found = [each]
            for file in found:
                files.setdefault(os.path.abspath(file), file)
    left = counted(passed, links)
    if not files:
        named = ", ".join(clean(path) for path in paths[:3])
        known = ", ".join(
            sorted(each[1:] for each in (".png", ".jpg", ".webp", ".tiff") if each in suffixes())
        )
        received = f"{named}, without an image" + (f"; {left}" if left else "")
        refuse(subject, f"hold images ({known} and other kinds)", received, flag=flag)
    return Given(tuple(files.values()), left)


def _expanded(subject, path, flag):
    """Return the paths that a path or pattern stands for."""
    if not str(path):
        remedy = 'The current folder is "."'
        refuse(subject, "be an image or a folder of images", "an empty name", remedy, flag=flag)
    path = Path(path).expanduser()
    if path.exists():
        return [path]
    if path.is_symlink():
        refuse(
            subject, "be an image or a folder of images", f"{clean(path)}, which links to nothing", flag=flag
        )
    if not glob.has_magic(str(path)):
        refuse(
            subject, "be an image or a folder of images", f"{clean(path)}, which does not exist", flag=flag
        )
    found = [Path(each) for each in sorted(glob.glob(str(path), recursive=True)) if Path(each).exists()]
    if not found:
        received = f"{clean(path)}, which matches no file"
        refuse(subject, "be an image or a folder of images", received, flag=flag)
    return found


def read_in_chunks(
    files: Sequence[Path | Row], shape: tuple[int, ...], damaged: list[InputError], chunk: int = CHUNK
) -> Iterator[tuple[list[Path | Row], np.ndarray]]:
    """Read images chunk by chunk, decoded and scaled as for training.

    Args:
        files: paths of the images, or rows of files of arrays.
        shape: (height, width, channels), see `pictures.decode`, or (features,).
        damaged: list to which the error of each file that cannot be read is appended.
        chunk: number of images that are in memory at a time. Defaults to `CHUNK`.

    Yields:
        The files that could be read, and their images, float32 (n, height, width, channels) in [0, 1], or vectors.
    """
    starts = range(0, len(files), chunk)
    for start in reporting(starts, len(starts), "reading images"):
        part = files[start : start + chunk]
        read = in_parallel(functools.partial(_attempt, part, shape), len(part), "reading images")
        damaged.extend(error for _, error in read if error is not None)
        good = [i for i, (image, _) in enumerate(read) if image is not None]
        if good:
            yield [part[i] for i in good], np.stack([read[i][0] for i in good])


def _attempt(files, shape, i):
    """Decode a file; returns its image in [0, 1] and None, or None and its error."""
    file = files[i]
    if isinstance(file, Row):
        return file.example(shape), None
    try:
        return decode(file, shape).astype("float32") / np.float32(255), None
    except InputError as error:
        return None, error
