"""Autoencoders: representations learned by reconstructing the input, clean or corrupted."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import build_on, freeze_parts, output_shape
from tf_kit.networks.stages import Stage, check_flat, dense_stages, is_elementwise, is_random, is_reshaping
from tf_kit.pretraining.method_options import AutoencoderOptions, DenoisingOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness.step import ExampleRandom
from tf_kit.training.inputs import first_examples, is_array
from tf_kit.typing import ArrayLike, Dataset, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class Autoencoder(Pretrainer):
    """Autoencoder (auto-associator): encoder and decoder trained to reproduce the input.

    The hidden layer has to keep the information that is needed to reconstruct x. With one dense layer and tied
    weights,

        h = f(W x + b)                                                      (1)
        z = Wᵀ h + b′,  x̂ = σ(z) or z                                       (2)
        ℓ = −Σ_j [x_j log x̂_j + (1 − x_j) log(1 − x̂_j)]   (cross-entropy)   (3)
        ℓ = ½ Σ_j (x_j − x̂_j)²                            (squared error)   (4)

    where W (units, features) is the encoder's kernel transposed, b (units,) its bias and b′ (features,) the
    decoder's. A deep encoder is mirrored layer by layer. Both losses are sums over features; the reported loss is
    their mean over examples.

    Args:
        encoder: one `Dense` or a sequence of dense layers; with `decoder`, any Keras layer or model.
        decoder: Keras layer or model that maps the representation to the flattened input: to logits for
            cross-entropy, to values for squared error. Defaults to None, the mirrored encoder.
        tied: whether the mirrored decoder uses the encoder's weights, transposed. Defaults to True.
        loss: `"cross_entropy"` for inputs in [0, 1], `"squared_error"` for others, such as standardized ones, or
            `"auto"`, which chooses once, by the range of the data in the first `fit`, of a data set by its first
            batch. Defaults to `"auto"`.
        seed: whole number that fixes the decoder's initial weights, the order of the data and the corruption.
            Defaults to 0.

    Raises:
        InputError: the encoder cannot be mirrored and no decoder is given, the data are not scaled, or the loss is
            cross-entropy and the data are not in [0, 1].

    Example:
        >>> import numpy as np
        >>> from tf_kit import networks
        >>> x = np.eye(4, dtype="float32").repeat(50, axis=0)
        >>> model = Autoencoder(networks.mlp((3,), num_classes=None), seed=0)
        >>> model.compile(keras.optimizers.Adam(0.05))
        >>> history = model.fit(x, batch_size=20, epochs=30, verbose=0).history
        >>> history["loss"][-1] < 0.5 * history["loss"][0]
        True

    Convention: the lecture's "stacked autoencoders" are trained one layer at a time, see `pretrain_greedily`.
    Reference: Bengio, Lamblin, Popovici, Larochelle, 2007, Greedy layer-wise training of deep networks, section 4;
    Hinton, Salakhutdinov, 2006, Reducing the dimensionality of data with neural networks,
    doi:10.1126/science.1127647.
    """

    reconstructs = True

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer | None = None,
        tied: bool = AutoencoderOptions.tied,
        loss: str = AutoencoderOptions.loss,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, seed=seed, **kwargs)
        self.decoder = decoder
        self.options = AutoencoderOptions(tied, loss)
        self.tied, self.loss_name = self.options.tied, self.options.loss
        self._chosen_by = ""  # ending of a message where the loss was not given

    @property
    def counts_features(self) -> bool:
        return self.decoder is None  # a decoder of convolutions may take images of any size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.decoder is not None:
            build_on(self.encoder, input_shape)
            self._build_decoder(output_shape(self.encoder, input_shape), input_shape)
            freeze_parts(self)
            self.built = True
            return
        self._stages = dense_stages(self.encoder)
        build_on(self.encoder, input_shape)
        check_flat(f"{type(self).__name__}.encoder", self._stages[0], input_shape)
        self._biases, self._kernels = [], []
        for i, stage in enumerate(self._stages):
            units, features = stage.dense.units, stage.dense.kernel.shape[0]
            self._biases.append(
                self.add_weight(shape=(features,), initializer="zeros", name=f"decoder_bias_{i}")
            )
            if not self.tied:
                glorot = keras.initializers.GlorotUniform(seed=self.seed + i)
                self._kernels.append(
                    self.add_weight(shape=(units, features), initializer=glorot, name=f"decoder_kernel_{i}")
                )
        freeze_parts(self)
        self.built = True

    def _build_decoder(self, hidden_shape, input_shape):
        build_on(self.decoder, hidden_shape)
        shape, wanted = output_shape(self.decoder, hidden_shape), input_shape[1:]
        if None in (*shape[1:], *wanted) or math.prod(shape[1:]) == math.prod(wanted):
            return
        features = math.prod(wanted)
        requirement = f"return the {features} features of an example"
        remedy = f"End it in Flatten and Dense({features})"
        refuse(f"{type(self).__name__}.decoder", requirement, f"outputs of shape {shape}", remedy)

    def corrupt(self, x: Tensor, random: ExampleRandom) -> Tensor:
        """Return the input of the encoder in training: here `x` itself."""
        return x

    def decode(self, h: Tensor) -> Tensor:
        """Compute logits (cross-entropy) or values (squared error) of the flattened input, (n, features)."""
        if self.decoder is not None:
            z = self.decoder(h)
            return ops.reshape(z, (ops.shape(z)[0], -1))
        a = h
        for i in reversed(range(len(self._stages))):
            kernel = ops.transpose(self._stages[i].dense.kernel) if self.tied else self._kernels[i]
            z = ops.matmul(a, ops.cast(kernel, a.dtype)) + ops.cast(self._biases[i], a.dtype)  # (2)
            a = self._stages[i - 1].activate(z) if i else z
        return a

    def decoded(self, seen: Tensor, training: bool = False) -> Tensor:
        """Compute z, as `decode`, from inputs of the encoder: equations (1) and (2)."""
        if self.decoder is None and self.tied and len(self._stages) == 1 and _is_plain(self._stages[0]):
            return tied_reconstruction(self._stages[0], self._biases[0], seen, training)
        return self.decode(self.encoder(seen, training=training))  # (1)

    def reconstruct(self, x: ArrayLike) -> Tensor:
        """Compute x̂ from clean inputs, in the shape of `x`, float32."""
        x = ops.convert_to_tensor(x)
        z = widened(self.decode(self(x, training=False)))
        x_hat = ops.sigmoid(z) if self.resolve_loss(x) == "cross_entropy" else z
        return ops.reshape(x_hat, ops.shape(x))

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        seen = self.corrupt(x, random) if training else x
        z = self.decoded(seen, training=training)
        return {"loss": reconstruction_loss(x, z, self.resolve_loss(x))}, None

    def resolve_loss(self, x: ArrayLike) -> str:
        """Return the name of the loss; `"auto"` depends on the range of `x` until `fit` or `evaluate` decides."""
        if self.loss_name != "auto":
            return self.loss_name
        low, high = (ops.cast(each, "float32") for each in (ops.min(x), ops.max(x)))  # of booleans, too
        return "cross_entropy" if low >= 0 and high <= 1 else "squared_error"

    def _settle_loss(self, x):
        sample = x if is_array(x) else first_examples(x, count=1024)[0]
        if not len(sample):
            return  # refused by the checks that follow
        if self.loss_name == "auto":
            self._chosen_by = ", which 'auto' chose for earlier data"
        self.loss_name = self.resolve_loss(sample)
        low, high = float(ops.min(sample)), float(ops.max(sample))
        if self.loss_name == "cross_entropy" and not (low >= 0 and high <= 1):
            requirement = (
                f"be 'squared_error' for data in [{low:.3g}, {high:.3g}], which is not inside [0, 1]"
            )
            remedy = "Make the model with loss='squared_error'" if self._chosen_by else ""
            refuse(
                f"{type(self).__name__}.loss", requirement, f"loss='cross_entropy'{self._chosen_by}", remedy
            )

    def check_inputs(self, method: str, x: ArrayLike | Dataset) -> None:
        super().check_inputs(method, x)
        if method == "fit" or is_array(x) or self.loss_name == "auto":
            self._settle_loss(x)

    def prepare_from(self, x: ArrayLike | Dataset, y: ArrayLike | None = None) -> None:
        if self.loss_name == "auto":  # in `train_on_batch`, whose graph cannot decide
            self._settle_loss(x)
        super().prepare_from(x, y)

    def get_config(self) -> dict[str, Any]:
        decoder = self.decoder and keras.saving.serialize_keras_object(self.decoder)
        return {**super().get_config(), "decoder": decoder, "loss": self.loss_name}


@keras.saving.register_keras_serializable(package="tf_kit")
class DenoisingAutoencoder(Autoencoder):
    """Denoising autoencoder: reconstruction of the clean input from a corrupted one.

    A wide hidden layer could copy its input, but it cannot copy features that are hidden from it. With m_j = 1 with
    probability `rate`, drawn independently for each feature j of each example in each step,

        x̃_j = (1 − m_j) x_j                               (masking)          (1)
        x̃_j = x_j + rate · n_j,  n_j ~ N(0, 1)            (gaussian)         (2)
        x̃_j = (1 − m_j) x_j + m_j s_j,  s_j ∈ {0, 1}      (salt_and_pepper)  (3)

    and the loss is that of `Autoencoder`, between x and the reconstruction from x̃. At inference the input is not
    corrupted.

    Args:
        encoder, decoder, tied, loss, seed: as for `Autoencoder`.
        rate: probability that a feature is corrupted, in [0, 1); for gaussian corruption the standard deviation
            of the noise, at least 0. Defaults to 0.25.
        corruption: `"masking"`, `"gaussian"` or `"salt_and_pepper"`. Defaults to `"masking"`.

    Reference: Vincent, Larochelle, Lajoie, Bengio, Manzagol, 2010, Stacked denoising autoencoders, section 3.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer | None = None,
        tied: bool = DenoisingOptions.tied,
        loss: str = DenoisingOptions.loss,
        rate: float = DenoisingOptions.rate,
        corruption: str = DenoisingOptions.corruption,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, decoder, tied, loss, seed, **kwargs)
        self.options = DenoisingOptions(tied, loss, rate, corruption)
        self.rate, self.corruption = self.options.rate, self.options.corruption

    def corrupt(self, x: Tensor, random: ExampleRandom) -> Tensor:
        """Return x̃, the corrupted input of the encoder in training."""
        x = ops.convert_to_tensor(x)
        if self.corruption == "gaussian":
            x, noise = widened(x), self.rate * random.normal(x.shape[1:])
            return x + ops.cast(noise, x.dtype)  # (2)
        masked = random.uniform(x.shape[1:]) < self.rate
        if self.corruption == "masking":
            return ops.where(masked, ops.zeros_like(x), x)  # (1)
        salt = ops.cast(random.uniform(x.shape[1:]) < 0.5, x.dtype)
        return ops.where(masked, salt, x)  # (3)


