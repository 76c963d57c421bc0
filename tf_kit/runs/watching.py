"""Monitors of a pretraining: nearest neighbors and collapse, on validation images, stage after stage."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from tf_kit.checks import count
from tf_kit.data.splits import Split
from tf_kit.pretraining import CollapseMonitor, KNNMonitor, find_overlap
from tf_kit.runs.run import Run
from tf_kit.training.representation import represent

# Labelled training images and validation images that are measured. The rank of 500 representations can exceed the
# usual 128 features.
LABELLED, VALIDATION = 1000, 500


class Watch:
    """`Run.fit` with monitors, which write into the history of the run and print one line when a collapse begins.

    A stage of greedy pretraining is measured on the representation of the layers below it.

    Args:
        run: the `Run`.
        val: `Split` of images to measure and, if there are labelled ones, to classify by nearest neighbors.
        labelled: `Split` of training images that are the neighbors, without those that are also in `val`. Defaults to
            None, no nearest neighbors.
        every: epochs between two measurements; the first and the last epoch are always measured. Defaults to 1.

    Attributes:
        collapsed_in: stage → epoch in which it collapsed, from 1.
    """

    def __init__(self, run: Run, val: Split, labelled: Split | None = None, every: int = 1) -> None:
        self.run, self.every = run, count("Watch.every", every)
        images = val.x if len(val) else val.unlabelled_x
        self.val = dataclasses.replace(val, x=images, unlabelled_x=images[:0])
        self.labelled = labelled and _without(labelled, find_overlap(val, labelled))
        self._images = self.val, self.labelled
        self.collapsed_in: dict[str, int] = {}

    def fit(
        self, model: keras.Model, x: Any, y: Any = None, *, stage: str, **arguments: Any
    ) -> dict[str, Any]:
        """Train a stage with monitors; arguments and result are those of `Run.fit`."""
        collapse = CollapseMonitor(
            self.val.x, every=self.every, say=lambda line: self.run.progress.print(f"{stage}, {line}")
        )
        monitors = [collapse]
        if self.labelled:
            k = usual_neighbors(self.labelled)
            neighbors = KNNMonitor(self._images[1], self._images[0], k=k, every=self.every)
            # The images are all different, while representations are equal in a layer that has collapsed.
            neighbors.train, neighbors.val = self.labelled, self.val
            monitors.append(neighbors)
        history = self.run.fit(model, x, y, stage=stage, callbacks=monitors, **arguments)
        if collapse.collapsed_in is not None:
            self.collapsed_in[stage] = collapse.collapsed_in
        self.val = _through(model.encoder, self.val)
        self.labelled = self.labelled and _through(model.encoder, self.labelled)
        return history


def usual_neighbors(split: Split) -> int:
    """Return the default number of nearest neighbors: 20, or the labels per class if that is less.

    If all labelled images were neighbors, every image would get the same class.
    """
    return min(20, max(1, len(split) // split.num_classes))


def epochs_between(watched: int, num_examples: int) -> int:
    """Return the epochs between two measurements that together take about a twentieth of the time.

    Measuring two images takes about as long as training on one.

    Args:
        watched: number of images that are measured.
        num_examples: number of training images per epoch.

    Example:
        >>> epochs_between(1500, 50_000), epochs_between(1300, 1197)
        (1, 11)
    """
    return max(1, -(-10 * watched // num_examples))


def _through(encoder, split):
    x = represent(encoder, split.x)
    return dataclasses.replace(split, x=x, unlabelled_x=x[:0])


def _without(split, places):
    kept = np.setdiff1d(np.arange(len(split)), places)
    return dataclasses.replace(split, x=split.x[kept], y=split.y[kept], unlabelled_x=split.x[:0])
