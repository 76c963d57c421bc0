"""A split stack equals the stack in outputs, gradients, training and files, and each stage stays on its device."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from support import processes
from support.cases import mostly_slow
from support.twins import wrong_twin

from tf_kit.errors import InputError
from tf_kit.scaling import Split, model_parallel, split

X = np.random.default_rng(0).random((7, 6)).astype("float32")


def stack():
    hidden = [layers.Dense(5, "tanh"), layers.BatchNormalization(), layers.Dense(4, "tanh")]
    return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2)])


def check_the_same(module):
    whole = stack()
    parts = module.split(whole, cuts=[1, 3])
    found = []
    for model in (whole, parts):
        x = tf.Variable(X)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = tf.reduce_sum(outputs**3)
        found.append([outputs, *tape.gradient(loss, [x, *model.trainable_variables])])
    for ours, expected in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


def test_outputs_and_gradients_equal_those_of_the_stack_1_2_3():
    check_the_same(model_parallel)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("tape.gradient(outputs, sources, upstream)", "tape.gradient(outputs, sources)"),
        ("copy.assign(variable)", "copy.assign(copy)"),
        ("zip([0, *ends], ends, strict=False)", "zip([0, *ends], ends[:-1], strict=False)"),
    ],
)  # fmt: skip
def test_wrong_twin(right, wrong):
    twin = wrong_twin(model_parallel, right, wrong)
    with pytest.raises((AssertionError, ValueError)):
        check_the_same(twin)


MIDDLES = {
    "dense": lambda: layers.Dense(4),
    "last": lambda: layers.LSTM(4),
    "all": lambda: layers.LSTM(4, return_sequences=True),
}


@pytest.mark.parametrize("cuts", mostly_slow([[1, 2], [], [1], [2]], quick=1), ids=str)
@pytest.mark.parametrize("kind", mostly_slow(MIDDLES, quick=1))
def test_masks_cross_the_cuts(kind, cuts):
    """Masks decide the steps of a recurrent layer, and those that count in the loss."""
    whole = keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(7, 3, mask_zero=True)])
    whole.add(MIDDLES[kind]())
    whole.add(layers.Dense(1))
    parts = split(whole, cuts=cuts, devices=["CPU:0"])
    x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]])
    y = np.random.default_rng(0).random(whole(x).shape)
    np.testing.assert_array_equal(parts(x), whole(x))
    for model in (whole, parts):
        model.compile("sgd", "mse", jit_compile=False)
    losses = [model.fit(x, y, epochs=2, verbose=0).history["loss"] for model in (whole, parts)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    for ours, expected in zip(parts.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


def test_given_model_does_not_change():
    whole = stack()
    before = whole.get_weights()
    parts = split(whole, cuts=[2])
    parts.compile("sgd", "mse")
    parts.fit(X, X[:, :2], verbose=0)
    for ours, expected in zip(whole.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_default_cuts_balance_the_weights():
    parts = Split([layers.Dense(n) for n in (4, 4, 100, 4)], devices=["CPU:0", "CPU:0"])
    parts.build((None, 6))
    assert parts.cuts == [3]  # 28 + 20 + 500 | 404


def test_config_keeps_dtype_and_whether_it_is_trained():
    parts = Split([layers.Dense(2)], dtype="float64", trainable=False, name="mine")
    parts.build((None, 3))
    copy = Split.from_config(json.loads(json.dumps(parts.get_config())))
    copy.build((None, 3))
    assert (copy.name, copy.dtype, copy.trainable_variables) == ("mine", "float64", [])


@pytest.mark.parametrize("cuts", [np.array([1]), [np.int64(1)], np.array([1], "uint8")])
def test_cuts_may_be_whole_numbers_of_any_kind(cuts):
    assert split(stack(), cuts=cuts).cuts == [1]


@pytest.mark.parametrize("cuts", [[0], [4], [3, 1], [1, 1], [1.5], ["a"]])
def test_bad_cuts_are_refused(cuts):
    with pytest.raises(InputError, match="increasing indices from 1 to 3"):
        Split([layers.Dense(2) for _ in range(4)], cuts=cuts)


def test_models_that_are_not_a_stack_are_refused():
    with pytest.raises(InputError, match="list of Keras layers"):
        Split([])
    with pytest.raises(InputError, match="built Sequential model"):
        split(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(InputError, match="'nothing'"):
        split(stack(), cuts=["nothing"])
    with (
        tf.distribute.OneDeviceStrategy("CPU:0").scope(),
        pytest.raises(InputError, match="outside the scope of a strategy"),
    ):
        Split([layers.Dense(2)]).build((None, 3))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Results of a process with three devices."""
    path = tmp_path_factory.mktemp("split") / "seen.json"
    processes.finish(processes.start(processes.TESTS / "scaling" / "split_on_devices.py", path))
    return json.loads(path.read_text())


@pytest.mark.slow
def test_training_on_three_devices_equals_training_on_one(seen):
    whole, parts = seen["split"]["histories"]
    assert whole.keys() == parts.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-6, err_msg=name)
    assert seen["split"]["weights apart"] < 1e-6
    assert seen["split"]["gradients"] < 1e-5


@pytest.mark.slow
def test_each_stage_stays_on_its_device(seen):
    """Weights, slots, outputs and the products of the forward and the backward pass, up to 3 for each of 3 layers."""
    found = seen["split"]
    assert found["weight devices"] == [0, 1, 1, 2]
    assert sorted(found["slot devices"]) == [0, 0, 1, 1, 2, 2]
    assert found["output device"] == 2
    assert all(found["graph"][device] >= 2 for device in "012")


@pytest.mark.slow
def test_split_model_is_saved_and_loaded(seen):
    assert seen["split"]["loaded apart"] == 0
    assert seen["split"]["loaded cuts"] == [2, 4]
    assert seen["split"]["loaded devices"] == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dense", "convolution"])
def test_traced_bytes_equal_computed_bytes(seen, name):
    found = seen["collectives"][name]
    assert sum(found["traced"].values()) == found["computed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trainer", "trainer, clipped", "trainer, scaled", "trainer, accumulated"])
def test_trainer_reduces_its_gradients_once(seen, name):
    found = seen["collectives"][name]
    assert sum(found["traced"].values()) == found["computed"] + found["reported"]


@pytest.mark.slow
def test_wrong_twin_of_the_trainer_reduces_its_gradients_twice(seen):
    found = seen["collectives"]["twin"]
    assert sum(found["traced"].values()) == 2 * found["computed"] + found["reported"]


@pytest.mark.slow
def test_statistics_of_the_global_batch_add_few_bytes(seen):
    """`regularization.BatchNorm` adds sums, squares and counts of 6 features, and their gradients."""
    found = seen["collectives"]["batch norm"]
    more = sum(found["traced"].values()) - found["computed"]
    assert 4 * (6 + 6) <= more <= 4 * 8 * (6 + 1)
