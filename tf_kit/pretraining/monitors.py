"""Monitors of a pretraining, as Keras callbacks: accuracy of nearest neighbors, and collapse of embeddings."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, number, refuse
from tf_kit.data.overlap import refuse_overlap
from tf_kit.pretraining.joint_embedding import JointEmbedding
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.pretraining.quality import alignment, feature_deviation, rankme, uniformity
from tf_kit.pretraining.transfer import check_splits, share_of_votes_right
from tf_kit.randomness.step import ExampleRandom
from tf_kit.training.inputs import check_arrays
from tf_kit.training.representation import represent
from tf_kit.typing import ArrayLike


class CollapseWarning(UserWarning):
    """Embeddings use almost no directions; training on from here is not worth the time."""


class _Monitor(keras.callbacks.Callback):
    """Base of the monitors: calls `measure` after the first epoch, every `every` epochs, and after `epochs`."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = count(f"{type(self).__name__}.every", every)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch % self.every == 0 or epoch + 1 == self.params["epochs"]:
            measured = self.measure(epoch)
            if logs is not None:
                logs.update(measured)

    def measure(self, epoch: int) -> dict[str, float]:
        """Measure the model after `epoch`, counted from 0: metric → value."""
        raise NotImplementedError


class KNNMonitor(_Monitor):
    """Accuracy of nearest neighbors in the encoder's representation, measured after each epoch of pretraining.

    Adds `val_knn_accuracy` to the logs, so the History, the files of `Run`, and every later callback (`CSVLogger`,
    `TensorBoard`, `EarlyStopping`) contain it. Weights and random states are not changed.

    Args:
        train: training examples with known classes, an object with `.x` and `.y`.
        val: examples to classify, likewise, none of them in `train`. Do not use the test split, since decisions
            depend on monitored values.
        k: number of neighbors, at most the number of training examples. Defaults to 20.
        every: number of epochs from one measurement to the next; the first and the last epoch are always measured, but
            not the one in which a callback ends the training early. Defaults to 1.

    Raises:
        InputError: `k` or `every` is out of range, `.y` does not hold classes, or an example of `val` is also in
            `train`.

    Example:
        >>> from tf_kit import data, networks, pretraining
        >>> train, val, test = data.load("digits", seed=0)
        >>> model = pretraining.Autoencoder(networks.mlp((32,), num_classes=None))
        >>> model.compile(keras.optimizers.Adam(0.003))
        >>> watched = model.fit(train.x, epochs=2, verbose=0, callbacks=[KNNMonitor(train, val)])
        >>> len(watched.history["val_knn_accuracy"])
        2
    """

    def __init__(self, train: Any, val: Any, k: int = 20, every: int = 1) -> None:
        super().__init__(every)
        check_splits("KNNMonitor", train=train, val=val)
        self.train, self.val = train, val
        self.k = count("KNNMonitor.k", k)
        if self.k > len(train.x):
            refuse("KNNMonitor.k", f"be at most the {len(train.x)} training examples", f"k={k}")
        refuse_overlap(train, val, ("train", "val"))

    def measure(self, epoch: int) -> dict[str, float]:
        return {"val_knn_accuracy": share_of_votes_right(self.model.encoder, self.train, self.val, self.k)}


