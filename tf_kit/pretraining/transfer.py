"""From a pretrained encoder to a classifier: fine-tuning, linear probe, nearest neighbors."""

import keras
from sklearn.neighbors import KNeighborsClassifier

from tf_kit.checks import count, refuse
from tf_kit.data.overlap import refuse_overlap
from tf_kit.training.classifier import Classifier
from tf_kit.training.representation import represent


def finetune(encoder, num_classes, learning_rate=0.001, seed=0):
    """A classifier on the encoder whose every layer goes on learning: supervised fine-tuning.

    Args:
        encoder: pretrained layer or model, trained in place.
        num_classes: classes.
        learning_rate: of Adam, with which the classifier comes compiled; compile again for another optimizer.
        seed: seed of the output layer's weights and the data order.

    Returns:
        A compiled `Classifier`; call `fit(x, y, …)`.

    Example:

    >>> from tf_kit import data, networks
    >>> train, val, test = data.load("digits", seed=0)
    >>> classifier = finetune(networks.mlp((64,), num_classes=None), num_classes=10)
    >>> _ = classifier.fit(train.x, train.y, batch_size=32, epochs=10, verbose=0)
    >>> classifier.evaluate(val.x, val.y, return_dict=True, verbose=0)["accuracy"] > 0.8
    True
    """
    classifier = Classifier(encoder, num_classes, seed=seed)
    classifier.compile(optimizer=keras.optimizers.Adam(learning_rate))
    return classifier


def linear_probe(encoder, num_classes, learning_rate=0.01, seed=0):
    """A classifier on the frozen encoder: how linearly separable is what it has learned?

    The encoder runs in inference mode and none of its variables change.

    Args, Returns: as for `finetune`.
    """
    classifier = Classifier(encoder, num_classes, frozen=True, seed=seed)
    classifier.compile(optimizer=keras.optimizers.Adam(learning_rate))
    return classifier


def knn_accuracy(encoder, train, test, k=20):
    """Share of test examples whose class wins the vote of their k nearest training examples.

    Nearest by the cosine of the representations; no parameter is fitted.

    Args:
        encoder: layer or model.
        train: what votes: an object with `.x` and `.y`.
        test: what is classified: likewise.
        k: neighbors. Defaults to 20.

    Returns:
        Accuracy in [0, 1].

    Raises:
        InputError: if `k` is out of range, or a test example is also among the voters, see `refuse_overlap`.

    Reference: Wu, Xiong, Yu, Lin 2018, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination" (there with weighted votes).
    """
    k = count("knn_accuracy.k", k)
    if k > len(train.x):
        refuse("knn_accuracy.k", f"be at most the {len(train.x)} training examples", f"k={k}")
    refuse_overlap(train, test, ("train", "test"))
    return share_of_votes_right(encoder, train, test, k)


def share_of_votes_right(encoder, train, test, k):
    """`knn_accuracy` of splits that have been looked at before."""
    voters, queries = (represent(encoder, split.x).reshape(len(split.x), -1) for split in (train, test))
    vote = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute").fit(voters, train.y)
    return float(vote.score(queries, test.y))
