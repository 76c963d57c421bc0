"""Masked tokens: some tokens of a sequence are hidden and predicted from the tokens around them."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import build_on, freeze_parts
from tf_kit.networks.transformer import TokenEncoder
from tf_kit.pretraining.method_options import MaskedTokensOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness.step import ExampleRandom
from tf_kit.training.converted import converted
from tf_kit.training.inputs import check_tokens, first_examples, is_array
from tf_kit.typing import ArrayLike, Dataset, Tensor

MASK, RANDOM = 0.8, 0.1  # fractions of the chosen tokens that are masked or replaced; the others are kept


@keras.saving.register_keras_serializable(package="tf_kit")
class MaskedTokens(Pretrainer):
    """Masked language modeling: some tokens of each sequence are chosen, and the model predicts them.

    Of the m ordinary tokens of a sequence, k = max(1, round(`mask_ratio` · m)) are chosen anew in each step. A chosen
    token is replaced by the mask token with probability 0.8, and by a random ordinary token with probability 0.1; with
    probability 0.1 it is kept, so that the encoder also learns to represent tokens that are not masked. Padding and
    special tokens are never chosen and never inserted.

        z_p = V encoder(x̃)_p + a                                            (1)
        ℓ = −1/k Σ_{p chosen} log softmax(z_p)_{x_p}                        (2)

    where x̃ is x with the replacements. Reports `loss` (2) and `accuracy` over the chosen tokens, both as means over
    sequences; a sequence without ordinary tokens counts as 0 in both. Evaluation chooses tokens too (as in step 0).

    Args:
        encoder: `TokenEncoder`, trained in place; `model(x)` is one vector per sequence, the mean over its tokens.
        mask_token: token that replaces the chosen ones; a token of the encoder's vocabulary that the text does not
            use.
        specials: other tokens that are never chosen and never inserted. Defaults to none.
        mask_ratio: fraction of the ordinary tokens that is chosen, in (0, 1). Defaults to 0.15.
        seed: whole number that fixes the choices, the output layer's initial weights and the order of the data.
            Defaults to 0.

    Raises:
        InputError: the encoder is not a `TokenEncoder`, a number is out of range, or the data contains other tokens.

    Example:
        >>> x = (np.arange(12) + np.arange(200)[:, None]) % 6  # 0 1 2 3 4 5 0 1 …, from any start
        >>> model = MaskedTokens(TokenEncoder(num_tokens=7, width=16, depth=1), mask_token=6)
        >>> model.compile(keras.optimizers.Adam(0.01))
        >>> history = model.fit(x, batch_size=20, epochs=15, verbose=0).history
        >>> history["accuracy"][-1] > 0.8
        True

    Convention: the authors of BERT choose the tokens once, when they prepare the corpus, and take the mean over all
    chosen tokens of a minibatch; here tokens are chosen anew in each step, and every sequence counts the same.
    Reference: Devlin, Chang, Lee, Toutanova, 2019, BERT: pre-training of deep bidirectional transformers for language
    understanding, section 3.1, task 1, arXiv:1810.04805.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        mask_token: int,
        specials: Iterable[int] = (),
        mask_ratio: float = MaskedTokensOptions.mask_ratio,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
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
                "Make the encoder with one more token",
            )
        special = {self.mask_token, *self.specials, *({encoder.padding} - {None})}
        self._is_ordinary = np.array([each not in special for each in range(encoder.num_tokens)])
        self._ordinary = np.flatnonzero(self._is_ordinary)
        if not len(self._ordinary):
            received = f"specials={tuple(self.specials)}"
            refuse("MaskedTokens.specials", "leave at least one ordinary token", received)
        glorot = keras.initializers.GlorotUniform(self.seed)
        self.to_tokens = keras.layers.Dense(
            encoder.num_tokens, kernel_initializer=glorot, dtype=self.dtype_policy, name="to_tokens"
        )

    @property
    def input_range(self) -> None:
        return None  # tokens are numbers of words, which `_check_tokens` checks

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        build_on(self.encoder, input_shape)
        self.to_tokens.build((None, None, self.encoder.width))
        freeze_parts(self)
        self.built = True

    def choose(self, x: Tensor, random: ExampleRandom) -> Tensor:
        """Choose the tokens to predict.

        Args:
            x: integers (n, length).
            random: random numbers of the step.

        Returns:
            Booleans (n, length), True at the chosen tokens.
        """
        ordinary = ops.take(ops.convert_to_tensor(self._is_ordinary), x, axis=0)
        noise = ops.where(ordinary, random.uniform(ops.shape(x)[1:]), 2.0)  # special tokens come last
        rank = ops.argsort(ops.argsort(noise, axis=-1), axis=-1)
        m = ops.sum(ops.cast(ordinary, "float32"), axis=-1, keepdims=True)
        k = ops.maximum(ops.round(self.mask_ratio * m), 1)
        return ops.logical_and(ordinary, ops.cast(rank, "float32") < k)

    def replace(self, x: Tensor, chosen: Tensor, random: ExampleRandom) -> Tensor:
        """Mask the chosen tokens, replace them at random, or keep them.

        Args:
            x: integers (n, length).
            chosen: booleans (n, length), from `choose`.
            random: random numbers of the step.

        Returns:
            x̃, integers (n, length).
        """
        fate, draw = (random.uniform(ops.shape(x)[1:]) for _ in range(2))
        number = ops.minimum(ops.cast(draw * len(self._ordinary), "int32"), len(self._ordinary) - 1)
        drawn = ops.take(ops.convert_to_tensor(self._ordinary, x.dtype), number)
        replaced = ops.where(fate < MASK, ops.full_like(x, self.mask_token), drawn)
        return ops.where(ops.logical_and(chosen, fate < MASK + RANDOM), replaced, x)

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """Compute z, equation (1), (n, length, num_tokens), at least float32."""
        return widened(self.to_tokens(self.encoder.run_on(x, training=training)))  # (1)

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        x = ops.convert_to_tensor(x)
        chosen = self.choose(x, random)
        z = self.logits(self.replace(x, chosen, random), training=training)
        losses = ops.sparse_categorical_crossentropy(x, z, from_logits=True)
        right = ops.equal(ops.cast(ops.argmax(z, axis=-1), x.dtype), x)
        return {"loss": mean_over(chosen, losses), "accuracy": mean_over(chosen, right)}, None  # (2)

    def fit(self, x: ArrayLike | Dataset = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        x = converted("MaskedTokens.fit.x", x)
        self._check_tokens("fit", x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: ArrayLike | Dataset = None, *args: Any, **kwargs: Any) -> Any:
        x = converted("MaskedTokens.evaluate.x", x)
        self._check_tokens("evaluate", x)
        return super().evaluate(x, *args, **kwargs)

    def _check_tokens(self, method, x):
        x = ops.convert_to_numpy(x if is_array(x) else first_examples(x, count=1024)[0])
        if x.dtype.kind not in "iu":
            refuse(f"MaskedTokens.{method}.x", "be an array of integers", f"dtype={x.dtype}")
        check_tokens(f"MaskedTokens.{method}.x", self.encoder.num_tokens, x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_token": self.mask_token, "specials": self.specials}


def mean_over(chosen: ArrayLike, values: ArrayLike) -> Tensor:
    """Compute the mean of `values` over the chosen places of each row; 0 for a row without any.

    Args:
        chosen: booleans (n, length).
        values: (n, length).

    Returns:
        (n,), float32.

    Example:
        >>> mean_over(np.array([[True, True, False]]), np.array([[1.0, 2.0, 9.0]], "float32")).numpy().tolist()
        [1.5]
    """
    values = widened(values)
    weights = ops.cast(chosen, values.dtype)
    total = ops.sum(weights * values, axis=-1)
    return total / ops.maximum(ops.sum(weights, axis=-1), 1)
