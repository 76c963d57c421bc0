"""The data of an experiment: a labelled set, folder or file, loaded anew for each seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.data.fingerprint import Fingerprint, of_set
from tf_kit.data.loading import with_whole_path
from tf_kit.data.splits import Split
from tf_kit.runs.training_data import given_reading, refuse_without_labels, with_labels

_PARTS = ("training", "validation", "test")


@dataclasses.dataclass(frozen=True)
class GivenData:
    """Data as an experiment was given them.

    Args:
        function: name of the experiment, for messages.
        name: data set, folder of images or file of arrays, as for `data.load`.
        data_dir: folder of prepared sets, or None.
        reading: the other arguments of `data.load`.
    """

    function: str
    name: str
    data_dir: str | None
    reading: Mapping[str, Any]

    def load(self, seed: int, for_rbm: bool = False) -> tuple[Split, Split, Split]:
        """Load train, val and test of a seed.

        Args:
            seed: the seed.
            for_rbm: whether an RBM will take the values as probabilities. Defaults to False.

        Raises:
            InputError: there are fewer than two classes, an empty part, or values that an RBM cannot take.
        """
        splits = data.load(self.name, seed=seed, data_dir=self.data_dir, **self.reading)
        if not splits[0].num_classes:
            refuse_without_labels(f"{self.function}.name", self.name)
        if splits[0].num_classes == 1:
            received = f"{self.name}, with only the class {splits[0].class_names[0]}"
            refuse(f"{self.function}.name", "have two classes or more", received, flag="--data")
        empty = [part for part, split in zip(_PARTS, splits, strict=True) if not len(split)]
        if empty:
            requirement = f"have labelled examples for {', '.join(_PARTS)}"
            received = f"{self.name}, with none for {', '.join(empty)}"
            refuse(f"{self.function}.name", requirement, received, flag="--data")
        if for_rbm:
            self._check_probabilities(splits[0].all_x)
        return splits

    def _check_probabilities(self, x):
        low, high = float(np.min(x)), float(np.max(x))
        if not 0 <= low <= high <= 1:
            requirement = "have values in [0, 1], which RBMs take for the probabilities of binary units"
            received = f"{self.name}, with values from {low:.4g} to {high:.4g}"
            remedy = "Scale each feature to [0, 1]"
            refuse(f"{self.function}.name", requirement, received, remedy, flag="--data")

    def options(self) -> dict[str, Any]:
        """Return what a run records, with absolute paths."""
        name = with_whole_path(self.name, self.data_dir)
        return {"data": name, "data_dir": self.data_dir, **self.reading}

    def contents(self) -> Fingerprint:
        """Compute the fingerprint of the data and of the file of their labels."""
        return with_labels(of_set(self.name, self.data_dir), self.reading.get("labels_file"))


def given_data(
    function: str,
    name: str,
    data_dir: str | Path | None,
    image_size: int | tuple[int, int] | None,
    color: str | None,
    labels_file: str | Path | None,
) -> GivenData:
    """Return the data that the arguments of an experiment name."""
    folder = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
    return GivenData(function, name, folder, given_reading(image_size, color, labels_file))
