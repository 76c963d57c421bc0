"""Every class of the wing keeps the contract of optimizers or of schedules."""

import functools

import keras
import pytest
from contracts.optimizer import check_optimizer

from tf_kit import optimizers

CLASSES = [getattr(optimizers, name) for name in optimizers.__all__]
OPTIMIZERS = [each for each in CLASSES if issubclass(each, keras.optimizers.Optimizer)]
FACTORIES = {
    **{each.__name__: each for each in OPTIMIZERS},
    "Momentum average": functools.partial(optimizers.Momentum, form="average"),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_keeps_the_contract(name, tmp_path):
    check_optimizer(FACTORIES[name], tmp_path / "model.keras")
