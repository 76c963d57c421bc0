"""Monitors of a pretraining: nearest neighbors and collapse, on validation images, stage after stage."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from tf_kit.checks import choice, count
from tf_kit.data.splits import Split
from tf_kit.pretraining import CollapseMonitor, KNNMonitor, find_overlap
from tf_kit.pretraining.monitors import embeddings_of
from tf_kit.pretraining.transfer import share_of_votes_right
from tf_kit.runs.run import Run
from tf_kit.training.representation import represent

# Labelled training images and validation images that are measured. The rank of 500 representations can exceed the
# usual 128 features.
LABELLED, VALIDATION = 1000, 500


# Choice of `--keep` → metric, whether the largest or the smallest value is best, and the reason for the choice.
KEEP = {
    "best:knn": ("val_knn_accuracy", "largest", "in which neighbors were right most often"),
    "best:rankme": ("rankme", "largest", "in which embeddings used most directions"),
    "best:loss": ("loss", "smallest", "in which the training loss was lowest"),
    "last": (None, "largest", "the last one"),
}


class Watch:
    """`Run.fit` with monitors, which write into the history of the run and print one line when a collapse begins.

    A stage of greedy pretraining is measured on the representation of the layers below it.

    Args:
        run: the `Run`.
        val: `Split` of images to measure and, if there are labelled ones, to classify by nearest neighbors. None, or
            fewer than two images, measures nothing.
        labelled: `Split` of training images that are the neighbors, without those that are also in `val`. Defaults to
            None, no nearest neighbors.
        every: epochs between two measurements, as for `KNNMonitor`. 0 looks for a collapse once, after the training,
            and measures nothing else. Defaults to 1.
        keep: epoch whose weights a stage ends with, a key of `KEEP`. Defaults to `"last"`.

    Attributes:
        collapsed_in: stage → epoch in which it collapsed, from 1.
        kept: stage → its kept epoch with what was measured in it, and a `text` that says so.
    """

    def __init__(
        self,
        run: Run,
        val: Split | None,
        labelled: Split | None = None,
        every: int = 1,
        keep: str = "last",
    ) -> None:
        self.run, self.every = run, count("Watch.every", every, at_least=0)
        self.keep = choice("Watch.keep", keep, tuple(KEEP))
        self.val, self.labelled = None, None
        if val is not None and len(val.all_x) >= 2:
            images = val.x if len(val) else val.unlabelled_x
            self.val = dataclasses.replace(val, x=images, unlabelled_x=images[:0])
            if labelled and every:
                self.labelled = _without(labelled, find_overlap(val, labelled))
        self._images = self.val, self.labelled
        self.collapsed_in: dict[str, int] = {}
        self.kept: dict[str, dict[str, Any]] = {}

    def fit(
        self, model: keras.Model, x: Any, y: Any = None, *, stage: str, **arguments: Any
    ) -> dict[str, Any]:
        """Train a stage with monitors; arguments and result are those of `Run.fit`."""
        metric, best_is, _ = KEEP[self.keep]
        collapse, neighbors = self._collapse(stage), self._neighbors()
        untrained = neighbors and self._share_right(model, neighbors)
        monitors = [each for each in (collapse, neighbors) if each is not None]
        options = {"keep_best": metric, "best_is": best_is} | arguments
        callbacks = monitors if self.every else []
        history = self.run.fit(model, x, y, stage=stage, callbacks=callbacks, **options)
        kept = self._describe(model, stage, history, monitors, untrained)
        if collapse is not None and collapse.collapsed_in is not None:
            self.collapsed_in[stage] = collapse.collapsed_in
        self.kept[stage] = kept | {"text": _text(kept, self.collapsed_in.get(stage))}
        if self.val is not None:  # also without labels, where its length is 0
            self.val = _through(model.encoder, self.val)
        if self.labelled:
            self.labelled = _through(model.encoder, self.labelled)
        return history

    def _collapse(self, stage):
        if self.val is None:
            return None
        say = self.run.progress.print
        return CollapseMonitor(self.val.x, every=self.every or 1, say=lambda line: say(f"{stage}, {line}"))

    def _neighbors(self):
        if not self.labelled:
            return None
        k = usual_neighbors(self.labelled)
        neighbors = KNNMonitor(self._images[1], self._images[0], k=k, every=self.every)
        # The images are all different, while representations are equal in a layer that has collapsed.
        neighbors.train, neighbors.val = self.labelled, self.val
        return neighbors

    @staticmethod
    def _share_right(model, neighbors):
        return share_of_votes_right(model.encoder, neighbors.train, neighbors.val, neighbors.k)

    def _describe(self, model, stage, history, monitors, untrained):
        """Return the kept epoch, with what was measured in it."""
        epochs = len(history["seconds"])
        kept: dict[str, Any] = {
            "epoch": history.get("best_epoch") or epochs,
            "epochs": epochs,
            "by": self.keep,
        }
        measured = {}
        for monitor in monitors:
            monitor.set_model(model)
            names = ("rankme",) if isinstance(monitor, CollapseMonitor) else ("val_knn_accuracy",)
            found = {name: history[name][kept["epoch"] - 1] if self.every else None for name in names}
            measured |= monitor.measure(kept["epoch"] - 1) if None in found.values() else found
        if "rankme" in measured:
            kept |= {"rank": measured["rankme"], "features": embeddings_of(model, self.val.x[:2])[0].shape[1]}
        if untrained is not None:
            kept |= {"neighbors": measured["val_knn_accuracy"], "untrained": untrained}
        return kept


def _text(kept, collapsed_in):
    """
    >>> measured = {"rank": 64.2, "features": 128, "neighbors": 0.92, "untrained": 0.712}
    >>> _text({"epoch": 12, "epochs": 15, "by": "last"} | measured, None)
    'kept epoch 12 of 15, the last one: rank 64 of 128: no collapse; neighbors 92 % right, untrained 71 %'
    >>> _text({"epoch": 15, "epochs": 15, "by": "last", "rank": 1.4, "features": 200}, None)
    'kept epoch 15 of 15, the last one: rank 1 of 200, as one large mean dominates: no collapse'
    >>> _text({"epoch": 2, "epochs": 15, "by": "best:loss"}, None)
    'kept epoch 2 of 15, in which the training loss was lowest'
    """
    parts = [f"kept epoch {kept['epoch']} of {kept['epochs']}, {KEEP[kept['by']][2]}"]
    if kept.get("rank") is not None:
        is_before = collapsed_in is None or kept["epoch"] < collapsed_in
        state = "no collapse" if is_before else f"collapsed in epoch {collapsed_in}"
        mean = ", as one large mean dominates" if is_before and kept["rank"] < 1.5 else ""
        parts.append(f"rank {kept['rank']:.0f} of {kept['features']}{mean}: {state}")
    text = ": ".join(parts)
    if "neighbors" in kept:
        text += (
            f"; neighbors {100 * kept['neighbors']:.0f} % right, untrained {100 * kept['untrained']:.0f} %"
        )
    return text


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