def _is_plain(stage):
    """Return whether a stage is x → f(x W + b) with weights in W and b alone, and nothing added to the loss."""
    dense = stage.dense
    changed = dense.lora_enabled or dense.quantization_mode or dense.activity_regularizer
    around = [layer for layer in (*stage.before, *stage.after) if layer.weights or not _is_simple(layer)]
    return type(dense) is keras.layers.Dense and dense.use_bias and not (changed or around)


def _is_simple(layer):
    return is_elementwise(layer) or is_random(layer) or is_reshaping(layer)


def tied_reconstruction(stage: Stage, visible_bias: keras.Variable, seen: Tensor, training: bool) -> Tensor:
    """Compute (1) and (2) of `Autoencoder` for one layer with tied weights, and the gradient of W in one product.

    W occurs twice. With a = W x̃ + b, and the gradients δ_z and δ_a of the loss with respect to z and a,

        δ_a = f′(a) ⊙ W δ_z                                                 (5)
        ∂L/∂W = δ_a x̃ᵀ + h δ_zᵀ = (δ_a, h) (x̃, δ_z)ᵀ                        (6)

    where the columns of the last two factors are the examples of the batch, twice. Automatic differentiation would make
    two products, and add two matrices of the size of W.

    Args:
        stage: the layer, of which only the dense layer has weights.
        visible_bias: b′.
        seen: x̃, (n, …).
        training: whether this is a training step.

    Returns:
        z, (n, features).
    """
    for layer in stage.before:
        seen = layer(seen, training=training)
    dtype = stage.dense.compute_dtype
    parameters = stage.dense.kernel, stage.dense.bias, visible_bias
    x, kernel, bias, shift = (ops.cast(each, dtype) for each in (seen, *parameters))  # kernel: Wᵀ
    a = ops.matmul(x, kernel) + bias
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(a)
        h = stage.dense.activation(a)
        for layer in stage.after:
            h = layer(h, training=training)  # (1)
    z = ops.matmul(h, ops.transpose(kernel)) + shift  # (2)

    @ops.custom_gradient
    def with_gradient(x, kernel, bias, shift):
        def gradient(of_z):
            of_a = tape.gradient(h, a, ops.matmul(of_z, kernel))  # (5)
            left, right = ops.concatenate([x, of_z]), ops.concatenate([of_a, h])
            of_kernel = ops.matmul(ops.transpose(left), right)  # (6)
            of_x = ops.matmul(of_a, ops.transpose(kernel))
            return of_x, of_kernel, ops.sum(of_a, axis=0), ops.sum(of_z, axis=0)

        return ops.stop_gradient(z), gradient

    return with_gradient(x, kernel, bias, shift)


