"""The contract of `fit` for every trainer: each argument counts whatever form the data have, and so do Keras's hooks.

`test_fit_contract.py` compares `Classifier` with Keras itself. The other methods have no counterpart in Keras, so their
arguments are compared with each other: what an argument does must equal the same thing spelled out.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.cases import mostly_slow
from training.test_fit_contract import Table
from training.test_loop import TRAINERS

from tf_kit.errors import InputError
from tf_kit.scaling.recording import SavedValues

EVERY = tuple(TRAINERS)
FAMILIES = (
    "persistent RBM",
    "DenoisingAutoencoder",
    "BYOL",
    "MaskedTokens",
)  # `EVERY` here takes four minutes
KEPT = 16  # examples that are trained on, in minibatches of 5, 5, 5 and 1; the other 7 are held out


def made(name, **optimizer):
    keras.utils.set_random_seed(0)
    model = TRAINERS[name][0]()
    model.compile(keras.optimizers.Adam(0.01, **optimizer))
    return model


def examples(name):
    _, x, y = TRAINERS[name]
    return (x,) if y is None else (x, y)


def weights_of(model):
    return np.concatenate([each.numpy().ravel() for each in model.variables if "seed" not in each.path])


def fitted(name, *, optimizer=None, **arguments):
    """Train a new model; return its weights and its history."""
    model = made(name, **(optimizer or {}))
    history = model.fit(verbose=0, **arguments).history
    return weights_of(model), history


def arrays(name, count=None):
    return dict(zip("xy", (each[:count] for each in examples(name)), strict=False))


def batches(name, first, last, size):
    parts = tuple(each[first:last] for each in examples(name))
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(size)


def check_equal(ours, theirs):
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    for metric, values in theirs[1].items():
        np.testing.assert_allclose(ours[1][metric], values, rtol=1e-4, atol=1e-6, err_msg=metric)


@pytest.mark.parametrize("name", mostly_slow(FAMILIES))
def test_arguments_of_arrays_count_as_a_data_set_that_spells_them_out(name):
    """`batch_size`, `shuffle`, `validation_split`, `validation_freq`, `steps_per_epoch` and `validation_steps`."""
    given = {"shuffle": False, "batch_size": 5, "validation_split": 0.3}
    of_arrays = fitted(name, **arrays(name), epochs=2, validation_freq=[2], **given)
    train, held_out = batches(name, 0, KEPT, 5), batches(name, KEPT, None, 1024)
    endless = {"x": train.repeat(), "steps_per_epoch": 4, "validation_data": held_out.repeat()}
    check_equal(fitted(name, **endless, validation_steps=1, epochs=2, validation_freq=2), of_arrays)
    assert len(of_arrays[1]["loss"]) == 2
    assert len(of_arrays[1]["val_loss"]) == 1


@pytest.mark.parametrize("name", mostly_slow(FAMILIES))
def test_validation_data_and_initial_epoch_count(name, tmp_path):
    """Two calls, of which the second continues, and a backup of Keras equal one call; the best epoch is kept."""
    held_out = tuple(each[KEPT:] for each in examples(name))
    given = {**arrays(name, KEPT), "batch_size": 5, "validation_data": held_out, "epochs": 3}
    path = tmp_path / "best.weights.h5"
    best = keras.callbacks.ModelCheckpoint(path, "val_loss", save_best_only=True, save_weights_only=True)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    weights, history = fitted(name, **given, callbacks=[keras.callbacks.TerminateOnNaN()])
    model = made(name)
    model.fit(**{**given, "epochs": 1}, verbose=0)
    later = model.fit(**given, initial_epoch=1, verbose=0, callbacks=[best]).history
    check_equal((weights_of(model), later), (weights, {name: values[1:] for name, values in history.items()}))
    saved = made(name)
    saved.prepare_from(*examples(name))
    saved.load_weights(path)

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fitted(name, **given, callbacks=[backup, Interrupt()])
    again = fitted(name, **given, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup"), stop])
    assert again[1]["loss"] == history["loss"][2:]
    if int(np.argmin(history["val_loss"])) == 2:
        check_equal((again[0], {}), (weights, {}))


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("DenoisingAutoencoder", "MaskedTokens", "Classifier")))
def test_a_pydataset_counts_as_the_data_set_of_its_batches(name):
    found = []
    for form in (Batches, lambda *parts: tf.data.Dataset.from_generator(Batches(*parts), **signature(parts))):
        model, (x, *y) = made(name), examples(name)
        train, held_out = form(*(each[:KEPT] for each in (x, *y))), form(*(each[KEPT:] for each in (x, *y)))
        history = model.fit(train, epochs=2, validation_data=held_out, verbose=0).history
        measured = model.evaluate(held_out, verbose=0, return_dict=True)
        found.append((weights_of(model), history | {f"test {each}": [measured[each]] for each in measured}))
    check_equal(*found)


class Batches(keras.utils.PyDataset):
    """Minibatches of 5 as Keras's own data sets hold them; called, an iterator over them."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return -(-len(self.parts[0]) // 5)

    def __getitem__(self, index):
        batch = tuple(each[5 * index : 5 * index + 5] for each in self.parts)
        return batch if len(batch) > 1 else batch[0]

    def __call__(self):
        return (self[index] for index in range(len(self)))


