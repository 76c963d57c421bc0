"""Joint embedding: two views of an example get embeddings that agree. The frame, SimCLR, Barlow Twins, VICReg."""

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.pretraining.joint_embedding.gradient_caching import check_chunkable, encode_in_chunks
from tf_kit.pretraining.joint_embedding.projection import UNITS, projection_head
from tf_kit.pretraining.methods import JointEmbeddingOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness import example_keys
from tf_kit.replicas import gather


class JointEmbedding(Pretrainer):
    """The frame of SimCLR, BYOL, Barlow Twins and VICReg. Abstract: a method gives `loss_of_each`.

    For view v ∈ {0, 1} of the i-th example of the global batch at step t,

        x_iv = augment(x_i, key(seed, 2t + v, i))                           (1)
        r_iv = encoder(x_iv),   z_iv = projector(r_iv)                      (2)

    where key is `regularization.example_keys`: a view depends on nothing but these numbers, so neither the number
    of replicas nor an interruption changes it. The losses see the embeddings z of the global batch. Both views
    pass the networks as one batch of 2n rows, the two of an example side by side, so a batch norm there sees both.
    Evaluation draws views too (those of step 0), and passes them in inference mode; the losses depend on the
    `batch_size` of `evaluate`. After training the projector has served: the representation r is what is used.

    Args:
        encoder: Keras layer or model from inputs to one vector each; trained in place.
        projector: Keras layer or model from representation to embedding; or the sizes of its layers, see
            `projection_head`. Defaults to (256, 128).
        augment: an augmentation of `tf_kit.regularization`, `compose(…)` of several, or any function
            `augment(x, key)` of inputs (n, …) and whole numbers (n, 2), one key an example. Another Keras layer is
            called as `augment(x, training=True)`; it draws from its own generator, so it is refused where several
            replicas train. None makes two equal views: then only dropout tells them apart.
        seed: seed of the views, the projector's initial weights and the data order.
        chunk_size: examples that the encoder takes at a time, for batches whose activations do not fit into
            memory; the gradient is that of the whole batch, see `gradient_caching`. The projector sees the whole
            batch. Not for encoders with batch norm, nor for several replicas. Defaults to None: all at once.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        seed=0,
        chunk_size=JointEmbeddingOptions.chunk_size,
        **kwargs,
    ):
        super().__init__(encoder, seed=seed, **kwargs)
        name = type(self).__name__
        if projector is None or isinstance(projector, tuple | list):
            projector = projection_head(projector or UNITS, seed=seed, name="projector")
        if not isinstance(projector, keras.layers.Layer):
            received = type(projector).__name__
            refuse(f"{name}.projector", "be a Keras layer or model, or sizes of layers", received)
        if not (augment is None or callable(augment)):
            remedy = "regularization.preset('digits') makes one"
            refuse(f"{name}.augment", "be an augmentation or a function (x, key)", repr(augment), remedy)
        self.projector = projector
        self.augment = augment
        self.options = JointEmbeddingOptions(chunk_size)
        self.chunk_size = self.options.chunk_size

    def loss_of_each(self, z, views, random, training):
        """What each example costs, (n,).

        Args:
            z: embeddings of this replica's examples, (n, 2, d), float32.
            views: inputs of the encoder, (2n, …).
            random: `ExampleRandom` of the step.
            training: whether this is a training step.
        """
        raise NotImplementedError

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        shape = tuple(self.encoder.compute_output_shape(input_shape))
        if len(shape) != 2:
            refuse(
                f"{type(self).__name__}.encoder",
                "give one vector for each example",
                f"outputs of shape {shape}",
                "End it in Flatten or GlobalAveragePooling2D",
            )
        if not self.projector.built:
            self.projector.build(shape)
        if self.chunk_size is not None:
            check_chunkable(type(self).__name__, self.encoder)
        self.built = True

    @property
    def draws_by_itself(self):
        """Whether `augment` is a layer that draws from a generator of its own and not from keys."""
        return isinstance(self.augment, keras.layers.Layer) and not hasattr(self.augment, "augment")

    def views(self, x, random):
        """Two views of each example, (2n, …), those of an example side by side: equation (1).

        Args:
            x: inputs (n, …).
            random: `ExampleRandom` of the step.
        """
        x = ops.repeat(ops.convert_to_tensor(x), 2, axis=0)
        if self.augment is None:
            return x
        if self.draws_by_itself:
            return self.augment(x, training=True)
        keys = [example_keys(self.seed, 2 * random.step + view, random.index) for view in (0, 1)]
        augment = getattr(self.augment, "augment", self.augment)
        return augment(x, ops.reshape(ops.stack(keys, axis=1), (-1, 2)))  # (1)

    def embed(self, x, training=False):
        """z, (n, d), float32: equation (2)."""
        x = ops.convert_to_tensor(x)
        self.build_for(x)
        if training and self.chunk_size is not None:
            r = encode_in_chunks(self.encoder, x, 2 * self.chunk_size)
        else:
            r = self.encoder(x, training=training)
        return ops.cast(self.projector(r, training=training), "float32")  # (2)

    def per_example(self, x, y, random, training):
        views = self.views(x, random)
        z = self.embed(views, training=training)
        z = ops.reshape(z, (-1, 2, z.shape[-1]))
        return {"loss": self.loss_of_each(z, views, random, training)}, None

    def _refuse_what_replicas_cannot(self):
        super()._refuse_what_replicas_cannot()
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return
        name = type(self).__name__
        if self.chunk_size is not None:
            received = f"chunk_size={self.chunk_size}"
            remedy = "More replicas make each one's part of the batch smaller"
            refuse(f"{name}.chunk_size", "be None where several replicas train", received, remedy)
        if self.draws_by_itself:
            refuse(
                f"{name}.augment",
                "draw from keys where several replicas train",
                f"{type(self.augment).__name__}, which draws from a generator of its own",
                "The augmentations of tf_kit.regularization do; so can a function augment(x, key)",
            )

    def get_config(self):
        return {
            **super().get_config(),
            "projector": keras.saving.serialize_keras_object(self.projector),
            "augment": self.augment and keras.saving.serialize_keras_object(self.augment),
        }


class BatchObjective(JointEmbedding):
    """A method whose loss L is one number of the global batch. Abstract: it gives `loss_of_batch`.

    Every example reports the whole L, on every replica: over R replicas with n_r of the N examples each,
    Σ_r n_r/N · L = L, and its gradient likewise.
    """

    def loss_of_batch(self, za, zb):
        """L of the global batch's embeddings (N, d), a scalar."""
        raise NotImplementedError

    def loss_of_each(self, z, views, random, training):
        every = gather(z)
        return ops.broadcast_to(self.loss_of_batch(every[:, 0], every[:, 1]), ops.shape(z)[:1])
