"""From encoder to classifier: cost by hand, what is trained and what is not, neighbors by hand."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from sklearn.neighbors import KNeighborsClassifier
from support.twins import wrong_twin

from tf_kit import networks
from tf_kit.pretraining import Classifier, finetune, knn_accuracy, linear_probe, transfer
from tf_kit.training import classifier as classifier_module
from tf_kit.training.representation import represent

DENSE = keras.layers.Dense


def examples(n=40, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")


LABELS = np.arange(40) % 3


def encoder():
    """Dense, batch normalization, sigmoid, dropout: all that can change in training."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            DENSE(4, use_bias=False),  # normalization takes any bias away again
            keras.layers.BatchNormalization(),
            keras.layers.Activation("sigmoid"),
            keras.layers.Dropout(0.5),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, each.shape) for each in model.get_weights()])
    return model


def eager(classifier, **compiled):
    classifier.compile(classifier.optimizer, run_eagerly=True, **compiled)
    return classifier


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


def check_fine_tuning_trains_all(module):
    model = classifier(module)
    model.prepare(examples()[:1], LABELS[:1])
    before = model.get_weights()
    model.fit(examples(), LABELS, batch_size=10, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.any(old != new)


def check_probing_leaves_the_encoder_alone(module):
    """No weight, no moving statistic, no dropout; the head learns on the encoder's inference outputs."""
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


def check_an_encoder_that_ends_in_logits(module):
    """It brings the head: none is added, and a probe trains this one alone."""
    for frozen in (False, True):
        network = networks.mlp((4,), num_classes=3, input_shape=(6,), seed=0)
        model = module.Classifier(network, num_classes=3, frozen=frozen)
        model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
        before = network.get_weights()
        np.testing.assert_array_equal(model(examples()), network(examples()))
        model.fit(examples(), LABELS, batch_size=20, verbose=0)
        changed = [bool(np.any(a != b)) for a, b in zip(before, network.get_weights(), strict=True)]
        assert changed == [not frozen, not frozen, True, True]
        assert len(model.get_weights()) == 4


def check_neighbors(module):
    """The vote by cosine, in the encoder's representation; shrinking an example changes no cosine."""
    rng = np.random.default_rng(3)
    train = SimpleNamespace(x=rng.normal(size=(30, 2)) + 0.3, y=np.arange(30) % 3)
    test = SimpleNamespace(x=rng.normal(size=(20, 2)) + 0.3, y=np.arange(20) % 3)
    train.x, test.x = (split.x * np.geomspace(0.01, 10, len(split.x))[:, None] for split in (train, test))
    model = keras.Sequential([keras.Input((2,)), DENSE(2, use_bias=False)])
    model.set_weights([np.array([[2.0, 0.5], [-0.3, 1.0]])])
    voters, queries = (split.x @ model.get_weights()[0].astype("float64") for split in (train, test))
    for k in (1, 4, 30):
        votes = oracle.nearest_neighbor_votes(voters, train.y, queries, k)
        assert module.knn_accuracy(model, train, test, k=k) == pytest.approx(np.mean(votes == test.y))


CHECKS = {
    check_cost_and_accuracy: classifier_module,
    check_fine_tuning_trains_all: classifier_module,
    check_probing_leaves_the_encoder_alone: classifier_module,
    check_an_encoder_that_ends_in_logits: classifier_module,
    check_neighbors: transfer,
}


@pytest.mark.parametrize("check", CHECKS)
def test_theorem(check):
    check(CHECKS[check])


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_cost_and_accuracy, "y, z, from_logits=True)  # (2)", "y, z, from_logits=False)"),
        (check_cost_and_accuracy, "ops.argmax(z, -1)", "ops.argmin(z, -1)"),
        (check_fine_tuning_trains_all, "if not self.frozen:", "if False:"),
        (check_an_encoder_that_ends_in_logits, "if not self.frozen:", "if True:"),
        (check_an_encoder_that_ends_in_logits, "last.name == HEAD", "last.name != HEAD"),
        (check_probing_leaves_the_encoder_alone,
         "r = self.encoder(x, training=training and not self.frozen)", "r = self.encoder(x, training=training)"),
        (check_neighbors, 'metric="cosine"', 'metric="euclidean"'),
        (check_neighbors, "n_neighbors=k", "n_neighbors=1"),
        (check_neighbors, "represent(encoder, split.x)", "split.x"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(CHECKS[check], right, wrong))