def signature(parts):
    specs = tuple(tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in parts)
    return {"output_signature": specs if len(specs) > 1 else specs[0]}


class Interrupt(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", mostly_slow(FAMILIES, ("DenoisingAutoencoder",)))
def test_single_batches_and_eager_steps_count_as_fit(name):
    """By SGD: Adam makes whole steps of the rounding of gradients that are zero, as of a bias before batch norm."""
    batch = tuple(each[:5] for each in examples(name))
    found = []
    for way in ("fit", "train_on_batch", "run_eagerly"):
        model = made(name)
        model.compile(keras.optimizers.SGD(0.01), run_eagerly=way == "run_eagerly")
        if way == "train_on_batch":
            logs = model.train_on_batch(*batch, return_dict=True)
            history = {metric: [value] for metric, value in logs.items()}
        else:
            history = model.fit(*batch, batch_size=5, shuffle=False, verbose=0).history
        found.append((weights_of(model), history))
    for other in found[1:]:
        check_equal(other, found[0])


@pytest.mark.parametrize("name", mostly_slow(FAMILIES))
def test_averages_replace_the_trained_weights_at_the_end(name):
    """With momentum 0 the averages are the weights themselves, so averaging and swapping change nothing."""
    given = {**arrays(name, KEPT), "batch_size": 5, "epochs": 2}
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    plain = fitted(name, **given)
    for callbacks in ([], [swap]):
        check_equal(
            fitted(name, **given, optimizer={"use_ema": True, "ema_momentum": 0.0}, callbacks=callbacks),
            plain,
        )
    averaged = fitted(name, **given, optimizer={"use_ema": True, "ema_momentum": 0.9})
    assert np.abs(averaged[0] - plain[0]).max() > 1e-4


REFUSED = {
    "steps_per_epoch=2": lambda name: {**arrays(name), "steps_per_epoch": 2},
    "from_generator": lambda name: {"x": iter([examples(name)])},
    "batch_size=3": lambda name: {"x": batches(name, 0, 9, 3), "batch_size": 3},
    "dataset.take": lambda name: {"x": batches(name, 0, 9, 3), "validation_split": 0.5},
    "number of axes.*output_signature": lambda name: {
        "x": tf.data.Dataset.from_generator(lambda: iter(()), output_types=tf.float32)
    },
    "an endless data set": lambda name: {"x": batches(name, 0, 9, 3).repeat()},
    "0 weights|9 weights": lambda name: {**arrays(name), "sample_weight": np.ones(9)},
    "class_weight|hold the labels": lambda name: {"x": examples(name)[0], "class_weight": {0: 2.0}},
    "epochs=-1": lambda name: {**arrays(name), "epochs": -1},
    "validation_freq=0": lambda name: {**arrays(name), "validation_split": 0.3, "validation_freq": 0},
}


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("RBM", "SimCLR")))
def test_arguments_that_cannot_count_are_refused_in_one_line(name):
    model = made(name)
    for message, arguments in REFUSED.items():
        with pytest.raises(InputError, match=message) as refused:
            model.fit(verbose=0, **arguments(name))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("BYOL",)))
def test_prediction_builds_a_new_model_as_training_does(name):
    x = examples(name)[0]
    model, prepared = made(name), made(name)
    outputs = model.predict(x, batch_size=9, verbose=0)
    prepared.prepare_from(*examples(name))
    np.testing.assert_array_equal(weights_of(model), weights_of(prepared))
    np.testing.assert_allclose(outputs, prepared(x, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("DenoisingAutoencoder", "MaskedVectors")))
