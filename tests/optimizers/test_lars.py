import keras
import numpy as np
import pytest
from support.optimizer import SIZES, feed, read

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))
KERNEL, BIAS = slice(0, SIZES[0]), slice(SIZES[0], None)


def test_layer_moves_by_a_fixed_fraction_of_its_norm():
    """(1) without penalty gives ‖Δw‖ = εη‖w‖, whatever the norm of the gradient."""
    for scale in (1e-4, 1.0, 1e4):
        path, _ = feed(optimizers.LARS(0.5, trust_coefficient=0.1, l2=0.0), START, scale * GRADIENTS[:1])
        moved = np.linalg.norm(path[0, KERNEL] - START[KERNEL])
        np.testing.assert_allclose(moved, 0.5 * 0.1 * np.linalg.norm(START[KERNEL]), rtol=1e-3)


def test_vectors_get_plain_momentum():
    """Excluded variables are neither scaled nor penalized."""
    lars, _ = feed(optimizers.LARS(0.1, momentum=0.8, l2=0.5), START, GRADIENTS)
    momentum, _ = feed(optimizers.Momentum(0.1, momentum=0.8), START, GRADIENTS)
    np.testing.assert_allclose(lars[:, BIAS], momentum[:, BIAS], rtol=1e-5, atol=1e-6)
    assert np.abs(lars[:, KERNEL] - momentum[:, KERNEL]).max() > 0.1


def test_vectors_are_adapted_without_exclude_1d():
    path, _ = feed(
        optimizers.LARS(0.5, trust_coefficient=0.1, l2=0.0, exclude_1d=False), START, GRADIENTS[:1]
    )
    moved = np.linalg.norm(path[0, BIAS] - START[BIAS])
    np.testing.assert_allclose(moved, 0.5 * 0.1 * np.linalg.norm(START[BIAS]), rtol=1e-5)


def test_zero_weights_move():
    """With (1) alone, λ would be 0 and they would never move."""
    path, _ = feed(optimizers.LARS(0.5), np.zeros(10), GRADIENTS[:1])
    np.testing.assert_allclose(path[0], -0.5 * GRADIENTS[0], rtol=1e-5)


def test_zero_gradient_gives_finite_weights():
    path, _ = feed(optimizers.LARS(0.5, l2=0.0), START, np.zeros((2, 10)))
    np.testing.assert_allclose(path[-1], START, rtol=1e-6)
    path, _ = feed(optimizers.LARS(0.5, l2=0.1, trust_coefficient=0.01), START, np.zeros((1, 10)))
    np.testing.assert_allclose(path[0, KERNEL], START[KERNEL] * (1 - 0.5 * 0.01), rtol=1e-5)  # (1) is η/β


def test_batch_norm_gets_plain_momentum():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    ones = [keras.ops.ones(weight.shape) for weight in model.trainable_weights]
    model.trainable_weights[2].assign([2.0, 3.0, 4.0, 5.0])  # γ
    before = [weight.numpy() for weight in model.trainable_weights]
    optimizers.LARS(0.1).apply(ones, model.trainable_weights)
    moved = [old - weight.numpy() for old, weight in zip(before, model.trainable_weights, strict=True)]
    assert np.all(moved[0] < 0.01)
    for vector in moved[1:]:
        np.testing.assert_allclose(vector, 0.1, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_biases_of_attention_get_plain_momentum(fused):
    """Those of queries, keys and values have two axes, (heads, size)."""
    attention = keras.layers.MultiHeadAttention(2, 3)
    attention.build((None, None, 6), (None, None, 6))
    biases = [weight for weight in attention.trainable_weights if weight.name == "bias"]
    assert sorted(len(bias.shape) for bias in biases) == [1, 2, 2, 2]
    for bias in biases:
        bias.assign(keras.ops.full(bias.shape, 2.0))
    ones = [keras.ops.ones(weight.shape) for weight in attention.trainable_weights]
    optimizers.LARS(0.1, l2=0.5, fused=fused).apply(ones, attention.trainable_weights)
    for bias in biases:
        np.testing.assert_allclose(bias, 1.9, rtol=1e-5)


@pytest.mark.parametrize(("argument", "value"), [("momentum", 1.0), ("trust_coefficient", 0.0), ("l2", -0.1)])
def test_refuses_values_outside_their_range(argument, value):
    with pytest.raises(ValueError, match=rf"`LARS.{argument}` must .* Received: {argument}={value}\."):
        optimizers.LARS(**{argument: value})


def test_weight_decay_is_decoupled_and_l2_is_not():
    """Weight decay multiplies by 1 − εd; the penalty passes through the velocity."""
    still = np.zeros((2, 10))
    decayed, _ = feed(optimizers.LARS(0.5, l2=0.0, weight_decay=0.1), START, still)
    np.testing.assert_allclose(decayed[1], START * (1 - 0.5 * 0.1) ** 2, rtol=1e-5)
    optimizer = optimizers.LARS(0.5, momentum=0.9, l2=0.1, trust_coefficient=0.01)
    feed(optimizer, START, still)
    assert np.all(read(optimizer._velocities)[KERNEL] != 0)
