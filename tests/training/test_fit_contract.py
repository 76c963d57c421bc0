"""Every argument of Keras's `fit`, and every hook that Keras has, counts in a `Trainer` as in Keras, or is refused."""

import functools
import gc
import inspect
import os
import resource
import weakref

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from keras import ops
from support.cases import mostly_slow

from tf_kit import networks, optimizers, pretraining, training
from tf_kit.errors import InputError

RANDOM = np.random.default_rng(0)
X = RANDOM.random((24, 5)).astype("float32")
Y = np.arange(24) % 3
WEIGHTS = RANDOM.random(24).astype("float32")
SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam


def network(units=(4,), num_classes=3):
    return networks.mlp(units, num_classes=num_classes, input_shape=(5,), seed=1)


def classifier(optimizer=None, **compiled):
    model = pretraining.Classifier(network(), 3)
    model.compile(optimizer or SGD(0.5), **compiled)
    return model


def in_keras(optimizer=None, **compiled):
    """The same network, loss and optimizer as `classifier`, trained by Keras itself."""
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or SGD(0.5), **{"loss": loss, "metrics": ["accuracy"]} | compiled)
    return model


def batches(*parts, size=6):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(size)


def weights_of(model):
    return np.concatenate([each.numpy().ravel() for each in model.trainable_variables])


def check_as_keras(arguments, make=None, fit=("x", "y")):
    """Train both with the same arguments; weights and history agree."""
    ours, theirs = (classifier(*(make() if make else ())), in_keras(*(make() if make else ())))
    histories = []
    for model in (ours, theirs):
        given = {"shuffle": False, "verbose": 0, "batch_size": 6, **arguments()}
        histories.append(
            model.fit(**{name: value for name, value in given.items() if value is not None}).history
        )
    np.testing.assert_allclose(weights_of(ours), weights_of(theirs), rtol=1e-4, atol=1e-6)
    assert set(histories[0]) == set(histories[1])
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-4, atol=1e-6, err_msg=name)


HELD_OUT = (X[:7], Y[:7])
ARRAYS = {"x": X, "y": Y}


def dataset(*parts, **arguments):
    return {"x": batches(*parts), "batch_size": None, **arguments}


AS_IN_KERAS = {
    "arrays": lambda: {**ARRAYS, "epochs": 2},
    "batch_size": lambda: {**ARRAYS, "batch_size": 7},
    "sample_weight": lambda: {**ARRAYS, "sample_weight": WEIGHTS},
    "class_weight": lambda: {**ARRAYS, "class_weight": {0: 5.0, 2: 0.5}},
    "validation_split": lambda: {**ARRAYS, "validation_split": 0.25, "epochs": 2},
    "validation_data": lambda: {**ARRAYS, "validation_data": HELD_OUT, "validation_batch_size": 3},
    "validation_data with weights": lambda: {**ARRAYS, "validation_data": (X[:7], Y[:7], WEIGHTS[:7])},
    "validation_data as a data set": lambda: {**ARRAYS, "validation_data": batches(*HELD_OUT)},
    "validation_steps": lambda: {**ARRAYS, "validation_data": batches(*HELD_OUT).repeat(), "validation_steps": 3},
    "validation_steps of arrays": lambda: {**ARRAYS, "validation_data": (X, Y), "validation_steps": 2, "epochs": 2},
    "validation_steps of more": lambda: {**ARRAYS, "validation_data": (X, Y), "validation_steps": 9},
    "validation_steps of arrays beside a data set": lambda: dataset(
        X, Y, validation_data=(np.tile(X, (99, 1)), np.tile(Y, 99)), validation_steps=2
    ),
    "class_weight with validation_split": lambda: {
        **ARRAYS, "class_weight": {0: 5.0, 2: 0.5}, "validation_split": 0.25
    },
    "validation_freq": lambda: {**ARRAYS, "validation_data": HELD_OUT, "validation_freq": 2, "epochs": 4},
    "validation_freq as a list": lambda: {
        **ARRAYS, "validation_data": HELD_OUT, "validation_freq": [1, 3], "epochs": 4
    },
    "initial_epoch": lambda: {**ARRAYS, "initial_epoch": 2, "epochs": 3},
    "epochs": lambda: {**ARRAYS, "epochs": 0},
    "data set": lambda: dataset(X, Y, epochs=2),
    "data set with weights": lambda: dataset(X, Y, WEIGHTS, epochs=2),
    "data set with class_weight": lambda: dataset(X, Y, class_weight={0: 3.0, 2: 0.5}),
    "data set with steps_per_epoch": lambda: {
        "x": batches(X, Y).repeat(), "batch_size": None, "steps_per_epoch": 3, "epochs": 3
    },
    "data set with validation": lambda: dataset(X, Y, validation_data=HELD_OUT),
}  # fmt: skip