def test_empty_arrays_are_refused_in_one_line(name):
    model = made(name)
    for method in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(InputError, match=r"at least one example|hold the labels") as refused:
            method(**arrays(name, 0))
        assert "\n" not in str(refused.value)


ON_NUMBERS = [name for name in EVERY if "Classifier" not in name and name != "MaskedTokens"]


@pytest.mark.parametrize("name", mostly_slow(ON_NUMBERS, ("DenoisingAutoencoder",)))
def test_raw_pixels_are_refused_in_one_line(name):
    model, (x,) = made(name), examples(name)
    for method in (model.fit, model.evaluate):
        for raw in (255 * x, (255 * x).astype("uint8"), tf.data.Dataset.from_tensors(255 * x)):
            with pytest.raises(InputError, match="Divide images of 0…255 by 255") as refused:
                method(raw)
            assert "\n" not in str(refused.value)
    if "RBM" not in name:
        standardized = 300 * (x - x.mean())
        model.check_inputs("fit", standardized)


COUNTING = ("RBM", "persistent RBM", "DenoisingAutoencoder", "MaskedVectors")


@pytest.mark.parametrize("name", mostly_slow(COUNTING, ("DenoisingAutoencoder",)))
def test_examples_of_another_size_than_before_are_refused_in_one_line(name):
    model, (x,) = made(name), examples(name)
    model.fit(x, batch_size=9, verbose=0)
    larger = np.repeat(x, 2, axis=1)
    for method in (model.fit, model.evaluate):
        for other in (larger, tf.data.Dataset.from_tensors(larger)):
            with pytest.raises(InputError, match="for which the model was built") as refused:
                method(other, verbose=0)
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", mostly_slow(ON_NUMBERS, ("DenoisingAutoencoder",)))
def test_arrays_of_other_types_count_as_floats(name):
    """Booleans, bytes and big-endian floats of zeros and ones give the weights of float32; doubles the same loss."""
    (x,) = examples(name)
    ones = np.round(x)
    given = {"epochs": 1, "batch_size": 8, "shuffle": False}
    weights, history = fitted(name, x=ones, **given)
    np.testing.assert_array_equal(fitted(name, x=ones.astype(">f4"), **given)[0], weights)
    doubles = fitted(name, x=ones.astype("float64"), **given)[1]
    np.testing.assert_allclose(doubles["loss"], history["loss"], rtol=1e-5)
    for kind in ("bool", "uint8"):
        if getattr(made(name), "augment", None) is not None:
            with pytest.raises(InputError, match=f"images` must be floats.*{kind}"):
                fitted(name, x=ones.astype(kind), **given)
        else:
            np.testing.assert_array_equal(fitted(name, x=ones.astype(kind), **given)[0], weights)


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("DenoisingAutoencoder",)))
def test_tables_count_as_the_arrays_of_their_values(name):
    given = examples(name)
    tables = tuple(map(Table, given))
    options = {"batch_size": 8, "epochs": 1, "verbose": 0}
    found = []
    for each in (given, tables):
        model = made(name)
        history = model.fit(*each, **options, validation_data=each).history
        evaluated = [model.evaluate(*each, verbose=0), float(np.sum(model.predict(each[0], verbose=0)))]
        found.append((weights_of(model), history, evaluated, model.train_on_batch(*each)))
    np.testing.assert_array_equal(found[1][0], found[0][0])
    assert found[1][1:] == found[0][1:]


@pytest.mark.parametrize("name", mostly_slow(ON_NUMBERS, ("DenoisingAutoencoder", "SimCLR")))
def test_values_that_are_not_finite_are_refused_in_every_kind_of_array(name):
    x = examples(name)[0].copy()
    x[3, 1] = np.nan
    objects = np.where(np.isnan(x), None, x)
    kinds = (
        (x, "be finite"),
        (Table(x), "be finite"),
        (tf.constant(x), "be finite"),
        (Table(objects), "numbers"),
    )
    for bad, message in kinds:
        model = made(name)
        for act in (
            functools.partial(model.fit, bad),
            functools.partial(model.fit, examples(name)[0], validation_data=bad),
            functools.partial(model.evaluate, bad),
            functools.partial(model.train_on_batch, bad),
        ):
            with pytest.raises(InputError, match=message) as refused:
                act()
            assert "\n" not in str(refused.value)


