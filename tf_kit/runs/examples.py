"""Labelled examples of one part of the data, as arrays or as a stream."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tf_kit.data.array_files import ArrayFile
from tf_kit.data.folder import Folder
from tf_kit.data.overlap import fingerprints
from tf_kit.data.splits import Split, withhold
from tf_kit.typing import ArrayLike, Dataset


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled examples of one part, as arrays, or read from disk as they are needed.

    Args:
        y: int64 (n,), classes.
        class_names: names of the classes.
        x: float32 (n, h, w, c), or None if the examples are streamed.
        found: folder, or file of arrays, of the examples; None for data sets.
        indices: indices of the examples in `found`.
    """

    y: np.ndarray
    class_names: tuple[str, ...]
    x: np.ndarray | None
    found: Folder | ArrayFile | None = None
    indices: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def given(self) -> tuple[ArrayLike, np.ndarray] | tuple[Dataset]:
        """Return the arguments of `model.evaluate`: x and y, or a data set of batches in the order of the files."""
        return (self._stream(0, 1, 0, False, 256),) if self.x is None else (self.x, self.y)

    def for_training(self, batch_size: int, seed: int) -> dict[str, Any]:
        """Return the arguments of `Run.fit`. The order of the examples is the same for arrays and for a stream."""
        if self.x is not None:
            return {"x": self.x, "y": self.y, "batch_size": batch_size}

        def stream(first_epoch, epochs):
            return self._stream(first_epoch, epochs, seed, True, batch_size)

        return {"x": stream, "steps_per_epoch": math.ceil(len(self) / batch_size)}

    def _stream(self, first_epoch, epochs, seed, shuffle, batch_size):
        assert self.found is not None
        assert self.indices is not None
        order: dict[str, Any] = {"first_epoch": first_epoch, "epochs": epochs, "seed": seed}
        return self.found.batches(self.indices, batch_size=batch_size, shuffle=shuffle, **order)

    def images(self, places: np.ndarray) -> np.ndarray:
        """Return the images at some places, which are few; those of a stream are read."""
        if self.x is not None:
            return self.x[places]
        assert self.found is not None
        assert self.indices is not None
        return self.found.examples(self.indices[places])

    def kept(self, places: np.ndarray) -> Examples:
        """Return the examples at some places."""
        return dataclasses.replace(
            self,
            y=self.y[places],
            x=None if self.x is None else self.x[places],
            indices=None if self.indices is None else self.indices[places],
        )

    def withhold(self, labels: int | float | None) -> Examples:
        """Return the examples that keep their labels, see `data.splits.withhold`."""
        return self.kept(withhold(Split(np.arange(len(self)), self.y, self.class_names), labels, seed=0).x)

    def prints(self) -> list[bytes]:
        """Return the fingerprints of the examples; those of a stream are decoded for it."""
        return fingerprints(self.given()[0])
