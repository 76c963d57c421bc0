"""Overlap of data sets: no example that a model is tested on may be among those it was fitted on."""

import hashlib
from typing import Any

import numpy as np

from tf_kit.checks import count, refuse


def fingerprints(x: Any) -> list[bytes]:
    """Compute 16 bytes per example that identify its values.

    Examples with equal values have equal fingerprints, whatever their dtype and shape: the values are converted to
    float32 and flattened first. One changed pixel gives another fingerprint, so near-duplicates are not found.

    Args:
        x: array (n, …); an object that has such an array as `.x`; or a `tf.data.Dataset` of batches, of which only
            the first component is used.

    Returns:
        List of n `bytes`.

    Example:
        >>> one, two, three = fingerprints(np.array([[1, 0], [0, 1], [1, 0]], "uint8"))
        >>> one == three, one == two, fingerprints(np.array([[[1.0], [-0.0]]])) == [one]
        (True, False, True)
    """
    if _is_dataset(x):
        batches = (batch[0] if isinstance(batch, tuple) else batch for batch in x)
        return [each for batch in batches for each in fingerprints(batch.numpy())]
    x = np.asarray(getattr(x, "x", x))
    if x.ndim == 0:
        refuse("fingerprints.x", "be an array (n, …)", f"one {x.dtype}")
    found = []
    for example in x:
        try:
            values = np.ascontiguousarray(example, "float32") + 0.0  # −0 is 0
        except (TypeError, ValueError):
            refuse("fingerprints.x", "hold numbers", f"dtype {x.dtype}")
        found.append(hashlib.blake2b(values.tobytes(), digest_size=16).digest())
    return found


def find_overlap(fitted: Any, tested: Any) -> np.ndarray:
    """Find the tested examples that are also among the fitted ones.

    Args:
        fitted, tested: examples, as for `fingerprints`.

    Returns:
        int array, the ascending indices of these examples in `tested`.

    Example:
        >>> find_overlap(np.eye(4)[:3], np.eye(4)[1:]).tolist()
        [0, 1]
    """
    known = set(fingerprints(fitted))
    return np.flatnonzero([each in known for each in fingerprints(tested)])


def refuse_overlap(
    fitted: Any, tested: Any, names: tuple[str, str] = ("fitted", "tested"), allowed: int = 0
) -> None:
    """Raise an error if a tested example is also among the fitted ones.

    The result on such examples measures memory, not generalization. `knn_accuracy` calls this with its two splits.

    Args:
        fitted, tested: examples, as for `fingerprints`.
        names: names of the two in the message. Defaults to "fitted" and "tested".
        allowed: number of tested examples that may also be fitted, for a data set that contains duplicates.
            digits, MNIST and Fashion-MNIST have none between training, validation and test. Defaults to 0.

    Raises:
        InputError: more than `allowed` tested examples are among the fitted ones.

    Example:
        >>> refuse_overlap(np.eye(4)[:2], np.eye(4)[2:])
        >>> refuse_overlap(np.eye(4)[:3], np.eye(4)[1:], ("train", "test"))
        Traceback (most recent call last):
        tf_kit.errors.InputError: `test` must hold no example of train. Received: 2 of 3 test examples that are also
        in train, the first at 0, 1. ...
    """
    allowed = count("refuse_overlap.allowed", allowed, at_least=0)
    places = find_overlap(fitted, tested)
    if len(places) <= allowed:
        return
    total = None if _is_dataset(tested) else len(getattr(tested, "x", tested))
    of = f"{len(places)} of {total}" if total else f"{len(places)}"
    more = ", …" if len(places) > 5 else ""
    refuse(
        names[1],
        f"hold no example of {names[0]}" if not allowed else f"hold at most {allowed} examples of {names[0]}",
        f"{of} {names[1]} examples that are also in {names[0]}, the first at "
        + ", ".join(map(str, places[:5]))
        + more,
        f"Leave them out of {names[0]}: find_overlap(…) gives their indices in {names[1]}",
        typed_remedy="Remove the duplicates from the data set",
    )


def _is_dataset(x):
    """Whether `x` is a `tf.data.Dataset`; without importing TensorFlow, which arrays do not need."""
    return hasattr(x, "element_spec")
