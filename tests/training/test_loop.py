"""The training loop: many steps in one graph give the numbers of single steps, and callbacks get what they ask for."""

import functools
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.cases import mostly_slow
from support.twins import wrong_twin

from tf_kit import keras_internals, networks, pretraining, regularization
from tf_kit.errors import InputError
from tf_kit.training import loop, resident, sharing, sources

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((23, 8, 8, 1)).astype("float32")
VECTORS = IMAGES.reshape(23, 64)
LABELS = np.arange(23) % 3
WORDS = RANDOM.integers(2, 9, (23, 6)).astype("int64")
VIEWS = regularization.compose(regularization.RandomCrop(1), regularization.AddNoise(0.1))


class LooksAtMinibatches(keras.callbacks.Callback):
    """Callback that forces single steps."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))


class ContentWithPieces(LooksAtMinibatches):
    works_in_pieces = True


def encoder():
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(6, kernel_initializer=keras.initializers.GlorotUniform(1)),
        regularization.BatchNorm(),
        regularization.Dropout(0.2, seed=3),
    ]
    return keras.Sequential(layers)


def dense():
    return networks.mlp((6,), num_classes=None, seed=0)


def joint(kind):
    return kind(encoder(), projector=(8, 4), augment=VIEWS)


TRAINERS = {
    "Classifier": (lambda: pretraining.Classifier(encoder(), 3), IMAGES, LABELS),
    "frozen Classifier": (lambda: pretraining.Classifier(dense(), 3, frozen=True), VECTORS, LABELS),
    "RBM": (lambda: pretraining.RBM(encoder=dense()), VECTORS, None),
    "persistent RBM": (
        lambda: pretraining.RBM(encoder=dense(), persistent=True, num_chains=8),
        VECTORS,
        None,
    ),
    "DenoisingAutoencoder": (lambda: pretraining.DenoisingAutoencoder(dense()), VECTORS, None),
    "SimCLR": (lambda: joint(pretraining.SimCLR), IMAGES, None),
    "BYOL": (lambda: joint(pretraining.BYOL), IMAGES, None),
    "NNCLR": (lambda: joint(pretraining.NNCLR), IMAGES, None),
    "BarlowTwins": (lambda: joint(pretraining.BarlowTwins), IMAGES, None),
    "VICReg": (lambda: joint(pretraining.VICReg), IMAGES, None),
    "LeJEPA": (lambda: joint(pretraining.LeJEPA), IMAGES, None),
    "DINO": (lambda: joint(pretraining.DINO), IMAGES, None),
    "MaskedVectors": (lambda: pretraining.MaskedVectors(encoder()), VECTORS, None),
    "MaskedAutoencoder": (
        lambda: pretraining.MaskedAutoencoder(pretraining.PatchEncoder(patch_size=2, width=8, depth=1)),
        IMAGES,
        None,
    ),
    "MaskedTokens": (
        lambda: pretraining.MaskedTokens(
            pretraining.TokenEncoder(num_tokens=10, width=8, depth=1, padding=0), mask_token=9, specials=(1,)
        ),
        WORDS,
        None,
    ),
}
FAST = ["Classifier"]
# A shared function must find the state of its model; these have the layers and no more than `SimCLR`.
STATELESS = ("RBM", "BarlowTwins", "VICReg", "LeJEPA", "MaskedVectors")


def trained(name, callbacks=(), calls=({"epochs": 2},), module=None, **compiled):
    """Train in minibatches of 5, 5, 5, 5 and 3 examples; return the model, its variables and its history."""
    make, x, y = TRAINERS[name]
    keras.utils.set_random_seed(0)
    model = make()
    model.seed = 5
    model.compile(**({"optimizer": keras.optimizers.Adam(0.01)} | compiled))
    histories = []
    for arguments in calls:
        options = {"batch_size": 5, "verbose": 0, "callbacks": list(callbacks)} | arguments
        histories.append(
            model.fit(x, y, validation_data=(x[:7], y) if y is None else (x[:7], y[:7]), **options)
        )
    variables = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
    return model, variables, [each.history for each in histories]


def assert_same(one, other):
    assert one[2] == other[2]
    for ours, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@functools.cache
def in_pieces(name):
    """Variables and history of a trainer whose steps run in pieces; the model is let go."""
    return None, *trained(name)[1:]


@pytest.mark.parametrize("name", mostly_slow(TRAINERS, FAST))
def test_pieces_give_the_numbers_of_single_steps(name):
    assert_same(in_pieces(name), trained(name, [LooksAtMinibatches()]))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TRAINERS if name not in STATELESS])
def test_shared_functions_give_the_same_numbers(name):
    with sharing.shared_traces():
        for _ in range(2):  # the second model takes the functions of the first
            assert_same(in_pieces(name), trained(name))


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled",
    [
        {"optimizer": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2, global_clipnorm=0.1)},
        {"optimizer": keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 7), use_ema=True)},
    ],
    ids=["accumulated", "averaged"],
)
def test_pieces_give_the_numbers_of_single_steps_with(compiled):
    def fresh():
        return {"optimizer": type(compiled["optimizer"]).from_config(compiled["optimizer"].get_config())}

    assert_same(trained("Classifier", **fresh()), trained("Classifier", [LooksAtMinibatches()], **fresh()))


@pytest.mark.slow
@pytest.mark.parametrize("callbacks", [[], [LooksAtMinibatches()]], ids=["pieces", "steps"])
def test_training_begins_in_the_middle_of_an_epoch(callbacks):
    """Steps 0 to 2 of the second epoch, then `initial_step=3`, give the weights of the whole training."""
    _, whole, _ = trained("Classifier", calls=[{"epochs": 2}])
    make, x, y = TRAINERS["Classifier"]
    model = make()
    model.seed = 5
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, y, batch_size=5, epochs=1, verbose=0)
    source = resident.Resident(model, "train", (x, y), 5, seed=5)
    source.begin(1, 0)
    model.traced_pieces.of(model, "train", source.arrays).suggested = 3
    _, run = next(source.pieces(1))
    assert run()[0] == 2
    model.fit(x, y, batch_size=5, epochs=2, initial_epoch=1, initial_step=3, verbose=0, callbacks=callbacks)
    parts = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
    for ours, theirs in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_wrong_twin_that_begins_an_epoch_anew_fails():
    twin = wrong_twin(resident, "start = k * batch_size", "start = (k - first) * batch_size")
    with pytest.raises(AssertionError):
        check_pieces_cover_the_epoch(twin)
    check_pieces_cover_the_epoch(resident)


def check_pieces_cover_the_epoch(module):
    """Pieces of two steps visit each example once, in the order of the epoch."""
    seen = tf.Variable(tf.zeros(23, tf.int64), trainable=False)

    class Counter:
        seed, jit_compile, distribute_strategy = 0, False, tf.distribute.get_strategy()
        stop_training = False

        def train_step(self, batch):
            seen.scatter_nd_add(batch[0], tf.ones(tf.shape(batch[0])[0], tf.int64))

        def get_metrics_result(self):
            return {}

    numbers = np.arange(23)[:, None]
    counter = Counter()
    counter.traced_pieces = module.TracedPieces()
    source = module.Resident(counter, "train", (numbers,), 5, seed=0)
    source.begin(0, 0)
    counter.traced_pieces.of(counter, "train", source.arrays).suggested = 2
    for _, run in source.pieces(0):
        run()
        counter.traced_pieces.of(counter, "train", source.arrays).suggested = 2
    np.testing.assert_array_equal(seen.numpy(), np.ones(23))


@pytest.mark.slow
def test_data_set_begins_in_the_middle_of_an_epoch():
    weights = []
    for first, calls in ((0, [{"epochs": 1}]), (2, [{"epochs": 1, "initial_step": 2}])):
        model = TRAINERS["Classifier"][0]()
        model.compile("sgd")
        batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(5)
        if first:
            model.fit(batches.take(2), epochs=1, verbose=0)
        model.fit(batches, verbose=0, **calls[0])
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_data_set_continues_at_the_epoch_that_a_callback_restores():
    model = TRAINERS["Classifier"][0]()
    numbers = tf.data.Dataset.range(30)
    from_start = sources.of_data_set(model, numbers, 5)
    assert next(iter(from_start.make(2, 1))).numpy() == 11
    given_later = sources.of_data_set(model, numbers, 5, initial_epoch=2)
    assert next(iter(given_later.make(2, 1))).numpy() == 1


@pytest.mark.slow
def test_callbacks_get_every_minibatch_or_pieces():
    every, pieces = LooksAtMinibatches(), ContentWithPieces()
    trained("Classifier", [every], [{"epochs": 1}])
    trained("Classifier", [pieces], [{"epochs": 1}])
    assert [batch for batch, _ in every.seen[:5]] == [0, 1, 2, 3, 4]
    assert pieces.seen[0] == every.seen[4]


@pytest.mark.parametrize(
    ("callback", "looks"),
    [
        (lambda: keras.callbacks.EarlyStopping(), False),
        (lambda: keras.callbacks.ModelCheckpoint("x.keras"), False),
        (lambda: keras.callbacks.ModelCheckpoint("x.keras", save_freq=3), True),
        (lambda: keras.callbacks.TerminateOnNaN(), True),
        (lambda: keras.callbacks.LambdaCallback(on_epoch_end=print), False),
        (lambda: keras.callbacks.LambdaCallback(on_train_batch_begin=print), True),
        (LooksAtMinibatches, True),
        (ContentWithPieces, False),
    ],
)
def test_callbacks_that_look_at_minibatches_are_known(callback, looks):
    model = TRAINERS["Classifier"][0]()
    callbacks = loop.callback_list(model, [callback()], epochs=1, num_steps=1, verbose=1)
    assert loop.looks_at_minibatches(callbacks) is looks


def test_further_training_does_not_trace_again():
    model, *_ = trained("Classifier", calls=[{"epochs": 1}])
    pieces = model.traced_pieces.of(model, "train", (tf.constant(IMAGES), tf.constant(LABELS)))
    for rows in (23, 20, 7):
        model.fit(IMAGES[:rows], LABELS[:rows], batch_size=rows // 2, verbose=0)
    assert pieces._run.experimental_get_tracing_count() == 1
    model.compile("sgd")
    assert model.traced_pieces.of(model, "train", (tf.constant(IMAGES), tf.constant(LABELS))) is not pieces


@pytest.mark.slow
def test_pieces_grow_to_half_a_second(monkeypatch):
    model, *_ = trained("Classifier", calls=[{"epochs": 1}])
    arrays = (tf.constant(IMAGES), tf.constant(LABELS))
    pieces = model.traced_pieces.of(model, "train", arrays)
    for seconds, low, high in ((0.01, 100, 128), (0.6, 1, 7)):
        monkeypatch.setattr(
            keras_internals, "called_with", lambda *_, seconds=seconds: time.sleep(seconds) or {}
        )
        pieces.suggested = 8
        pieces(arrays, tf.range(23), 1, 0, 8)
        assert low <= pieces.suggested <= high


@pytest.mark.slow
def test_training_stops_after_a_piece():
    class Stops(keras.callbacks.Callback):
        works_in_pieces = True

        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    _, _, histories = trained("Classifier", [Stops()], [{"epochs": 3}])
    assert len(histories[0]["loss"]) == 1


class StopsAt(keras.callbacks.Callback):
    """Stops the training in one of the hooks, from an epoch on."""

    def __init__(self, hook, epoch):
        super().__init__()
        self.hook, self.first, self.epoch = hook, epoch, 0

    def stop(self, hook):
        self.model.stop_training = hook == self.hook and self.epoch >= self.first

    def on_train_begin(self, logs=None):
        self.stop("train")

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.hook == "begin":
            self.stop("begin")

    def on_epoch_end(self, epoch, logs=None):
        self.stop("end")


@pytest.mark.parametrize("together", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("hook", "epoch"),
    [
        ("train", 0),
        *mostly_slow([("begin", 1), ("begin", 0), ("end", 1), ("never", 0)]),
    ],
)
def test_training_that_is_stopped_takes_the_steps_of_keras(hook, epoch, together):
    theirs = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile("sgd", loss, steps_per_execution=together)
    ours = TRAINERS["Classifier"][0]()
    ours.compile("sgd", steps_per_execution=together)
    found = []
    for model in (theirs, ours):
        how = {"batch_size": 5, "epochs": 3, "verbose": 0, "callbacks": [StopsAt(hook, epoch)]}
        history = model.fit(IMAGES[:20], LABELS[:20], validation_data=(IMAGES, LABELS), **how)
        found.append((int(model.optimizer.iterations), len(history.history["val_loss"])))
    assert found[1] == found[0]


@pytest.mark.parametrize("wrong", [0, "often", 1.5])
def test_bad_validation_freq_is_refused(wrong):
    with pytest.raises(InputError, match="validation_freq"):
        trained("Classifier", calls=[{"epochs": 1, "validation_freq": wrong}])


def test_validation_freq_may_be_a_number_of_numpy():
    assert [loop.is_due(epoch, np.int64(2)) for epoch in range(4)] == [False, True, False, True]
    assert [loop.is_due(epoch, [np.int64(3)]) for epoch in range(4)] == [False, False, True, False]


def test_validation_freq_as_in_keras():
    _, _, (history,) = trained("Classifier", calls=[{"epochs": 4, "validation_freq": [1, 4]}])
    assert len(history["loss"]) == 4
    assert len(history["val_loss"]) == 2


def test_data_set_that_ends_early_warns():
    model = TRAINERS["Classifier"][0]()
    model.compile("sgd")
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(5)
    with pytest.warns(UserWarning, match="ended after 5 of 7 steps"):
        model.fit(batches, steps_per_epoch=7, verbose=0)


class CountsSteps(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = []

    def on_epoch_begin(self, epoch, logs=None):
        self.steps.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.steps[-1] += 1


@pytest.mark.filterwarnings("ignore:.*(ended after|ran out of data|shuffle=True).*:UserWarning")
@pytest.mark.parametrize("num_steps", mostly_slow([7, 1, 2, 4], quick=1))
def test_data_set_that_has_ended_is_read_anew_as_in_keras(num_steps):
    """Four minibatches; the epochs of Keras and of a data set whose length is not known have as many steps."""
    known = tf.data.Dataset.from_tensor_slices((IMAGES[:20], LABELS[:20])).batch(5)
    unknown = known.filter(lambda x, y: True)
    expected = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    expected.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    steps, weights = [], []
    for model, batches in (
        (expected, known),
        *((TRAINERS["Classifier"][0](), each) for each in (known, unknown)),
    ):
        if model is not expected:
            model.compile("sgd")
        counter = CountsSteps()
        model.fit(batches, steps_per_epoch=num_steps, epochs=6, verbose=0, callbacks=[counter])
        steps.append(counter.steps)
        weights.append(model.get_weights())
    assert steps[1] == steps[2] == steps[0]
    for ours, theirs in zip(*weights[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("together", "num_steps", "first"),
    [(1, 3, [0, 3, 6, 0, 3, 6, 0]), (2, 3, [0, 4, 0, 4, 0, 4, 0]), (2, 4, [0, 4, 0, 4, 0, 4, 0])],
)
def test_data_set_that_has_ended_continues_at_the_restored_epoch(together, num_steps, first):
    """Of seven batches, epochs of three read 3, 3 and 1, and then anew; by twos they read 4 and 3."""
    model = TRAINERS["Classifier"][0]()
    model.compile("sgd", steps_per_execution=together)
    source = sources.of_data_set(model, tf.data.Dataset.range(7), num_steps, initial_epoch=1)
    assert [next(iter(source.make(epoch, 0))).numpy() for epoch in range(1, 8)] == first