class CollapseMonitor(_Monitor):
    """Detection of collapse: embeddings that become one point, or lie on one line, after each epoch.

    Adds to the logs, as `KNNMonitor` does,

        rankme, feature_deviation, uniformity     of the embeddings of the first views of `x`
        alignment                                 between the embeddings of the two views

    in inference mode, with the views of step 0. For a method without views they are those of the representation of
    `x`, without `alignment`. If

        rankme < `min_rank`   or   feature_deviation < `min_deviation`      (1)

    or a value is not finite, the monitor warns once per training, and `collapsed_in` is the epoch, counted from 1. A
    training that is continued (`initial_epoch`, `Run.fit`) is the same training.

    Args:
        x: some hundreds of examples, more than the embedding has features, so that their number does not limit the
            rank. Validation images are a good choice.
        min_rank: smallest healthy rank. Defaults to None: 1.5 for embeddings, of which those that use two directions
            evenly have 2; 0 for methods without views, because the outputs of sigmoid units or of a transformer have
            one large mean, which leaves a small rank for the rest.
        min_deviation: smallest healthy deviation. Defaults to None: 0.05 for embeddings, a twentieth of an even
            spread; 0.005, almost constant, for methods without views.
        every: as for `KNNMonitor`.
        say: function that is called with the text of the warning. Defaults to None, a `CollapseWarning`.

    Attributes:
        collapsed_in: first epoch, counted from 1, in which (1) held; None if there was none.

    Raises:
        InputError: there are fewer than two examples, or another argument is out of range.

    Example:
        >>> from tf_kit import data, networks, pretraining, regularization
        >>> train, val, test = data.load("digits", seed=0)
        >>> model = pretraining.VICReg(                        # its only aim is agreement, which a constant reaches
        ...     networks.mlp((64,), num_classes=None), projector=(32,), augment=regularization.preset("digits"),
        ...     variance_weight=0, covariance_weight=0)
        >>> model.compile(keras.optimizers.Adam(0.01))
        >>> monitor = CollapseMonitor(val.x)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     watched = model.fit(train.x, batch_size=32, epochs=1, verbose=0, callbacks=[monitor])
        >>> monitor.collapsed_in, [each.category.__name__ for each in caught]
        (1, ['CollapseWarning'])

    Reference: Garrido et al., 2023, RankMe, arXiv:2210.02885; Chen, He, 2021, Exploring simple Siamese representation
    learning, arXiv:2011.10566; Wang, Isola, 2020, Understanding contrastive representation learning through alignment
    and uniformity on the hypersphere, arXiv:2005.10242.
    """

    def __init__(
        self,
        x: ArrayLike,
        min_rank: float | None = None,
        min_deviation: float | None = None,
        every: int = 1,
        say: Callable[[str], Any] | None = None,
    ) -> None:
        super().__init__(every)
        if len(x) < 2:
            refuse("CollapseMonitor.x", "hold at least two examples", f"{len(x)} examples")
        self.x, _ = check_arrays("CollapseMonitor", x)
        given = {"min_rank": min_rank, "min_deviation": min_deviation}
        self._least = {
            name: number(f"CollapseMonitor.{name}", value, at_least=0)
            for name, value in given.items()
            if value is not None
        }
        self._say = say or (lambda line: warnings.warn(line, CollapseWarning, stacklevel=2))
        self.collapsed_in: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch == 0:
            self.collapsed_in = None

    def recall(self, history: Mapping[str, Sequence[float | None]]) -> None:
        """Restore `collapsed_in` of an interrupted training from its history: metric → one value per epoch."""
        self.collapsed_in = None
        measured = zip(history.get("rankme", ()), history.get("feature_deviation", ()), strict=True)
        for epoch, (rank, deviation) in enumerate(measured, start=1):
            if self.collapsed_in is None and rank is not None and not self._is_healthy(rank, deviation):
                self.collapsed_in = epoch

    def measure(self, epoch: int) -> dict[str, float]:
        za, zb = embeddings_of(self.model, self.x)
        if np.all(np.isfinite(za)):
            values = {
                "rankme": rankme(za),
                "feature_deviation": feature_deviation(za),
                "uniformity": uniformity(za),
            }
            if zb is not None:
                values["alignment"] = alignment(za, zb)
        else:
            names = ["rankme", "feature_deviation", "uniformity"] + (["alignment"] if zb is not None else [])
            values = dict.fromkeys(names, float("nan"))
        if self.collapsed_in is None and not self._is_healthy(values["rankme"], values["feature_deviation"]):
            self.collapsed_in = epoch + 1
            self._say(
                f"epoch {epoch + 1}: the embeddings have collapsed: effective rank {values['rankme']:.2f} of "
                f"{za.shape[1]}, deviation {values['feature_deviation']:.2g} of 1. Check the weights of the loss, "
                "the learning rate, and the part of the method that keeps embeddings apart."
            )
        return values

    def _is_healthy(self, rank, deviation):
        has_views = isinstance(self.model, JointEmbedding)
        usual = (
            {"min_rank": 1.5, "min_deviation": 0.05} if has_views else {"min_rank": 0, "min_deviation": 0.005}
        )
        least = usual | self._least
        return rank >= least["min_rank"] and deviation >= least["min_deviation"]  # (1), false for NaN


def embeddings_of(
    model: Pretrainer, x: ArrayLike, batch_size: int = 1024
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute the embeddings of the first two views of `x` in step 0, (n, d) each, in inference mode.

    Args:
        model: pretrainer. Without views it gives the representation of `x`, and None for the second view. If its
            augmentation draws from its own generator, whose state must not change, it gives the embedding of `x`, and
            None for the second view.
        x: examples (n, …).
        batch_size: number of examples to process at a time. Defaults to 1024.
    """
    if not isinstance(model, JointEmbedding):
        r = represent(model.encoder, x, batch_size=batch_size)
        return r.reshape(len(x), -1), None
    if model.draws_by_itself:
        return represent(model.embed, x, batch_size=batch_size), None
    parts = []
    for first in range(0, len(x), batch_size):
        part = x[first : first + batch_size]
        views = model.views(part, ExampleRandom(model.seed, 0, len(part), first, len(x)))
        parts.append(ops.convert_to_numpy(model.embed(views)))
    z = np.concatenate(parts)
    return z[:: model.num_views], z[1 :: model.num_views]
