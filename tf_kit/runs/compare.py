"""The same network from scratch, trained as well as a pretrained one, to see what the pretraining has gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tf_kit.runs.encoders import drawing_from
from tf_kit.runs.inputs import input_shape_of
from tf_kit.typing import ArrayLike

STAGE = "from scratch"


def from_scratch(encoder: keras.Model, seed: int = 0) -> keras.Model:
    """Make the same network with initial weights.

    An initializer with a seed gives again the weights that the pretraining began with, so that the two networks differ
    by the pretraining alone. One without a seed draws from `seed`.

    Args:
        encoder: a built encoder.
        seed: seed of the initializers that have none. Defaults to 0.

    Returns:
        A new encoder, built for the same inputs.

    Example:
        >>> from tf_kit import networks
        >>> encoder = networks.mlp((4,), num_classes=None, input_shape=(2,), seed=3)
        >>> first = encoder.get_weights()
        >>> encoder.set_weights([weights + 1 for weights in first])
        >>> all(np.array_equal(*pair) for pair in zip(first, from_scratch(encoder).get_weights()))
        True
    """
    with drawing_from(seed):
        fresh = type(encoder).from_config(encoder.get_config())
        if not fresh.built:
            fresh.build((None, *input_shape_of(encoder)))
        fresh.dtype_policy = encoder.dtype_policy  # which the config of a model leaves out
        return fresh


def compared(
    pretrained: Mapping[str, float], scratch: Mapping[str, float], right: ArrayLike, right_scratch: ArrayLike
) -> dict[str, Any]:
    """Compare two classifiers.

        difference = error of the pretrained one − error from scratch       (1)

    Args:
        pretrained: split → error in percent of the pretrained classifier.
        scratch: likewise of the one from scratch.
        right: bool (n,), which test examples the pretrained one classifies correctly.
        right_scratch: likewise of the one from scratch.

    Returns:
        JSON values: the error from scratch, the difference (1), and the number of test examples that only one of the
        two classifies correctly.

    Example:
        >>> found = compared({"test": 25.0}, {"test": 50.0}, [1, 1, 1, 0], [1, 0, 0, 1])
        >>> found["difference"], found["test_right_only"]
        ({'test': -25.0}, {'pretrained': 2, 'from scratch': 1})
    """
    ours, theirs = np.asarray(right, bool), np.asarray(right_scratch, bool)
    return {
        "error": dict(scratch),
        "difference": {split: round(pretrained[split] - scratch[split], 4) for split in scratch},
        "test_right_only": {
            "pretrained": int((ours & ~theirs).sum()),
            "from scratch": int((theirs & ~ours).sum()),
        },
    }
