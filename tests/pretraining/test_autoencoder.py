"""Autoencoders: cost and gradient against float64 loops, corruption against its distribution."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit import networks, regularization
from tf_kit.errors import InputError
from tf_kit.pretraining import (
    RBM,
    Autoencoder,
    DenoisingAutoencoder,
    ExampleRandom,
    MaskedVectors,
    autoencoder,
)

LOSSES = {"cross_entropy": oracle.cross_entropy, "squared_error": oracle.squared_error}
ORACLE = {"sigmoid": oracle.sigmoid, "tanh": math.tanh, "linear": lambda z: z}
ONE, DEEP = ((4, "sigmoid"),), ((4, "sigmoid"), (4, "tanh"), (3, "sigmoid"))


def encoder_of(layers, features=4):
    """Sequential of dense layers and activations of the kit, with weights and biases from (−1, 1)."""
    kinds = {"sigmoid": networks.Sigmoid, "tanh": networks.Tanh}
    parts = [keras.Input((features,))]
    for units, activation in layers:
        parts += [keras.layers.Dense(units), kinds[activation]()]
    encoder = keras.Sequential(parts)
    rng = np.random.default_rng(0)
    encoder.set_weights([rng.uniform(-1, 1, each.shape) for each in encoder.get_weights()])
    return encoder


def examples(n=5, features=4, seed=1):
    return np.random.default_rng(seed).random((n, features)).astype("float32")


def model_and_oracle(module, layers, tied, loss):
    """The model, and its layers in the form of the oracle; a tied decoder is a view of the encoder's arrays."""
    model = module.Autoencoder(encoder_of(layers), tied=tied, loss=loss)
    model.build((None, 4))
    rng = np.random.default_rng(2)
    for each in (*model._biases, *model._kernels):
        each.assign(rng.uniform(-1, 1, each.shape))
    functions = [ORACLE[activation] for _, activation in layers]
    kernels, biases = (
        [np.asarray(each, "float64").T for each in model.encoder.get_weights()[k::2]] for k in (0, 1)
    )
    down = [W.T for W in kernels] if tied else [np.asarray(W, "float64").T for W in model._kernels]
    visible = [np.asarray(each, "float64") for each in model._biases]
    encoder = list(zip(kernels, biases, functions, strict=True))
    decoder = list(zip(down, visible, [ORACLE["linear"], *functions[:-1]], strict=True))[::-1]
    return model, encoder, decoder


CASES = [(layers, tied, loss) for layers in (DEEP, ONE) for tied in (True, False) for loss in LOSSES]


def check_cost(module, cases=CASES):
    for layers, tied, loss in cases:
        model, encoder, decoder = model_and_oracle(module, layers, tied, loss)
        x = examples()
        values, outputs = model.per_example(x, None, None, training=True)
        assert outputs is None
        expected = [oracle.autoencoder_cost(each[None], encoder, decoder, LOSSES[loss]) for each in x]
        np.testing.assert_allclose(values["loss"], expected, rtol=1e-5)


def check_gradient(module, cases=CASES):
    for layers, tied, loss in cases:
        model, encoder, decoder = model_and_oracle(module, layers, tied, loss)
        x = examples(n=2)
        with tf.GradientTape() as tape:
            cost = tf.reduce_mean(model.per_example(x, None, None, training=True)[0]["loss"])
        ours = tape.gradient(cost, model.trainable_variables)
        arrays = [array for W, b, _ in encoder for array in (W, b)]
        arrays += [b for _, b, _ in decoder[::-1]] + ([] if tied else [W for W, _, _ in decoder[::-1]])
        variables = [*model.encoder.trainable_variables, *model._biases, *model._kernels]
        by_hand = gradient_by_hand(x.astype("float64"), encoder, decoder, LOSSES[loss], arrays)
        expected = {id(variable): each for variable, each in zip(variables, by_hand, strict=True)}
        for variable, gradient in zip(model.trainable_variables, ours, strict=True):
            np.testing.assert_allclose(gradient, expected[id(variable)], rtol=1e-3, atol=1e-5)


