"""Every augmentation: draws per example that do not depend on the batch, and the contract of layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.augmentation import uncompiled
from support.cases import mostly_slow
from support.layer import check_config_round_trip, check_keras_file, check_layer

from tf_kit.errors import InputError
from tf_kit.regularization import (
    AddNoise,
    Augmentation,
    ColorJitter,
    Cutout,
    GaussianBlur,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    compose,
    example_keys,
)

N = 6
IMAGES = np.random.default_rng(9).random((N, 8, 6, 3)).astype("float32")
KEYS = np.asarray(example_keys(0, 0, range(N)))

EVERY = {
    "RandomFlip": lambda: RandomFlip("both", seed=1),
    "RandomCrop": lambda: RandomCrop(2, seed=1),
    "RandomRotation": lambda: RandomRotation(30, seed=1),
    "RandomResizedCrop": lambda: RandomResizedCrop(seed=1),
    "RandomBrightness": lambda: RandomBrightness(0.5, seed=1),
    "RandomContrast": lambda: RandomContrast(0.5, seed=1),
    "ColorJitter": lambda: ColorJitter(0.5, seed=1),
    "AddNoise": lambda: AddNoise(0.5, seed=1),
    "Cutout": lambda: Cutout(3, seed=1),
    "GaussianBlur": lambda: GaussianBlur((0.5, 2.0), seed=1),
    "Composition": lambda: compose(RandomFlip(), RandomCrop(1), seed=1),
}


@pytest.fixture(params=EVERY)
def make(request):
    return EVERY[request.param]


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_slow(["RandomRotation", "Composition"], quick=1))
def test_keeps_the_layer_contract(name):
    """The whole contract for two of them; config and file are checked for all."""
    check_layer(EVERY[name], IMAGES[:4, :4, :3], training_random=True)


def test_is_restored_from_config_and_file(make):
    check_config_round_trip(make, IMAGES)
    check_keras_file(make, IMAGES)


def test_view_of_an_example_depends_only_on_its_key(make):
    """Shuffled images with shuffled keys give shuffled views; part of a batch gives the same part of the views."""
    layer, order = make(), np.random.default_rng(1).permutation(N)
    views = np.asarray(layer.augment(IMAGES, KEYS))
    np.testing.assert_allclose(views, uncompiled(layer, IMAGES, KEYS), atol=1e-5)  # XLA changes nothing
    assert np.abs(views - IMAGES).max() > 1e-3
    np.testing.assert_allclose(layer.augment(IMAGES[order], KEYS[order]), views[order], atol=1e-6)
    np.testing.assert_allclose(uncompiled(layer, IMAGES[2:4], KEYS[2:4]), views[2:4], atol=1e-5)


def test_keys_of_a_layer_are_seed_call_and_place():
    layer = AddNoise(1.0, seed=4)
    first, second = layer(IMAGES, training=True), layer(IMAGES, training=True)
    for call, views in ((0, first), (1, second)):
        np.testing.assert_array_equal(views, layer.augment(IMAGES, example_keys(4, call, range(N))))
    np.testing.assert_array_equal(layer(IMAGES), IMAGES)


@pytest.mark.slow
def test_keys_in_a_pipeline_do_not_depend_on_batches():
    layer = compose(RandomFlip(), RandomRotation(20))
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(N), IMAGES))
    expected = layer.augment(IMAGES, example_keys(7, 2, range(N)))
    for batch_size in (4, N):
        mapped = dataset.batch(batch_size).map(lambda index, x: layer.augment(x, example_keys(7, 2, index)))
        np.testing.assert_allclose(np.concatenate(list(mapped.as_numpy_iterator())), expected, atol=1e-6)


@pytest.mark.slow
def test_works_in_a_compiled_train_step():
    """In a model compiled by XLA, with a last batch of another size."""
    model = keras.Sequential([RandomCrop(1), RandomFlip(), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", "mse", jit_compile=True)
    history = model.fit(IMAGES, np.zeros((N, 2)), batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_can_be_exported_with_a_model(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 6, 3)), RandomFlip(), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.serve(IMAGES), model.predict(IMAGES, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: RandomFlip().augment((255 * IMAGES).astype("uint8"), KEYS), "uint8 of shape"),
        (lambda: RandomFlip().augment(IMAGES[..., 0], KEYS), r"float32 of shape \(6, 8, 6\)"),
        (lambda: RandomFlip().augment(IMAGES, KEYS[:, 0]), r"int64 of shape \(6,\)"),
        (lambda: RandomFlip().augment(IMAGES, KEYS.astype("float32")), r"float32 of shape \(6, 2\)"),
        (lambda: RandomFlip(seed=-1), "seed=-1"),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()


@pytest.mark.parametrize("spec", [(None, None, None, 3), (None, 8, 6, None), (None, None, None, None)])
def test_images_whose_sizes_a_graph_does_not_know_are_augmented_or_refused_in_one_line(make, spec):
    layer = make()

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(spec)])
    def augment(images):
        return layer.augment(images, KEYS)

    if any(spec[axis] is None for axis in layer.known_axes):
        with pytest.raises(InputError, match="known height, width and number of channels") as refused:
            augment(IMAGES)
        assert "\n" not in str(refused.value)
    else:
        np.testing.assert_allclose(augment(IMAGES), layer.augment(IMAGES, KEYS), rtol=1e-5, atol=1e-6)


class OnlyDraws(Augmentation):
    def draw(self, key, shape):
        return key


@pytest.mark.parametrize(("kind", "missing"), [(Augmentation, "draw"), (OnlyDraws, "apply")])
def test_subclasses_must_define_draw_and_apply(kind, missing):
    with pytest.raises(NotImplementedError, match=f"{kind.__name__} does not define {missing}"):
        kind().augment(IMAGES, KEYS)
