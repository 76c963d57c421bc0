"""Transformer block against float64 loops, codes of positions, padding, order of patches and seeds."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit.networks import transformer
from tf_kit.pretraining import MaskedAutoencoder, PatchEncoder, TokenEncoder


def tokens(n=2, k=5, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, k, width)).astype("float32")


def check_block(module):
    block = module.TransformerBlock(8, num_heads=2, hidden_units=6, seed=3)
    block.build((None, None, 8))
    rng = np.random.default_rng(1)
    for variable in block.trainable_variables:
        if variable.name == "bias":
            variable.assign(rng.normal(size=variable.shape))
    weights = [np.asarray(each, "float64") for each in block.attention.get_weights()]
    attention = list(zip(weights[::2], weights[1::2], strict=True))
    widen, narrow = (
        [np.asarray(each, "float64") for each in dense.get_weights()] for dense in (block.widen, block.narrow)
    )
    x, attended = tokens(), np.array([True, True, False, True, True])
    for seen in (np.ones(5, bool), attended):
        ours = block(x, attended=np.broadcast_to(seen, (2, 1, 5)))
        expected = [
            oracle.transformer_block(each.astype("float64"), attention, widen, narrow, seen) for each in x
        ]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def check_positions(module):
    codes = module.sine_cosine_positions(7, 6)
    np.testing.assert_allclose(codes, [oracle.sine_cosine(p, 6) for p in range(7)], rtol=1e-5, atol=1e-6)


def check_matrices_start_differently(module):
    """Query, key, value and output start from four different draws that the seed fixes."""
    blocks = [module.TransformerBlock(8, num_heads=2, seed=seed) for seed in (3, 3, 4)]
    for seed, block in enumerate(blocks):
        keras.utils.set_random_seed(seed)
        block.build((None, None, 8))
    first, again, other = (
        [w.ravel() for w in block.attention.get_weights() if w.ndim > 2] for block in blocks
    )
    assert len({tuple(w) for w in first}) == 4
    np.testing.assert_array_equal(first, again)
    assert all(np.any(a != b) for a, b in zip(first, other, strict=True))


CHECKS = [check_block, check_positions, check_matrices_start_differently]


@pytest.mark.parametrize("check", CHECKS)
def test_equals_the_formulas(check):
    check(transformer)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_attends_as_the_layer_of_keras_whose_weights_it_uses(policy):
    block = transformer.TransformerBlock(8, num_heads=2, dtype=policy)
    block.build((None, None, 8))
    for each in block.attention.weights:
        each.assign(np.random.default_rng(1).normal(size=each.shape))
    x = tf.cast(tokens(), block.compute_dtype)
    attended = np.array([[[True, True, False, True, True]], [[False] * 5]])
    for mask in (None, attended):
        found = []
        for attend in (block._attend, lambda x, mask: block.attention(x, x, attention_mask=mask)):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = attend(x, mask)
                loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
            variables = [each.value for each in block.attention.trainable_variables]
            found.append([y, *tape.gradient(loss, [x, *variables])])
        ours, theirs = ([np.asarray(tf.cast(each, "float32")) for each in arrays] for arrays in found)
        # The gradient of the keys' bias is 0, and what is computed of it is the rounding of the others.
        gradients = max(np.abs(each).max() for each in theirs[1:])
        tolerance = 1e-5 if policy == "float32" else 0.05
        for a, b, scale in zip(
            ours, theirs, [np.abs(theirs[0]).max()] + [gradients] * len(theirs[1:]), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_block, "a = x + self._attend", "a = self._attend"),
        (check_block, "* shape[-1] ** -0.5", ""),
        (check_block, "ops.swapaxes(key, -1, -2)", "ops.swapaxes(query, -1, -2)"),
        (check_block, "query, key, value = ops.unstack", "value, key, query = ops.unstack"),
        (check_block, "return a + self.narrow", "return self.narrow"),
        (check_block, "self._attend(self.norm_1(x)", "self._attend((x)"),
        (check_block, "self.widen(self.norm_2(a))", "self.widen(a)"),
        (check_block, "scores, _HIDDEN)", "scores, 0.0)"),
        (check_positions, "-2 * np.arange(width // 2) / width", "-np.arange(width // 2) / width"),
        (check_positions, "[np.sin(angles), np.cos(angles)]", "[np.cos(angles), np.sin(angles)]"),
        (check_matrices_start_differently, "GlorotUniform(seed)((self", "GlorotUniform(7)((self"),
    ],
)
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(transformer, right, wrong))


def test_grid_positions_are_distinct():
    codes = transformer.grid_positions(4, 4, 16)
    distances = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    assert distances[~np.eye(16, dtype=bool)].min() > 0.5
    assert np.allclose(distances[0, 1], distances[0, 4]), (
        "a step to the right changes the code as much as a step down"
    )


def test_positions_are_not_trained():
    encoder = PatchEncoder(patch_size=2, width=8, depth=1)
    encoder.build((None, 4, 4, 1))
    assert encoder.positions.shape == (4, 8)
    parts = (encoder.embedding, *encoder.blocks, encoder.norm)
    weights = {id(variable) for part in parts for variable in part.variables}
    assert {id(variable) for variable in encoder.variables} == weights


def test_order_of_patches_matters_only_through_their_places():
    """Permuted patches give the same mean if their places are permuted too, and only then."""
    encoder = PatchEncoder(patch_size=2, width=8, depth=2)
    x = np.random.default_rng(0).random((3, 4, 6, 1)).astype("float32")
    expected = np.asarray(encoder(x))
    patches = np.asarray(transformer.patchify(x, 2))
    order = np.random.default_rng(1).permutation(6)
    places = np.broadcast_to(order, (3, 6))
    np.testing.assert_allclose(
        np.mean(encoder.run_on(patches[:, order], places), axis=1), expected, atol=1e-5
    )
    assert np.abs(np.mean(encoder.run_on(patches[:, order]), axis=1) - expected).max() > 1e-3


def test_padding_is_not_attended_to():
    encoder = TokenEncoder(num_tokens=6, width=8, depth=2, padding=0)
    short = encoder(np.array([[3, 1, 2], [5, 4, 0]]))
    long = encoder(np.array([[3, 1, 2, 0, 0], [5, 4, 0, 0, 0]]))
    np.testing.assert_allclose(short, long, atol=1e-5)
    np.testing.assert_array_equal(encoder(np.zeros((2, 4), int)), np.zeros((2, 8)))


def test_initial_weights_depend_only_on_the_seed():
    def weights(seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        encoder = PatchEncoder(patch_size=2, width=8, depth=2, seed=seed)
        encoder.build((None, 4, 4, 1))
        return np.concatenate([each.ravel() for each in encoder.get_weights()])

    np.testing.assert_array_equal(weights(1, 0), weights(1, 9))
    assert np.any(weights(1, 0) != weights(2, 0))


@pytest.mark.parametrize(
    "make", [lambda: PatchEncoder(2, width=8, depth=2), lambda: TokenEncoder(5, width=8)]
)
def test_encoders_are_saved(make, tmp_path):
    encoder = make()
    shape = (3, 4, 4, 1) if isinstance(encoder, PatchEncoder) else (3, 4)
    x = np.random.default_rng(0).integers(0, 5, shape)
    expected = encoder(x)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(x), expected)
    assert loaded.get_config() == encoder.get_config()


def test_tokens_may_have_a_length_that_only_the_running_graph_knows():
    x = np.array([[3, 1, 2, 0, 0], [1, 4, 0, 0, 0]])
    encoder = TokenEncoder(5, width=8, depth=1, padding=0)
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, encoder(inputs))
    run = tf.function(model, input_signature=[tf.TensorSpec((None, None), tf.int32)])
    for length in (5, 3):
        np.testing.assert_allclose(run(x[:, :length]), encoder(x[:, :length]), rtol=1e-5, atol=1e-6)


def on_images_of(shape):
    encoder = PatchEncoder(2, width=8, depth=1)
    encoder.build((None, *shape))
    return encoder


def masked_autoencoder():
    model = MaskedAutoencoder(on_images_of((4, 4, 1)))
    model.compile("sgd")
    model.evaluate(np.zeros((1, 4, 4, 1)), verbose=0)
    return model


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: PatchEncoder(0), "patch_size=0"),
        (lambda: PatchEncoder(2, width=6), "width=6"),
        (lambda: PatchEncoder(2, width=8, num_heads=3), "num_heads=3"),
        (lambda: PatchEncoder(2, depth=0), "depth=0"),
        (lambda: PatchEncoder(2, seed=-1), "seed=-1"),
        (lambda: PatchEncoder(3)(np.zeros((1, 4, 4, 1), "float32")), "patch_size=3"),
        (lambda: PatchEncoder(2).build((None, None, 4, 1)), "must have a known height and width"),
        (lambda: PatchEncoder(2).build((None, 4, 4, None)), "must know the channels"),
        (lambda: on_images_of((4, 4, 1))(np.zeros((1, 2, 8, 1))), r"shape \(4, 4, 1\), .* shape \(2, 8, 1\)"),
        (lambda: on_images_of((4, 4, 1))(np.zeros((1, 8, 8, 1))), r"images of shape \(8, 8, 1\)"),
        (lambda: on_images_of((4, 4, 1))(np.zeros((1, 4, 4, 3))), r"images of shape \(4, 4, 3\)"),
        (lambda: on_images_of((4, 4, 1))(keras.Input((4, 8, 1))), r"images of shape \(4, 8, 1\)"),
        (lambda: on_images_of((2, 2, 1))(np.zeros((1, 4, 4, 1))), r"images of shape \(4, 4, 1\)"),
        (lambda: masked_autoencoder().evaluate(np.zeros((1, 2, 8, 1))), r"images of shape \(2, 8, 1\)"),
        (lambda: masked_autoencoder().reconstruct(np.zeros((1, 2, 8, 1))), r"images of shape \(2, 8, 1\)"),
        (lambda: TokenEncoder(1), "num_tokens=1"),
        (lambda: TokenEncoder(4, padding=4), "padding=4"),
        (lambda: TokenEncoder(4).build((None, 3, 2)), r"shape=\(None, 3, 2\)"),
    ],
)
def test_refuses_bad_arguments(act, message):
    with pytest.raises(ValueError, match=message):
        act()
