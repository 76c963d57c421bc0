"""tf_kit: one lecture on neural networks, made executable in Keras 3 on TensorFlow.

The wings of the package are the parts of the lecture: `networks`, `optimizers`, `regularization`, `design`,
`pretraining`, `scaling`. Around them stand `data`, `training`, `runs`, `experiments`, `grading` and `plotting`. A wing
is imported when its name is first used, so `import tf_kit` alone costs nothing. It is enough for
`keras.saving.load_model`, which finds the kit's classes by itself.
"""

from typing import TYPE_CHECKING

from tf_kit.lazy import lazily
from tf_kit.registration import register_on_demand

__version__ = "0.1.0"

WINGS = (
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
    "training",
)

if TYPE_CHECKING:
    from tf_kit import data as data
    from tf_kit import design as design
    from tf_kit import experiments as experiments
    from tf_kit import grading as grading
    from tf_kit import networks as networks
    from tf_kit import optimizers as optimizers
    from tf_kit import plotting as plotting
    from tf_kit import pretraining as pretraining
    from tf_kit import regularization as regularization
    from tf_kit import runs as runs
    from tf_kit import scaling as scaling
    from tf_kit import training as training
else:  # hidden from type checkers, which would accept any name if there were a `__getattr__`
    __getattr__, __dir__, __all__ = lazily(__name__, {f"tf_kit.{wing}": () for wing in WINGS})

register_on_demand()
