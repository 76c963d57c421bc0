"""Numbers of an example: equal to SplitMix64, uniform, normal, and a function of the key only."""

import math

import numpy as np
import pytest
import tensorflow as tf
from oracles import regularization as oracle
from support.twins import wrong_twin

from tf_kit.randomness import example_keys
from tf_kit.randomness import keys as draws

INDEX = [0, 1, 7, 2**40, -3]


def signed(integer):
    return integer - (1 << 64) if integer >> 63 else integer


def check_numbers(module):  # equations (1) to (4)
    key = module.example_keys(12345678901, 3, INDEX)
    expected = [oracle.example_key(12345678901, 3, index) for index in INDEX]
    np.testing.assert_array_equal(key, [(signed(first), index) for first, index in expected])
    state = module.stream(key, "test")
    for count in (1, 2, 5):
        uniform = [oracle.uniforms(each, "test", count) for each in expected]
        np.testing.assert_allclose(module.uniform(state, count), uniform, rtol=1e-7)
        normal = [oracle.normals(each, "test", count) for each in expected]
        np.testing.assert_allclose(module.normal(state, count), normal, rtol=1e-4, atol=1e-5)


def test_numbers_equal_the_paper():
    check_numbers(draws)
    assert oracle.split_mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # first output of SplitMix64 from 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("_shifted_right(z, 27)", "_shifted_right(z, 28)"),
        ('(ops.cast(value, "int64") + 1)', 'ops.cast(value, "int64")'),
        ("(1 << (64 - places)) - 1", "-1"),
        ("0x94D049BB133111EB", "0x94D049BB133111EC"),
        (
            "radius * ops.cos(angle), radius * ops.sin(angle)",
            "radius * ops.sin(angle), radius * ops.cos(angle)",
        ),
        ("-2 * ops.log", "-1 * ops.log"),
        ("(_numbers(state, count), 40)", "(_numbers(state, count), 41)"),
        ("[first, index]", "[index, first]"),
    ],
)
def test_rejects_wrong_twins(right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check_numbers(wrong_twin(draws, right, wrong))


def test_numbers_are_uniform_normal_and_independent():
    """Moments are within 5 standard errors, over examples and within them, and neighbors are uncorrelated."""
    n, m = 2000, 50
    state = draws.stream(example_keys(1, 0, range(n)), "test")
    uniform, normal = (
        np.asarray(draws.uniform(state, m), "float64"),
        np.asarray(draws.normal(state, m), "float64"),
    )
    assert 0 <= uniform.min() < 1e-4 < 1 - 1e-4 < uniform.max() < 1
    for values, mean, variance, fourth in ((uniform, 1 / 2, 1 / 12, 1 / 80), (normal, 0, 1, 3)):
        for axis, size in ((None, n * m), (0, n), (1, m)):
            np.testing.assert_allclose(values.mean(axis), mean, atol=5 * math.sqrt(variance / size))
        spread = 5 * math.sqrt((fourth - variance**2) / (n * m))
        assert np.mean((values - mean) ** 2) == pytest.approx(variance, abs=spread)
        for shifted in (np.roll(values, 1, axis=0), np.roll(values, 1, axis=1)):
            assert abs(np.corrcoef(values.ravel(), shifted.ravel())[0, 1]) < 5 / math.sqrt(n * m)


def test_numbers_depend_on_every_part_of_the_key_and_on_the_purpose():
    base = draws.uniform(draws.stream(example_keys(0, 0, [5]), "a"), 4)
    for seed, step, index, purpose in ((1, 0, 5, "a"), (0, 1, 5, "a"), (0, 0, 6, "a"), (0, 0, 5, "b")):
        other = draws.uniform(draws.stream(example_keys(seed, step, [index]), purpose), 4)
        assert not np.any(np.asarray(base) == np.asarray(other))


def test_keys_from_tensors_equal_keys_from_numbers():
    keys = tf.function(example_keys)(tf.constant(3), tf.constant(4), tf.constant([5, 6], "int32"))
    np.testing.assert_array_equal(keys, example_keys(3, 4, [5, 6]))


@pytest.mark.parametrize(
    ("key", "received"), [(np.zeros((3, 2)), "float64"), (np.zeros(3, "int64"), r"int64 of shape \(3,\)")]
)
def test_stream_refuses_other_keys(key, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}.*example_keys"):
        draws.stream(key, "test")
