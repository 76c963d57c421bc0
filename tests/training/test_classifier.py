"""Classifier: cost against loops, trained and frozen parts, labels, and losses given to `compile`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit import data, networks
from tf_kit.errors import InputError
from tf_kit.pretraining import Autoencoder, SimCLR, finetune, linear_probe
from tf_kit.training import Classifier
from tf_kit.training import classifier as classifier_module

LABELS = np.arange(40) % 3


def examples(n=40, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")


def encoder():
    """Encoder with all kinds of state and randomness that training could change."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, use_bias=False),  # normalization would remove a bias
            keras.layers.BatchNormalization(),
            keras.layers.Activation("sigmoid"),
            keras.layers.Dropout(0.5),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, each.shape) for each in model.get_weights()])
    return model


def classifier(module=classifier_module, **arguments):
    model = module.Classifier(encoder(), num_classes=3, **arguments)
    model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
    return model


def check_cost_and_accuracy(module):
    x, model = examples(), classifier(module)
    model.prepare(x[:1], LABELS[:1])
    r = np.asarray(model.encoder(x), "float64")
    V, a = (np.asarray(each, "float64") for each in model.head.get_weights())
    values, z = model.per_example(x, LABELS[:, None], None, training=False)
    np.testing.assert_allclose(z, r @ V + a, rtol=1e-4, atol=1e-5)  # (1)
    one_by_one = [oracle.softmax_cost(r[i : i + 1], V.T, a, LABELS[i : i + 1]) for i in range(40)]
    np.testing.assert_allclose(values["loss"], one_by_one, rtol=1e-5)  # (2)
    np.testing.assert_array_equal(values["accuracy"], (r @ V + a).argmax(axis=1) == LABELS)


def check_fine_tuning_trains_all_weights(module):
    model = classifier(module)
    model.prepare(examples()[:1], LABELS[:1])
    before = model.get_weights()
    model.fit(examples(), LABELS, batch_size=10, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.any(old != new)


def check_probe_does_not_change_the_encoder(module):
    """No weight and no moving statistic changes; the head is trained on the encoder's outputs without dropout."""
    model = classifier(module, frozen=True)
    model.prepare(examples()[:1], LABELS[:1])
    before, head = model.encoder.get_weights(), model.head.get_weights()
    r = np.asarray(model.encoder(examples()), "float64")
    model.fit(examples(), LABELS, batch_size=40, verbose=0)
    for old, new in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    V, a = (each.astype("float64") for each in head)
    by_hand = oracle.central_differences(lambda: oracle.softmax_cost(r, V.T, a, LABELS), V)
    np.testing.assert_allclose(model.head.kernel.numpy(), V - 0.5 * by_hand, atol=1e-5)


def check_encoder_with_a_head(module):
    """The last layer of the encoder is the head: no other is added, and a probe trains only this one."""
    for frozen in (False, True):
        network = networks.mlp((4,), num_classes=3, input_shape=(6,), seed=0)
        model = module.Classifier(network, num_classes=3, frozen=frozen)
        model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
        before = network.get_weights()
        np.testing.assert_array_equal(model(examples()), network(examples()))
        model.fit(examples(), LABELS, batch_size=20, verbose=0)
        changed = [bool(np.any(a != b)) for a, b in zip(before, network.get_weights(), strict=True)]
        assert changed == [not frozen, not frozen, True, True]
        assert len(model.trained_variables) == (2 if frozen else 4)
        assert len(model.get_weights()) == 4


CHECKS = [
    check_cost_and_accuracy,
    check_fine_tuning_trains_all_weights,
    check_probe_does_not_change_the_encoder,
    check_encoder_with_a_head,
]


@pytest.mark.parametrize("check", CHECKS)
def test_training(check):
    check(classifier_module)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_cost_and_accuracy, "y, z, from_logits=True)  # (2)", "y, z, from_logits=False)"),
        (check_cost_and_accuracy, "ops.argmax(z, -1)", "ops.argmin(z, -1)"),
        (check_fine_tuning_trains_all_weights, "if not self.frozen:", "if False:"),
        (check_encoder_with_a_head, "if not self.frozen:", "if True:"),
        (check_encoder_with_a_head, "last.name == HEAD", "last.name != HEAD"),
        (check_probe_does_not_change_the_encoder,
         "r = self.encoder(x, training=training and not self.frozen)", "r = self.encoder(x, training=training)"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(classifier_module, right, wrong))


