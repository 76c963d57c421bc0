"""Classes of new images by the classifier of a run."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_kit.errors import InputError
from tf_kit.runs.files import replacing
from tf_kit.runs.saved import load_classifier, outputs_of, what_was_left_out

COLUMNS = ("file", "class", "probability")  # of a table of predictions, before those of the classes


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Class of each image and the probabilities of all classes.

    Args:
        files: names of the images, as they were given.
        class_names: names of the classes.
        probabilities: float32 (n, classes); each row sums to 1.
        damaged: an error for each file that cannot be read.
        left_out: the files without a prediction, in one line; "" if there are none.
    """

    files: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: np.ndarray
    damaged: tuple[InputError, ...] = ()
    left_out: str = ""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of the most probable class of each image."""
        return tuple(self.class_names[i] for i in self.probabilities.argmax(axis=1))

    def to_csv(self) -> str:
        """Write a table with a row for each image: file, class, its probability, then `p(…)` of every class.

        Example:
            >>> print(Predictions(("a.png",), ("cat", "dog"), np.array([[0.25, 0.75]], "float32")).to_csv(), end="")
            file,class,probability,p(cat),p(dog)
            a.png,dog,0.75,0.25,0.75
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"p({name})" for name in self.class_names)])
        for file, name, row in zip(self.files, self.classes, self.probabilities, strict=True):
            writer.writerow([file, name, *(f"{value:.6g}" for value in (row.max(), *row))])
        return text.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the table into a CSV file."""
        with replacing(Path(path).expanduser()) as unfinished:
            unfinished.write_text(self.to_csv(), encoding="utf-8", newline="")


def predict(run: str | Path, pictures: str | Path | Sequence[str | Path]) -> Predictions:
    """Classify new images by the classifier of a run.

        p = softmax(z),  z = classifier(x)                                  (1)

    Each image is decoded and scaled as in training: bilinear, without keeping its aspect ratio, to the shape and color
    that the run has used. A file that cannot be read is left out and reported.

    Args:
        run: run folder of `finetune_run` or `probe_run`.
        pictures: images: a folder of any layout, a file, a file of arrays, a pattern such as `"new/*.jpg"`, or several.

    Returns:
        The predictions, in the order of the files.

    Raises:
        InputError: `run` holds no classifier, or no image can be read.
    """
    saved = load_classifier("predict", run)
    files, z, images, damaged = outputs_of("predict", saved.model, saved.shape, pictures, saved.divisor)
    return Predictions(
        files, saved.class_names, softmax(z), damaged, left_out=what_was_left_out(images, damaged)
    )


def holds_predictions(path: Path) -> bool:
    """Return whether a file is a table of predictions by its first columns."""
    head = ",".join(COLUMNS).encode()
    with path.open("rb") as file:
        return file.read(len(head)) == head


def softmax(z: np.ndarray) -> np.ndarray:
    """Compute (1) in float64; returns float32."""
    e = np.exp(z.astype("float64") - z.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).astype("float32")
