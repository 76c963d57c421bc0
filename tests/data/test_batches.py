"""Minibatches: the order of an epoch is a function of (seed, epoch), and an epoch contains each example once."""

import math
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit.data import epoch_order, minibatches


def flat(dataset):
    return np.concatenate([np.asarray(batch) for batch in dataset])


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (12, 4), (5, 8), (1, 1), (7, 1)])
def test_epoch_contains_each_example_once(n, batch_size):
    sizes = [len(batch) for batch in minibatches(np.arange(n), batch_size=batch_size)]
    assert sizes == [batch_size] * (n // batch_size) + ([n % batch_size] if n % batch_size else [])
    assert sorted(flat(minibatches(np.arange(n), batch_size=batch_size))) == list(range(n))


def test_targets_stay_with_their_inputs():
    x = np.arange(23)
    for inputs, targets in minibatches(x, x * 10, batch_size=4, epochs=2):
        np.testing.assert_array_equal(targets, inputs * 10)


def test_structures_and_dtypes_are_kept():
    x = {"image": np.zeros((6, 2, 2, 1), "float32"), "index": np.arange(6, dtype="int32")}
    inputs, targets = next(iter(minibatches(x, np.arange(6, dtype="int64"), batch_size=4)))
    assert inputs["image"].shape == (4, 2, 2, 1)
    assert (inputs["image"].dtype, inputs["index"].dtype, targets.dtype) == (tf.float32, tf.int32, tf.int64)
    np.testing.assert_array_equal(inputs["index"], targets)


def test_order_is_epoch_order_1():
    seen = flat(minibatches(np.arange(50), batch_size=7, seed=3, epochs=4)).reshape(4, 50)
    for epoch in range(4):
        np.testing.assert_array_equal(seen[epoch], epoch_order(50, 3, epoch))


def test_orders_differ_between_epochs_and_seeds():
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def resumed(make, first_epoch, epochs=5, n=17):
    return flat(make(np.arange(n), batch_size=4, epochs=epochs, first_epoch=first_epoch))


def one_generator_for_all_epochs(x, *, batch_size, epochs, first_epoch):
    """Wrong twin: the order of an epoch depends on the number of orders drawn before it in this process."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(x)) for _ in range(first_epoch, epochs)]
    return [x[order] for order in orders]


@pytest.mark.parametrize("first_epoch", [1, 3, 4])
def test_resumed_run_sees_the_remaining_minibatches(first_epoch):
    whole = resumed(minibatches, 0)
    np.testing.assert_array_equal(resumed(minibatches, first_epoch), whole[17 * first_epoch :])
    wrong = one_generator_for_all_epochs
    assert (resumed(wrong, first_epoch) != resumed(wrong, 0)[17 * first_epoch :]).any()


def test_without_shuffle_all_epochs_keep_the_order():
    seen = flat(minibatches(np.arange(9), batch_size=4, epochs=2, shuffle=False))
    np.testing.assert_array_equal(seen, np.tile(np.arange(9), 2))


@pytest.mark.slow
def test_orders_are_uniform():
    n, epochs = 8, 1000
    orders = flat(minibatches(np.arange(n), batch_size=n, epochs=epochs)).reshape(epochs, n)
    counts = np.stack([np.bincount(orders[:, place], minlength=n) for place in range(n)])
    chi2 = ((counts - epochs / n) ** 2 / (epochs / n)).sum()
    # (n − 1)² = 49 degrees of freedom: mean 49, standard deviation √98; the bound is five of them.
    assert abs(chi2 - 49) < 5 * math.sqrt(98)


class Recorder(keras.Model):
    """Count how often each example is seen, and add up the examples weighted by their step."""

    def __init__(self, n):
        super().__init__()
        self.seen = self.add_weight(shape=(n,), initializer="zeros", trainable=False)
        self.checksum = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.step = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        return x

    def train_step(self, x):
        self.seen.assign(self.seen + keras.ops.sum(keras.ops.one_hot(x, self.seen.shape[0]), axis=0))
        self.step.assign_add(1.0)
        self.checksum.assign_add(self.step * keras.ops.sum(keras.ops.cast(x, "float32")))
        return {"loss": self.step}


def test_fit_sees_each_example_once_per_epoch_in_order():
    n, epochs = 22, 3
    recorder = Recorder(n)
    recorder.compile()
    data = minibatches(np.arange(n), batch_size=5, epochs=epochs)
    recorder.fit(data, epochs=epochs, steps_per_epoch=5, verbose=0, shuffle=False)
    np.testing.assert_array_equal(recorder.seen.numpy(), epochs)
    batches = [np.asarray(batch) for batch in minibatches(np.arange(n), batch_size=5, epochs=epochs)]
    assert float(recorder.checksum) == sum((step + 1) * batch.sum() for step, batch in enumerate(batches))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize(("kept", "released"), [("", True), ("kept.append(data)", False)])
def test_arrays_are_released_after_training(kept, released):
    """Trainings on an array of 48 MB, in a process of their own, which no earlier test's heap disturbs.

    What the last four need at least is compared with what the four before needed at least: a leak adds four copies.
    The second case is the wrong twin: it keeps the data set of every training.
    """
    program = f"""
        import gc
        import keras, numpy as np
        from tf_kit.data import minibatches

        def resident_bytes():
            gc.collect()
            lines = open("/proc/self/status").read().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

        x = np.ones((60_000, 200), "float32")
        model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        used, kept = [], []
        for _ in range(10):
            data = minibatches(x, x[:, 0], batch_size=20_000, epochs=3)
            model.fit(data, epochs=3, steps_per_epoch=3, verbose=0, shuffle=False)
            {kept}
            used.append(resident_bytes())
        print((min(used[6:]) - min(used[2:6])) / x.nbytes)
    """
    assert (float(_run(program)) < 2) == released


@pytest.mark.slow
def test_replicas_see_the_same_batches():
    """The parts that two replicas of a strategy get are, concatenated, the global batch."""
    program = """
        import numpy as np, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        import keras
        from tf_kit.data import minibatches

        x = np.random.default_rng(0).normal(size=(22, 4)).astype("float32")
        y = np.arange(22) % 3
        data = lambda: minibatches(x, y, batch_size=8, epochs=3)

        def weights(strategy):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "linear")])
                model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(data(), epochs=3, steps_per_epoch=3, verbose=0, shuffle=False)
            return model.get_weights()[0]

        two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        spread = two.experimental_distribute_dataset(data())
        parts = [two.experimental_local_results(batch[0]) for batch in spread]
        for (whole, _), part in zip(data(), parts, strict=True):
            assert len(part) == 2
            np.testing.assert_array_equal(np.concatenate([each.numpy() for each in part]), whole)
        print(np.abs(weights(two) - weights(tf.distribute.get_strategy())).max())
    """
    assert float(_run(program)) < 1e-6


def _run(program):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"epochs": 2, "first_epoch": 2}, "epochs=2"),
        ({"first_epoch": -1}, "first_epoch=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"x": np.zeros((0, 2))}, r"\(0, 2\)"),
        ({"y": np.zeros(5)}, "one length"),
        ({"y": [0, 1, 0, 1]}, r"A list is taken for several arrays, np\.asarray"),
        ({"x": 1.0}, "be given arrays"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    given = {"x": np.zeros((4, 2)), "batch_size": 2} | change
    with pytest.raises(ValueError, match=message):
        minibatches(given.pop("x"), given.pop("y", None), **given)