def check_frozen_encoder_stays_in_another_model(module):
    """With an output layer of the classifier or of the network, as a part of a Keras model and of a classifier."""
    for network in (encoder(), networks.mlp((4,), num_classes=3, input_shape=(6,))):
        inner = module.Classifier(network, num_classes=3, frozen=True)
        inner.build((None, 6))
        outputs = keras.Input((6,))
        logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for model, loss in (
            (keras.Model(outputs, keras.layers.Dense(3)(inner(outputs))), logits),
            (module.Classifier(keras.Sequential([inner, keras.layers.ReLU()]), num_classes=3), None),
        ):
            before = inner.get_weights()
            model.compile(keras.optimizers.SGD(0.5), loss)
            model.fit(examples(), LABELS, verbose=0)
            changed = [(a != b).any() for a, b in zip(before, inner.get_weights(), strict=True)]
            assert changed == [False] * (len(changed) - 2) + [True, True]


@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_frozen_encoder_stays_in_another_model():
    check_frozen_encoder_stays_in_another_model(classifier_module)
    twin = wrong_twin(classifier_module, "call(ops.stop_gradient(inputs), *args", "call(inputs, *args")
    with pytest.raises(AssertionError):
        check_frozen_encoder_stays_in_another_model(twin)


@pytest.mark.parametrize("frozen", [False, True])
def test_saved_classifier_continues_as_the_original(frozen, tmp_path):
    model = Classifier(networks.mlp((4,), num_classes=None), num_classes=3, frozen=frozen, seed=2)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(examples(), LABELS, batch_size=20, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.frozen, loaded.num_classes, loaded.seed) == (frozen, 3, 2)
    np.testing.assert_array_equal(loaded(examples()), model(examples()))
    for each in (model, loaded):
        each.fit(examples(), LABELS, batch_size=20, verbose=0)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("y", [LABELS[:, None], LABELS.astype("float32"), LABELS.astype("uint8")])
def test_labels_of_other_shapes_and_types(y):
    plain, other = classifier(seed=0), classifier(seed=0)
    plain.encoder.layers[-1].rate = other.encoder.layers[-1].rate = 0
    histories = [
        model.fit(examples(), labels, batch_size=20, verbose=0).history["accuracy"]
        for model, labels in ((plain, LABELS), (other, y))
    ]
    assert histories[0] == histories[1]


def fit(y, num_classes=3):
    return Classifier(encoder(), num_classes).fit(examples(), y, verbose=0)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Classifier(encoder(), num_classes=1), "num_classes=1"),
        (lambda: Classifier(networks.mlp((4,), num_classes=3), num_classes=4), "num_classes=4"),
        (lambda: fit(None), "y=None"),
        (lambda: Classifier(encoder(), 3).evaluate(examples()), "evaluate.y"),
        (lambda: fit(LABELS, num_classes=2), "labels from 0 to 2"),
        (lambda: fit(LABELS - 1), "labels from -1 to 1"),
        (lambda: fit(LABELS + 0.5), "labels from 0.5 to 2.5"),
        (lambda: fit(np.eye(3)[LABELS]), r"y.shape=\(40, 3\)"),
        (lambda: fit(LABELS[:7]), "40 examples, 7 targets"),
        (
            lambda: Classifier(keras.layers.Identity(), 3).prepare(np.zeros((1, 4, 2))),
            r"shape \(None, 4, 2\)",
        ),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()


# Losses given to `compile`


@pytest.fixture(scope="module")
def digits():
    train, _, _ = data.load("digits", seed=0)
    return train.x[:150], train.y[:150]


def compiled_classifier(**compiled):
    model = Classifier(networks.mlp((16,), num_classes=None, seed=0), 10, seed=0)
    model.compile(optimizer=keras.optimizers.SGD(0.5), **compiled)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled",
    [
        {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": ["accuracy"]},
        {"loss": networks.SoftmaxCrossEntropy()},
    ],
    ids=["keras", "tf_kit"],
)
def test_given_cross_entropy_trains_like_the_default_one(digits, compiled):
    own, given = compiled_classifier(), compiled_classifier(**compiled)
    expected = own.fit(*digits, batch_size=40, epochs=2, verbose=0).history
    history = given.fit(*digits, batch_size=40, epochs=2, verbose=0).history
    assert history.keys() == expected.keys()
    for name in history:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-5)
    for ours, theirs in zip(given.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert len(given.evaluate(*digits, verbose=0)) == 2, "loss and accuracy, each once"


def test_given_function_is_the_loss(digits):
    model = compiled_classifier(
        loss=lambda y, z: keras.ops.square(z - keras.ops.one_hot(keras.ops.cast(y, "int32"), 10))
    )
    x, y = digits
    z = model(x).numpy()
    expected = np.mean((z - np.eye(10)[y]) ** 2)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0)[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    ["sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()],
    ids=["name", "object"],
)
def test_refuses_a_loss_of_probabilities(loss):
    with pytest.raises(InputError, match="take logits"):
        compiled_classifier(loss=loss)


def test_saved_classifier_keeps_its_loss(digits, tmp_path):
    model = compiled_classifier(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.evaluate(*digits, verbose=0), model.evaluate(*digits, verbose=0), rtol=1e-6
    )


def test_pretrainer_refuses_a_loss(digits):
    model = Autoencoder(networks.mlp((4,), num_classes=None, seed=0))
    model.compile(optimizer="sgd", loss="mse")
    with pytest.raises(InputError, match="left out"):
        model.fit(digits[0], verbose=0)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("runs/mine", "Received: str. keras.models.load_model reads a saved one: encoder.keras"),
        (None, "Received: NoneType. networks.mlp"),
        (keras.applications.MobileNetV2, r"Received: function. Call MobileNetV2\(…\), which makes one"),
        (keras.layers.Dense, r"Call Dense\(…\)"),
    ],
)
@pytest.mark.parametrize("make", [Classifier, finetune, linear_probe, SimCLR])
def test_what_is_no_encoder_is_refused_in_one_line(make, encoder, message):
    options = {} if make is SimCLR else {"num_classes": 3}
    with pytest.raises(InputError, match=f"be a Keras layer or model. .*{message}") as caught:
        make(encoder, **options)
    assert "\n" not in str(caught.value)