def gradient_by_hand(x, encoder, decoder, loss, arrays):
    """∂cost/∂array by central differences, with matrices transposed to the layout of Keras."""

    def cost():
        return oracle.autoencoder_cost(x, encoder, decoder, loss)

    return [oracle.central_differences(cost, array).T for array in arrays]


def check_reconstruct(module):
    x = examples()
    for layers, tied, loss in CASES:
        model, encoder, decoder = model_and_oracle(module, layers, tied, loss)
        end = ORACLE["sigmoid" if loss == "cross_entropy" else "linear"]
        z = [oracle.propagate(oracle.propagate(each, encoder), decoder) for each in x]
        np.testing.assert_allclose(model.reconstruct(x), np.vectorize(end)(z), rtol=1e-5, atol=1e-6)


def denoiser(module, corruption="masking", rate=0.3):
    return module.DenoisingAutoencoder(encoder_of(ONE), rate=rate, corruption=corruption)


CORRUPTIONS = ("masking", "gaussian", "salt_and_pepper")


def corrupted(module, corruption, x, seed=0, step=0, rate=0.3):
    return np.asarray(denoiser(module, corruption, rate).corrupt(x, ExampleRandom(seed, step, len(x))))


def check_masking(module):
    """Each feature of each example is hidden with probability `rate`, independently."""
    n, features = 2000, 50
    hidden = corrupted(module, "masking", np.ones((n, features), "float32")) == 0
    deviation = math.sqrt(0.3 * 0.7)
    assert abs(hidden.mean() - 0.3) < 5 * deviation / math.sqrt(n * features)
    np.testing.assert_array_less(abs(hidden.mean(axis=0) - 0.3), 5 * deviation / math.sqrt(n))
    # If independent, the number of hidden features of an example is binomial, with variance features · 0.3 · 0.7.
    variance = hidden.sum(axis=1).var()
    assert abs(variance / (features * 0.3 * 0.7) - 1) < 5 * math.sqrt(2 / n)


def check_salt_and_pepper(module):
    n = 100_000
    x = np.full((n // 50, 50), 0.25, "float32")
    seen = corrupted(module, "salt_and_pepper", x)
    assert set(np.unique(seen)) == {0, 0.25, 1}
    for value, share in ((0, 0.15), (0.25, 0.7), (1, 0.15)):
        assert abs(np.mean(seen == value) - share) < 5 * math.sqrt(share * (1 - share) / n)


def check_gaussian(module):
    n = 100_000
    x = np.linspace(0, 1, n, dtype="float32").reshape(-1, 50)
    noise = (corrupted(module, "gaussian", x) - x).ravel()
    assert abs(noise.mean()) < 5 * 0.3 / math.sqrt(n)
    assert abs(noise.var() / 0.3**2 - 1) < 5 * math.sqrt(2 / n)
    assert abs(np.corrcoef(noise, x.ravel())[0, 1]) < 5 / math.sqrt(n)


def check_the_clean_input_is_the_target(module):
    """The loss compares the reconstruction from the corrupted input with the clean input."""
    x = examples(n=6)
    model = denoiser(module)
    model.build((None, 4))
    seen = model.corrupt(x, ExampleRandom(1, 2, 6))
    values, _ = model.per_example(x, None, ExampleRandom(1, 2, 6), training=True)
    expected = autoencoder.reconstruction_loss(x, model.decode(model.encoder(seen)), "cross_entropy")
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-6)
    assert np.abs(seen - x).max() > 0.1


def check_inference_is_clean(module):
    x = examples(n=6)
    for corruption in CORRUPTIONS:
        model, clean = denoiser(module, corruption), module.Autoencoder(encoder_of(ONE))
        model.build_for(x)
        clean.build_for(x)
        values, _ = model.per_example(x, None, ExampleRandom(0, 0, 6), training=False)
        expected, _ = clean.per_example(x, None, None, training=False)
        np.testing.assert_array_equal(values["loss"], expected["loss"])
        np.testing.assert_array_equal(model(x), clean(x))
        np.testing.assert_array_equal(model.reconstruct(x), clean.reconstruct(x))


def check_gradient_of_tied_weights(module):
    """One product for both gradients of W equals automatic differentiation, with dropout, penalties and weights."""
    x, weights = examples(n=7), np.random.default_rng(3).random(7).astype("float32")
    middles = (
        ("sigmoid", []),
        ("linear", [networks.Tanh(), regularization.Dropout(0.4, seed=1)]),
        ("relu", [keras.layers.Dropout(0.4, seed=1)]),
    )
    for activation, after in middles:
        dense = keras.layers.Dense(5, activation, kernel_regularizer="l2")
        model = module.Autoencoder(
            keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten(), dense, *after])
        )
        model.build((None, 2, 2))
        assert module._is_plain(model._stages[0])
        start = [each.numpy() for each in model.variables]
        found = []
        for decoded in (model.decoded, _decoded_by_layers(model)):
            for variable, value in zip(
                model.variables, start, strict=True
            ):  # the states of dropout among them
                variable.assign(value)
            with tf.GradientTape() as tape:
                z = decoded(tf.reshape(x, (-1, 2, 2)), training=True)
                losses = module.reconstruction_loss(x, z, "cross_entropy")
                loss = tf.reduce_sum(weights * losses) + tf.add_n(model.losses)
            found.append([losses, *tape.gradient(loss, [each.value for each in model.trainable_variables])])
        assert len(found[0]) == 4
        for ours, automatic in zip(*found, strict=True):
            np.testing.assert_allclose(ours, automatic, rtol=1e-5, atol=1e-6)


