"""What watches a pretraining: nearest neighbors and collapse, on validation images, stage after stage."""

import dataclasses

import numpy as np

from tf_kit.checks import count
from tf_kit.pretraining import CollapseMonitor, KNNMonitor, find_overlap
from tf_kit.training.representation import represent

# Images that are looked at; the rank of 500 tells more than the usual 128 features.
VOTERS, VALIDATION = 1000, 500


class Watch:
    """`Run.fit` with monitors, which write into the run's history and say in one line when a collapse begins.

    A stage of greedy pretraining is watched on what the stages below make of the images.

    Args:
        run: a `Run`.
        val: a `Split`, whose images are looked at and, if they have classes and there are voters, classified.
        voters: a `Split` of training images whose classes vote; None for no neighbors. Images that are also in
            `val` do not vote.
        every: epochs from one look to the next, beside the first and the last epoch.

    Attributes:
        collapsed_in: stage → epoch in which it collapsed, from 1.
    """

    def __init__(self, run, val, voters=None, every=1):
        self.run, self.every = run, count("monitor_every", every)
        self.val = dataclasses.replace(val, x=val.x if len(val) else val.unlabelled_x, unlabelled_x=None)
        self.voters = voters and _without(voters, find_overlap(val, voters))
        self.collapsed_in = {}

    def fit(self, model, x, y=None, *, stage, **arguments):
        """As `Run.fit`."""
        collapse = CollapseMonitor(
            self.val.x, every=self.every, say=lambda line: self.run.progress.say(f"{stage}, {line}")
        )
        monitors = [collapse]
        if self.voters:
            k = usual_neighbors(self.voters)
            monitors.append(KNNMonitor(self.voters, self.val, k=k, every=self.every))
        history = self.run.fit(model, x, y, stage=stage, callbacks=monitors, **arguments)
        if collapse.collapsed_in is not None:
            self.collapsed_in[stage] = collapse.collapsed_in
        self.val = _through(model.encoder, self.val)
        self.voters = self.voters and _through(model.encoder, self.voters)
        return history


def usual_neighbors(split):
    """How many neighbors vote where nobody says: 20, or as many as a class has labels if they are fewer. If all
    voted, every image would get the same class."""
    return min(20, max(1, len(split) // split.num_classes))


def epochs_between_looks(watched, num_examples):
    """How often to look so that it costs about a twentieth of the time: a look at two images costs as one step on one.

    >>> epochs_between_looks(1500, 50_000), epochs_between_looks(1300, 1197)
    (1, 11)
    """
    return max(1, -(-10 * watched // num_examples))


def _through(encoder, split):
    return dataclasses.replace(split, x=represent(encoder, split.x), unlabelled_x=None)


def _without(split, places):
    kept = np.setdiff1d(np.arange(len(split)), places)
    return dataclasses.replace(split, x=split.x[kept], y=split.y[kept], unlabelled_x=None)