def reconstruction_loss(x: ArrayLike, z: ArrayLike, loss: str) -> Tensor:
    """Compute the reconstruction loss of each example, summed over features: (3) or (4) of `Autoencoder`.

    Args:
        x: inputs, (n, …).
        z: (n, features): logits for `"cross_entropy"`, values for `"squared_error"`.
        loss: `"cross_entropy"` or `"squared_error"`.

    Returns:
        (n,), at least float32.

    Example:
        >>> import numpy as np
        >>> x = np.ones((1, 2), "float32")
        >>> reconstruction_loss(x, np.zeros((1, 2), "float32"), "squared_error").numpy()
        array([1.], dtype=float32)
    """
    z = widened(z)
    x = ops.reshape(ops.cast(x, z.dtype), ops.shape(z))
    if loss == "cross_entropy":
        return ops.sum(cross_entropy(x, z), axis=-1)  # (3)
    return 0.5 * ops.sum(ops.square(x - z), axis=-1)  # (4)


def cross_entropy(x: Tensor, z: Tensor) -> Tensor:
    """Compute −x log σ(z) − (1 − x) log(1 − σ(z)) of each entry as softplus(z) − x z, which is finite for any z.

    The gradient σ(z) − x is given in closed form: it needs the sigmoid that the value has computed, and nothing else.
    """
    p = ops.sigmoid(z)
    value = softplus(z, p) - x * z

    @ops.custom_gradient
    def with_gradient(x, z):
        return ops.stop_gradient(value), lambda upstream: (-upstream * z, upstream * (p - x))

    return with_gradient(x, z)


def softplus(z: Tensor, p: Tensor) -> Tensor:
    """Compute log(1 + exp z) from p = σ(z), where that is known, up to the rounding of 1: faster than by `log1p`."""
    return ops.maximum(z, 0) - ops.log(ops.maximum(p, 1 - p))
