"""Encoders as people write them, in every place that takes one: it trains, exports, and returns the same outputs."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.cases import mostly_slow

from tf_kit import keras_internals, networks, pretraining, regularization
from tf_kit.errors import InputError
from tf_kit.networks.convolutional import accept_empty_batches
from tf_kit.networks.inspection import intercepted
from tf_kit.training import represent

RANDOM = np.random.default_rng(0)
X = RANDOM.random((12, 8, 8, 3)).astype("float32")
LABELS = np.arange(12) % 3
DENSE = keras.layers.Dense


class OnlyCall(keras.Model):
    """Model with `__init__` and `call` only: not registered, without config, `build` or `compute_output_shape`."""

    def __init__(self, *units):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.hidden = [DENSE(each, "tanh") for each in units]

    def call(self, inputs):
        h = self.flatten(inputs)
        for layer in self.hidden:
            h = layer(h)
        return h


def nested():
    inner = keras.Sequential([DENSE(6, "tanh"), keras.layers.Dropout(0.1, seed=0)])
    return keras.Sequential([keras.layers.Flatten(), inner, keras.Sequential([DENSE(5)])])


def with_lambda():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Lambda(lambda x: x - 0.5), DENSE(5)])


def frozen_part():
    model = keras.Sequential([keras.layers.Flatten(), DENSE(6), keras.layers.BatchNormalization(), DENSE(5)])
    model.layers[1].trainable = model.layers[2].trainable = False
    return model


def half_precision():
    layers = [keras.layers.Flatten(dtype="mixed_bfloat16"), DENSE(5, "tanh", dtype="mixed_bfloat16")]
    return keras.Sequential(layers)


def shared():
    inputs = keras.Input(X.shape[1:])
    layer, h = DENSE(6, "tanh"), DENSE(6)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, layer(layer(h)))


def backbone():
    arguments = {"alpha": 0.35, "weights": None, "include_top": False, "pooling": "avg"}
    return keras.applications.MobileNetV2(input_shape=(32, 32, 3), **arguments)


ENCODERS = {
    "only call": lambda: OnlyCall(6, 5),
    "nested": nested,
    "lambda": with_lambda,
    "frozen part": frozen_part,
    "half precision": half_precision,
    "shared": shared,
    "patches": lambda: networks.PatchEncoder(patch_size=4, width=8, depth=1),
    "backbone": backbone,
    "resnet": lambda: networks.resnet(18, None, regularization.BatchNorm, X.shape[1:]),
}


def joint(kind):
    flip = regularization.RandomFlip()
    return lambda encoder: kind(encoder, projector=(6, 4), augment=flip)


def with_decoder(kind):
    return lambda encoder: kind(encoder, decoder=keras.Sequential([DENSE(X[0].size)]))


PRETRAINERS = {
    "SimCLR": joint(pretraining.SimCLR),
    "SimCLR in chunks": lambda encoder: pretraining.SimCLR(encoder, projector=(4,), chunk_size=4),
    "BYOL": joint(pretraining.BYOL),
    "BarlowTwins": joint(pretraining.BarlowTwins),
    "VICReg": joint(pretraining.VICReg),
    "DenoisingAutoencoder": with_decoder(pretraining.DenoisingAutoencoder),
    "MaskedVectors": with_decoder(pretraining.MaskedVectors),
}


def outputs(model, x):
    return keras.ops.convert_to_numpy(keras.ops.cast(model(x), "float32"))


def images(encoder):
    return np.repeat(np.repeat(X, 4, 1), 4, 2) if encoder.name.startswith("mobilenet") else X


def is_coarse(model):
    return any(each.compute_dtype == "bfloat16" for each in keras_internals.flatten_layers(model))


def check_export(model, x, folder, **signature):
    model.export(folder, verbose=False, **signature)
    loaded = tf.saved_model.load(str(folder))
    served = tf.cast(loaded.serve(tf.constant(x)), "float32")
    atol = 1e-2 if is_coarse(model) else 1e-5
    np.testing.assert_allclose(served, outputs(model, x), rtol=1e-4, atol=atol)


def check_pretraining(name, encoder, folder):
    """The method trains the encoder it was given; both export, and give the same outputs."""
    x, model = images(encoder), PRETRAINERS[name](encoder)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=name != "SimCLR in chunks")
    before = model.build_for(x) or [each.numpy() for each in encoder.trainable_variables]
    losses = model.fit(x, batch_size=6, verbose=0).history["loss"]
    assert np.isfinite([*losses, model.evaluate(x, verbose=0)]).all()
    after = encoder.trainable_variables
    assert any(np.any(old != new.numpy()) for old, new in zip(before, after, strict=True))
    np.testing.assert_array_equal(outputs(model, x), outputs(encoder, x))
    check_export(model, x, folder / "model")
    floats = keras.InputSpec(
        shape=(None, *x.shape[1:]), dtype="float32"
    )  # Keras would take the compute dtype
    check_export(encoder, x, folder / "encoder", input_signature=[floats])


def check_use(encoder, folder):
    """Classifiers train on it, a probe does not change it; neighbors and representations need no training."""
    x = images(encoder)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(5)
    r = np.concatenate(list(represent(encoder, batches)))
    np.testing.assert_allclose(r, represent(encoder, x), rtol=1e-4, atol=1e-2 if is_coarse(encoder) else 1e-5)
    halves = [SimpleNamespace(x=x[i::2], y=LABELS[i::2]) for i in (0, 1)]
    assert 0 <= pretraining.knn_accuracy(encoder, *halves, k=2) <= 1
    probe = pretraining.linear_probe(encoder, 3)
    before = encoder.get_weights()
    probe.compile("sgd", run_eagerly=True)
    probe.fit(x, LABELS, batch_size=6, verbose=0)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    classifier = pretraining.finetune(encoder, 3)
    classifier.compile("sgd", run_eagerly=True)
    assert np.isfinite(classifier.fit(x, LABELS, batch_size=6, verbose=0).history["loss"]).all()
    check_export(classifier, x, folder / "classifier")


LARGE = ("backbone", "resnet")
ALIKE = ("BarlowTwins", "VICReg")  # they differ from SimCLR in a loss of embeddings, so one encoder is enough
METHODS = [method for method in PRETRAINERS if method not in ALIKE]
CASES = [case for case in itertools.product(ENCODERS, METHODS) if case[0] not in LARGE]
CASES += itertools.product(("only call",), ALIKE)
CASES += itertools.product(LARGE, ("SimCLR",))  # which takes a quarter of a minute each


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "method"), CASES)
def test_pretraining(encoder, method, tmp_path):
    if method == "SimCLR in chunks" and encoder == "frozen part":
        pytest.skip("batch norm is refused there")
    check_pretraining(method, ENCODERS[encoder](), tmp_path)


@pytest.mark.parametrize(
    "encoder",
    mostly_slow(ENCODERS, ["only call"]),
)
def test_use(encoder, tmp_path):
    check_use(ENCODERS[encoder](), tmp_path)


@pytest.mark.slow
def test_greedy_pretraining_trains_the_layers_of_nested_models():
    encoder = keras.Sequential([nested(), keras.Sequential([DENSE(4, "tanh")])])
    blocks = pretraining.pretrain_greedily(encoder, X, epochs=1, loss="squared_error")
    assert len(blocks) == 3


def test_greedy_pretraining_names_a_shared_layer():
    with pytest.raises(InputError, match=r"the layer 'dense\w*', used 2 times"):
        pretraining.pretrain_greedily(shared(), X, epochs=1)


def test_head_inside_a_nested_model_is_found():
    network = keras.Sequential([keras.layers.Flatten(), networks.mlp((4,), num_classes=3)])
    assert pretraining.finetune(network, 3).head is None
    with pytest.raises(InputError, match="'logits'"):
        pretraining.SimCLR(network)


def test_forward_shows_the_layers_of_nested_models():
    z, activations = networks.forward(keras.Sequential([networks.mlp((4,), num_classes=3)]), X)
    assert [each.shape[1] for each in z] == [4, 3]
    assert len(activations) == 3


# Files


def autoencoder(**kwargs):
    return pretraining.Autoencoder(networks.mlp((4,), num_classes=None), loss="squared_error", **kwargs)


def small(kind):
    return lambda **kwargs: kind(networks.mlp((4,), num_classes=None), projector=(4,), **kwargs)


def masked_images(**kwargs):
    encoder = networks.PatchEncoder(4, width=8, depth=1, dtype=kwargs.get("dtype"))
    return pretraining.MaskedAutoencoder(encoder, decoder_width=8, **kwargs)


def classifier(**kwargs):
    return pretraining.Classifier(networks.mlp((4,), num_classes=None), 3, **kwargs)


MODELS = {
    "PatchEncoder": lambda **kwargs: networks.PatchEncoder(4, width=8, depth=1, **kwargs),
    "Autoencoder": autoencoder,
    "RBM": lambda **kwargs: pretraining.RBM(4, **kwargs),
    "BYOL": small(pretraining.BYOL),
    "SimCLR": small(pretraining.SimCLR),
    "MaskedAutoencoder": masked_images,
    "Classifier": classifier,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_file_keeps_dtype_and_trainable(name, when, tmp_path):
    """Both set when the model is made, before it is built, or frozen afterwards."""
    frozen = {"trainable": False} if when == "before" else {}
    model = MODELS[name](dtype="mixed_bfloat16", **frozen)
    model(X)
    model.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == "mixed_bfloat16"
    assert not loaded.trainable
    assert not keras.Sequential([keras.Input(X.shape[1:]), loaded]).trainable_variables
    np.testing.assert_array_equal(outputs(loaded, X), outputs(model, X))


def test_parts_that_the_kit_makes_have_the_policy_of_the_model():
    model = small(pretraining.BYOL)(dtype="mixed_bfloat16")
    model.build_for(X)
    for part in (model.projector, model.predictor, model.teacher_projector):
        assert part(np.ones((2, 4), "float32")).dtype == "bfloat16"
    assert model.teacher_encoder.compute_dtype == model.encoder.compute_dtype == "float32"


LOADING = """
import sys
import tf_kit
assert "keras" not in sys.modules
import keras, numpy as np
x, expected = np.load(sys.argv[2]), np.load(sys.argv[3])
np.testing.assert_allclose(keras.saving.load_model(sys.argv[1])(x), expected, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BYOL", "Classifier"])
def test_import_of_the_kit_is_enough_to_load(name, tmp_path):
    model = MODELS[name]()
    model.compile("adam", run_eagerly=True)
    model.fit(X, LABELS if name == "Classifier" else None, verbose=0)
    files = [tmp_path / each for each in ("model.keras", "x.npy", "expected.npy")]
    model.save(files[0])
    np.save(files[1], X)
    np.save(files[2], outputs(model, X))
    subprocess.run([sys.executable, "-c", LOADING, *map(str, files)], check=True, capture_output=True)


@pytest.mark.slow
def test_another_backend_is_refused_in_one_line():
    program = [sys.executable, "-c", "from tf_kit import pretraining; pretraining.SimCLR"]
    done = subprocess.run(program, env={"KERAS_BACKEND": "no_backend"}, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("tf_kit.errors.InputError: `KERAS_BACKEND` must")


# Data


@pytest.mark.parametrize(
    ("make", "x", "message"),
    [
        (lambda: pretraining.RBM(4), 255 * X, 'visible="gaussian"'),
        (lambda: pretraining.RBM(4), (255 * X).astype("uint8"), "values from 0 to 25"),
        (lambda: pretraining.RBM(4), X - 0.5, r"values from -0\.\d+ to"),
        (lambda: pretraining.RBM(4, visible="gaussian"), 255 * X, "design.Standardize"),
        (small(pretraining.SimCLR), 255 * X, "Divide images of 0…255 by 255"),
        (small(pretraining.SimCLR), tf.data.Dataset.from_tensors(255 * X), "Divide images"),
        (masked_images, 255 * X, "Divide images"),
        (lambda: with_decoder(pretraining.MaskedVectors)(OnlyCall(5)), 255 * X, "Divide images"),
        (small(pretraining.SimCLR), {"image": X}, "Received: dict"),
        (small(pretraining.SimCLR), [X, X], "np.stack"),
        (small(pretraining.SimCLR), (each for each in [X]), "from_generator"),
        (small(pretraining.SimCLR), tf.data.Dataset.from_tensors({"image": X}), r"batches \(dict\)"),
        (small(pretraining.SimCLR), tf.data.Dataset.from_tensor_slices(X), "dataset.batch"),
        (small(pretraining.SimCLR), tf.data.Dataset.from_tensors(X).repeat(), "an endless data set"),
    ],
)
def test_refuses_data_that_a_method_cannot_learn_from(make, x, message):
    model = make()
    model.compile("sgd")
    for use in (model.fit, model.evaluate):
        with pytest.raises(InputError, match=message) as refused:
            use(x, verbose=0)
        assert "\n" not in str(refused.value)


def test_encoder_that_scales_its_inputs_takes_any():
    encoder = keras.Sequential([keras.layers.Rescaling(1 / 255), networks.mlp((4,), num_classes=None)])
    model = pretraining.SimCLR(encoder, projector=(4,))
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.fit(255 * X, verbose=0).history["loss"]).all()


def test_two_inputs_are_refused():
    inputs = [keras.Input((3,), name="left"), keras.Input((3,), name="right")]
    encoder = keras.Model(inputs, keras.layers.Concatenate()(inputs))
    for make in (pretraining.SimCLR, lambda encoder: pretraining.finetune(encoder, 3)):
        with pytest.raises(InputError, match="2 inputs, left, right"):
            make(encoder)


@pytest.mark.slow
def test_float64_everywhere():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        for arguments in ({}, {"persistent": True}, {"visible": "gaussian"}):
            model = pretraining.RBM(4, **arguments)
            model.compile("sgd", run_eagerly=True)
            model.fit(X.astype("float64"), verbose=0)
            assert model.free_energy(X).dtype == "float64"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def test_interception_keeps_the_patch_for_empty_batches():
    layer = keras.layers.Conv2D(2, 3)
    accept_empty_batches(keras.Sequential([layer]))
    patched = layer.call
    with intercepted([layer, layer], lambda layer, call: call):
        pass
    assert layer.call is patched
