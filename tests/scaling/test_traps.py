"""Traps of Keras 3 on several replicas: each exists in plain Keras and not in the kit.

A test is skipped if the installed version of Keras has fixed its trap. The tests that need replicas compare two
replicas, in a separate process, with one device in this process.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scaling import traps
from support import processes

from tf_kit import networks, optimizers
from tf_kit.pretraining import RBM, Autoencoder, Classifier
from tf_kit.pretraining.joint_embedding import projection_head
from tf_kit.regularization import Dropout

X = traps.X


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """trap/name → results (on one device, on two replicas)."""
    path = tmp_path_factory.mktemp("traps") / "two.npz"
    with processes.running(traps.__file__, path):
        one = traps.found()
    two = dict(np.load(path))
    return {name: (one.get(name), two[name]) for name in two}


def trap(shown):
    """Skip the test if the trap no longer exists."""
    if not shown:
        pytest.skip(f"Keras {keras.__version__} has fixed this")


def same(pair, tolerance=1e-6):
    np.testing.assert_allclose(pair[1], pair[0], rtol=tolerance, atol=tolerance)


def differ(pair):
    return not np.allclose(*pair, rtol=1e-3, atol=1e-4, equal_nan=True)


def all_equal(copies):
    return np.array_equal(copies, np.broadcast_to(copies[:1], copies.shape))


@pytest.mark.slow
def test_1_mean_in_a_custom_loss_is_too_large_by_the_number_of_replicas(found):
    for name in ("custom_loss", "custom_step"):
        same(found[f"{name}/kit"])
        one, two = found[f"{name}/keras"]
        trap(differ((one, two)))
        np.testing.assert_allclose(two[:3], 2 * one[:3], rtol=1e-5)


def test_2_loss_without_tracker_is_logged_as_zero():
    def train_step(self, batch):
        return {"loss": tf.reduce_mean(self(batch[0])) + 5}

    shown = traps.trained(traps.line(train_step=train_step))[-1] == 0
    assert traps.trained(traps.of_the_kit())[-1] == pytest.approx(float(np.mean(traps.Y**2)))
    trap(shown)


@pytest.mark.slow
def test_3_minibatches_not_divisible_by_the_number_of_replicas(found):
    same(found["uneven/kit first"])
    same(found["uneven/kit last"])
    assert found["uneven/keras first"][0] == ""
    trap(found["uneven/keras first"][1] != "" or differ(found["uneven/keras last"]))


@pytest.mark.slow
def test_4_gradients_are_clipped_before_the_sum(found):
    same(found["clipping/kit"])
    one, two = found["clipping/keras"]
    trap(differ((one, two)))
    assert np.linalg.norm(one[:3]) == pytest.approx(0.1, rel=1e-4)
    assert np.linalg.norm(two[:3]) > 0.15


@pytest.mark.slow
def test_5_nan_on_another_replica_reaches_the_weights(found):
    assert np.isfinite(found["not_a_number/kit"]).all()
    trap(np.isfinite(found["not_a_number/keras"][0]).all() and np.isnan(found["not_a_number/keras"][1]).any())


@pytest.mark.slow
def test_6_dropout_drops_the_same_on_every_replica(found):
    same(found["masks/kit"])
    assert not all_equal(found["masks/kit"][1])
    trap(all_equal(found["masks/keras"][1]))


@pytest.mark.slow
def test_7_moving_statistics_differ_between_replicas(found):
    for name in ("kit", "kit masked"):
        one, two = found[f"moving_statistics/{name}"]
        assert all_equal(two)
        np.testing.assert_allclose(two[:1], one, rtol=1e-5)
    trap(any(not all_equal(found[f"moving_statistics/{name}"][1]) for name in ("keras", "keras masked")))


@pytest.mark.slow
def test_8_variables_differ_between_replicas(found):
    for name in ("kit", "kit chains"):
        one, two = found[f"local_variables/{name}"]
        assert all_equal(two)
        np.testing.assert_allclose(two[:1], one, rtol=1e-5, atol=1e-6)
    trap(not all_equal(found["local_variables/keras"][1]))


def test_9_tf_variable_is_not_a_weight():
    layer = keras.layers.Layer()
    layer.extra = tf.Variable(1.0)
    rbm = RBM(num_hidden=2, persistent=True, num_chains=4)
    rbm.prepare(X)
    assert any(weight.shape == (4, 3) for weight in rbm.weights)
    trap(layer.weights == [])


@pytest.mark.slow
def test_10_several_steps_per_execution_and_accumulation_fail(found):
    for name in ("steps", "accumulated"):
        same(found[f"several_steps/kit {name}"])
        assert found[f"several_steps/keras {name}"][0] == ""
    one, two = found["several_steps/kit overwritten"]
    assert one == ""
    assert "must be None under a strategy" in str(two)
    trap(all(found[f"several_steps/keras {name}"][1] != "" for name in ("steps", "accumulated")))


def test_11_nested_model_runs_in_inference_mode():
    seen = []

    def train_step(self, batch):
        seen.append(np.mean(self.inner(tf.ones((1, 200))) == 0))
        return {"loss": 0.0}

    model = traps.line(train_step=train_step)
    model.inner = keras.Sequential([keras.layers.Dropout(0.5)])
    model(X)
    traps.trained(model, run_eagerly=True)
    encoder = keras.Sequential([keras.layers.Dense(200, kernel_initializer="ones"), Dropout(0.5, seed=0)])
    values = [Autoencoder(encoder, keras.layers.Dense(3)).per_example(X, None, None, training)[0]["loss"]
              for training in (True, False)]  # fmt: skip
    assert not np.allclose(*values)
    trap(seen == [0])


def test_14_automatic_compilation_is_off():
    model = Classifier(networks.mlp((3,), num_classes=None), 2)
    model.compile(optimizers.Adam(jit_update=True))
    assert model.optimizer.jit_update
    trap(not model.jit_compile)


def test_15_keras_has_no_lars():
    assert issubclass(optimizers.LARS, keras.optimizers.Optimizer)
    trap(not hasattr(keras.optimizers, "LARS"))


@pytest.mark.slow
def test_16_replicas_get_contiguous_parts(found):
    """The positions of examples in the global batch rely on this; `training.Trainer` gathers the sizes."""
    assert found["parts/sizes"][1].tolist() == [3, 2]


@pytest.mark.slow
def test_18_second_strategy_in_a_process_fails(found):
    assert found["second_strategy/kit"][1]
    trap(found["second_strategy/keras"][1] != "")


@pytest.mark.slow
def test_19_bias_before_batch_norm_changes_without_a_gradient():
    dense, norm = keras.layers.Dense(4), keras.layers.BatchNormalization()
    traps.trained(
        keras.Sequential([dense, norm, keras.layers.Dense(1)]),
        optimizer=keras.optimizers.Adam(0.1),
        loss="mse",
    )
    head = projection_head((4, 2))
    head.build((None, 3))
    assert [layer.use_bias for layer in head.layers if isinstance(layer, keras.layers.Dense)] == [
        False,
        False,
    ]
    trap(np.abs(dense.bias.numpy()).max() > 1e-4)
