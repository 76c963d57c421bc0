"""Masked tokens: some tokens of a sequence are hidden, and predicted from what stands around them."""

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.networks.transformer import TokenEncoder
from tf_kit.pretraining.methods import MaskedTokensOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.training.inputs import is_array

MASK, RANDOM = 0.8, 0.1  # shares of the chosen tokens that are masked and replaced; the rest are kept


@keras.saving.register_keras_serializable(package="tf_kit")
class MaskedTokens(Pretrainer):
    """Masked language modeling: chooses some tokens of each sequence and learns to say what they were.

    Of the m ordinary tokens of a sequence k = max(1, round(`mask_ratio` · m)) are chosen, anew in each step. A
    chosen token is replaced by the mask token with probability 0.8 and by a random ordinary token with 0.1; with
    0.1 it stays, so that the encoder also learns to represent tokens that nobody has masked. Padding and special
    tokens are neither chosen nor drawn.

        z_p = V encoder(x̃)_p + a                                            (1)
        ℓ = −1/k Σ_{p chosen} log softmax(z_p)_{x_p}                        (2)

    where x̃ is x with the replacements. Reports `loss` (2) and `accuracy`, both over the chosen tokens alone, as
    means over sequences; a sequence without ordinary tokens counts as 0 in both. Evaluation chooses too (as in
    step 0).

    Args:
        encoder: `TokenEncoder`, trained in place; `model(x)` is its one vector a sequence, the mean over tokens.
        mask_token: the token that hides; one of the encoder's vocabulary that the text itself does not use.
        specials: further tokens that are never chosen nor drawn. Defaults to none.
        mask_ratio: share of the ordinary tokens that is chosen, in (0, 1). Defaults to 0.15.
        seed: seed of the choices, the output layer's initial weights and the data order.

    Raises:
        InputError: if the encoder is no `TokenEncoder`, a number is out of range, or the data holds other tokens.

    Example:

    >>> x = (np.arange(12) + np.arange(200)[:, None]) % 6  # 0 1 2 3 4 5 0 1 …, started anywhere
    >>> model = MaskedTokens(TokenEncoder(num_tokens=7, width=16, depth=1), mask_token=6)
    >>> model.compile(keras.optimizers.Adam(0.01))
    >>> history = model.fit(x, batch_size=20, epochs=15, verbose=0).history
    >>> history["accuracy"][-1] > 0.8
    True

    Convention: BERT fills a fixed budget of predictions over its corpus; here each sequence has its own.
    Reference: Devlin, Chang, Lee, Toutanova 2019, "BERT", section 3.1, task 1.
    """

    def __init__(
        self, encoder, mask_token, specials=(), mask_ratio=MaskedTokensOptions.mask_ratio, seed=0, **kwargs
    ):
        super().__init__(encoder, seed=seed, **kwargs)
        if not isinstance(encoder, TokenEncoder):
            refuse("MaskedTokens.encoder", "be a TokenEncoder", type(encoder).__name__)
        self.mask_token = count("MaskedTokens.mask_token", mask_token, at_least=0)
        self.specials = [count("MaskedTokens.specials", each, at_least=0) for each in specials]
        self.options = MaskedTokensOptions(mask_ratio)
        self.mask_ratio = self.options.mask_ratio
        if mask_token >= encoder.num_tokens:
            refuse(
                "MaskedTokens.mask_token",
                f"be one of the encoder's tokens 0 … {encoder.num_tokens - 1}",
                f"mask_token={mask_token}",
                "Give the encoder one token more",
            )
        apart = {self.mask_token, *self.specials, *({encoder.padding} - {None})}
        self._is_ordinary = np.array([each not in apart for each in range(encoder.num_tokens)])
        self._ordinary = np.flatnonzero(self._is_ordinary)
        if not len(self._ordinary):
            refuse("MaskedTokens.specials", "leave ordinary tokens", f"specials={tuple(specials)}")
        glorot = keras.initializers.GlorotUniform(self.seed)
        self.to_tokens = keras.layers.Dense(encoder.num_tokens, kernel_initializer=glorot, name="to_tokens")

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        self.to_tokens.build((None, None, self.encoder.width))
        self.built = True

    def choose(self, x, random):
        """(n, length), True at the tokens that are to be predicted.

        Args:
            x: (n, length) integers.
            random: `ExampleRandom` of the step.
        """
        ordinary = ops.take(ops.convert_to_tensor(self._is_ordinary), x, axis=0)
        noise = ops.where(ordinary, random.uniform((x.shape[1],)), 2.0)  # others come last
        rank = ops.argsort(ops.argsort(noise, axis=-1), axis=-1)
        m = ops.sum(ops.cast(ordinary, "float32"), axis=-1, keepdims=True)
        k = ops.maximum(ops.round(self.mask_ratio * m), 1)
        return ops.logical_and(ordinary, ops.cast(rank, "float32") < k)

    def replace(self, x, chosen, random):
        """x̃, (n, length): the chosen tokens masked, replaced at random or kept.

        Args:
            x: (n, length) integers.
            chosen: (n, length), of `choose`.
            random: `ExampleRandom` of the step.
        """
        fate, draw = random.uniform((x.shape[1],)), random.uniform((x.shape[1],))
        number = ops.minimum(ops.cast(draw * len(self._ordinary), "int32"), len(self._ordinary) - 1)
        drawn = ops.take(ops.convert_to_tensor(self._ordinary, x.dtype), number)
        replaced = ops.where(fate < MASK, ops.full_like(x, self.mask_token), drawn)
        return ops.where(ops.logical_and(chosen, fate < MASK + RANDOM), replaced, x)

    def logits(self, x, training=False):
        """z, (n, length, num_tokens), float32."""
        return ops.cast(self.to_tokens(self.encoder.run_on(x, training=training)), "float32")  # (1)

    def per_example(self, x, y, random, training):
        x = ops.convert_to_tensor(x)
        chosen = self.choose(x, random)
        z = self.logits(self.replace(x, chosen, random), training=training)
        losses = ops.sparse_categorical_crossentropy(x, z, from_logits=True)
        right = ops.equal(ops.cast(ops.argmax(z, axis=-1), x.dtype), x)
        return {"loss": mean_over(chosen, losses), "accuracy": mean_over(chosen, right)}, None  # (2)

    def fit(self, x=None, *args, **kwargs):
        self._check_tokens("fit", x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        self._check_tokens("evaluate", x)
        return super().evaluate(x, *args, **kwargs)

    def _check_tokens(self, method, x):
        if not is_array(x):
            return
        x = ops.convert_to_numpy(x)
        top = self.encoder.num_tokens - 1
        if x.dtype.kind not in "iu":
            refuse(f"MaskedTokens.{method}.x", "hold integer tokens", f"dtype={x.dtype}")
        if x.size and not (x.min() >= 0 and x.max() <= top):
            received = f"tokens from {x.min()} to {x.max()}"
            refuse(f"MaskedTokens.{method}.x", f"hold the tokens 0 … {top}", received)

    def get_config(self):
        return {
            **super().get_config(),
            "mask_token": self.mask_token,
            "specials": self.specials,
        }


def mean_over(chosen, values):
    """Mean of `values` (n, length) over the chosen places of each row, (n,) float32; 0 where there are none.

    >>> mean_over(np.array([[True, True, False]]), np.array([[1.0, 2.0, 9.0]], "float32")).numpy().tolist()
    [1.5]
    """
    weights = ops.cast(chosen, "float32")
    total = ops.sum(weights * ops.cast(values, "float32"), axis=-1)
    return total / ops.maximum(ops.sum(weights, axis=-1), 1)