LABEL_FREE = [name for name in EVERY if "Classifier" not in name]


@pytest.mark.parametrize("name", mostly_slow(LABEL_FREE, ("SimCLR",)))
def test_targets_that_a_method_does_not_use_are_refused_in_one_line(name):
    model, (x,) = made(name), examples(name)
    y = np.arange(len(x))
    pairs = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    for act in (
        lambda: model.fit(x, y),
        lambda: model.fit(pairs),
        lambda: model.fit(x, validation_data=(x, y)),
        lambda: model.fit(x, validation_data=pairs),
        lambda: model.evaluate(x, y),
        lambda: model.evaluate(pairs),
        lambda: model.train_on_batch(x, y),
        lambda: model.test_on_batch(x, y),
    ):
        with pytest.raises(InputError, match="hold no targets") as refused:
            act()
        assert "\n" not in str(refused.value)


def test_targets_of_a_data_set_are_refused_before_it_is_read():
    def read():
        raise AssertionError("the data set was read")
        yield

    model, (x,) = made("SimCLR"), examples("SimCLR")
    specs = tf.TensorSpec((None, *x.shape[1:]), "float32"), tf.TensorSpec((None,), "int64")
    unread = tf.data.Dataset.from_generator(read, output_signature=specs)
    for act in (model.fit, model.evaluate):
        with pytest.raises(InputError, match="hold no targets"):
            act(unread)


@pytest.mark.parametrize("name", mostly_slow(LABEL_FREE, ("DenoisingAutoencoder",)))
def test_weights_of_examples_count_without_targets(name):
    (x,) = examples(name)
    weights = np.linspace(0, 2, len(x)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((x, np.zeros(len(x)), weights)).batch(5)
    model = made(name)
    model.prepare_from(x)
    start, found = SavedValues(model), []
    for each in (weights, np.ones_like(weights)):
        start.restore()
        history = model.fit(x, sample_weight=each, batch_size=5, shuffle=False, verbose=0).history
        found.append((weights_of(model), history))
    check_equal(found[0], fitted(name, x=batches))
    assert np.abs(found[0][0] - found[1][0]).max() > 1e-5


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("DenoisingAutoencoder",)))
def test_weights_of_examples_are_split_with_the_examples(name):
    """The weights of those that are held out count in the validation."""
    given, weights = arrays(name), np.linspace(0, 2, len(examples(name)[0])).astype("float32")
    places = (given.get("y"),) if "Classifier" in name else (None,)
    held_out = tuple(each if each is None else each[KEPT:] for each in (given["x"], *places, weights))
    how = {"batch_size": 5, "epochs": 2}
    split = fitted(name, **given, sample_weight=weights, validation_split=0.3, **how)
    spelled = {**arrays(name, KEPT), "sample_weight": weights[:KEPT], "validation_data": held_out}
    check_equal(split, fitted(name, **spelled, **how))


@pytest.mark.parametrize("name", mostly_slow(EVERY, ("persistent RBM",)))
def test_batches_without_examples_are_left_out(name):
    """As a data set whose batches are filtered has them: their means are NaN, and their steps move the weights."""
    parts = tuple(each[:0] for each in examples(name))
    none = tf.data.Dataset.from_tensors(parts if len(parts) > 1 else parts[0])
    full = batches(name, 0, KEPT, 5)
    found = []
    for each in (full, none.concatenate(full).concatenate(none)):
        model = made(name)
        history = model.fit(each, epochs=2, validation_data=each, verbose=0).history
        history["evaluated"] = model.evaluate(each, verbose=0)
        found.append((weights_of(model), history, int(model.optimizer.iterations)))
    check_equal(found[1], found[0])
    assert found[1][2] == found[0][2]


@pytest.mark.slow
def test_inputs_may_be_given_as_targets_of_an_autoencoder_only():
    name = "DenoisingAutoencoder"
    (x,) = examples(name)
    given = {"batch_size": 5, "shuffle": False}
    expected = fitted(name, x=x, **given)
    for same in (x, x.copy()):
        check_equal(fitted(name, x=x, y=same, **given), expected)
    check_equal(fitted(name, x=tf.data.Dataset.from_tensor_slices((x, x)).batch(5)), expected)
    with pytest.raises(InputError, match="hold no targets"):
        made(name).fit(x + 0.01, x)
    with pytest.raises(InputError, match="hold no targets"):
        made("RBM").fit(x, x)
