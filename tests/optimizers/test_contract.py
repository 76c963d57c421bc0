"""Every optimizer passes the contract suite, and the suite fails for broken ones."""

import functools

import keras
import pytest
from support import optimizer as contract
from support.cases import mostly_slow

from tf_kit import optimizers

CLASSES = [getattr(optimizers, name) for name in optimizers.__all__]
OPTIMIZERS = [each for each in CLASSES if issubclass(each, keras.optimizers.Optimizer)]
FACTORIES = {
    **{each.__name__: each for each in OPTIMIZERS},
    "Momentum average": functools.partial(optimizers.Momentum, form="average"),
}


@pytest.mark.parametrize("name", mostly_slow(FACTORIES, quick=1))
def test_passes_the_contract(name, tmp_path):
    contract.check_optimizer(FACTORIES[name], tmp_path / "model.keras")


def nothing(*_):
    """Replace a method that was forgotten."""


@pytest.mark.parametrize(
    ("check", "method", "broken"),
    [
        (contract.check_config, "get_config", keras.optimizers.Optimizer.get_config),
        (contract.check_schedule, "_get_current_learning_rate", lambda self: 0.1),
        (contract.check_clipping, "_clip_gradients", lambda self, gradients: gradients),
        (contract.check_weight_decay, "_apply_weight_decay", nothing),
        (contract.check_average, "_update_model_variables_moving_average", nothing),
        (
            contract.check_average_of_a_part,
            "finalize_variable_values",
            keras.optimizers.Optimizer.finalize_variable_values,
        ),
        (contract.check_accumulation, "_backend_reset_gradient_accumulators", nothing),
        (contract.check_embedding, "apply", keras.optimizers.Optimizer.apply),
        (contract.check_half_precision, "add_variable", keras.optimizers.Optimizer.add_variable),
    ],
)
def test_contract_fails_for_a_broken_optimizer(check, method, broken):
    class Broken(optimizers.Adam):
        pass

    setattr(Broken, method, broken)
    with pytest.raises((AssertionError, TypeError)):
        check(Broken)
