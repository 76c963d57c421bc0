"""Masked autoencoder: its loss, the patches that reach the encoder, and learning of digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit import data
from tf_kit.networks.patches import patchify
from tf_kit.pretraining import ExampleRandom, MaskedAutoencoder, PatchEncoder, knn_accuracy
from tf_kit.pretraining.masked import images as masked_images


def images(n=4, seed=0):
    return np.random.default_rng(seed).random((n, 4, 6, 1)).astype("float32")


def model_of(module=masked_images, **arguments):
    """Model of images with 6 patches of 4 pixels, of which 2 stay visible by default."""
    arguments = {"mask_ratio": 2 / 3, "decoder_width": 8, "seed": 1} | arguments
    model = module.MaskedAutoencoder(PatchEncoder(patch_size=2, width=8, depth=1), **arguments)
    model.build((None, 4, 6, 1))
    return model


def noise(n=4, seed=5):
    return np.random.default_rng(seed).random((n, 6)).astype("float32")


# Each check must fail for a wrong twin.


def check_cost(module):
    """The loss is the mean over the masked patches of each image, (4), with and without normalized targets."""
    x = images()
    for normalize in (False, True):
        model = model_of(module, normalize_patches=normalize)
        patches = patchify(x, 2)
        predictions, masked = model.predict_patches(patches, ExampleRandom(1, 3, 4).uniform((6,)))
        targets = np.asarray(patches, "float64")
        if normalize:
            deviation = np.sqrt(targets.var(axis=-1, keepdims=True) + 1e-6)
            targets = (targets - targets.mean(axis=-1, keepdims=True)) / deviation
        each = zip(targets, np.asarray(predictions, "float64"), np.asarray(masked), strict=True)
        expected = [oracle.masked_patch_loss(*example) for example in each]
        values, outputs = model.per_example(x, None, ExampleRandom(1, 3, 4), training=True)
        assert outputs is None
        np.testing.assert_allclose(values["loss"], expected, rtol=1e-4)
        assert np.asarray(masked).sum(axis=1).tolist() == [4] * 4


def check_no_gradient_from_visible_patches(module):
    targets, predictions = (np.random.default_rng(seed).normal(size=(3, 6, 4)) for seed in (0, 1))
    masked = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0]], bool)
    with tf.GradientTape() as tape:
        given = tf.constant(predictions)
        tape.watch(given)
        loss = module.masked_mean_square(targets, given, masked)
    gradient = np.asarray(tape.gradient(loss, given))
    np.testing.assert_array_equal(gradient[~masked], 0)
    assert np.abs(gradient[masked]).min() > 1e-6
    expected = [oracle.masked_patch_loss(*each) for each in zip(targets, predictions, masked, strict=True)]
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def check_hidden_pixels_have_no_effect(module):
    """Other pixels in the hidden patches do not change the predictions; in visible patches they do."""
    model, x = model_of(module), images()
    patches = np.array(patchify(x, 2))
    expected, masked = (np.asarray(each) for each in model.predict_patches(patches, noise()))
    hidden, visible = patches.copy(), patches.copy()
    hidden[masked] = np.random.default_rng(9).normal(size=hidden[masked].shape)
    np.testing.assert_array_equal(model.predict_patches(hidden, noise())[0], expected)
    visible[~masked] += 1
    assert np.abs(model.predict_patches(visible, noise())[0] - expected).max(axis=(1, 2)).min() > 1e-3


def check_order_of_visible_patches(module):
    """Predictions do not depend on the order in which the visible patches are drawn."""
    model, patches = model_of(module, mask_ratio=0.5), patchify(images(), 2)
    drawn = noise()
    reversed_ = np.empty_like(drawn)
    for row, numbers in enumerate(drawn):
        order = np.argsort(numbers)
        reversed_[row, order[:3]] = np.sort(numbers)[:3][::-1]
        reversed_[row, order[3:]] = np.sort(numbers)[3:][::-1]
    first, masked = model.predict_patches(patches, drawn)
    second, same = model.predict_patches(patches, reversed_)
    np.testing.assert_array_equal(masked, same)
    np.testing.assert_allclose(first, second, atol=1e-5)


def check_places_in_the_decoder(module):
    """The decoder distinguishes hidden patches by their places."""
    model = model_of(module)
    predictions, masked = (np.asarray(e) for e in model.predict_patches(patchify(images(), 2), noise()))
    for row, hidden in zip(predictions, masked, strict=True):
        a, b = np.flatnonzero(hidden)[:2]
        assert np.abs(row[a] - row[b]).max() > 1e-4


def check_reconstruction(module):
    """Visible patches are kept; with normalized targets the hidden ones get the mean and deviation of the true ones."""
    x = images()
    for normalize in (False, True):
        model = model_of(module, normalize_patches=normalize)
        masked = np.asarray(model.draw_masked(4))
        predictions, _ = model.predict_patches(patchify(x, 2), masked.astype("float32"))
        patches, filled = np.asarray(patchify(x, 2)), np.asarray(patchify(model.reconstruct(x, masked), 2))
        np.testing.assert_allclose(filled[~masked], patches[~masked], rtol=1e-6)
        expected = np.asarray(predictions)
        if normalize:
            deviation = np.sqrt(patches.var(axis=-1, keepdims=True) + 1e-6)
            expected = expected * deviation + patches.mean(axis=-1, keepdims=True)
        np.testing.assert_allclose(filled[masked], expected[masked], rtol=1e-4, atol=1e-5)


CHECKS = [
    check_cost,
    check_no_gradient_from_visible_patches,
    check_hidden_pixels_have_no_effect,
    check_order_of_visible_patches,
    check_places_in_the_decoder,
    check_reconstruction,
]


@pytest.mark.parametrize("check", CHECKS)
def test_loss_and_predictions(check):
    check(masked_images)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_cost, "self.targets(patches), predictions", "patches, predictions"),
        (check_cost, "axis=-1, keepdims=True) + 1e-6)", "axis=(1, 2), keepdims=True) + 1e-6)"),
        (check_cost, "patches - round(self.mask_ratio * patches)", "round(self.mask_ratio * patches) + 1"),
        (check_no_gradient_from_visible_patches, "ops.cast(masked, of_patch.dtype)", "ops.ones_like(of_patch)"),
        (check_no_gradient_from_visible_patches, "= ops.cast(masked, of_patch", "= 1 - ops.cast(masked, of_patch"),
        (check_no_gradient_from_visible_patches, "axis=-1) / ops.sum(weights, axis=-1)", "axis=-1) / 6"),
        (check_hidden_pixels_have_no_effect, "take_places(patches, visible), visible", "patches[:, :2], visible"),
        (check_order_of_visible_patches, "visible), visible, training", "visible), visible * 0 + [0, 1, 2], training"),
        (check_order_of_visible_patches, "self.compute_dtype), rank)", "self.compute_dtype), rank * 0)"),
        (check_places_in_the_decoder, "tokens = tokens + ops", "tokens = tokens + 0 * ops"),
        (check_reconstruction, "predictions * deviation + mean", "predictions + mean"),
        (check_reconstruction, "ops.where(masked[..., None], predictions, patches)", "predictions"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, tf.errors.InvalidArgumentError)):
        check(wrong_twin(masked_images, right, wrong))


def test_only_visible_patches_go_through_the_encoder(monkeypatch):
    model, shapes = model_of(), []
    run_blocks = model.encoder.run_blocks
    monkeypatch.setattr(
        model.encoder, "run_blocks", lambda t, **k: shapes.append(t.shape) or run_blocks(t, **k)
    )
    model.per_example(images(), None, ExampleRandom(0, 0, 4), training=True)
    assert [tuple(shape) for shape in shapes] == [(4, 2, 8)]
    model(images())
    assert tuple(shapes[-1]) == (4, 6, 8), "the representation is that of the whole image"


def test_masks_differ_between_examples_and_steps():
    model = model_of(mask_ratio=0.5)

    def masks(n=40, step=0, seed=1, first=0, total=None):
        random = ExampleRandom(seed, step, n, first, total)
        return np.asarray(masked_images.hide(random.uniform((6,)), model.num_visible)[2])

    whole = masks()
    assert len({tuple(row) for row in whole}) > 10
    np.testing.assert_array_equal(whole, np.concatenate([masks(25, total=40), masks(15, first=25, total=40)]))
    assert np.any(whole != masks(step=1))
    assert np.any(whole != masks(seed=2))
    np.testing.assert_array_equal(model.draw_masked(40), whole)


@pytest.mark.parametrize(("ratio", "visible"), [(0.01, 5), (0.5, 3), (2 / 3, 2), (0.75, 2), (0.99, 1)])
def test_at_least_one_patch_is_hidden_and_one_visible(ratio, visible):
    assert model_of(mask_ratio=ratio).num_visible == visible


def test_normalized_patch_of_one_color_is_finite():
    """Its target is zero, not NaN, and the gradient is finite."""
    model = model_of(normalize_patches=True)
    with tf.GradientTape() as tape:
        values, _ = model.per_example(
            np.full((4, 4, 6, 1), 1e4, "float32"), None, ExampleRandom(0, 0, 4), True
        )
        loss = tf.reduce_sum(values["loss"])
    assert np.isfinite(loss)
    assert all(
        np.all(np.isfinite(g)) for g in tape.gradient(loss, model.trainable_variables) if g is not None
    )


def test_covers_masked_patches():
    model, x = model_of(), images()
    masked = np.asarray(model.draw_masked(4))
    covered = np.asarray(patchify(model.cover(x, masked, value=0.5), 2))
    np.testing.assert_array_equal(covered, np.where(masked[..., None], np.float32(0.5), patchify(x, 2)))


@pytest.mark.slow
def test_learns_digits():
    """Predicts hidden patches better than the mean image does, and nearest neighbors become more accurate."""
    train, val, _ = data.load("digits", seed=0)
    encoder = PatchEncoder(patch_size=2, width=32, depth=1)
    untrained = knn_accuracy(encoder, train, val, k=5)
    model = MaskedAutoencoder(encoder, mask_ratio=0.5)
    model.compile(keras.optimizers.Adam(0.005))
    model.fit(train.x, batch_size=32, epochs=15, verbose=0)
    error = model.evaluate(val.x, verbose=0, return_dict=True)["loss"]
    assert error < 0.93 * np.mean((val.x - train.x.mean(axis=0)) ** 2)
    assert knn_accuracy(encoder, train, val, k=5) > max(0.78, untrained + 0.03)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: MaskedAutoencoder(keras.layers.Flatten()), "Received: Flatten"),
        (lambda: model_of(mask_ratio=0), "mask_ratio=0"),
        (lambda: model_of(mask_ratio=1), "mask_ratio=1"),
        (lambda: model_of(decoder_width=6), "width=6"),
        (lambda: model_of(decoder_depth=0), "decoder_depth=0"),
        (lambda: model_of(decoder_heads=3), "divide the width of the decoder, 8. Received: decoder_heads=3"),
        (
            lambda: MaskedAutoencoder(PatchEncoder(4)).build((None, 4, 4, 1)),
            "two patches. Received: patch_size=4",
        ),
        (lambda: model_of().reconstruct(images(), np.ones((4, 6), bool)), "hide 4 of 6 patches"),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()