def test_finetune_and_linear_probe_come_compiled():
    for make, frozen, rate in ((finetune, False, 0.002), (linear_probe, True, 0.02)):
        model = make(encoder(), num_classes=3, learning_rate=rate, seed=5)
        assert isinstance(model, Classifier)
        assert isinstance(model.optimizer, keras.optimizers.Adam)
        assert (model.frozen, model.seed) == (frozen, 5)
        assert float(model.optimizer.learning_rate) == pytest.approx(rate)


def test_a_probe_separates_what_is_separable():
    x = examples()
    y = (x[:, 0] > 0).astype(int)
    model = eager(linear_probe(keras.layers.Identity(), num_classes=2, learning_rate=0.1))
    history = model.fit(x, y, batch_size=40, epochs=40, verbose=0).history
    assert history["accuracy"][-1] > 0.95


@pytest.mark.parametrize("frozen", [False, True])
def test_a_saved_classifier_goes_on_as_it_was(frozen, tmp_path):
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


def test_neighbors_are_those_of_scikit_learn():
    x, model = examples(), networks.mlp((5,), num_classes=None)
    train, test = SimpleNamespace(x=x[:30], y=LABELS[:30]), SimpleNamespace(x=x[30:], y=LABELS[30:])
    theirs = KNeighborsClassifier(7, metric="cosine").fit(model(train.x), train.y)
    ours = knn_accuracy(model, train, test, k=7)
    assert ours == pytest.approx(theirs.score(model(test.x), test.y))


def test_represent_runs_once_over_arrays_and_data_sets(tmp_path):
    x, model = examples(), encoder()
    expected = np.asarray(model(x))
    np.testing.assert_allclose(represent(model, x, batch_size=7), expected, rtol=1e-6)
    dataset = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(7)
    for cache in (None, tmp_path / "cache"):
        inputs, labels = zip(*represent(model, dataset, cache), strict=True)
        np.testing.assert_allclose(np.concatenate(inputs), expected, rtol=1e-6)
        np.testing.assert_array_equal(np.concatenate(labels), LABELS)
    (unlabelled,) = represent(model, tf.data.Dataset.from_tensors(x))
    np.testing.assert_allclose(unlabelled, expected, rtol=1e-6)


def fit(y, num_classes=3):
    return Classifier(encoder(), num_classes).fit(examples(), y, verbose=0)


def neighbors(k):
    split = SimpleNamespace(x=examples(), y=LABELS)
    return knn_accuracy(encoder(), split, split, k=k)  # which share all examples


@pytest.mark.parametrize(
    ("act", "says"),
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
        (lambda: Classifier(keras.layers.Identity(), 3).prepare(np.zeros((1, 4, 2))), r"shape \(None, 4, 2\)"),
        (lambda: neighbors(0), "k=0"),
        (lambda: neighbors(41), "k=41"),
        (lambda: neighbors(1), "40 of 40 test examples that are also in train"),
    ],
)
def test_refusals(act, says):
    with pytest.raises(ValueError, match=says):
        act()


@pytest.mark.parametrize("y", [LABELS[:, None], LABELS.astype("float32"), LABELS.astype("uint8")])
def test_labels_of_other_kinds(y):
    plain, other = classifier(seed=0), classifier(seed=0)
    plain.encoder.layers[-1].rate = other.encoder.layers[-1].rate = 0
    histories = [
        model.fit(examples(), labels, batch_size=20, verbose=0).history["accuracy"]
        for model, labels in ((plain, LABELS), (other, y))
    ]
    assert histories[0] == histories[1]
