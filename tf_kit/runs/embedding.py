"""Embeddings of new images by the encoder of a run."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.array_rows import Row
from tf_kit.data.pictures import clean
from tf_kit.errors import InputError
from tf_kit.runs.files import replacing
from tf_kit.runs.saved import load_saved, outputs_of, what_was_left_out

ENDINGS = (".npz", ".parquet")


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Output of an encoder for each image.

    Args:
        files: names of the images, as they were given.
        x: float32 (n, d).
        damaged: an error for each file that cannot be read.
        left_out: the files without an embedding, in one line; "" if there are none.
        paths: the files or rows of arrays to read the images from.
        shape: (height, width, channels) in which the encoder takes an image, or (features,) of a vector.
    """

    files: tuple[str, ...]
    x: np.ndarray
    damaged: tuple[InputError, ...] = ()
    left_out: str = ""
    paths: tuple[Path | Row, ...] = ()
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def save(self, path: str | Path) -> None:
        """Write arrays `files` and `embeddings` (`.npz`), or columns `file` and `embedding` (`.parquet`).

        Raises:
            InputError: the ending is another one, or the folder does not exist.
        """
        path = check_ending("Embeddings.save.path", path)
        if not path.parent.is_dir():
            refuse("Embeddings.save.path", "lie in a folder that exists", f"{path}", flag="--out")
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            if path.suffix == ".npz":
                np.savez(file, files=np.array(self.files, dtype=str), embeddings=self.x)
                return
            import pyarrow  # comes with tensorflow-datasets
            import pyarrow.parquet

            flat = pyarrow.array(self.x.ravel())
            rows = pyarrow.FixedSizeListArray.from_arrays(flat, self.x.shape[1])
            table = pyarrow.table({"file": pyarrow.array(self.files, pyarrow.string()), "embedding": rows})
            pyarrow.parquet.write_table(table, file)


def embed(run: str | Path, pictures: str | Path | Sequence[str | Path]) -> Embeddings:
    """Compute the output of the encoder of a run for new images.

    Each image is decoded and scaled as in training. A file that cannot be read is left out and reported.

    Args:
        run: run folder of `pretrain`, or of `finetune_run` for the encoder after fine-tuning.
        pictures: images, as for `predict`.

    Returns:
        The embeddings, in the order of the files.

    Raises:
        InputError: `run` holds no encoder, or no image can be read.
    """
    saved = load_saved("embed", run, vectors=True)
    files, x, images, damaged = outputs_of("embed", saved.encoder, saved.shape, pictures, saved.divisor)
    path_of = {clean(path): path for path in images.files}
    return Embeddings(
        files,
        x.reshape(len(x), -1),
        damaged,
        left_out=what_was_left_out(images, damaged),
        paths=tuple(path_of[file] for file in files),
        shape=saved.shape,
    )


def check_ending(subject: str, path: str | Path) -> Path:
    """Return a path; refuse it unless it ends in `.npz` or `.parquet`."""
    path = Path(path).expanduser()
    if path.suffix not in ENDINGS:
        refuse(subject, f"end in {' or '.join(ENDINGS)}", f"{path}", flag="--out")
    return path


def holds_embeddings(path: Path) -> bool:
    """Return whether a file holds what `Embeddings.save` writes, by the names of its arrays or columns."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return set(file.files) == {"files", "embeddings"}
        import pyarrow.parquet

        return set(pyarrow.parquet.read_schema(path).names) == {"file", "embedding"}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):  # another kind of file
        return False
