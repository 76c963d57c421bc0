"""Overlap: examples that a model was fitted on must not be among those it is tested on."""

import hashlib

import numpy as np
import tensorflow as tf

from tf_kit.checks import count, refuse


def fingerprints(x):
    """What identifies each example: 16 bytes made from its values, row by row.

    Equal values have equal fingerprints, in whatever dtype and shape an example is held: they are compared as
    float32, flattened. One changed pixel gives another fingerprint, so near-duplicates are not found.

    Args:
        x: array (n, …); an object with such an array as `.x`; or a `tf.data.Dataset` of batches, of which the
            first component counts.

    Returns:
        A list of n `bytes`.

    Example:

    >>> one, two, three = fingerprints(np.array([[1, 0], [0, 1], [1, 0]], "uint8"))
    >>> one == three, one == two, fingerprints(np.array([[[1.0], [-0.0]]])) == [one]
    (True, False, True)
    """
    if isinstance(x, tf.data.Dataset):
        batches = (batch[0] if isinstance(batch, tuple) else batch for batch in x)
        return [each for batch in batches for each in fingerprints(batch.numpy())]
    x = np.asarray(getattr(x, "x", x))
    found = []
    for example in x:
        values = np.ascontiguousarray(example, "float32") + 0.0  # −0 is 0
        found.append(hashlib.blake2b(values.tobytes(), digest_size=16).digest())
    return found


def find_overlap(fitted, tested):
    """Which of the examples `tested` are among the examples `fitted`: their places in `tested`, ascending.

    Args:
        fitted, tested: as for `fingerprints`.

    Example:

    >>> find_overlap(np.eye(4)[:3], np.eye(4)[1:]).tolist()
    [0, 1]
    """
    known = set(fingerprints(fitted))
    return np.flatnonzero([each in known for each in fingerprints(tested)])


def refuse_overlap(fitted, tested, names=("fitted", "tested"), allowed=0):
    """Refuses to go on where a tested example was fitted too, and says which and how many.

    A result on such examples tells what the model remembers, not what it has learned. `knn_accuracy` asks this of
    its two splits.

    Args:
        fitted, tested: as for `fingerprints`.
        names: what to call the two in the message.
        allowed: how many tested examples may be there twice, for a data set that brings duplicates of its own.
            digits, MNIST and Fashion-MNIST bring none between training, validation and test. Defaults to 0.

    Raises:
        InputError: if more than `allowed` tested examples are among the fitted ones.

    Example:

    >>> refuse_overlap(np.eye(4)[:2], np.eye(4)[2:])
    >>> refuse_overlap(np.eye(4)[:3], np.eye(4)[1:], ("train", "test"))
    Traceback (most recent call last):
    tf_kit.errors.InputError: `test` must hold no example of train. Received: 2 of 3 test examples that are also in
    train, the first at 0, 1. ...
    """
    allowed = count("refuse_overlap.allowed", allowed, at_least=0)
    places = find_overlap(fitted, tested)
    if len(places) <= allowed:
        return
    total = len(getattr(tested, "x", tested)) if not isinstance(tested, tf.data.Dataset) else None
    of = f"{len(places)} of {total}" if total else f"{len(places)}"
    more = ", …" if len(places) > 5 else ""
    refuse(
        names[1],
        f"hold no example of {names[0]}" if not allowed else f"hold at most {allowed} examples of {names[0]}",
        f"{of} {names[1]} examples that are also in {names[0]}, the first at "
        + ", ".join(map(str, places[:5]))
        + more,
        f"Leave them out of {names[0]}: find_overlap(…) gives their places in {names[1]}",
    )
