"""Base classes of joint embedding: two views of each example, their embeddings, and a loss on these."""

import inspect
import warnings
from typing import Any

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import all_layers, freeze_parts, one_vector
from tf_kit.pretraining.joint_embedding.gradient_caching import check_chunkable, encode_in_chunks
from tf_kit.pretraining.joint_embedding.projection import UNITS, projection_head
from tf_kit.pretraining.method_options import JointEmbeddingOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness import example_keys
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import gather
from tf_kit.training.inputs import SCALED, InputRange
from tf_kit.typing import ArrayLike, Dataset, Tensor
from tf_kit.xla import without_gradients


class JointEmbedding(Pretrainer):
    """Base class of the methods with two views; a subclass defines `loss_of_each`.

    For view v ∈ {0, 1} of the i-th example of the global batch at step t,

        x_iv = augment(x_i, key(seed, V t + v, i))                          (1)
        r_iv = encoder(x_iv),   z_iv = projector(r_iv)                      (2)

    where V is the number of views, 2 except in `DINO`, and key is `randomness.example_keys`: a view depends only on
    these numbers, so neither the number of replicas nor an interruption changes it. The losses use the embeddings z of
    the global batch. Both views pass through the networks as one batch of 2n rows, the two of an example next to each
    other, so batch norm uses both. Evaluation draws views too (those of step 0) and runs in inference mode; the losses
    then depend on the `batch_size` of `evaluate`. After training the projector is not needed any more: the
    representation r is used.

    Args:
        encoder: Keras layer or model that maps each input to one vector; trained in place.
        projector: Keras layer or model that maps representations to embeddings, or a tuple of the sizes of its
            layers, see `projection_head`. Defaults to None, (256, 128).
        augment: augmentation of `tf_kit.regularization`, `compose(…)` of several, or any function `augment(x, key)` of
            inputs (n, …) and keys (n, 2), whole numbers, one key per example. Inputs that are floats are float32 there,
            or float64 for an encoder in float64. Another Keras layer is called as
            `augment(x, training=True)`; because it draws from its own generator, it is refused where several replicas
            train. Defaults to None: the views are equal, and only dropout makes their embeddings differ; `fit` warns
            of this once if the encoder has no layer that draws random numbers.
        seed: whole number that fixes the views, the projector's initial weights and the order of the data. Defaults
            to 0.
        chunk_size: number of examples that the encoder processes at a time, for batches whose activations do not fit
            into memory; the gradient stays that of the whole batch, see `gradient_caching`. The projector gets the
            whole batch. Not for encoders with batch norm, nor for several replicas. Defaults to None, all at once.

    Raises:
        InputError: an argument has the wrong type or is out of range.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        seed: int = 0,
        chunk_size: int | None = JointEmbeddingOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, seed=seed, **kwargs)
        name = type(self).__name__
        if projector is None or isinstance(projector, tuple | list):
            projector = projection_head(
                projector or UNITS, seed=seed, name="projector", dtype=self.dtype_policy
            )
        if not isinstance(projector, keras.layers.Layer):
            received = type(projector).__name__
            refuse(f"{name}.projector", "be a Keras layer or model, or a tuple of sizes of layers", received)
        if not (augment is None or callable(augment)):
            remedy = "regularization.preset('digits') makes an augmentation"
            if isinstance(augment, (list, tuple)):
                remedy = "regularization.compose(…) makes one augmentation of several"
            refuse(f"{name}.augment", "be an augmentation or a function (x, key)", repr(augment), remedy)
        self.projector = projector
        if not _takes_keys(augment):
            received = f"{getattr(augment, '__name__', type(augment).__name__)}, which does not take them"
            remedy = "`lambda x, key: f(x)` makes one of a function without randomness"
            refuse(
                f"{name}.augment",
                "be an augmentation or a function (x, key)",
                received,
                remedy,
            )
        self.augment = augment
        self.options = JointEmbeddingOptions(chunk_size)
        self.chunk_size = self.options.chunk_size
        self._has_warned = False

    def fit(self, x: ArrayLike | Dataset = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        self._warn_of_equal_views()
        return super().fit(x, *args, **kwargs)

    def _warn_of_equal_views(self):
        """Warn once where nothing makes the two views of an example differ."""
        draws = any(getattr(layer, "seed_generator", None) is not None for layer in all_layers(self.encoder))
        if self.augment is not None or draws or self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"{type(self).__name__} has no `augment`, so the two views of an example are equal and it learns little. "
            "regularization.preset('digits') makes an augmentation",
            stacklevel=3,
        )

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        """Compute the loss of each example, (n,); a subclass defines it.

        Args:
            z: embeddings of this replica's examples, (n, 2, d), float32.
            views: inputs of the encoder, (2n, …).
            random: random numbers of the step.
            training: whether this is a training step.
        """
        raise NotImplementedError

    @property
    def num_views(self) -> int:
        """Views of each example; a subclass that makes more overrides it together with `views`."""
        return 2

    @property
    def input_range(self) -> InputRange | None:
        scales_itself = any(
            isinstance(layer, keras.layers.Rescaling) or hasattr(layer, "adapt")
            for layer in all_layers(self.encoder)
        )
        made_for_units = hasattr(self.augment, "augment")  # those of `regularization` clip to [0, 1]
        return None if scales_itself and not made_for_units else SCALED

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        name = type(self).__name__
        self._representation_shape = one_vector(f"{name}.encoder", self.encoder, input_shape)
        self._embedding_shape = one_vector(f"{name}.projector", self.projector, self._representation_shape)
        if self.chunk_size is not None:
            check_chunkable(type(self).__name__, self.encoder)
        freeze_parts(self)
        self.built = True

    @property
    def draws_by_itself(self) -> bool:
        """Whether `augment` is a layer that draws from its own generator and not from keys."""
        return isinstance(self.augment, keras.layers.Layer) and not hasattr(self.augment, "augment")

    def views(self, x: ArrayLike, random: ExampleRandom) -> Tensor:
        """Make two views of each example, equation (1).

        Args:
            x: inputs (n, …).
            random: random numbers of the step.

        Returns:
            (2n, …), with the two views of an example next to each other.
        """
        x = ops.repeat(self._floats(x), 2, axis=0)
        if self.augment is None:
            return x
        first = self.num_views * random.step
        keys = [example_keys(random.seed, first + view, random.index) for view in (0, 1)]
        with without_gradients():
            return self._augmented(x, ops.reshape(ops.stack(keys, axis=1), (-1, 2)))  # (1)

    def _floats(self, x):
        """Return inputs as a tensor; floats, which NumPy makes in float64, in the format that `augment` gets."""
        x = ops.convert_to_tensor(x)
        if not keras.backend.is_float_dtype(x.dtype):
            return x
        return ops.cast(x, keras.backend.result_type(self.input_dtype, "float32"))

    def _augmented(self, x, keys):
        if self.draws_by_itself:
            return self.augment(x, training=True)
        return getattr(self.augment, "augment", self.augment)(x, keys)

    def embed(self, x: ArrayLike, training: bool = False) -> Tensor:
        """Compute the embeddings z of inputs, equation (2), (n, d), at least float32."""
        x = ops.convert_to_tensor(x)
        self.build_for(x)
        if training and self.chunk_size is not None:
            r = encode_in_chunks(self.encoder, x, self.num_views * self.chunk_size)
        else:
            r = self.encoder(x, training=training)
        return widened(self.projector(r, training=training))  # (2)

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        views, z = self.embedded_views(x, random, training)
        return {"loss": self.loss_of_each(z, views, random, training)}, None

    def embedded_views(self, x: Tensor, random: ExampleRandom, training: bool) -> tuple[Tensor, Tensor]:
        """Make the views of a batch, (2n, …), and their embeddings, (n, 2, d); a method may have more views."""
        views = self.views(x, random)
        z = self.embed(views, training=training)
        return views, ops.reshape(z, (-1, self.num_views, z.shape[-1]))

    def _refuse_unsupported_on_replicas(self):
        super()._refuse_unsupported_on_replicas()
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return
        name = type(self).__name__
        if self.chunk_size is not None:
            received = f"chunk_size={self.chunk_size}"
            remedy = "Use more replicas if a part of the batch is too large for one"
            refuse(f"{name}.chunk_size", "be left out where several replicas train", received, remedy)
        if self.draws_by_itself:
            refuse(
                f"{name}.augment",
                "draw from keys where several replicas train",
                f"{type(self.augment).__name__}, which draws from its own generator",
                "Use an augmentation of tf_kit.regularization, or a function augment(x, key)",
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "projector": keras.saving.serialize_keras_object(self.projector),
            "augment": self.augment and keras.saving.serialize_keras_object(self.augment),
        }


class BatchObjective(JointEmbedding):
    """Base class of methods with one loss L for the global batch; a subclass defines `loss_of_batch`.

    Every example, on every replica, reports the whole L. Over R replicas with n_r of the N examples each,
    Σ_r n_r/N · L = L, and likewise for its gradient.
    """

    def loss_of_batch(self, za: Tensor, zb: Tensor) -> Tensor:
        """Compute L, a scalar, from the embeddings of both views of the global batch, (N, d) each."""
        raise NotImplementedError

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        every = gather(z)
        return ops.broadcast_to(self.loss_of_batch(every[:, 0], every[:, 1]), ops.shape(z)[:1])


def _takes_keys(augment):
    """Whether a function can be called as `augment(x, key)`; True for layers, and where it does not show."""
    if augment is None or isinstance(augment, keras.layers.Layer):
        return True
    try:
        inspect.signature(augment).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # of a function that is not written in Python
        pass
    return True
