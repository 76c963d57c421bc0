"""tf_kit: one lecture on neural networks, made executable in Keras 3 on TensorFlow.

The wings of the package are the parts of the lecture: `networks`, `optimizers`, `regularization`,
`design`, `pretraining`, `scaling`; around them `data`, `runs`, `experiments`, `grading`, `plotting`. A wing is imported
when its name is first used, so `import tf_kit` alone costs nothing.
"""

import importlib

__version__ = "0.1.0"

_WINGS = (
    "data",
    "design",
    "experiments",
    "grading",
    "networks",
    "optimizers",
    "plotting",
    "pretraining",
    "regularization",
    "runs",
    "scaling",
)


def __getattr__(name):
    if name in _WINGS:
        return importlib.import_module(f"tf_kit.{name}")
    raise AttributeError(f"tf_kit has no part named {name!r}; its parts are: {', '.join(_WINGS)}")


def __dir__():
    return [*_WINGS, "__version__"]
