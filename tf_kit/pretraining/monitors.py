"""What to watch while a model pretrains, as Keras callbacks: neighbors that share a class, and collapse."""

import warnings

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, number, refuse
from tf_kit.data.overlap import refuse_overlap
from tf_kit.pretraining.joint_embedding import JointEmbedding
from tf_kit.pretraining.quality import alignment, feature_deviation, rankme, uniformity
from tf_kit.pretraining.transfer import share_of_votes_right
from tf_kit.randomness.step import ExampleRandom
from tf_kit.training.representation import represent


class CollapseWarning(UserWarning):
    """Embeddings use hardly any direction; what is learned from here on is not worth the time."""


class _Monitor(keras.callbacks.Callback):
    """A look at the model after epoch 1, then after every so many, and after the last. Abstract: it gives `look`."""

    def __init__(self, every):
        super().__init__()
        self.every = count(f"{type(self).__name__}.every", every)

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every == 0 or epoch + 1 == self.params["epochs"]:
            logs.update(self.look(epoch))


class KNNMonitor(_Monitor):
    """Accuracy of nearest neighbors in the encoder's representation, after each epoch of pretraining.

    Writes `val_knn_accuracy` into the logs, so that the History, `Run`'s files, and every callback that comes
    after it (`CSVLogger`, `TensorBoard`, `EarlyStopping`) have it. No weight and no random state changes.

    Args:
        train: who votes: an object with `.x` and `.y`.
        val: who is classified, likewise; none of `train`. Never the test split: choices are made on what is
            watched.
        k: neighbors, at most as many as vote. Defaults to 20.
        every: epochs from one look to the next; the first and the last epoch are always looked at. Defaults to 1.

    Raises:
        InputError: if `k` or `every` is out of range, or an example of `val` is also among those of `train`.

    Example:

    >>> from tf_kit import data, networks, pretraining
    >>> train, val, test = data.load("digits", seed=0)
    >>> model = pretraining.Autoencoder(networks.mlp((32,), num_classes=None))
    >>> model.compile(keras.optimizers.Adam(0.003))
    >>> watched = model.fit(train.x, epochs=2, verbose=0, callbacks=[KNNMonitor(train, val)])
    >>> len(watched.history["val_knn_accuracy"])
    2
    """

    def __init__(self, train, val, k=20, every=1):
        super().__init__(every)
        self.train, self.val = train, val
        self.k = count("KNNMonitor.k", k)
        if self.k > len(train.x):
            refuse("KNNMonitor.k", f"be at most the {len(train.x)} voting examples", f"k={k}")
        refuse_overlap(train, val, ("train", "val"))

    def look(self, epoch):
        return {"val_knn_accuracy": share_of_votes_right(self.model.encoder, self.train, self.val, self.k)}


class CollapseMonitor(_Monitor):
    """Watches for collapse: embeddings that become one point, or lie along one line, after each epoch.

    Writes into the logs, as `KNNMonitor` does,

        rankme, feature_deviation, uniformity     of the embeddings of the first views of `x`
        alignment                                 between the embeddings of the two views

    in inference mode, with the views of step 0. A method without views is judged by the representation of `x`
    itself, without `alignment`. If

        rankme < `min_rank`   or   feature_deviation < `min_deviation`      (1)

    or a value is not finite, it warns once a training, and `collapsed_in` is the epoch, from 1. A training that goes
    on (`initial_epoch`, `Run.fit`) is the same training.

    Args:
        x: examples, some hundreds; more than the embedding has features, so that their number does not bound the
            rank. Validation images are a good choice.
        min_rank: Defaults to 1.5 for embeddings; one that uses two directions evenly has 2. Without views to 0: what
            sigmoid units or a transformer represent has one large mean, and most of the rank lies beside it.
        min_deviation: Defaults to 0.05 for embeddings, a twentieth of even spread; without views to 0.005, all but
            constant.
        every: as for `KNNMonitor`.
        say: what is called with the warning's line. Defaults to a `CollapseWarning`.

    Attributes:
        collapsed_in: epoch in which (1) first held, from 1; None while it has not.

    Example: agreement is all that is asked for, and a constant gives it

    >>> from tf_kit import data, networks, pretraining, regularization
    >>> train, val, test = data.load("digits", seed=0)
    >>> model = pretraining.VICReg(
    ...     networks.mlp((64,), num_classes=None), projector=(32,), augment=regularization.preset("digits"),
    ...     variance_weight=0, covariance_weight=0)
    >>> model.compile(keras.optimizers.Adam(0.01))
    >>> monitor = CollapseMonitor(val.x)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     watched = model.fit(train.x, batch_size=32, epochs=1, verbose=0, callbacks=[monitor])
    >>> monitor.collapsed_in, [each.category.__name__ for each in caught]
    (1, ['CollapseWarning'])

    Reference: Garrido et al. 2023, "RankMe"; Chen, He 2021, "Exploring Simple Siamese Representation Learning";
    Wang, Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere".
    """

    def __init__(self, x, min_rank=None, min_deviation=None, every=1, say=None):
        super().__init__(every)
        if len(x) < 2:
            refuse("CollapseMonitor.x", "hold at least two examples", f"{len(x)}")
        self.x = x
        given = {"min_rank": min_rank, "min_deviation": min_deviation}
        self._least = {
            name: number(f"CollapseMonitor.{name}", value, at_least=0)
            for name, value in given.items()
            if value is not None
        }
        self._say = say or (lambda line: warnings.warn(line, CollapseWarning, stacklevel=2))
        self.collapsed_in = None

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:
            self.collapsed_in = None

    def recall(self, history):
        """Takes up a training that was broken off: `collapsed_in` from what is recorded, metric → value an epoch."""
        self.collapsed_in = None
        looks = zip(history.get("rankme", ()), history.get("feature_deviation", ()), strict=True)
        for epoch, (rank, deviation) in enumerate(looks, start=1):
            if self.collapsed_in is None and rank is not None and not self._is_healthy(rank, deviation):
                self.collapsed_in = epoch

    def look(self, epoch):
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
                f"{za.shape[1]}, deviation {values['feature_deviation']:.2g} of 1. Look at the loss's weights, "
                "the learning rate, and what keeps embeddings apart."
            )
        return values

    def _is_healthy(self, rank, deviation):
        has_views = isinstance(self.model, JointEmbedding)
        usual = (
            {"min_rank": 1.5, "min_deviation": 0.05} if has_views else {"min_rank": 0, "min_deviation": 0.005}
        )
        least = usual | self._least
        return rank >= least["min_rank"] and deviation >= least["min_deviation"]  # (1), false for NaN


def embeddings_of(model, x, batch_size=1024):
    """Embeddings of the two views of `x` that the model draws in step 0, (n, d) each, in inference mode.

    Args:
        model: a `Pretrainer`. One without views gives its representation, and None for the second view; so does one
            whose augmentation draws from a generator of its own, which must not be disturbed, with its embedding.
        x: examples (n, …).
        batch_size: examples at a time.
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
    return z[::2], z[1::2]
