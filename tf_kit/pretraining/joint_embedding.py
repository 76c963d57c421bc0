"""Joint embedding: two views of an example get embeddings that agree. The frame, SimCLR, Barlow Twins, VICReg."""

import keras
import tensorflow as tf
from keras import ops

from tf_kit import _checks
from tf_kit.pretraining.gradient_caching import check_chunkable, encode_in_chunks
from tf_kit.pretraining.joint_embedding_losses import barlow_twins, nt_xent_of_each, vicreg
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.regularization import BatchNorm, example_keys

UNITS = (256, 128)  # of the default projector


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

    def __init__(self, encoder, projector=None, augment=None, seed=0, chunk_size=None, **kwargs):
        super().__init__(encoder, seed=seed, **kwargs)
        name = type(self).__name__
        if projector is None or isinstance(projector, tuple | list):
            projector = projection_head(projector or UNITS, seed=seed, name="projector")
        if not isinstance(projector, keras.layers.Layer):
            received = type(projector).__name__
            _checks.refuse(f"{name}.projector", "be a Keras layer or model, or sizes of layers", received)
        if not (augment is None or callable(augment)):
            remedy = "regularization.preset('digits') makes one"
            _checks.refuse(
                f"{name}.augment", "be an augmentation or a function (x, key)", repr(augment), remedy
            )
        self.projector = projector
        self.augment = augment
        if chunk_size is not None:
            chunk_size = _checks.count(f"{name}.chunk_size", chunk_size)
        self.chunk_size = chunk_size

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
            _checks.refuse(
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
        if not self.built:
            self.build((None, *x.shape[1:]))
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
            _checks.refuse(f"{name}.chunk_size", "be None where several replicas train", received, remedy)
        if self.draws_by_itself:
            _checks.refuse(
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
            "chunk_size": self.chunk_size,
        }


@keras.saving.register_keras_serializable(package="tf_kit")
class SimCLR(JointEmbedding):
    """SimCLR: an example's two views must find each other among all views of the batch.

        ℓ_i = ½ (ℓ_{i0} + ℓ_{i1}),  ℓ_{iv} as in equation (3) of `nt_xent`          (1)

    The other examples of the global batch are the negatives, so the larger the batch, the harder the question.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`.
        temperature: τ > 0. Defaults to 0.5.

    Example:

    >>> from tf_kit import data, networks, regularization
    >>> train = data.load("digits", seed=0)[0]
    >>> model = SimCLR(networks.mlp((64,), num_classes=None), augment=regularization.preset("digits"))
    >>> model.compile(keras.optimizers.Adam(0.003))
    >>> history = model.fit(train.x, batch_size=256, epochs=5, verbose=0).history
    >>> history["loss"][-1] < history["loss"][0] < 6.24                      # log(2·256 − 1)
    True

    Convention: the authors pass both views through batch norm together, as here.
    Reference: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", algorithm 1.
    """

    def __init__(
        self, encoder, projector=None, augment=None, temperature=0.5, seed=0, chunk_size=None, **kwargs
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.temperature = _checks.number("SimCLR.temperature", temperature, above=0)

    def loss_of_each(self, z, views, random, training):
        every = gather(z)  # each replica's own anchors against everything
        return nt_xent_of_each(
            z[:, 0], z[:, 1], every[:, 0], every[:, 1], random.index, self.temperature
        )  # (1)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


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


@keras.saving.register_keras_serializable(package="tf_kit")
class BarlowTwins(BatchObjective):
    """Barlow Twins: features agree between the views, and no feature repeats another.

    The loss is `barlow_twins` of the global batch. It needs no negatives and no teacher; wide embeddings help.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`.
        redundancy_weight: λ ≥ 0. Defaults to 0.005.

    Convention: the authors run batch norm on each view by itself; here it sees both. The correlations are of each
    view by itself everywhere.
    Reference: Zbontar, Jing, Misra, LeCun, Deny 2021, "Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction", algorithm 1.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        redundancy_weight=0.005,
        seed=0,
        chunk_size=None,
        **kwargs,
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.redundancy_weight = _checks.number(
            "BarlowTwins.redundancy_weight", redundancy_weight, at_least=0
        )

    def loss_of_batch(self, za, zb):
        return barlow_twins(za, zb, self.redundancy_weight)

    def get_config(self):
        return {**super().get_config(), "redundancy_weight": self.redundancy_weight}


@keras.saving.register_keras_serializable(package="tf_kit")
class VICReg(BatchObjective):
    """VICReg: equal views, features that vary, features that do not covary. Each term has a weight of its own.

    The loss is `vicreg` of the global batch. With `variance_weight=0` nothing keeps the embeddings from
    collapsing to a point.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`.
        invariance_weight, variance_weight, covariance_weight: λ, μ, ν ≥ 0. Default to 25, 25 and 1.

    Convention: the authors run batch norm on each view by itself; here it sees both.
    Reference: Bardes, Ponce, LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning", algorithm 1.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        invariance_weight=25.0,
        variance_weight=25.0,
        covariance_weight=1.0,
        seed=0,
        chunk_size=None,
        **kwargs,
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.invariance_weight = _checks.number("VICReg.invariance_weight", invariance_weight, at_least=0)
        self.variance_weight = _checks.number("VICReg.variance_weight", variance_weight, at_least=0)
        self.covariance_weight = _checks.number("VICReg.covariance_weight", covariance_weight, at_least=0)

    def loss_of_batch(self, za, zb):
        return vicreg(za, zb, self.invariance_weight, self.variance_weight, self.covariance_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "invariance_weight": self.invariance_weight,
            "variance_weight": self.variance_weight,
            "covariance_weight": self.covariance_weight,
        }


def projection_head(units=UNITS, seed=0, name=None):
    """The usual projector or predictor: dense layers with batch norm and ReLU between them, a `keras.Sequential`.

        a⁰ = r;   aˡ = ReLU(BatchNorm(Wˡ aˡ⁻¹));   z = W^L a^{L−1}          (1)

    There are no biases: batch norm takes those of the hidden layers out again, Barlow Twins and VICReg do not see
    that of the last, and SimCLR and BYOL, which see directions, gain nothing from one that all embeddings share.
    The batch norm is that of the global batch on any number of replicas.

    Args:
        units: size of each layer, the embedding's last. Defaults to (256, 128).
        seed: seed of the Glorot-uniform weights.
        name: name of the model.

    Reference: Chen, Kornblith, Norouzi, Hinton 2020, section 4.2.
    """
    units = [_checks.count("projection_head.units", each) for each in units]
    if not units:
        _checks.refuse("projection_head.units", "name a layer", "()", "Layer Identity() projects nothing")
    layers = []
    for i, size in enumerate(units, start=1):
        glorot = keras.initializers.GlorotUniform(seed=seed + i)
        layers.append(
            keras.layers.Dense(size, use_bias=False, kernel_initializer=glorot, name=f"projection_{i}")
        )
        if i < len(units):
            layers += [BatchNorm(name=f"norm_{i}"), keras.layers.Activation("relu", name=f"relu_{i}")]
    return keras.Sequential(layers, name=name)


def gather(z):
    """The rows of all replicas in the order of the global batch; gradients flow back to where a row came from."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return z
    return ops.reshape(replica.all_gather(z, axis=0), (-1, *z.shape[1:]))  # for its static shape