def _decoded_by_layers(model):
    return lambda seen, training: model.decode(model.encoder(seen, training=training))


CHECKS = [
    check_cost,
    check_gradient,
    check_gradient_of_tied_weights,
    check_reconstruct,
    check_masking,
    check_salt_and_pepper,
    check_gaussian,
    check_the_clean_input_is_the_target,
    check_inference_is_clean,
]


@pytest.mark.parametrize("check", CHECKS)
def test_cost_gradient_and_corruption(check):
    check(autoencoder)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_cost, "ops.transpose(self._stages[i].dense.kernel)", "self._stages[i].dense.kernel"),
        (check_cost, "self._stages[i - 1].activate(z)", "self._stages[i].activate(z)"),
        (check_cost, "activate(z) if i else z", "activate(z)"),
        (check_cost, " + ops.cast(self._biases[i], a.dtype)", ""),
        (check_cost, "return 0.5 * ops.sum(ops.square", "return ops.sum(ops.square"),
        (check_cost, "ops.sum(cross_entropy", "ops.mean(cross_entropy"),
        (check_cost, "softplus(z, p) - x * z", "softplus(z, p) + x * z"),
        (check_gradient, "(p - x)", "(x - p)"),
        (check_gradient_of_tied_weights, "concatenate([of_a, h])", "concatenate([h, of_a])"),
        (check_gradient_of_tied_weights, "ops.matmul(of_z, kernel))  # (5)", "ops.ones_like(h))  # (5)"),
        (check_gradient_of_tied_weights, "of_kernel, ops.sum(of_a", "of_kernel, ops.sum(h"),
        (check_cost, "ops.square(x - z)", "ops.square(x + z)"),
        (check_gradient, "ops.cast(kernel, a.dtype)", "ops.stop_gradient(ops.cast(kernel, a.dtype))"),
        (check_reconstruct, 'ops.sigmoid(z) if self', "z if self"),
        (check_masking, "random.uniform(x.shape[1:]) < self.rate", "random.uniform(x.shape[1:]) > self.rate"),
        (check_masking, "masked = random.uniform(x.shape[1:])", "masked = random.uniform((1,))"),
        (check_masking, "(masked, ops.zeros_like(x), x)", "(masked, x, ops.zeros_like(x))"),
        (check_salt_and_pepper, "(masked, salt, x)", "(masked, x, salt)"),
        (check_salt_and_pepper, "< 0.5, x.dtype", "< self.rate, x.dtype"),
        (check_gaussian, "self.rate * random.normal", "self.rate**2 * random.normal"),
        (check_gaussian, "random.normal", "random.uniform"),
        (check_the_clean_input_is_the_target, "reconstruction_loss(x, z, self", "reconstruction_loss(seen, z, self"),
        (check_inference_is_clean, "self.corrupt(x, random) if training else x", "self.corrupt(x, random)"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*does not represent logits")
def test_wrong_twin(check, right, wrong):
    shapes = (ValueError, tf.errors.InvalidArgumentError)  # errors of kernels with the wrong shape
    with pytest.raises((AssertionError, *shapes)):
        check(wrong_twin(autoencoder, right, wrong))


@pytest.mark.parametrize("loss", LOSSES)
def test_decoder_may_be_any_model(loss):
    decoder = keras.Sequential([keras.layers.Dense(6, "tanh"), keras.layers.Dense(4)])
    model = Autoencoder(encoder_of(ONE), decoder=decoder, loss=loss)
    x = examples().reshape(5, 2, 2)
    flat = keras.Sequential([keras.layers.Flatten(), model.encoder])
    model.encoder = flat
    values, _ = model.per_example(x, None, None, training=True)
    z = np.asarray(decoder(flat(x)), "float64")
    expected = [LOSSES[loss](a, b) for a, b in zip(x.reshape(5, 4).astype("float64"), z, strict=True)]
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-5)
    assert model.reconstruct(x).shape == x.shape
    assert {id(v) for v in decoder.trainable_variables} <= {id(v) for v in model.trainable_variables}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corruption_does_not_depend_on_the_number_of_replicas(corruption):
    x, model = examples(n=11), denoiser(autoencoder, corruption)
    whole = np.asarray(model.corrupt(x, ExampleRandom(3, 7, 11)))
    parts, offset = [], 0
    for count in (3, 3, 3, 2):
        part = x[offset : offset + count]
        parts.append(model.corrupt(part, ExampleRandom(3, 7, count, offset, 11)))
        offset += count
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corruption_differs_between_steps_and_seeds(corruption):
    x = examples(n=40)
    first, again = (corrupted(autoencoder, corruption, x) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != corrupted(autoencoder, corruption, x, step=1))
    assert np.any(first != corrupted(autoencoder, corruption, x, seed=1))


