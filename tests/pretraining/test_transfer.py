"""Classifiers on an encoder: compiled fine-tuning and probe, nearest neighbors against loops."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from oracles import pretraining as oracle
from sklearn.neighbors import KNeighborsClassifier
from support.twins import wrong_twin

from tf_kit import networks, optimizers
from tf_kit.errors import InputError
from tf_kit.pretraining import Classifier, KNNMonitor, finetune, knn_accuracy, linear_probe, transfer

DENSE = keras.layers.Dense


def examples(n=40, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")


LABELS = np.arange(40) % 3


def check_neighbors(module):
    """Neighbors are the nearest by the cosine of representations, which the length of an example does not change."""
    rng = np.random.default_rng(3)
    train = SimpleNamespace(x=rng.normal(size=(30, 2)) + 0.3, y=np.arange(30) % 3)
    test = SimpleNamespace(x=rng.normal(size=(20, 2)) + 0.3, y=np.arange(20) % 3)
    train.x, test.x = (split.x * np.geomspace(0.01, 10, len(split.x))[:, None] for split in (train, test))
    model = keras.Sequential([keras.Input((2,)), DENSE(2, use_bias=False)])
    model.set_weights([np.array([[2.0, 0.5], [-0.3, 1.0]])])
    known, queries = (split.x @ model.get_weights()[0].astype("float64") for split in (train, test))
    for k in (1, 4, 30):
        classes = oracle.nearest_neighbor_classes(known, train.y, queries, k)
        assert module.knn_accuracy(model, train, test, k=k) == pytest.approx(np.mean(classes == test.y))


def test_neighbors():
    check_neighbors(transfer)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('metric="cosine"', 'metric="euclidean"'),
        ("n_neighbors=k", "n_neighbors=1"),
        ("represent(encoder, split.x)", "split.x"),
    ],
)
def test_wrong_twin(right, wrong):
    with pytest.raises(AssertionError):
        check_neighbors(wrong_twin(transfer, right, wrong))


def test_finetune_and_linear_probe_are_compiled():
    for make, frozen, rate in ((finetune, False, 0.002), (linear_probe, True, 0.02)):
        model = make(keras.layers.Identity(), num_classes=3, learning_rate=rate, seed=5)
        assert isinstance(model, Classifier)
        assert isinstance(model.optimizer, optimizers.Adam)
        assert (model.frozen, model.seed) == (frozen, 5)
        assert float(model.optimizer.learning_rate) == pytest.approx(rate)


@pytest.mark.slow
def test_finetune_takes_the_steps_of_the_adam_of_keras():
    """Up to rounding and the place of epsilon, of which Keras's shows while t is small."""
    weights = []
    for optimizer in (None, keras.optimizers.Adam(0.001)):
        model = finetune(networks.mlp((16,), num_classes=None, input_shape=(6,)), num_classes=3)
        if optimizer is not None:
            model.compile(optimizer)
        model.prepare_from(examples(), LABELS)
        before = model.get_weights()
        model.fit(examples(), LABELS, batch_size=8, epochs=4, verbose=0)
        weights.append(model.get_weights())
    for start, ours, theirs in zip(before, *weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3 * np.abs(theirs - start).max())


@pytest.mark.slow
def test_probe_separates_linearly_separable_classes():
    x = examples()
    y = (x[:, 0] > 0).astype(int)
    model = linear_probe(keras.layers.Identity(), num_classes=2, learning_rate=0.1)
    model.compile(model.optimizer, run_eagerly=True)
    history = model.fit(x, y, batch_size=40, epochs=40, verbose=0).history
    assert history["accuracy"][-1] > 0.95


@pytest.mark.parametrize("columns", [(), (1,)], ids=["(n,)", "(n, 1)"])
def test_accuracy_equals_that_of_scikit_learn(columns):
    x, model, y = examples(), networks.mlp((5,), num_classes=None), LABELS.reshape(-1, *columns)
    train, test = SimpleNamespace(x=x[:30], y=y[:30]), SimpleNamespace(x=x[30:], y=y[30:])
    theirs = KNeighborsClassifier(7, metric="cosine").fit(model(train.x), LABELS[:30])
    ours = knn_accuracy(model, train, test, k=7)
    assert ours == pytest.approx(theirs.score(model(test.x), LABELS[30:]))


@pytest.mark.parametrize(
    ("k", "message"),
    [(0, "k=0"), (41, "k=41"), (1, "40 of 40 test examples that are also in train")],
)
def test_refusals(k, message):
    split = SimpleNamespace(x=examples(), y=LABELS)
    with pytest.raises(ValueError, match=message):
        knn_accuracy(keras.layers.Flatten(), split, split, k=k)


@pytest.mark.parametrize("part", ["train", "test"])
def test_values_that_are_not_finite_are_refused(part):
    splits = {name: SimpleNamespace(x=examples(), y=LABELS) for name in ("train", "test")}
    splits[part].x = np.where(
        np.arange(len(LABELS))[:, None] == 3, np.nan, splits[part].x.reshape(len(LABELS), -1)
    )
    with pytest.raises(ValueError, match=rf"`knn_accuracy\.{part}\.x` must be finite"):
        knn_accuracy(keras.layers.Flatten(), **splits)


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("kind", ["unlabelled", "one-hot", "names", "fractions", "too few", "none"])
def test_labels_that_are_not_classes_are_refused(kind, part):
    """By the monitor as by the function: rows of −1 would be one more class."""
    y = {
        "unlabelled": np.where(np.arange(len(LABELS)) % 2, LABELS, -1),
        "one-hot": np.eye(LABELS.max() + 1)[LABELS],
        "names": LABELS.astype(str),
        "fractions": LABELS + 0.5,
        "too few": LABELS[1:],
        "none": None,
    }[kind]
    train, val = (SimpleNamespace(x=x, y=LABELS) for x in (examples(), examples() + 1))
    KNNMonitor(train, val)
    vars({"train": train, "val": val}[part])["y"] = y
    with pytest.raises(InputError, match=f"`KNNMonitor.{part}: y` must hold"):
        KNNMonitor(train, val)
    name = "train" if part == "train" else "test"
    with pytest.raises(InputError, match=f"`knn_accuracy.{name}: y` must hold"):
        knn_accuracy(keras.layers.Flatten(), train, val)


def test_tuples_are_refused_as_splits():
    split = SimpleNamespace(x=examples(), y=LABELS)
    with pytest.raises(ValueError, match=r"`knn_accuracy\.test` must have attributes x and y.*a tuple"):
        knn_accuracy(keras.layers.Flatten(), split, (split.x, split.y))
