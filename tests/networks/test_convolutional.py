"""Convolutional network: formula, layers, seeds, and minibatches without examples."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import networks as oracle

from tf_kit import data, replicas, scaling
from tf_kit.networks import cnn, convolutional, mlp, resnet
from tf_kit.regularization import BatchNorm


def check_formula(module, side=8):
    """Equations (1) to (4), in loops: two convolutions, a dense layer, logits."""
    model = module.cnn((2, 3), units=(4,), num_classes=5, activation="tanh", input_shape=(side, side, 2))
    weights = model.get_weights()
    for bias in weights[1::2]:
        bias[...] = np.linspace(-0.3, 0.3, len(bias))
    model.set_weights(weights)
    x = np.random.default_rng(0).normal(size=(3, side, side, 2)).astype("float32")
    for image, logits in zip(x, model(x).numpy(), strict=True):
        a = image.astype("float64")
        for kernel, bias in zip(weights[0:4:2], weights[1:4:2], strict=True):
            a = np.tanh(oracle.strided_convolution(a, kernel, bias))
        assert a.size == len(weights[4]), "the number of positions differs from the formula"
        a = np.tanh(a.ravel() @ weights[4] + weights[5])
        np.testing.assert_allclose(logits, a @ weights[6] + weights[7], atol=1e-5)


@pytest.mark.parametrize("side", [7, 8])
def test_equals_the_formula(side):
    check_formula(convolutional, side)


@pytest.mark.parametrize(
    ("right", "wrong"), [("size, 3, 2,", "size, 3, 1,"), ("convolution, *after(name)", "convolution")]
)
def test_formula_rejects_wrong_twins(right, wrong, wrong_twin):
    wrong_twin(convolutional, "cnn", right, wrong)
    with pytest.raises((AssertionError, ValueError)):
        check_formula(convolutional)


def test_order_and_names_of_the_layers():
    model = cnn((4, 8), units=(6,), num_classes=3, normalization=BatchNorm, input_shape=(28, 28, 1))
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["BatchNorm", "ReLU"]
    assert kinds == ["Convolution", *block, "Convolution", *block, "Flatten", "Dense", *block, "Dense"]
    named = [layer.name for layer in model.layers if type(layer).__name__ in ("Convolution", "Dense", "ReLU")]
    assert named == [
        "conv_1", "conv_1_relu", "conv_2", "conv_2_relu", "hidden_1", "hidden_1_relu", "logits"
    ]  # fmt: skip
    assert model.get_layer("conv_2").output.shape == (None, 7, 7, 8)
    assert not any(layer.use_bias for layer in model.layers[:-1] if hasattr(layer, "use_bias"))


def test_initial_weights_depend_only_on_the_seed():
    first = cnn((2, 3), num_classes=4, input_shape=(8, 8, 1), seed=3)
    keras.utils.set_random_seed(99)
    encoder = cnn((2, 3), num_classes=None, seed=3)
    encoder.build((None, 8, 8, 1))
    for ours, theirs in zip(encoder.get_weights(), first.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)
    other = cnn((2, 3), num_classes=4, input_shape=(8, 8, 1), seed=4)
    assert np.all(other.get_weights()[0] != first.get_weights()[0])


def test_initial_kernels_are_he_normal():
    """Var W = 2 / (9 · 32), within five standard errors; Keras truncates the normal at two deviations and rescales."""
    kernel = cnn((64,), (), None, input_shape=(8, 8, 32)).get_weights()[0]
    expected = 2 / (9 * 32)
    assert abs(kernel.var() - expected) < 5 * expected * np.sqrt(2 / kernel.size)


@pytest.mark.slow
def test_learns_and_is_saved(tmp_path):
    train, val, _ = data.load("digits", seed=0)
    model = cnn((8, 16), normalization=BatchNorm, input_shape=(8, 8, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    model.fit(train.x, train.y, batch_size=64, epochs=10, verbose=0)
    assert model.evaluate(val.x, val.y, verbose=0)[1] > 0.93
    model.save(tmp_path / "cnn.keras")
    loaded = keras.models.load_model(tmp_path / "cnn.keras")
    np.testing.assert_array_equal(loaded(val.x[:5]), model(val.x[:5]))


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"filters": ()}, "filters=()"),
        ({"filters": 16}, "filters=16"),
        ({"filters": (16, 0)}, "filters=0"),
        ({"units": "128"}, "units='128'"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"activation": "softmaxx"}, "activation='softmaxx'"),
        ({"normalization": "batch"}, "'batch'"),
        ({"input_shape": (28, 28)}, r"input_shape=\(28, 28\)"),
        ({"input_shape": 28}, "input_shape=28"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_refuses_bad_arguments(given, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        cnn(**given)


def test_is_pruned_and_quantized_like_keras_convolutions():
    model = cnn((4,), units=(), num_classes=None, input_shape=(8, 8, 1))
    for smaller in (scaling.prune(model, 0.5), scaling.quantize(model)):
        assert type(smaller.layers[0]).__name__ in ("PrunedConv2D", "QuantizedConv2D")


def features_of(encoder, images):
    """Sum of the features of each channel, in a graph that does not know the number of images."""

    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]))])
    def sums(x):
        z = encoder(x)
        return tf.concat([tf.reduce_sum(z, axis=(0, 1, 2)), [0.0]], axis=0)

    return sums(images).numpy()


def test_output_shape_on_a_replica_without_examples(monkeypatch):
    """Zero images get the features of the filters, not the single channel that TensorFlow would give them."""
    layer = convolutional.Convolution(4, 3, 2, padding="same")
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
    expected = features_of(layer, images)
    monkeypatch.setattr(replicas, "context", object)  # anything but None
    np.testing.assert_allclose(features_of(layer, images), expected, rtol=1e-6)
    np.testing.assert_array_equal(features_of(layer, images[:0]), np.zeros(5))


def test_keras_layers_can_be_made_to_accept_empty_batches(monkeypatch, tmp_path):
    layer = keras.layers.Conv2D(4, 3, 2, padding="same")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.Sequential([layer]), keras.layers.ReLU()])
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
    expected = features_of(model, images)
    for _ in range(2):  # the second call has no effect
        convolutional.accept_empty_batches(model)
    assert layer.call.func is convolutional._convolve
    assert layer.call.args[0].__func__ is keras.layers.Conv2D.call
    monkeypatch.setattr(replicas, "context", object)  # anything but None
    np.testing.assert_allclose(features_of(model, images), expected, rtol=1e-6)
    np.testing.assert_array_equal(features_of(model, images[:0]), np.zeros(len(expected)))
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(read(images), model(images))


@pytest.mark.parametrize(
    "make",
    [
        lambda: mlp((3,), num_classes=2, input_shape=(32, 32, 3)),
        lambda: cnn((3,), num_classes=2, input_shape=(32, 32, 3)),
        pytest.param(lambda: resnet(18, num_classes=2), marks=pytest.mark.slow),
    ],
)
def test_channels_come_last_whatever_keras_is_set_to(make):
    """All data of the kit are (n, height, width, channels); other axes would be mixed up without an error."""
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    expected = make()(x)
    keras.config.set_image_data_format("channels_first")
    try:
        outputs = make()(x)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(outputs, expected)
