"""Tests that no iterator of a training has a thread that tunes it, for which its end would wait."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import processes
from tensorflow.python.data.ops import dataset_ops

from tf_kit import data, keras_internals, networks, scaling
from tf_kit.training import Classifier

X = np.random.default_rng(0).random((19, 6)).astype("float32")
Y = np.arange(19) % 3


class Opened:
    """Spy that lists whether the data sets of new iterators are tuned, as the kernels of TensorFlow see it."""

    def __init__(self):
        self.tuned = []

    def __enter__(self):
        with keras_internals.untuned_data_sets():
            pass  # its method stands in the class from now on
        self._method = dataset_ops.DatasetV2._apply_debug_options

        def spy(dataset):
            found = self._method(dataset)
            self.tuned.append(found.options().autotune.enabled)
            return found

        dataset_ops.DatasetV2._apply_debug_options = spy
        return self.tuned

    def __exit__(self, *error):
        dataset_ops.DatasetV2._apply_debug_options = self._method


def classifier():
    model = Classifier(networks.mlp((4,), num_classes=None, seed=0), 3)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def batches(**options):
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(9)
    chosen = tf.data.Options()
    for name, value in options.items():
        setattr(chosen.autotune, name, value)
    return dataset.with_options(chosen) if options else dataset


def fit_of_arrays(model):
    model.fit(
        X, Y, batch_size=9, epochs=2, validation_data=(X[:7], Y[:7]), validation_batch_size=3, verbose=0
    )


def fit_of_a_data_set(model):
    model.fit(batches(), epochs=2, validation_data=batches(), verbose=0)


def evaluate(model):
    model.evaluate(X, Y, batch_size=9, verbose=0)
    model.evaluate(batches(), verbose=0)


def predict(model):
    model.predict(X, batch_size=9, verbose=0)
    model.predict(batches().map(lambda x, y: x), verbose=0)


USES = {use.__name__: use for use in (fit_of_arrays, fit_of_a_data_set, evaluate, predict)}


@pytest.mark.parametrize("use", USES)
def test_no_iterator_is_tuned(use):
    model = classifier()
    model.prepare_from(X, Y)
    with Opened() as tuned:
        USES[use](model)
    if use != "fit_of_arrays":  # which runs in pieces, without a data set
        assert tuned
    assert set(tuned) <= {False}


@pytest.mark.slow
def test_no_iterator_of_replicas_is_tuned():
    processes.finish(processes.start(__file__))


def test_spy_sees_what_is_tuned():
    with Opened() as tuned:
        list(batches())
    assert tuned == [None], "TensorFlow's own choice, outside of a training"


def test_choice_of_the_data_set_stays():
    model = classifier()
    with Opened() as tuned:
        model.fit(batches(enabled=True), verbose=0)
    assert True in tuned


def test_data_sets_of_the_kit_are_not_tuned(mnist_dir):
    for dataset in (
        data.minibatches(X, Y, batch_size=9),
        data.stream("mnist", batch_size=100, data_dir=mnist_dir),
    ):
        assert dataset.options().autotune.enabled is False


def test_nested_contexts_end_with_the_last_one():
    with keras_internals.untuned_data_sets():
        with keras_internals.untuned_data_sets(), Opened() as tuned:
            list(batches())
        with Opened() as between:
            list(batches())
    with Opened() as after:
        list(batches())
    assert (tuned, between, after) == ([False], [False], [None])


if __name__ == "__main__":
    with scaling.strategy("mirrored", replicas=2).scope():
        replicated = classifier()
        for name, each in USES.items():
            with Opened() as found:
                each(replicated)
            assert len(found) > 2, name
            assert set(found) == {False}, (name, found)