REFUSED = {
    "steps_per_epoch with arrays": (lambda: {**ARRAYS, "steps_per_epoch": 2}, "steps_per_epoch=2"),
    "validation_split with a data set": (lambda: {"x": batches(X, Y), "validation_split": 0.2}, "dataset.take"),
    "batch_size with a data set": (lambda: {"x": batches(X, Y), "batch_size": 3}, "batch_size=3"),
    "y with a data set": (lambda: {"x": batches(X, Y), "y": Y}, "part of the data set"),
    "endless data set": (lambda: {"x": batches(X, Y).repeat()}, "steps_per_epoch"),
    "endless validation": (lambda: {**ARRAYS, "validation_data": batches(X, Y).repeat()}, "validation_steps"),
    "generator": (lambda: {"x": iter([(X, Y)])}, "from_generator"),
    "list": (lambda: {"x": [X], "y": Y}, "np.stack"),
    "single examples": (lambda: {"x": tf.data.Dataset.from_tensor_slices((X, Y))}, "dataset.batch"),
    "two kinds of weights": (
        lambda: {**ARRAYS, "class_weight": {0: 1.0}, "sample_weight": WEIGHTS}, "sample_weight"
    ),
    "class_weight of no classes": (lambda: {**ARRAYS, "class_weight": [1, 2]}, r"\[1, 2\]"),
    "class_weight of texts": (lambda: {**ARRAYS, "class_weight": {"0": 1.0}}, "class numbers to .*the class '0'"),
    "class_weight of a negative class": (lambda: {**ARRAYS, "class_weight": {-1: 1.0}}, "the class -1"),
    "class_weight that is negative": (lambda: {**ARRAYS, "class_weight": {0: -1.0}}, r"class_weight\[0\].*-1\.0"),
    "class_weight of a missing class": (lambda: {**ARRAYS, "class_weight": {3: 2.0}}, "classes 0 … 2.*class 3"),
    "class_weight of a missing class in a data set": (
        lambda: {"x": batches(X, Y), "class_weight": {10**9: 2.0}}, "class 1000000000"
    ),
    "class_weight beside weights": (
        lambda: {"x": batches(X, Y, WEIGHTS), "class_weight": {0: 2.0}}, "batches with weights"
    ),
    "short sample_weight": (lambda: {**ARRAYS, "sample_weight": WEIGHTS[:9]}, "9 weights"),
    "wide sample_weight": (lambda: {**ARRAYS, "sample_weight": np.ones((24, 2))}, r"\(24, 2\)"),
    "wide weights in a data set": (
        lambda: {"x": batches(X, Y, np.ones((24, 2), "float32"))}, r"shape \(n,\), one for each"
    ),
    "short validation data": (lambda: {**ARRAYS, "validation_data": (X, Y[:3])}, "24 examples, 3 targets"),
    "validation_split of everything": (lambda: {**ARRAYS, "validation_split": 0.99}, "both sides"),
    "validation_freq": (
        lambda: {**ARRAYS, "validation_data": HELD_OUT, "validation_freq": 0}, "validation_freq=0"
    ),
    "validation_freq of epoch 0": (
        lambda: {**ARRAYS, "validation_data": HELD_OUT, "validation_freq": [0, 2]}, r"validation_freq=\[0, 2\]"
    ),
    "validation_freq of fractions": (
        lambda: {**ARRAYS, "validation_data": HELD_OUT, "validation_freq": [1.5]}, r"validation_freq=\[1.5\]"
    ),
    "epochs": (lambda: {**ARRAYS, "epochs": -1}, "epochs=-1"),
    "text labels": (lambda: {"x": X, "y": np.array(["cat"] * 24)}, "cat.*numbers the classes"),
    "text labels in a data set": (lambda: {"x": batches(X, np.array(["cat"] * 24))}, "numbers the classes"),
    "one-hot labels in a data set": (lambda: {"x": batches(X, np.eye(3)[Y])}, "one-hot"),
    "label out of range": (lambda: {"x": X, "y": Y + 1}, "labels from 1 to 3"),
    "label out of range in a data set": (lambda: {"x": batches(X, Y + 1)}, "labels from 1 to 3"),
    "label out of range in a later batch": (lambda: {"x": batches(X, np.r_[Y[:18], 3 + Y[:6]])}, "the label [345]"),
    "fraction in a later batch": (
        lambda: {"x": batches(X, np.r_[Y[:18], Y[:6] + 0.5].astype("float32"))}, "no whole number"
    ),
    "NaN in a later batch": (
        lambda: {"x": batches(X, np.r_[Y[:18], [np.nan] * 6].astype("float32"))}, "no whole number"
    ),
    "data set without labels": (lambda: {"x": batches(X)}, "hold the labels"),
    "validation data without labels": (lambda: {**ARRAYS, "validation_data": X[:7]}, "hold the labels"),
    "text weights": (lambda: {**ARRAYS, "sample_weight": np.array(["a"] * 24)}, "weights such as .*'a'"),
    "weights that are not finite": (
        lambda: {**ARRAYS, "sample_weight": np.where(WEIGHTS > 0.5, np.nan, 1)}, "finite numbers"
    ),
    "initial_epoch": (lambda: {**ARRAYS, "initial_epoch": -1}, "initial_epoch=-1"),
    "initial_epoch as text": (lambda: {**ARRAYS, "initial_epoch": "1"}, "initial_epoch='1'"),
    "initial_step": (lambda: {**ARRAYS, "initial_step": -1}, "initial_step=-1"),
    "initial_step as a fraction": (lambda: {**ARRAYS, "initial_step": 1.5}, "initial_step=1.5"),
    "initial_step after the epoch": (
        lambda: {**ARRAYS, "batch_size": 6, "initial_step": 4}, "less than the 4 steps.*initial_step=4"
    ),
    "examples of another shape": (lambda: {"x": X[:, :4], "y": Y}, r"input shape \(5,\)\. .* shape \(4,\)"),
    "steps_per_epoch": (lambda: {"x": batches(X, Y), "steps_per_epoch": 0}, "steps_per_epoch=0"),
    "steps_per_epoch as a fraction": (lambda: {"x": batches(X, Y), "steps_per_epoch": 2.5}, "steps_per_epoch=2.5"),
    "validation_steps": (
        lambda: {**ARRAYS, "validation_data": batches(*HELD_OUT), "validation_steps": 0}, "validation_steps=0"
    ),
    "validation_batch_size": (
        lambda: {**ARRAYS, "validation_data": HELD_OUT, "validation_batch_size": 0}, "validation_batch_size=0"
    ),
    "shuffle": (lambda: {**ARRAYS, "shuffle": "batch"}, "True or False"),
    "callbacks": (lambda: {**ARRAYS, "callbacks": [print]}, "list of Keras callbacks"),
    "text": (lambda: {"x": X.astype(str), "y": Y}, "hold numbers"),
    "objects": (lambda: {"x": X.astype(object), "y": Y}, "hold numbers"),
    "complex numbers": (lambda: {"x": X.astype("complex64"), "y": Y}, r"real numbers.*complex64.*np\.stack"),
    "sparse matrix": (lambda: {"x": scipy.sparse.csr_matrix(X), "y": Y}, r"csr_matrix\. x\.toarray\(\)"),
    "sparse tensor": (lambda: {"x": tf.sparse.from_dense(X), "y": Y}, r"SparseTensor\. tf\.sparse\.to_dense"),
    "ragged rows": (lambda: {"x": tf.ragged.constant([[1.0], [2.0, 3.0]]), "y": Y[:2]}, "to_tensor"),
    "masked entries": (lambda: {"x": np.ma.masked_greater(X, 0.9), "y": Y}, "masked"),
}  # fmt: skip


