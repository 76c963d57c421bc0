import keras
import numpy as np
import pytest
from support.optimizer import feed

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))


def test_equals_keras():
    ours, _ = feed(optimizers.SGD(0.3), START, GRADIENTS)
    keras_path, _ = feed(keras.optimizers.SGD(0.3), START, GRADIENTS)
    np.testing.assert_allclose(ours, keras_path, rtol=1e-6)


@pytest.mark.parametrize("rate", [1, np.float32(0.5), 0])
def test_accepts_any_real_rate(rate):
    path, _ = feed(optimizers.SGD(rate), START, GRADIENTS[:1])
    np.testing.assert_allclose(path[0], START - float(rate) * GRADIENTS[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, float("nan"), "0.1", None])
def test_refuses_other_rates(rate):
    message = rf"`SGD.learning_rate` must be a number in \[0, inf\)\. Received: learning_rate={rate!r}\."
    with pytest.raises(ValueError, match=message):
        optimizers.SGD(rate)


def test_error_names_the_class():
    with pytest.raises(ValueError, match=r"`LARS\.learning_rate`"):
        optimizers.LARS(-1)


def test_unknown_arguments_are_refused_by_keras():
    with pytest.raises(ValueError, match="momentum"):
        optimizers.SGD(0.1, momentum=0.9)
