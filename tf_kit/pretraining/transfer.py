"""Classifiers on a pretrained encoder: fine-tuning, linear probe, nearest neighbors."""

from typing import Any

import keras

from tf_kit.checks import count, refuse
from tf_kit.data.overlap import refuse_overlap
from tf_kit.data.splits import check_classes
from tf_kit.optimizers import Adam
from tf_kit.training.classifier import Classifier
from tf_kit.training.inputs import check_arrays
from tf_kit.training.representation import represent


def finetune(
    encoder: keras.layers.Layer, num_classes: int, learning_rate: float = 0.001, seed: int = 0
) -> Classifier:
    """Make a classifier that trains all layers of the encoder: supervised fine-tuning.

    Args:
        encoder: pretrained layer or model, trained in place.
        num_classes: number of classes.
        learning_rate: rate of `optimizers.Adam`, with which the classifier is compiled; call `compile` for another
            optimizer. Defaults to 0.001.
        seed: whole number that fixes the output layer's weights and the order of the data. Defaults to 0.

    Returns:
        Compiled `Classifier`; call `fit(x, y, …)`.

    Example:
        >>> from tf_kit import data, networks
        >>> train, val, test = data.load("digits", seed=0)
        >>> classifier = finetune(networks.mlp((64,), num_classes=None), num_classes=10)
        >>> _ = classifier.fit(train.x, train.y, batch_size=32, epochs=10, verbose=0)
        >>> classifier.evaluate(val.x, val.y, return_dict=True, verbose=0)["accuracy"] > 0.8
        True
    """
    classifier = Classifier(encoder, num_classes, seed=seed)
    classifier.compile(optimizer=Adam(learning_rate))
    return classifier


def linear_probe(
    encoder: keras.layers.Layer, num_classes: int, learning_rate: float = 0.01, seed: int = 0
) -> Classifier:
    """Make a classifier that trains only an output layer on the frozen encoder: a linear probe.

    Its accuracy measures how linearly separable the classes are in the representation. The encoder runs in inference
    mode, and none of its variables change.

    Args:
        encoder, num_classes, learning_rate, seed: as for `finetune`; the rate defaults to 0.01.

    Returns:
        Compiled `Classifier`.
    """
    classifier = Classifier(encoder, num_classes, frozen=True, seed=seed)
    classifier.compile(optimizer=Adam(learning_rate))
    return classifier


def knn_accuracy(encoder: keras.layers.Layer, train: Any, test: Any, k: int = 20) -> float:
    """Classify test examples by the majority of their k nearest training examples; return the accuracy.

    Distances are those of the cosine between representations. No parameter is fitted.

    Args:
        encoder: layer or model.
        train: training examples, an object with `.x` and `.y`.
        test: examples to classify, likewise.
        k: number of neighbors. Defaults to 20.

    Returns:
        Accuracy in [0, 1].

    Raises:
        InputError: `k` is out of range, `.y` does not hold classes, or a test example is also a training example, see
            `refuse_overlap`.

    Reference: Wu, Xiong, Yu, Lin, 2018, Unsupervised feature learning via non-parametric instance discrimination,
    arXiv:1805.01978 (there with weighted neighbors).
    """
    check_splits("knn_accuracy", train=train, test=test)
    k = count("knn_accuracy.k", k)
    if k > len(train.x):
        refuse("knn_accuracy.k", f"be at most the {len(train.x)} training examples", f"k={k}")
    refuse_overlap(train, test, ("train", "test"))
    return share_of_votes_right(encoder, train, test, k)


def check_splits(function: str, **splits: Any) -> None:
    """Refuse anything but objects with `.x`, finite numbers, and `.y`, a class for each example.

    Example:
        >>> check_splits("knn_accuracy", train=(0, 1))
        Traceback (most recent call last):
        tf_kit.errors.InputError: `knn_accuracy.train` must have attributes x and y. Received: a tuple.
        data.Split(x, y, class_names) makes one.
    """
    for name, split in splits.items():
        if not (hasattr(split, "x") and hasattr(split, "y")):
            received, remedy = f"a {type(split).__name__}", "data.Split(x, y, class_names) makes one"
            refuse(f"{function}.{name}", "have attributes x and y", received, remedy)
        check_arrays(f"{function}.{name}", split.x)
        check_classes(split.y, len(split.x), name=f"{function}.{name}")


def share_of_votes_right(encoder: keras.layers.Layer, train: Any, test: Any, k: int) -> float:
    """Compute `knn_accuracy` of splits that have already been checked."""
    known, queries = (represent(encoder, split.x).reshape(len(split.x), -1) for split in (train, test))
    from sklearn.neighbors import KNeighborsClassifier  # half a second, which fine-tuning need not wait for

    classes, right = (check_classes(split.y, len(split.x)) for split in (train, test))
    neighbors = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute").fit(known, classes)
    return float(neighbors.score(queries, right))
