"""SupCon: supervised contrastive learning, in which all views of a class are positives."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import number, refuse
from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.joint_embedding.simclr import log_sum_of_candidates
from tf_kit.pretraining.method_options import SupConOptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import gather
from tf_kit.typing import ArrayLike, Tensor


def supcon(
    za: ArrayLike,
    zb: ArrayLike,
    y: ArrayLike | None = None,
    temperature: float = SupConOptions.temperature,
) -> Tensor:
    """Compute the supervised contrastive loss (SupCon) of two views.

        ẑ = z / ‖z‖,   s_uv = ẑ_u·ẑ_v / τ                                   (1)
        ℓ_u = log Σ_{v ≠ u} exp(s_uv) − 1/|P_u| Σ_{v ∈ P_u} s_uv            (2)
        L = 1/(2n) Σ_u ℓ_u                                                  (3)

    where u and v run over the 2n rows of za and zb, τ = `temperature`, and the positives P_u are all other rows of the
    class of u, and the other view of its example. An example without label has that view as its only positive, so
    L without labels is NT-Xent.

    Args:
        za, zb: embeddings of the two views, (n, d).
        y: classes as whole numbers, (n,), negative for an example without label. Defaults to None, no labels.
        temperature: τ, above 0. Defaults to 0.1.

    Returns:
        L, a scalar: the mean over the 2n anchors.

    Raises:
        InputError: the shapes differ, `y` has other values, or τ is not above 0.

    Example:
        >>> import numpy as np
        >>> z = np.eye(4)
        >>> round(float(supcon(z, z, [0, 0, 1, -1], temperature=0.5)), 3)     # two of four share a class
        1.261

    Convention: the paper's L_out, with the mean outside of the logarithm. The authors' code multiplies by τ/0.07.
    Reference: Khosla et al., 2020, Supervised contrastive learning, equation 2, arXiv:2004.11362.
    """
    temperature = number("supcon.temperature", temperature, above=0)
    za, zb = pair("supcon", za, zb)
    num_examples = ops.shape(za)[0]
    y = _without_labels(num_examples) if y is None else checked_classes("supcon.y", y, za.shape[0])
    index = ops.arange(num_examples)
    return ops.mean(supcon_of_each(za, zb, y, za, zb, y, index, temperature))  # (3)


def supcon_of_each(
    za: Tensor,
    zb: Tensor,
    y: Tensor,
    every_a: Tensor,
    every_b: Tensor,
    every_y: Tensor,
    index: Tensor,
    temperature: float,
) -> Tensor:
    """Compute ½ (ℓ_a + ℓ_b) of each example of a part of the batch, (n,), with ℓ as in equation (2) of `supcon`.

    Args:
        za, zb, y: embeddings of the two views, and classes, of the part, (n, d), (n, d), (n,).
        every_a, every_b, every_y: those of the whole batch, which contain those of the part.
        index: indices of the part's examples in the whole batch, whole numbers (n,).
        temperature: τ.
    """
    num_examples, index = ops.shape(every_a)[0], ops.cast(index, "int32")
    anchors = unit(ops.concatenate([za, zb]))  # (1): (2n, d)
    everything = unit(ops.concatenate([every_a, every_b]))  # (2N, d)
    place = ops.arange(num_examples, dtype="int32")[None]  # (1, N)
    same_example = index[:, None] == place
    same_class = (y[:, None] == every_y[None]) & (y[:, None] >= 0)
    itself = (
        ops.arange(2 * num_examples, dtype="int32")[None]
        == ops.concatenate([index, num_examples + index])[:, None]
    )
    positive = ops.tile(same_example | same_class, (2, 2)) & ~itself  # (2n, 2N)
    share = ops.cast(positive, anchors.dtype)
    share = share / ops.sum(share, axis=1, keepdims=True)
    agreement = ops.sum(anchors * ops.matmul(share, everything), axis=1) / temperature
    losses = log_sum_of_candidates(anchors, everything, itself, temperature) - agreement  # (2)
    return ops.mean(ops.reshape(losses, (2, -1)), axis=0)


def checked_classes(subject: str, y: ArrayLike, num_examples: int | None = None) -> Tensor:
    """Return classes as an int32 tensor (n,); refuse other shapes and values that are not whole numbers."""
    array = y if hasattr(y, "dtype") else np.asarray(y)
    dtype = getattr(array.dtype, "name", str(array.dtype))
    shape = tuple(array.shape)
    if len(shape) != 1 or not dtype.startswith(("int", "uint")) or num_examples not in (None, shape[0]):
        remedy = "Give the number of each class, and -1 where there is no label"
        refuse(subject, "be whole numbers, one per example", f"shape {shape}, dtype {dtype}", remedy)
    return ops.cast(ops.convert_to_tensor(array), "int32")


def _without_labels(num_examples):
    return ops.full((num_examples,), -1, dtype="int32")


@keras.saving.register_keras_serializable(package="tf_kit")
class SupCon(JointEmbedding):
    """SupCon (supervised contrastive learning): the views of all examples of a class attract each other.

        ℓ_i = ½ (ℓ_{i0} + ℓ_{i1}),  ℓ_{iv} as in equation (2) of `supcon`            (1)

    `fit(x, y)` takes classes as whole numbers, −1 for an example without label; such an example takes part as in
    SimCLR. `fit(x)` without labels is SimCLR. The candidates are all examples of the global batch.

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        temperature: τ, above 0. Defaults to 0.1.

    Example:
        >>> from tf_kit import data, networks, regularization
        >>> train = data.load("digits", seed=0)[0]
        >>> model = SupCon(networks.mlp((64,), num_classes=None), augment=regularization.preset("digits"))
        >>> model.compile(keras.optimizers.Adam(0.003))
        >>> history = model.fit(train.x, train.y, batch_size=256, epochs=5, verbose=0).history
        >>> history["loss"][-1] < history["loss"][0]
        True

    Reference: Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan, 2020, Supervised contrastive
    learning, equation 2, arXiv:2004.11362.
    """

    takes_targets = True

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        temperature: float = SupConOptions.temperature,
        seed: int = 0,
        chunk_size: int | None = SupConOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = SupConOptions(chunk_size, temperature)
        self.temperature = self.options.temperature

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        _, z = self.embedded_views(x, random, training)
        y = _without_labels(ops.shape(x)[0]) if y is None else checked_classes("SupCon.fit.y", y)
        every, every_y = gather(z), gather(y)
        loss = supcon_of_each(
            z[:, 0], z[:, 1], y, every[:, 0], every[:, 1], every_y, random.index, self.temperature
        )
        return {"loss": loss}, None  # (1)
