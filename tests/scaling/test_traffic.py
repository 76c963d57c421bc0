"""Bytes moved by both kinds of parallelism, against loops and all possible cuts."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers
from oracles import scaling as oracle
from support.twins import wrong_twin

from tf_kit.errors import InputError
from tf_kit.scaling import balanced_cuts, split_points, traced_collectives, traffic, traffic_bill


def mlp(*units, inputs=20):
    dense = [layers.Dense(n, name=f"dense_{i}") for i, n in enumerate(units)]
    return keras.Sequential([keras.Input((inputs,)), *dense])


def residual():
    """Network with a shortcut, which crosses the cut together with the output of a layer."""
    inputs = keras.Input((6,))
    first = layers.Dense(5, name="first")(inputs)
    second = layers.Dense(7, name="second")(first)
    third = layers.Dense(5, name="third")(second)
    return keras.Model(inputs, layers.Add(name="add")([first, third]))


def check_mlp(module):
    for devices, batch_size in ((2, 1), (3, 64), (4, 1000)):
        bill = module.traffic_bill(mlp(10, 9, 8, 7, 6), devices, batch_size)
        weights = [20 * 10 + 10, 10 * 9 + 9, 9 * 8 + 8, 8 * 7 + 7, 7 * 6 + 6]
        data, model = oracle.moved_bytes(weights, [10, 9, 8, 7, 6], devices, batch_size)
        assert bill.data_parallel_bytes == data
        assert bill.model_parallel_bytes == model


def check_crossover(module):
    """At n* both are equal, which defines n*."""
    for devices in (2, 3):
        bill = module.traffic_bill(mlp(50, 40, 30), devices, 1)
        there = module.traffic_bill(mlp(50, 40, 30), devices, max(1, round(bill.crossover_batch_size)))
        assert there.model_parallel_bytes == pytest.approx(there.data_parallel_bytes, rel=0.5 / 10)


def check_balance(module):
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs = rng.integers(0, 20, 7).tolist()
        for parts in (1, 2, 3, 7):
            cuts = module.balanced_cuts(costs, parts)
            best = min(
                oracle.highest_cost(costs, tried) for tried in itertools.combinations(range(1, 7), parts - 1)
            )
            assert oracle.highest_cost(costs, cuts) == best


def check_shortcut(module):
    bill = module.traffic_bill(residual(), 2, 3, cuts=["third"])
    assert bill.crossing_bytes == (4 * (5 + 7),)
    assert module.traffic_bill(residual(), 2, 3, cuts=["second"]).crossing_bytes == (4 * 5,)
    assert bill.model_parallel_bytes == 3 * 2 * 4 * (5 + 7)


def check_integers(module):
    """Integers cross forward only, since they have no gradient."""
    words = keras.Input((4,), dtype="int32")
    moved = layers.Reshape((2, 2), name="moved")(words)
    model = keras.Model(words, layers.Embedding(9, 3, name="embedding")(moved))
    assert module.traffic_bill(model, 2, 5, cuts=["embedding"]).model_parallel_bytes == 5 * 4 * 4


CHECKS = (check_mlp, check_crossover, check_balance, check_shortcut, check_integers)


@pytest.mark.parametrize("check", CHECKS)
def test_traffic_bill(check):
    check(traffic)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_mlp, "2 * (self.num_devices - 1) * self.gradient_bytes", "2 * self.num_devices * self.gradient_bytes"),
        (check_mlp, "return self.batch_size * self._bytes_of_an_example", "return self._bytes_of_an_example"),
        (check_mlp, "sum(self.crossing_bytes) + sum(self.returning_bytes)", "sum(self.crossing_bytes)"),
        (check_crossover, "self.data_parallel_bytes / moved", "self.gradient_bytes / moved"),
        (check_balance, "(max(best[parts - 1, cut][0],", "(min(best[parts - 1, cut][0],"),
        (check_shortcut, "for node in nodes[place:] for tensor in node.input_tensors}",
         "for node in nodes[place:place + 1] for tensor in node.input_tensors}"),
        (check_integers, '"float" in tensor.dtype', '"" in tensor.dtype'),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    twin = wrong_twin(traffic, right, wrong)
    with pytest.raises(AssertionError):
        check(twin)


def test_half_precision_halves_the_activations_and_not_the_gradients():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = traffic_bill(mlp(10, 9), 2, 8)
    finally:
        keras.config.set_dtype_policy("float32")
    whole = traffic_bill(mlp(10, 9), 2, 8)
    assert 2 * half.model_parallel_bytes == whole.model_parallel_bytes
    assert half.data_parallel_bytes == whole.data_parallel_bytes


def test_frozen_weights_have_no_gradient():
    model = mlp(10, 9)
    model.layers[0].trainable = False
    assert traffic_bill(model, 2, 8).gradient_bytes == 4 * (10 * 9 + 9)


def test_table_and_split_points():
    bill = traffic_bill(mlp(10, 9, 8), 2, 64, cuts=[2])
    assert "data parallel, 2 replicas" in str(bill)
    assert "cut before dense_2" in str(bill)
    assert split_points(mlp(10, 9)) == ["dense_0", "dense_1"]
    assert traffic.TrafficBill(2, 1, 8, (), (), ()).crossover_batch_size == math.inf


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_devices": 1}, "num_devices=1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"cuts": ["dense_0"]}, r"cuts=\['dense_0'\]"),
        ({"cuts": ["nothing"]}, "nothing"),
        ({"cuts": [1, 2]}, r"cuts=\[1, 2\]"),
        ({"num_devices": 9}, "at most 3, the number of layers.*num_devices=9"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        traffic_bill(mlp(10, 9, 8), **({"num_devices": 2, "batch_size": 8} | wrong))


def test_unusable_models_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(InputError, match="functional or sequential"):
        traffic_bill(Own(), 2, 8)
    dense = keras.layers.Dense
    open_length = keras.Sequential([keras.Input((None, 8)), dense(4), dense(2)])
    with pytest.raises(
        InputError, match=r"known shape before each cut. Received: one of shape \(None, None, 4\)"
    ):
        traffic_bill(open_length, 2, 8)
    with pytest.raises(InputError, match="two replicas or more"):
        traced_collectives(mlp(3), np.ones((2, 20)))
    with pytest.raises(InputError, match="num_parts=3"):
        balanced_cuts([1, 2], 3)