METRICS = keras.metrics


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("categorical_accuracy", "take class numbers.*: sparse_categorical_accuracy"),
        (METRICS.CategoricalAccuracy(), "take class numbers"),
        (METRICS.categorical_crossentropy, "take class numbers"),
        ("sparse_categorical_crossentropy", "take logits"),
        ("crossentropy", "take logits. Received: crossentropy"),
        (METRICS.SparseCategoricalCrossentropy(), "take logits"),
        *(
            (each, r"take class numbers \(n,\) and logits \(n, classes\)")
            for each in (
                "mse",
                "mae",
                "binary_accuracy",
                "precision",
                "AUC",
                METRICS.F1Score(),
                METRICS.Mean(),
            )
        ),
        ("nosuch", "name metrics of Keras"),
        (5, "name metrics of Keras"),
    ],
)
@pytest.mark.parametrize("name", ["metrics", "weighted_metrics"])
def test_metrics_that_do_not_take_labels_and_logits_are_refused(name, metric, message):
    with pytest.raises(InputError, match=f"compile.{name}` must {message}") as caught:
        Classifier(encoder(), 3).compile("sgd", **{name: ["accuracy", metric]})
    assert "\n" not in str(caught.value)


class Steps(METRICS.Metric):
    """A metric without a complete configuration, which cannot be tried."""

    def __init__(self, start):
        super().__init__(name="steps")
        self.total = self.add_weight(name="total", initializer="zeros")
        self.start = start

    def update_state(self, y, z, sample_weight=None):
        self.total.assign_add(1.0)

    def result(self):
        return self.total + self.start


def test_metrics_that_take_labels_and_logits_are_reported():
    top = METRICS.SparseTopKCategoricalAccuracy(2, name="top")
    cost = METRICS.SparseCategoricalCrossentropy(from_logits=True, name="cost")
    model = Classifier(encoder(), 3)
    model.compile(keras.optimizers.SGD(0.0), metrics=["sparse_categorical_accuracy", top, cost, Steps(5)])
    found = model.fit(examples(), LABELS, batch_size=40, verbose=0).history
    assert found["steps"] == [6.0]
    assert found["cost"] == pytest.approx(found["loss"])
    assert found["sparse_categorical_accuracy"] == found["accuracy"]
    assert found["top"] >= found["accuracy"]
    assert float(top.count) == 40, "the trial has not counted"


TOKENS = np.arange(12).reshape(4, 3) % 7


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            TOKENS - 1,
            r"contain only the tokens 0 … 6\. Received: tokens from -1 to 5\. Padding is a token too",
        ),
        (TOKENS + 1, "contain only the tokens 0 … 6. Received: tokens from 1 to 7"),
        (TOKENS + 0.5, "contain only the tokens|hold whole numbers, which are tokens. Received: 0.5"),
        (TOKENS * np.nan, "contain only the tokens"),
        (tf.data.Dataset.from_tensors((TOKENS - 1, np.zeros(4, int))), "contain only the tokens"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_tokens_are_checked_as_in_pretraining(method, x, message):
    """An embedding takes −1 for its last row, and 3.9 for 3, without a word."""
    model = finetune(networks.transformer.TokenEncoder(num_tokens=7, width=4, depth=1, num_heads=1), 2)
    model.compile("sgd")
    y = () if isinstance(x, tf.data.Dataset) else (np.zeros(4, int),)
    if y or method != "train_on_batch":
        with pytest.raises(InputError, match=message):
            getattr(model, method)(x, *y)
    np.testing.assert_equal(model.fit(TOKENS.astype("float32"), np.arange(4) % 2, verbose=0).epoch, [0])
