"""Seeds: every case starts from the same random state, in a notebook as in the grader.

The outputs on a case therefore do not depend on the cases before it. `keras.utils.set_random_seed` also makes
TensorFlow drop all of its kernels, which often costs more than the answer itself. So a watched process is seeded
again only if something was drawn since it was last seeded.
"""

import random

import numpy as np

SEED = 0

_fresh = None  # state of the generators right after they were seeded, in a watched process
_drawn = [True]  # whether TensorFlow may have given a seed to an operation since; always true without `watch`


def watch() -> None:
    """Notice from now on when TensorFlow gives a seed to an operation, in this process and in its forks."""
    from tensorflow.python.framework import random_seed

    original = random_seed.get_seed

    def get_seed(op_seed):
        _drawn[0] = True
        return original(op_seed)

    random_seed.get_seed = get_seed
    _drawn[0] = False


def seed(code: str = "") -> None:
    """Set the generators of Python, NumPy, TensorFlow and Keras as `keras.utils.set_random_seed` does.

    Args:
        code: code of the answer. If it calls TensorFlow's raw operations, which `watch` cannot see, it is always
            seeded.
    """
    global _fresh
    if _drawn[0] or "raw_ops" in code or _fresh is None or not _same(_fresh, _generators()):
        import keras

        keras.utils.set_random_seed(SEED)
        _fresh = _generators()


def _generators():
    """Read the state that a draw changes, except for the seeds of TensorFlow's operations, which `watch` notices."""
    from keras.src.backend.common import global_state
    from tensorflow.python.eager import context

    of_keras = [
        global_state.get_global_attribute(name) for name in ("global_random_seed", "global_seed_generator")
    ]
    return [*np.random.get_state(), random.getstate(), context.global_seed(), *of_keras]


def _same(one, other):
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a is b or a == b
        for a, b in zip(one, other, strict=True)
    )