def test_rate_of_zero_keeps_the_input():
    x = examples()
    for corruption in CORRUPTIONS:
        np.testing.assert_array_equal(corrupted(autoencoder, corruption, x, rate=0), x)


def test_noise_on_integers_is_not_rounded():
    seen = corrupted(autoencoder, "gaussian", np.zeros((30, 4), "int64"))
    assert np.all(seen != 0)


@pytest.mark.parametrize("z", [1e4, -1e4])
def test_loss_of_extreme_logits(z):
    """The loss is softplus(z) − x z, which is z (1 − x) for large z and −x z for small z."""
    x = np.array([[0.0], [0.3], [1.0]], "float32")
    ours = autoencoder.reconstruction_loss(x, np.full((3, 1), z, "float32"), "cross_entropy")
    np.testing.assert_allclose(ours, np.maximum(z, 0) - x[:, 0] * z, rtol=1e-6)


def test_linear_tied_autoencoder_spans_the_principal_subspace():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 5)) * [2.0, 1.5, 0.3, 0.2, 0.1] @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 1.0
    x = x.astype("float32")
    model = Autoencoder(keras.layers.Dense(2), loss="squared_error", seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(np.tile(x, (50, 1)), batch_size=64, shuffle=False, epochs=10, verbose=0)
    kernel = np.asarray(model.encoder.kernel, "float64")
    span = np.linalg.qr(kernel)[0]
    expected = oracle.principal_subspace(x.astype("float64"), rank=2)
    np.testing.assert_allclose(span @ span.T, expected, atol=0.02)
    assert np.abs(oracle.principal_subspace(x.astype("float64"), rank=1) - expected).max() > 0.2


@pytest.mark.parametrize(
    ("x", "loss"),
    [
        (np.array([[0.0, 1.0]]), "cross_entropy"),
        (np.array([[0.5, 0.5], [-0.1, 0.5]]), "squared_error"),
        (np.array([[0.5, 0.5], [1.1, 0.5]]), "squared_error"),
        (np.array([[0, 90]], "uint8"), "squared_error"),
    ],
)
def test_automatic_loss_depends_on_the_range_of_all_data(x, loss):
    model = Autoencoder(keras.layers.Dense(2, "sigmoid"))
    model.compile("sgd", run_eagerly=True)
    model.prepare(x[:1])
    model.fit(x, verbose=0)
    assert model.loss_name == loss
    evaluated = Autoencoder(keras.layers.Dense(2, "sigmoid"))
    evaluated.compile("sgd", run_eagerly=True)
    evaluated.evaluate(x, verbose=0)
    assert evaluated.get_config()["loss"] == loss


def test_message_names_the_choice_of_an_earlier_fit():
    model = Autoencoder(keras.layers.Dense(2))
    model.check_inputs("fit", examples())
    with pytest.raises(InputError, match=r"'auto' chose for earlier data.*with loss='squared_error'"):
        model.check_inputs("fit", examples() - 0.5)
    given = Autoencoder(keras.layers.Dense(2), loss="cross_entropy")
    with pytest.raises(InputError, match=r"Received: loss='cross_entropy'\.$"):
        given.check_inputs("fit", examples() - 0.5)


class Branching(keras.Model):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Autoencoder(keras.layers.Dense(2), loss="hinge"), "loss='hinge'"),
        (lambda: Autoencoder("dense"), "Received: str"),
        (lambda: Autoencoder(keras.layers.Dense(2), seed=-1), "seed=-1"),
        (lambda: Autoencoder(networks.mlp((4,), num_classes=3)), "ends in the layer 'logits'"),
        (lambda: DenoisingAutoencoder(keras.layers.Dense(2), rate=1.0), "rate=1.0"),
        (lambda: DenoisingAutoencoder(keras.layers.Dense(2), rate=-0.1), "rate=-0.1"),
        (lambda: DenoisingAutoencoder(keras.layers.Dense(2), corruption="blur"), "corruption='blur'"),
        (lambda: Autoencoder(Branching()).prepare(examples()), "a Branching"),
        (
            lambda: Autoencoder(keras.layers.Dense(2), keras.layers.Dense(3)).prepare(examples()),
            r"return the \d features.*outputs of shape \(None, 3\)",
        ),
        (
            lambda: Autoencoder(
                keras.Sequential([keras.layers.Conv1D(3, 2), keras.layers.Flatten(), keras.layers.Dense(2)])
            ).prepare(np.zeros((1, 4, 1), "float32")),
            "inputs of 4 features and a dense layer on 9",
        ),
        (
            lambda: Autoencoder(keras.layers.Dense(2), loss="cross_entropy").fit(examples() - 0.5),
            r"data in \[-0",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_gaussian_noise_may_exceed_one():
    assert DenoisingAutoencoder(keras.layers.Dense(2), rate=1.5, corruption="gaussian").rate == 1.5


@pytest.mark.parametrize("method", [Autoencoder, DenoisingAutoencoder, MaskedVectors, RBM])
def test_refuses_to_mirror_layers_that_reorder_the_features(method):
    """The decoder, and the visible units, are in the order of the flattened inputs."""
    images = np.random.default_rng(0).random((2, 2, 3, 2)).astype("float32")

    def prepare(x, *before):
        encoder = keras.Sequential([*before, keras.layers.Dense(2, "sigmoid")])
        method(encoder=encoder).prepare(x)

    turned = keras.layers.Flatten(data_format="channels_first", name="turned")
    with pytest.raises(InputError, match="'turned', which changes the order"):
        prepare(images, turned)
    with pytest.raises(InputError, match="'permuted'"):
        prepare(images, keras.layers.Permute((2, 1, 3), name="permuted"), keras.layers.Flatten())
    prepare(images.reshape(2, 12), turned)
