"""Masked tokens: 80, 10 and 10 % of the chosen ones, no special tokens, and a loss over the chosen ones only."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit.pretraining import ExampleRandom, MaskedTokens, TokenEncoder
from tf_kit.pretraining.masked import tokens as masked_tokens

PADDING, START, MASK, VOCABULARY = 0, 1, 2, 12  # ordinary tokens are 3 … 11


def encoder():
    return TokenEncoder(num_tokens=VOCABULARY, width=8, depth=1, padding=PADDING, seed=1)


def model_of(module=masked_tokens, **arguments):
    return module.MaskedTokens(encoder(), mask_token=MASK, **{"specials": (START,), "seed": 1} | arguments)


def sentences(n=200, length=20, seed=0):
    """A start token, up to 19 ordinary tokens, padding; the first sequence has no ordinary token, the second one."""
    rng = np.random.default_rng(seed)
    x = np.full((n, length), PADDING)
    for row, count in enumerate([0, 1, *rng.integers(2, length, n - 2)]):
        x[row, 0] = START
        x[row, 1 : 1 + count] = rng.integers(MASK + 1, VOCABULARY, count)
    return x


def chosen_and_replaced(model, x, step=0):
    random = ExampleRandom(model.seed, step, len(x))
    chosen = model.choose(x, random)
    return np.asarray(chosen), np.asarray(model.replace(x, chosen, random))


# Each check must fail for a wrong twin.


def check_number_of_chosen_tokens(module):
    """max(1, round(ratio · m)) of the m ordinary tokens of each sequence are chosen, and no others."""
    x = sentences()
    for ratio in (0.15, 0.4, 0.9):
        chosen, _ = chosen_and_replaced(model_of(module, mask_ratio=ratio), x)
        ordinary = x > MASK
        assert not np.any(chosen & ~ordinary)
        counts = ordinary.sum(axis=1)
        expected = np.where(counts, np.maximum(np.round(ratio * counts), 1), 0)
        np.testing.assert_array_equal(chosen.sum(axis=1), expected)


def check_shares(module):
    """80 % of the chosen tokens are masked, 10 % replaced at random, 10 % kept, within binomial bounds."""
    x = np.random.default_rng(1).integers(MASK + 1, VOCABULARY, (3000, 20))
    chosen, seen = chosen_and_replaced(model_of(module, mask_ratio=0.5), x)
    n = chosen.sum()
    assert n == 3000 * 10
    np.testing.assert_array_equal(seen[~chosen], x[~chosen])
    masked, kept = seen[chosen] == MASK, seen[chosen] == x[chosen]
    for share, expected in ((masked, 0.8), (kept, 0.1 + 0.1 / 9), (~masked & ~kept, 0.1 * 8 / 9)):
        assert abs(share.mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / n)
    drawn = np.bincount(seen[chosen][~masked & ~kept], minlength=VOCABULARY)
    assert not drawn[: MASK + 1].any(), "special tokens, padding and the mask token are never inserted"
    share = 1 / 9
    total = drawn.sum()
    assert np.all(abs(drawn[MASK + 1 :] / total - share) < 5 * math.sqrt(share * (1 - share) / total))


def check_even_choice(module):
    """All ordinary places of a sequence are equally likely to be chosen."""
    x = np.tile([START, 5, 6, 7, 8, PADDING], (8000, 1))
    chosen, _ = chosen_and_replaced(model_of(module, mask_ratio=0.25), x)
    share = chosen.mean(axis=0)
    assert share[0] == share[5] == 0
    assert np.all(abs(share[1:5] - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 8000))


def check_cost(module):
    """The loss is the mean cross-entropy of the true tokens over the chosen places; 0 if none is chosen."""
    x = sentences(n=6, length=8)
    model = model_of(module, mask_ratio=0.4)
    model.build((None, 8))
    values, outputs = model.per_example(x, None, ExampleRandom(1, 3, 6), training=True)
    assert outputs is None
    chosen, seen = chosen_and_replaced(model, x, step=3)
    h = np.asarray(model.encoder.run_on(seen), "float64")
    V, a = (np.asarray(each, "float64") for each in model.to_tokens.get_weights())
    for row in range(6):
        places = np.flatnonzero(chosen[row])
        expected = oracle.softmax_cost(h[row, places], V.T, a, x[row, places]) if len(places) else 0
        np.testing.assert_allclose(values["loss"][row], expected, rtol=1e-4)
        right = (h[row, places] @ V + a).argmax(axis=-1) == x[row, places]
        np.testing.assert_allclose(values["accuracy"][row], right.mean() if len(places) else 0)


CHECKS = [check_number_of_chosen_tokens, check_shares, check_even_choice, check_cost]


@pytest.mark.parametrize("check", CHECKS)
def test_choice_and_loss(check):
    check(masked_tokens)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_number_of_chosen_tokens, "{self.mask_token, *self.specials, ", "{self.mask_token, "),
        (check_number_of_chosen_tokens, "*({encoder.padding} - {None})", ""),
        (check_number_of_chosen_tokens, "ops.round(self.mask_ratio * m), 1)", "ops.round(self.mask_ratio * m), 0)"),
        (check_number_of_chosen_tokens, "self.mask_ratio * m", "self.mask_ratio * x.shape[1]"),
        (check_number_of_chosen_tokens, 'ops.cast(rank, "float32") < k', 'ops.cast(rank, "float32") <= k'),
        (check_shares, "MASK, RANDOM = 0.8, 0.1", "MASK, RANDOM = 0.8, 0.2"),
        (check_shares, "fate < MASK, ops", "fate > MASK, ops"),
        (check_shares, "ops.logical_and(chosen, fate", "ops.logical_or(chosen, fate"),
        (check_shares, "draw * len(self._ordinary)", "draw * len(self._ordinary) / 2"),
        (check_shares, "drawn = ops.take(ops.convert_to_tensor(self._ordinary, x.dtype), number)", "drawn = number"),
        (check_even_choice, "random.uniform(ops.shape(x)[1:]), 2.0)", "0.5, 2.0)"),
        (check_cost, "mean_over(chosen, losses)", "mean_over(ops.ones_like(chosen), losses)"),
        (check_cost, "self.replace(x, chosen, random)", "x"),
        (check_cost, "crossentropy(x, z, from_logits=True)", "crossentropy(x, z, from_logits=False)"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, TypeError, ValueError)):
        check(wrong_twin(masked_tokens, right, wrong))


def test_choices_differ_between_examples_and_steps():
    model, x = model_of(mask_ratio=0.4), np.tile(sentences(n=3)[2:], (40, 1))
    chosen, seen = chosen_and_replaced(model, x)
    assert len({tuple(row) for row in chosen}) > 10
    again = chosen_and_replaced(model, x)
    np.testing.assert_array_equal((chosen, seen), again)
    assert np.any(chosen_and_replaced(model, x, step=1)[1] != seen)
    assert np.any(chosen_and_replaced(model_of(mask_ratio=0.4, seed=2), x)[1] != seen)
    parts = []
    for first, count in ((0, 25), (25, 15)):
        random = ExampleRandom(1, 0, count, first, 40)
        part = x[first : first + count]
        parts.append(model.replace(part, model.choose(part, random), random))
    np.testing.assert_array_equal(np.concatenate(parts), seen)


@pytest.mark.slow
def test_sequences_of_a_data_set_may_have_a_length_that_its_specification_leaves_open():
    x, found = sentences()[:, :12], []
    for spec in ((None, 12), (None, None)):
        batches = tf.data.Dataset.from_tensors(x)
        batches = batches.map(
            lambda each, spec=spec: tf.ensure_shape(tf.py_function(tf.identity, [each], tf.int64), spec)
        )
        model = model_of()
        model.compile("sgd")
        found.append((model.fit(batches, epochs=2, verbose=0).history["loss"], *model.get_weights()))
        shorter = batches.map(lambda each: each[:, ::2])
        assert np.isfinite(model.evaluate(shorter, verbose=0)).all()
    for fixed, left_open in zip(*found, strict=True):
        np.testing.assert_allclose(left_open, fixed, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_learns_to_count():
    """In sequences of consecutive numbers every hidden token follows from its neighbors."""
    x = MASK + 1 + (np.arange(12) + np.arange(200)[:, None]) % 9
    model = MaskedTokens(TokenEncoder(VOCABULARY, width=16, depth=1, padding=PADDING), mask_token=MASK)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=20, epochs=25, verbose=0)
    assert model.evaluate(x, verbose=0, return_dict=True)["accuracy"] > 0.7


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: MaskedTokens(keras.layers.Flatten(), mask_token=2), "Received: Flatten"),
        (lambda: model_of(mask_ratio=0), "mask_ratio=0"),
        (lambda: model_of(mask_ratio=1), "mask_ratio=1"),
        (lambda: MaskedTokens(encoder(), mask_token=12), "mask_token=12"),
        (lambda: MaskedTokens(encoder(), mask_token=-1), "mask_token=-1"),
        (lambda: model_of(specials=(-1,)), "specials=-1"),
        (lambda: model_of(specials=range(12)), "leave at least one ordinary token"),
        (lambda: model_of().fit(sentences() + 1), "tokens from 1 to 12"),
        (lambda: model_of().evaluate(sentences() - 1), "tokens from -1 to"),
        (lambda: model_of().fit(sentences().astype("float32")), "dtype=float32"),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()
