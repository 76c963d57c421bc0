"""`ExampleRandom`: the draws of an example do not depend on the replica that holds it."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tf_kit.randomness import ExampleRandom

# 331 examples in batches of 64 on four replicas end in a batch of 3, 3, 3, 2; 10 in batches of 8 in 1, 1, 0, 0.
SPLITS = [(11,), (6, 5), (3, 3, 3, 2), (1, 10, 0, 0)]


def draws(seed=3, step=5, count=11, **place):
    random = ExampleRandom(seed, step, count, **place)
    return [
        np.asarray(random.uniform((2, 3))),
        np.asarray(random.normal(())),
        np.asarray(random.uniform((4,))),
    ]


@pytest.mark.parametrize("counts", SPLITS)
def test_draws_do_not_depend_on_the_number_of_replicas(counts):
    offsets = np.cumsum((0, *counts[:-1]))
    parts = [
        draws(count=count, offset=offset, total=11) for count, offset in zip(counts, offsets, strict=True)
    ]
    for whole, pieces in zip(draws(), zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_draws_are_the_same_in_a_graph():
    graph = tf.function(lambda n: ExampleRandom(3, tf.constant(5), n).uniform((2, 3)))
    np.testing.assert_array_equal(graph(tf.constant(11)), draws()[0])


@pytest.mark.parametrize(("seed", "step"), [(3, 5), (2**31 + 7, 2**40 + 3), (2**62, -1)])
@pytest.mark.parametrize(
    "shape", [(5, 3), *(pytest.param(each, marks=pytest.mark.slow) for each in ((), (7,), (784,)))]
)
def test_draws_are_the_same_in_a_graph_compiled_by_xla(seed, step, shape):
    seed, step = tf.Variable(seed, dtype=tf.int64), tf.Variable(step, dtype=tf.int64)

    def drawn():
        random = ExampleRandom(seed, step, 11)
        return (
            random.uniform(shape),
            random.shared_uniform(shape),
            random.normal(shape),
            random.shared_normal(shape),
        )

    expected, compiled = drawn(), tf.function(drawn, jit_compile=True)()
    for i in (0, 1):
        np.testing.assert_array_equal(compiled[i], expected[i])
    for i in (2, 3):
        np.testing.assert_allclose(compiled[i], expected[i], rtol=1e-5, atol=1e-5)


def test_step_that_xla_compiles_needs_its_own_way_to_draw():
    """Wrong twin: what TensorFlow draws in such a graph."""
    seed = tf.Variable([3, 5], dtype=tf.int64)
    draw = functools.partial(tf.random.stateless_uniform, (11,), alg="philox")
    assert np.abs(tf.function(lambda: draw(seed), jit_compile=True)() - draw(seed)).max() > 0.1


def test_draws_depend_on_seed_step_and_call():
    same = [draws(), draws(seed=4), draws(step=6)]
    drawn = [each[0].ravel() for each in same] + [same[0][2].ravel()]
    assert len({tuple(each[:6]) for each in drawn}) == 4


def test_shared_draws_are_equal_on_all_replicas():
    here, there = ExampleRandom(0, 1, 4), ExampleRandom(0, 1, 2, offset=2, total=4)
    np.testing.assert_array_equal(here.shared_uniform((5,)), there.shared_uniform((5,)))
    np.testing.assert_array_equal(here.shared_normal((5,)), there.shared_normal((5,)))
    assert here.shared_uniform((7, 2)).shape == (7, 2)


def test_draws_are_uniform_normal_and_independent():
    n = 100_000
    random = ExampleRandom(0, 0, n)
    uniform, normal = np.asarray(random.uniform(())), np.asarray(random.normal(()))
    assert abs(uniform.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    assert abs(uniform.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    assert abs(normal.mean()) < 5 / np.sqrt(n)
    assert abs(normal.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs(np.corrcoef(uniform, normal)[0, 1]) < 5 / np.sqrt(n)
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 5 / np.sqrt(n)
    assert uniform.min() >= 0
    assert uniform.max() < 1
