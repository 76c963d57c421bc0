"""`jit_update=True` makes the same steps with one compiled kernel."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from support.optimizer import check_fit, check_mixed_precision, feed, make_variables, read

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(6, 10))
COMPILED_ADAM = functools.partial(optimizers.Adam, jit_update=True)


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": optimizers.RobbinsMonro(0.1, 0.75, 3), "global_clipnorm": 0.5, "weight_decay": 0.1},
        {"clipvalue": 0.5, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
    ],
    ids=["schedule, clipping, decay", "averages", "accumulation"],
)
@pytest.mark.parametrize("optimizer_class", [optimizers.Adam, optimizers.LARS])
def test_steps_equal_those_without_compilation(optimizer_class, options):
    plain, _ = feed(optimizer_class(**options), START, GRADIENTS)
    compiled, _ = feed(optimizer_class(jit_update=True, **options), START, GRADIENTS)
    np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-6)
    assert np.abs(plain[-1] - plain[0]).max() > 1e-4


def test_fits_saves_and_loads(tmp_path):
    check_fit(COMPILED_ADAM, tmp_path / "model.keras")


def test_fits_in_mixed_precision():
    check_mixed_precision(COMPILED_ADAM)


def test_fits_in_a_model_compiled_with_jit_compile():
    weights = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(3)])
        model.compile(COMPILED_ADAM(), "mse", jit_compile=jit_compile)
        model.train_on_batch(GRADIENTS, GRADIENTS[:, :3])
        weights.append(model.get_weights()[0])
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


def test_traces_once_for_each_set_of_weights():
    optimizer, (kernel, bias) = COMPILED_ADAM(0.1), make_variables(START)
    traced = []
    update_step = optimizer.update_step
    optimizer.update_step = lambda *arguments: (traced.append(1), update_step(*arguments))
    gradients = [ops.ones(kernel.shape), ops.ones(bias.shape)]
    for _ in range(3):
        optimizer.apply(gradients, [kernel, bias])
    assert len(traced) == 2
    before = read([kernel, bias])
    optimizer.apply(gradients[1:], [bias])
    assert len(traced) == 3
    moved = before - read([kernel, bias])
    np.testing.assert_array_equal(moved[:6], 0)
    np.testing.assert_allclose(moved[6:], 0.1, rtol=1e-4)


def test_does_not_compile_under_a_strategy():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        weights, optimizer = keras.Variable(START), COMPILED_ADAM(0.1)
        optimizer.build([weights])
    gradient = ops.convert_to_tensor(GRADIENTS[0], "float32")
    strategy.run(tf.function(lambda: optimizer.apply([gradient], [weights])))
    assert optimizer._compiled_apply is None
    np.testing.assert_allclose(weights.numpy(), START - 0.1 * np.sign(GRADIENTS[0]), rtol=1e-5)