class Table:
    """A table as of pandas or polars, whose columns have types of their own, so that it has no dtype."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        return Table(self.values[rows])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def to_numpy(self):
        return self.values


BAD_LABELS = {
    "text": np.array(["cat", "dog", "elk"])[Y],
    "one-hot": np.eye(3)[Y],
    "from 1": Y + 1,
    "negative": Y - 1,
    "fractions": Y / 2,
    "missing": np.where(Y == 1, np.nan, Y),
}
TAKING_LABELS = {
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "test_on_batch": lambda model, x, y: model.test_on_batch(x, y),
    "data set": lambda model, x, y: model.fit(batches(x, y), verbose=0),
    "validation_data": lambda model, x, y: model.fit(X, Y, validation_data=(x, y), verbose=0),
    "data set for validation": lambda model, x, y: model.fit(X, Y, validation_data=batches(x, y), verbose=0),
}


@pytest.mark.parametrize("way", TAKING_LABELS)
@pytest.mark.parametrize("bad", BAD_LABELS)
def test_labels_that_are_not_class_numbers_are_refused_wherever_they_are_given(bad, way):
    model = classifier()
    before = weights_of(model)
    with pytest.raises(InputError, match="must be class numbers 0 … 2") as refused:
        TAKING_LABELS[way](model, X, BAD_LABELS[bad])
    assert "\n" not in str(refused.value)
    np.testing.assert_array_equal(weights_of(model), before)


def test_signature_is_that_of_keras():
    """In the same order, so that positional arguments mean the same; a new one of Keras is noticed here."""
    for method in ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"):
        theirs = [
            name for name in inspect.signature(getattr(keras.Model, method)).parameters if name != "kwargs"
        ]
        ours = list(inspect.signature(getattr(training.Trainer, method)).parameters)
        assert ours[: len(theirs)] == theirs
    elsewhere = {"callbacks", "verbose", "shuffle"}  # tested below, in every case, and in test_trainer.py
    tested = {name for case in AS_IN_KERAS.values() for name in case()}
    assert set(inspect.signature(keras.Model.fit).parameters) - {"self"} - elsewhere <= tested


FAST = {
    "sample_weight",
    "class_weight",
    "validation_split",
    "data set with steps_per_epoch",
    "validation_steps of arrays",
    "class_weight with validation_split",
}


@pytest.mark.parametrize("case", mostly_slow(AS_IN_KERAS, FAST))
def test_argument_counts_as_in_keras(case):
    check_as_keras(AS_IN_KERAS[case])


@pytest.mark.parametrize("case", REFUSED)
def test_argument_is_refused_in_one_line(case):
    arguments, message = REFUSED[case]
    model = classifier()
    before = weights_of(model)
    with pytest.raises(InputError, match=message) as refused:
        model.fit(verbose=0, **arguments())
    assert "\n" not in str(refused.value)
    if "later batch" not in case:
        np.testing.assert_array_equal(weights_of(model), before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([X[0], X[1]], "np.stack"),
        ([X], "np.stack"),
        (X.tolist(), "np.stack"),
        ({"x": X}, "one array"),
        (None, r"NoneType\.$"),
    ],
    ids=["rows", "one array", "numbers", "dict", "None"],
)
@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_evaluate_and_predict_refuse_what_fit_refuses(method, given, message):
    model = classifier()
    with pytest.raises(
        InputError, match=rf"`{method}\.x` must be an array, or a tf\.data\.Dataset or .*{message}"
    ) as refused:
        getattr(model, method)(given, **({"y": Y} if method == "evaluate" else {}), verbose=0)
    assert "\n" not in str(refused.value)


def test_predict_refuses_an_empty_array():
    with pytest.raises(InputError, match=r"predict\.x` must hold at least one example.*\(0, 5\)"):
        classifier().predict(X[:0], verbose=0)


@pytest.mark.slow
def test_weights_of_shape_n_1_count_as_those_of_shape_n():
    results = []
    for weights in (WEIGHTS, WEIGHTS[:, None]):
        for given in ({**ARRAYS, "sample_weight": weights}, {"x": batches(X, Y, weights)}):
            model = classifier()
            given = {
                **given,
                **({"batch_size": 6} if "y" in given else {}),
                "validation_data": (X, Y, weights),
            }
            history = model.fit(shuffle=False, verbose=0, **given).history
            losses = [model.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)["loss"]]
            losses += [act(X, Y, weights)[0] for act in (model.test_on_batch, model.train_on_batch)]
            results.append([*weights_of(model), *history["loss"], *history["val_loss"], *losses])
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-6)


def test_losses_of_another_shape_are_refused():
    class Column(training.Trainer):
        def per_example(self, x, y, random, training):
            return {"loss": ops.sum(x, axis=-1, keepdims=True)}, None

    model = Column()
    model.compile("sgd")
    with pytest.raises(InputError, match=r"'loss' of shape \(1, 1\)"):
        model.fit(X, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches_report_as_in_keras(method):
    ours, theirs = classifier(), in_keras()
    for _ in range(2):
        for arguments in ({}, {"return_dict": True}, {"sample_weight": WEIGHTS}):
            results = [getattr(model, method)(X, Y, **arguments) for model in (ours, theirs)]
            if arguments.get("return_dict"):
                results = [[each["loss"], each["accuracy"]] for each in results]
            np.testing.assert_allclose(*results, rtol=1e-5)
    np.testing.assert_allclose(weights_of(ours), weights_of(theirs), rtol=1e-5)
    np.testing.assert_allclose(ours.predict_on_batch(X), theirs.predict_on_batch(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches_are_refused_as_by_fit(method):
    act = getattr(classifier(), method)
    cases = {"dict": ({"x": X}, Y), "list": (X.tolist(), Y), "hold the labels": (X, None)}
    cases |= {"numbers the classes": (X, np.array(["a"] * 24)), "labels from 7 to 9": (X, Y + 7)}
    for message, given in cases.items():
        with pytest.raises(InputError, match=message) as refused:
            act(*given)
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="BatchDataset"):
        act(batches(X, Y))


def test_scope_of_another_strategy_is_refused():
    model = classifier()
    scope = tf.distribute.MirroredStrategy(["/cpu:0"]).scope()
    with scope, pytest.raises(InputError, match="the scope of a MirroredStrategy"):
        model.fit(X, Y, verbose=0)


COMPILED = {
    "loss": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean"),
    "metrics": lambda: ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
    "weighted_metrics": lambda: ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
    "run_eagerly": lambda: True,
    "jit_compile": lambda: True,
    "steps_per_execution": lambda: 2,
    "auto_scale_loss": lambda: False,
}


@pytest.mark.parametrize("name", mostly_slow(COMPILED, {"loss", "weighted_metrics"}))
def test_argument_of_compile_counts_as_in_keras(name):
    histories = []
    for make in (classifier, in_keras):
        model = make(**{name: COMPILED[name]()})
        given = {**ARRAYS, "sample_weight": WEIGHTS, "shuffle": False}
        histories.append(model.fit(epochs=2, verbose=0, **given).history)
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5, err_msg=name)


TOP_2 = functools.partial(keras.metrics.SparseTopKCategoricalAccuracy, 2)
METRICS = {
    "dictionary": lambda: {"metrics": {"logits": ["accuracy", TOP_2()]}},
    "nested": lambda: {"metrics": [["accuracy"]]},
    "object": lambda: {"metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]},
    "with and without weights": lambda: {"metrics": ["accuracy", TOP_2()], "weighted_metrics": ["accuracy", TOP_2()]},
    "short name": lambda: {"weighted_metrics": ["acc"]},
}  # fmt: skip


@pytest.mark.parametrize("case", mostly_slow(METRICS, {"with and without weights"}))
def test_metrics_have_the_names_and_values_of_keras(case, tmp_path):
    histories = []
    for make in (classifier, in_keras):
        model = make(**METRICS[case]())
        given = {**ARRAYS, "sample_weight": WEIGHTS, "validation_data": (X, Y, WEIGHTS), "shuffle": False}
        histories.append(model.fit(epochs=2, verbose=0, **given).history)
        model.save(tmp_path / "model.keras")
        found = [each.evaluate(X, Y, sample_weight=WEIGHTS, verbose=0, return_dict=True)
                 for each in (model, keras.saving.load_model(tmp_path / "model.keras"))]  # fmt: skip
        assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["loss", "accuracy"])
@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
def test_metric_that_would_replace_another_value_is_refused(argument, name):
    model = classifier(**{argument: [TOP_2(name=name)]})
    with pytest.raises(InputError, match=f"other names than loss, accuracy.*a metric named '{name}'"):
        model.fit(X, Y, verbose=0)


class Watched(keras.layers.Layer):
    """Returns its inputs, and reports their mean."""

    def __init__(self, name="seen"):
        super().__init__()
        self.mean = keras.metrics.Mean(name=name)

    def call(self, inputs):
        self.mean.update_state(inputs)
        return inputs


def watched(name="seen"):
    return keras.Sequential([keras.Input((5,)), keras.Sequential([Watched(name)]), *network().layers])


@pytest.mark.parametrize(
    "compiled", mostly_slow([{}, {"run_eagerly": True}, {"steps_per_execution": 2}], quick=1)
)
def test_metrics_of_layers_are_reported_as_in_keras(compiled):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours, theirs = pretraining.Classifier(watched(), 3), watched()
    ours.compile(SGD(0.5), **compiled)
    theirs.compile(SGD(0.5), loss, metrics=["accuracy"], **compiled)
    given = {
        **ARRAYS,
        "batch_size": 6,
        "validation_data": HELD_OUT,
        "epochs": 2,
        "shuffle": False,
        "verbose": 0,
    }
    histories = [model.fit(**given).history for model in (ours, theirs)]
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(ours.evaluate(X, Y, verbose=0)[2], X.mean(), rtol=1e-5)


def test_metrics_of_a_trainer_itself_are_reported():
    class Center(training.Trainer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.w, self.mean = self.add_weight(shape=(5,)), keras.metrics.Mean(name="seen")

        def per_example(self, x, y, random, training):
            self.mean.update_state(x)
            return {"loss": ops.sum((x - self.w) ** 2, axis=-1)}, None

    model = Center()
    model.compile("sgd")
    seen = model.fit(X, batch_size=6, epochs=2, verbose=0).history["seen"]
    np.testing.assert_allclose(seen, [X.mean()] * 2, rtol=1e-5)


def test_values_of_training_alone_are_refused():
    """They would have no place in the history."""

    class Center(training.Trainer):
        def per_example(self, x, y, random, training):
            return {"loss": ops.sum(x, axis=-1)} | ({"size": ops.sum(x, axis=-1)} if training else {}), None

    model = Center()
    model.compile("sgd")
    with pytest.raises(
        InputError, match=r"same names in training and in evaluation.*loss, size in a step, loss in"
    ):
        model.fit(X, verbose=0)


def test_metric_of_a_layer_with_the_name_of_another_value_is_refused():
    model = pretraining.Classifier(watched("accuracy"), 3)
    model.compile("sgd")
    with pytest.raises(InputError, match=r"other names than loss, accuracy.*a metric named 'accuracy'"):
        model.fit(X, Y, verbose=0)


def test_steps_of_an_evaluation_have_the_size_of_keras():
    x, y = np.concatenate([k * X for k in range(100)]), np.tile(Y, 100)
    found = [
        make().evaluate(x, y, steps=2, verbose=0, **{"return_dict": True}) for make in (classifier, in_keras)
    ]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)


def test_arguments_of_compile_are_all_known():
    """A new one of Keras is noticed here."""
    theirs = set(inspect.signature(keras.Model.compile).parameters) - {"self"}
    assert theirs == {"optimizer", "loss_weights", *COMPILED}


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy
REFUSED_BY_COMPILE = {
    "loss_weights": (lambda: {"loss_weights": [2.0]}, r"loss_weights` must be None.*\[2\.0\]"),
    "a sum": (lambda: {"loss": CROSS_ENTROPY(from_logits=True, reduction="sum")}, "mean over examples.*sum"),
    "no reduction": (lambda: {"loss": CROSS_ENTROPY(from_logits=True, reduction="none")}, "mean over examples.*none"),
    "weighted mean": (
        lambda: {"loss": CROSS_ENTROPY(from_logits=True, reduction="mean_with_sample_weight")}, "mean_with_sample"
    ),
    "list of losses": (lambda: {"loss": [CROSS_ENTROPY(from_logits=True)]}, "one loss.*list of 1.*brackets"),
    "losses by name": (lambda: {"loss": {"head": CROSS_ENTROPY(from_logits=True)}}, "one loss.*dict of 1"),
    "squared error": (lambda: {"loss": "mse"}, "each example a value.*mean_squared_error.*cross-entropy"),
    "one-hot": (lambda: {"loss": keras.losses.CategoricalCrossentropy(from_logits=True)}, "each example a value"),
    "mean by itself": (
        lambda: {"loss": lambda y, z: keras.ops.mean(z)}, "each example a value.*<lambda>, which fails"
    ),
    "no step": (lambda: {"steps_per_execution": 0}, "steps_per_execution=0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_BY_COMPILE)
def test_compile_refuses_in_one_line(name):
    make, message = REFUSED_BY_COMPILE[name]
    with pytest.raises(InputError, match=message) as refused:
        classifier(**make())
    assert "\n" not in str(refused.value)


def test_own_loss_may_take_labels_as_floats():
    """By operations of TensorFlow, which do not mix types of numbers."""
    model = classifier(loss=lambda y, z: tf.reduce_mean(tf.square(z - y[:, None]), axis=-1))
    history = model.fit(X, Y.astype("float32"), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_file_that_keras_could_not_load_is_not_written(tmp_path):
    model = classifier()
    model.fit(X, Y, verbose=0)
    with pytest.raises(InputError, match=r"end in \.keras.*model\.h5"):
        model.save(tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled", [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 2}]
)
def test_ways_to_run_give_the_same(compiled):
    models = [classifier(), classifier(**compiled)]
    for model in models:
        model.fit(X, Y, batch_size=6, epochs=2, verbose=0)
    np.testing.assert_allclose(weights_of(models[0]), weights_of(models[1]), rtol=1e-5, atol=1e-6)


# Hooks


@pytest.mark.parametrize(
    "make",
    mostly_slow(
        [
            optimizers.SGD,
            SGD,
            lambda *given, **more: keras.optimizers.LossScaleOptimizer(SGD(*given, **more)),
        ],
        quick=1,
    ),
)
def test_averages_stay_with_their_weights_when_a_part_is_frozen(make):
    """Keras pairs them by position: the second layer would get the averages of the first, which has its shape."""
    encoder = networks.mlp((5, 5), num_classes=None, input_shape=(5,), seed=1)
    model = pretraining.Classifier(encoder, 3)
    model.compile(make(1e-6, use_ema=True))
    model.fit(X, Y, verbose=0)
    encoder.layers[1].trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-3)


AVERAGING = {"use_ema": True, "ema_momentum": 0.5}


@pytest.mark.parametrize("frozen", mostly_slow([False, True], {True}))
@pytest.mark.parametrize("swapping", mostly_slow([False, True], {True}))
def test_averages_are_those_of_the_trained_weights(frozen, swapping):
    """As in Keras with the encoder frozen; a frozen encoder stays bit for bit. (A mix-up would fit in size.)"""
    encoder, twin = (networks.mlp((3, 3), num_classes=None, input_shape=(5,), seed=1) for _ in range(2))
    before = encoder.get_weights()
    ours = pretraining.Classifier(encoder, 3, frozen=frozen)
    ours.compile(ADAM(0.1, **AVERAGING))
    ours.build_for(X)
    twin.trainable = not frozen
    theirs = keras.Sequential(
        [twin, keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(0))]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile(ADAM(0.1, **AVERAGING), loss)
    for model in (ours, theirs):
        callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if swapping else []
        model.fit(X, Y, batch_size=6, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    if frozen:
        for one, other in zip(encoder.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_backup_continues_with_the_order_of_the_data(tmp_path):
    whole, part = classifier(ADAM(0.1)), classifier(ADAM(0.1))
    whole.fit(X, Y, batch_size=6, epochs=4, verbose=0)
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        part.fit(X, Y, batch_size=6, epochs=4, verbose=0,
                 callbacks=[keras.callbacks.BackupAndRestore(backup), Interrupt()])  # fmt: skip
    resumed = classifier(ADAM(0.1))
    history = resumed.fit(X, Y, batch_size=6, epochs=4, verbose=0,
                          callbacks=[keras.callbacks.BackupAndRestore(backup)])  # fmt: skip
    assert history.epoch[-1] == 3
    np.testing.assert_allclose(weights_of(resumed), weights_of(whole), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("last", [1, 2, 4, 5, 7, 11])
@pytest.mark.parametrize("form", ["arrays", "data set"])
def test_backup_within_an_epoch_repeats_no_minibatch(form, last, tmp_path):
    """Of 4 steps an epoch, saved every second one; at 4 and 8 the backup stands at the end of an epoch."""

    class Stop(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == last:
                raise KeyboardInterrupt

    x, y = (X, Y) if form == "arrays" else (tf.data.Dataset.from_tensor_slices((X, Y)).batch(6), None)
    given = {"epochs": 3, "verbose": 0} | ({"batch_size": 6} if form == "arrays" else {})
    whole, part, resumed = (classifier(ADAM(0.1)) for _ in range(3))
    whole.fit(x, y, **given)
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        part.fit(x, y, **given, callbacks=[keras.callbacks.BackupAndRestore(backup, save_freq=2), Stop()])
    resumed.fit(x, y, **given, callbacks=[keras.callbacks.BackupAndRestore(backup, save_freq=2)])
    assert int(resumed.optimizer.iterations) == 12
    np.testing.assert_allclose(weights_of(resumed), weights_of(whole), rtol=1e-6)


@pytest.mark.slow
def test_checkpoint_early_stopping_and_termination(tmp_path):
    path = tmp_path / "best.keras"
    model = classifier(SGD(50.0))  # gets worse
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
        keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
    ]
    history = model.fit(X, Y, epochs=30, validation_data=HELD_OUT, verbose=0, callbacks=callbacks).history
    best = int(np.argmin(history["val_loss"]))
    assert len(history["val_loss"]) == best + 3
    for each in (model, keras.saving.load_model(path)):
        loss = each.evaluate(*HELD_OUT, verbose=0, return_dict=True)["loss"]
        np.testing.assert_allclose(loss, history["val_loss"][best], rtol=1e-5)
    broken = classifier(SGD(float("1e38")))
    with np.errstate(all="ignore"):
        history = broken.fit(X, Y, epochs=5, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()]).history
    assert len(history["loss"]) < 5


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [ADAM, lambda rate: optimizers.Adam(rate, jit_update=True)])
def test_optimizer_of_other_variables_is_refused(optimizer):
    """After unfreezing, and on a second model."""
    model = classifier(optimizer(0.1))
    model.encoder.layers[1].trainable = False
    model.fit(X, Y, verbose=0)
    model.encoder.layers[1].trainable = True
    second = classifier(model.optimizer)
    for each in (model, second):
        with pytest.raises(InputError, match="Call compile again"):
            each.fit(X, Y, verbose=0)


@pytest.mark.slow
def test_greedy_pretraining_on_an_endless_data_set_ends():
    encoder = networks.mlp((4, 3), num_classes=None)
    blocks = pretraining.pretrain_greedily(encoder, batches(X).repeat(), steps_per_epoch=3, epochs=2)
    assert [len(block.history.history["loss"]) for block in blocks] == [2, 2]
    with pytest.raises(InputError, match="steps_per_epoch"):
        pretraining.pretrain_greedily(encoder, batches(X).repeat())


# Memory


def resident_megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def live_graphs():
    gc.collect()
    return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())


def machine(layer):
    return pretraining.RBM(encoder=layer)


@pytest.mark.slow
@pytest.mark.parametrize("make", mostly_slow([pretraining.Autoencoder, machine], {machine}))
def test_trained_models_are_released(make):
    """Nothing of the kit, Keras or TensorFlow holds a trainer or its graphs, so that many trainings fit into memory."""
    graphs = []
    for _ in range(3):  # the first one also makes graphs that TensorFlow needs once
        trainer = make(networks.mlp((4,), num_classes=None))
        trainer.compile("sgd")
        trainer.fit(X, verbose=0)
        trainer.evaluate(X, verbose=0)
        reference = weakref.ref(trainer)
        del trainer
        graphs.append(live_graphs())
        assert reference() is None
    assert graphs[2] == graphs[1]


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="reads the memory of the process from /proc"
)
def test_memory_does_not_grow_with_the_number_of_trainings():
    """Greedy pretrainings of two layers, and further trainings of one model; a leak of graphs takes 4 MB for each."""
    classifier_ = classifier()
    used = []
    for _ in range(15):
        pretraining.pretrain_greedily(networks.mlp((8, 8), num_classes=None), X, epochs=1)
        classifier_.fit(X, Y, verbose=0)
        gc.collect()
        used.append(resident_megabytes())
    assert used[-1] - used[4] < 20


def freeze_the_encoder(model):
    model.encoder.trainable = False


def freeze_a_layer(model):
    next(layer for layer in model.encoder.layers if layer.weights).trainable = False


def freeze_by_the_attribute(model):
    model.frozen = True


FREEZE = [freeze_the_encoder, freeze_a_layer, freeze_by_the_attribute]


PATHS = {
    "one graph": {},
    "step by step": {
        "callbacks": [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]
    },
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("freeze", mostly_slow(FREEZE, quick=1))
def test_what_is_frozen_between_two_fits_does_not_move(freeze, path):
    model = pretraining.Classifier(network((4, 4), num_classes=None), 3)
    model.compile(ADAM(0.01))
    fit = functools.partial(model.fit, X, Y, batch_size=6, verbose=0, **PATHS[path])
    fit()
    all_of_them = {each.path: each for each in model.trained_variables}
    freeze(model)
    free = {each.path for each in model.trained_variables}
    before = {path: each.numpy() for path, each in all_of_them.items()}
    assert 0 < len(free) < len(before)
    fit()
    moved = {path for path, each in all_of_them.items() if not np.array_equal(each, before[path])}
    assert moved == free


class AtEpoch(keras.callbacks.Callback):
    """Calls a function of the model at the beginning of an epoch, after which it remembers the weights."""

    def __init__(self, epoch, act):
        super().__init__()
        self.epoch, self.act = epoch, act

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.before = {each.path: each.numpy() for each in self.model.trained_variables}
            self.act(self.model)


def both_paths(callback):
    for path in PATHS.values():
        yield {
            "verbose": 0,
            "batch_size": 6,
            "epochs": 3,
            "callbacks": [callback, *path.get("callbacks", [])],
        }


@pytest.mark.parametrize("freeze", mostly_slow(FREEZE, quick=1))
def test_what_a_callback_freezes_does_not_move(freeze):
    callback = AtEpoch(1, freeze)
    for arguments in both_paths(callback):
        model = pretraining.Classifier(network((4, 4), num_classes=None), 3)
        model.compile(ADAM(0.01))
        model.fit(X, Y, **arguments)
        free = {each.path for each in model.trained_variables}
        moved = {
            each.path for each in model.variables
            if each.path in callback.before and not np.array_equal(each, callback.before[each.path])
        }  # fmt: skip
        assert moved == free


def test_callback_that_unfreezes_compiles_the_model_again():
    def unfreeze(model):
        model.encoder.layers[1].trainable = True

    def unfreeze_and_compile(model):
        unfreeze(model)
        model.compile(SGD(0.1), metrics=[TOP_2(name="top")])

    for act in (unfreeze, unfreeze_and_compile):
        for arguments in both_paths(AtEpoch(1, act)):
            model = classifier(metrics=[TOP_2(name="top")])
            layer = model.encoder.layers[1]
            layer.trainable, before = False, layer.get_weights()[0]
            if act is unfreeze:
                with pytest.raises(InputError, match="Call compile again"):
                    model.fit(X, Y, **arguments)
            else:
                assert len(model.fit(X, Y, **arguments).history["top"]) == 3
                assert not np.array_equal(layer.get_weights()[0], before)


MONITORS = {
    "EarlyStopping": functools.partial(keras.callbacks.EarlyStopping, patience=1),
    "ReduceLROnPlateau": functools.partial(keras.callbacks.ReduceLROnPlateau, patience=1, factor=0.5),
    "ModelCheckpoint": functools.partial(
        keras.callbacks.ModelCheckpoint, "{epoch}.weights.h5", save_best_only=True, save_weights_only=True
    ),
}


@pytest.mark.parametrize(
    ("name", "monitor"),
    mostly_slow(
        [(name, "val_accuracy") for name in MONITORS]
        + [("EarlyStopping", "accuracy"), ("EarlyStopping", "val_loss")],
        {("EarlyStopping", "accuracy")},
    ),
)
def test_callbacks_know_which_way_a_measure_improves(name, monitor, tmp_path, monkeypatch):
    """As in Keras: the same epochs, the same rates, the same files."""
    monkeypatch.chdir(tmp_path)
    found = []
    for model in (classifier(SGD(2.0)), in_keras(SGD(2.0))):
        callback = MONITORS[name](monitor=monitor)
        history = model.fit(
            X, Y, validation_data=(X[:12], Y[:12]), epochs=6, shuffle=False, verbose=0, callbacks=[callback]
        )
        files = sorted(path.name for path in tmp_path.glob("*.h5"))
        for path in tmp_path.glob("*.h5"):
            path.unlink()
        found.append((history.epoch, files, float(model.optimizer.learning_rate)))
    assert found[0] == found[1]
