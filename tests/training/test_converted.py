"""`keras.utils.PyDataset` as the data of trainers: order, parts, types, threads, ends, and what is refused."""

import contextlib
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import processes

from tf_kit import networks, pretraining, scaling, training
from tf_kit.errors import InputError
from tf_kit.training.converted import converted

X = np.random.default_rng(0).random((10, 4)).astype("float32")
Y = np.arange(10) % 3


class Given(keras.utils.PyDataset):
    """A data set of given batches, or of the batches that a function returns for an index."""

    def __init__(self, batches, length=..., **arguments):
        super().__init__(**arguments)
        self.batches, self.length, self.ends = batches, length, 0

    @property
    def num_batches(self):
        return len(self.batches) if self.length is ... else self.length

    def __getitem__(self, index):
        return self.batches(index) if callable(self.batches) else self.batches[index]

    def on_epoch_end(self):
        self.ends += 1


def read(given):
    return [
        tuple(np.asarray(part) for part in each) if isinstance(each, tuple) else np.asarray(each)
        for each in given
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_keep_their_order_and_their_end_is_told_once(workers):
    def slow_at_first(index):
        time.sleep(0.05 / (1 + index))
        return np.full((2, 1), index, "float32"), np.full(2, index)

    given = Given(slow_at_first, 8, workers=workers)
    dataset = converted("fit.x", given)
    assert int(dataset.cardinality()) == 8
    for epoch in (1, 2):
        assert [int(y[0]) for _, y in dataset] == list(range(8))
        assert given.ends == epoch
    next(iter(dataset.take(1)))
    assert given.ends == 2


def test_workers_read_at_once():
    meeting = threading.Barrier(3)

    def together(index):
        if index > 1:  # two are looked at before
            meeting.wait(20)
        return np.full((2, 1), index, "float32")

    assert len(list(converted("fit.x", Given(together, 5, workers=3)))) == 5


@pytest.mark.parametrize(
    ("batch", "parts"),
    [
        (X, 1),
        ((X,), 1),
        ((X, Y), 2),
        ((X, None), 1),
        ((X, Y, np.ones(10)), 3),
        ((X.astype("float64"), Y.astype("int32")), 2),
    ],
)
def test_parts_and_types_are_those_of_keras(batch, parts):
    tensors = keras.tree.map_structure(lambda each: None if each is None else tf.constant(each), batch)
    for given in (batch, tensors):
        dataset = converted("fit.x", Given([given, given]))
        (x, *_) = read(dataset)[0]
        assert len(dataset.element_spec) == parts
        assert x.dtype == "float32"
        np.testing.assert_array_equal(x, X)


def test_axes_that_differ_between_batches_are_not_fixed():
    dataset = converted("fit.x", Given([np.zeros((2, 5), "int32"), np.zeros((2, 7), "int32")]))
    assert [each[0].shape for each in read(dataset)] == [(2, 5), (2, 7)]


REFUSED = {
    "at least one batch.*length 0": [],
    "one array each.*dict": [{"x": X}],
    "one array each.*list": [[X, Y]],
    "one array each.*NoneType, ndarray": [(None, X, Y)],
    "same parts in all batches.*1 and 2": [(X,), (X, Y)],
    "number of axes": [X, X[..., None]],
}


@pytest.mark.parametrize("message", REFUSED)
def test_other_batches_are_refused_in_one_line(message):
    model = training.Classifier(networks.mlp((3,), num_classes=None), 3)
    model.compile("sgd")
    with pytest.raises(InputError, match=message) as refused:
        model.fit(Given(REFUSED[message]), verbose=0)
    assert "\n" not in str(refused.value)


def classifier():
    model = training.Classifier(networks.mlp((3,), num_classes=None, input_shape=(4,), seed=0), 3)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def test_an_endless_one_needs_a_number_of_steps():
    given = Given(lambda index: (X[index % 5 :: 5], Y[index % 5 :: 5]), None)
    with pytest.raises(InputError, match=r"endless.*steps_per_epoch"):
        classifier().fit(given, verbose=0)
    model, other = classifier(), classifier()
    model.fit(given, steps_per_epoch=5, epochs=2, verbose=0)
    other.fit(Given([(X[i::5], Y[i::5]) for i in range(5)]), epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


def test_class_weights_greedy_pretraining_and_predictions_take_it():
    given, weights = Given([(X[:5], Y[:5]), (X[5:], Y[5:])]), {0: 1.0, 1: 2.0, 2: 0.5}
    of_data_set, of_arrays = classifier(), classifier()
    of_data_set.fit(given, class_weight=weights, verbose=0)
    of_arrays.fit(X, Y, batch_size=5, shuffle=False, class_weight=weights, verbose=0)
    np.testing.assert_allclose(of_data_set.get_weights()[0], of_arrays.get_weights()[0], rtol=1e-6)
    predicted = of_arrays.predict(Given([X[:5], X[5:]]), verbose=0)
    np.testing.assert_allclose(predicted, of_arrays.predict(X, verbose=0), rtol=1e-4, atol=1e-6)
    blocks = pretraining.pretrain_greedily(
        networks.mlp((4, 3), num_classes=None, seed=0), Given([X[:5], X[5:]]), epochs=1
    )
    assert len(blocks) == 2


def test_a_failure_within_it_is_shown():
    def broken(index):
        if index == 3:
            raise ValueError("the file scan_17.npy is damaged")
        return X, Y

    with pytest.raises(tf.errors.OpError, match=r"scan_17\.npy is damaged"):
        classifier().fit(Given(broken, 5), verbose=0)


def trained(replicas):
    given = [(X[:4], Y[:4]), (X[4:], Y[4:])]
    with scaling.strategy("mirrored", replicas=2).scope() if replicas > 1 else contextlib.nullcontext():
        model = classifier()
    history = model.fit(Given(given), epochs=2, validation_data=Given(given, workers=2), verbose=0).history
    return np.array([*model.get_weights()[0].ravel(), *history["loss"], *history["val_loss"]])


@pytest.mark.slow  # devices are divided in a process that has used none
def test_replicas_share_its_batches():
    processes.finish(processes.start(__file__))


if __name__ == "__main__":
    np.testing.assert_allclose(trained(2), trained(1), rtol=1e-5)
