"""Greedy layer-wise pretraining: the layers of the encoder itself, one at a time, each input computed once."""

import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit import networks
from tf_kit.errors import InputError
from tf_kit.pretraining import (
    RBM,
    Autoencoder,
    DenoisingAutoencoder,
    MaskedVectors,
    Pretrainer,
    Supervised,
    greedy,
    pretrain_greedily,
)

DENSE = keras.layers.Dense


def examples(n=50, features=6):
    return np.random.default_rng(0).random((n, features)).astype("float32")


LABELS = np.arange(50) % 3


def kernels(encoder):
    return [layer.kernel.numpy() for layer in encoder.layers if isinstance(layer, DENSE)]


def eager(block, x, y, stage, **arguments):
    """`fit` without tracing, which would take longer than these few steps."""
    block.run_eagerly = True
    block.fit(x, y, **arguments)


class Watch:
    """A `fit` that records the inputs, the arguments and the changed layers of each stage."""

    def __init__(self, encoder):
        self.encoder, self.inputs, self.arguments, self.changed = encoder, [], [], []

    def __call__(self, block, x, y, **arguments):
        before = kernels(self.encoder)
        eager(block, x, y, **arguments)
        after = kernels(self.encoder)
        self.inputs.append(x)
        self.arguments.append({"y": y, **arguments})
        self.changed.append([i for i, (a, b) in enumerate(zip(before, after, strict=True)) if np.any(a != b)])


@pytest.mark.parametrize("block", [Autoencoder, DenoisingAutoencoder, RBM, Supervised])
def test_trains_the_layers_of_the_encoder_one_after_another(block):
    encoder = networks.mlp((5, 4, 3), num_classes=None, input_shape=(6,))
    watch = Watch(encoder)
    y = LABELS if block is Supervised else None
    blocks = pretrain_greedily(encoder, examples(), y, block=block, epochs=1, batch_size=25, fit=watch)
    dense = [layer for layer in encoder.layers if isinstance(layer, DENSE)]
    for depth, each in enumerate(blocks):
        assert type(each) is block
        assert any(layer is dense[depth] for layer in each.encoder.layers)
        assert sum(isinstance(layer, DENSE) for layer in each.encoder.layers) == 1
    assert watch.changed == [[0], [1], [2]]
    assert [each["stage"] for each in watch.arguments] == ["layer 1", "layer 2", "layer 3"]


def test_inputs_of_a_layer_are_outputs_of_the_trained_layers_below():
    encoder = networks.mlp((5, 4, 3), num_classes=None, input_shape=(6,))
    watch = Watch(encoder)
    x = examples()
    pretrain_greedily(encoder, x, epochs=1, fit=watch)
    h = x
    for depth, (W, b) in enumerate(zip(encoder.get_weights()[::2], encoder.get_weights()[1::2], strict=True)):
        np.testing.assert_allclose(watch.inputs[depth], h, rtol=1e-5)  # (2)
        h = 1 / (1 + np.exp(-(h @ W + b)))
    np.testing.assert_allclose(encoder(x), h, rtol=1e-5)


def test_each_input_is_computed_once(monkeypatch):
    calls = []

    def counted(layer, x, *arguments):
        calls.append((layer.name, len(x)))
        return represent(layer, x, *arguments)

    represent = greedy.represent
    monkeypatch.setattr(greedy, "represent", counted)
    encoder = networks.mlp((5, 4, 3), num_classes=None)
    pretrain_greedily(encoder, examples(), epochs=2, fit=eager)
    assert calls == [("stage_1", 50), ("stage_2", 50)]


class Counting(keras.layers.Layer):
    """Identity that counts the examples."""

    def __init__(self):
        super().__init__()
        self.num_examples = 0

    def _count(self, n):
        self.num_examples += int(n)
        return np.int32(0)

    def call(self, x):
        with tf.control_dependencies([tf.numpy_function(self._count, [tf.shape(x)[0]], tf.int32)]):
            return tf.identity(x)

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.slow
def test_data_set_passes_through_a_trained_layer_once(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    counting, counts, files = Counting(), [], []

    def watched(block, x, y, stage, **arguments):
        before = counting.num_examples
        assert "batch_size" not in arguments
        block.fit(x, **arguments)
        counts.append(counting.num_examples - before)
        files.extend(path.name for path in tmp_path.rglob("layer-*"))

    encoder = keras.Sequential([keras.Input((6,)), DENSE(5, "sigmoid"), counting, DENSE(4, "sigmoid")])
    before = kernels(encoder)
    counting.num_examples = 0
    dataset = tf.data.Dataset.from_tensor_slices(examples()).batch(8)
    pretrain_greedily(encoder, dataset, epochs=3, fit=watched)
    assert all(np.any(old != new) for old, new in zip(before, kernels(encoder), strict=True))
    assert counts[1] == 0, "the second layer reads the file"
    assert counting.num_examples == counts[0] + 50
    assert any(name.startswith("layer-1.") for name in files)
    assert not list(tmp_path.glob("tf_kit-*"))


def test_removes_the_temporary_folder_if_training_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def failing(block, x, y, **arguments):
        if arguments["stage"] == "layer 2":
            assert list(tmp_path.glob("tf_kit-*/layer-1*"))
            raise RuntimeError("the power went")

    dataset = tf.data.Dataset.from_tensor_slices(examples()).batch(8)
    with pytest.raises(RuntimeError, match="power"):
        pretrain_greedily(networks.mlp((5, 4), num_classes=None), dataset, fit=failing)
    assert not list(tmp_path.glob("tf_kit-*"))


@pytest.mark.slow
def test_data_set_gives_the_weights_of_equal_minibatches_of_arrays():
    x, trained = examples(), []
    for inputs in (x, tf.data.Dataset.from_tensor_slices(x).batch(10)):
        encoder = networks.mlp((5, 4), num_classes=None, seed=0)

        def in_order(block, x, y, stage, **arguments):
            eager(block, x, y, stage, shuffle=False, **arguments)

        pretrain_greedily(encoder, inputs, epochs=2, batch_size=10, fit=in_order)
        trained.append(encoder.get_weights())
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_supervised_counts_the_classes_of_a_data_set():
    dataset = tf.data.Dataset.from_tensor_slices((examples(), LABELS)).batch(20)
    blocks = pretrain_greedily(networks.mlp((5, 4), None), dataset, block=Supervised, epochs=1, fit=eager)
    assert [block.num_classes for block in blocks] == [3, 3]
    assert [block.head.kernel.shape for block in blocks] == [(5, 3), (4, 3)]


def forms():
    inputs = keras.Input((6,))
    yield keras.Model(inputs, DENSE(3, "sigmoid")(keras.layers.ReLU()(DENSE(4)(inputs)))), 2
    yield DENSE(4, "tanh"), 1
    yield keras.Sequential([DENSE(4, "sigmoid"), DENSE(3, "sigmoid")]), 2
    yield (
        keras.Sequential(
            [
                DENSE(4),
                keras.layers.BatchNormalization(),
                keras.layers.ReLU(),
                keras.layers.Dropout(0.5, seed=0),
                DENSE(3),
            ]
        ),
        2,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "depth"), list(forms()))
def test_accepts_encoders_of_other_forms(encoder, depth):
    blocks = pretrain_greedily(encoder, examples(), epochs=1, fit=eager)
    assert len(blocks) == depth
    assert encoder.built
    assert np.all(np.isfinite(encoder(examples())))


def test_head_is_not_trained():
    model = networks.mlp((5, 4), num_classes=3, input_shape=(6,))
    before = kernels(model)
    blocks = pretrain_greedily(model, examples(), epochs=1, fit=eager)
    after = kernels(model)
    assert len(blocks) == 2
    assert [bool(np.any(a != b)) for a, b in zip(before, after, strict=True)] == [True, True, False]


@pytest.mark.slow
def test_passes_epochs_to_layers_and_arguments_to_blocks():
    encoder = networks.mlp((5, 4), num_classes=None)
    watch = Watch(encoder)
    blocks = pretrain_greedily(
        encoder,
        examples(),
        epochs=(1, 3),
        batch_size=17,
        verbose=0,
        fit=watch,
        rate=0.1,
        corruption="gaussian",
    )
    assert [len(block.history.epoch) for block in blocks] == [1, 3]
    assert [each["batch_size"] for each in watch.arguments] == [17, 17]
    assert all(block.rate == 0.1 and block.corruption == "gaussian" for block in blocks)


def test_each_layer_has_its_own_seed_and_optimizer():
    optimizer = keras.optimizers.Adam(0.003, global_clipnorm=2.0)
    blocks = pretrain_greedily(
        networks.mlp((5, 4), None), examples(), epochs=1, optimizer=optimizer, seed=5, fit=eager
    )
    assert blocks[0].seed != blocks[1].seed
    assert blocks[0].optimizer is not blocks[1].optimizer
    for block in blocks:
        assert block.optimizer.get_config() == optimizer.get_config()
        assert int(block.optimizer.iterations) == 1
    assert not optimizer.built


def test_default_optimizers():
    for block, kind, rate in ((RBM, keras.optimizers.SGD, 0.05), (Autoencoder, keras.optimizers.Adam, 0.001)):
        (trained,) = pretrain_greedily(networks.mlp((5,), None), examples(), block=block, epochs=1, fit=eager)
        assert type(trained.optimizer) is kind
        assert float(trained.optimizer.learning_rate) == pytest.approx(rate)


@pytest.mark.slow
def test_seed_fixes_the_weights():
    def train(seed):
        encoder = networks.mlp((5, 4), num_classes=None, seed=0)
        pretrain_greedily(encoder, examples(), epochs=2, seed=seed, fit=eager)
        return np.concatenate([each.ravel() for each in encoder.get_weights()])

    np.testing.assert_array_equal(train(1), train(1))
    assert np.any(train(1) != train(2))


@pytest.mark.slow
def test_supervised_layers_learn_a_feature_that_reconstruction_neglects():
    """Two classes differ in one small feature, which only the supervised layer keeps."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = np.concatenate([rng.random((200, 5)), 0.5 + 0.05 * (2 * y[:, None] - 1)], axis=1).astype("float32")
    difference = {}
    for block in (Supervised, Autoencoder):
        encoder = networks.mlp((3,), num_classes=None, activation="tanh", seed=0)
        pretrain_greedily(
            encoder, x, y if block is Supervised else None, block=block, epochs=20, batch_size=20,
            optimizer=keras.optimizers.Adam(0.05), **({} if block is Supervised else {"loss": "squared_error"}),
        )  # fmt: skip
        h = np.asarray(encoder(x))
        difference[block] = np.abs(h[y == 1].mean(axis=0) - h[y == 0].mean(axis=0)).max() / h.std()
    assert difference[Supervised] > 2 * difference[Autoencoder]


def test_block_may_be_any_pretrainer():
    class Mine(Pretrainer):
        def __init__(self, encoder, seed=0, strength=1.0):
            super().__init__(encoder, seed=seed)
            self.strength = strength

        def per_example(self, x, y, random, training):
            h = self.encoder(x, training=training)
            return {"loss": self.strength * tf.reduce_sum(tf.square(h - 0.5), axis=-1)}, None

    (block,) = pretrain_greedily(networks.mlp((5,), None), examples(), block=Mine, epochs=1, strength=2.0)
    assert block.strength == 2.0


def test_layers_above_the_first_take_large_representations():
    def fit(block, x, y, **arguments):
        block.check_inputs("fit", x)
        tops.append(float(np.max(x)))

    tops = []
    parts = [keras.Input((6,)), keras.layers.Dense(5, activation="exponential"), keras.layers.Dense(4)]
    encoder = keras.Sequential(parts)
    encoder.layers[0].bias.assign([6.0] * 5)
    pretrain_greedily(encoder, examples(), block=MaskedVectors, fit=fit)
    assert tops[0] < 1 < 100 < tops[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": keras.layers.Flatten()}, "a Flatten"),
        ({"block": "rbm"}, "block='rbm'"),
        ({"block": keras.layers.Dense}, "block='Dense'"),
        ({"block": Supervised}, "y=None"),
        ({"block": Supervised, "x": tf.data.Dataset.from_tensors(examples())}, "without labels"),
        ({"block": Supervised, "y": np.full(50, -1)}, r"`pretrain_greedily\.y`.*labels from -1 to -1"),
        ({"block": Supervised, "y": np.array(["a"] * 50)}, "labels such as .*'a'.*numbers the classes"),
        ({"block": Supervised, "y": np.full(50, np.nan)}, "labels such as .*nan"),
        ({"block": Supervised, "y": np.full(50, 0.5)}, "labels such as .*0.5"),
        ({"x": 255 * examples()}, "Divide images of 0…255 by 255"),
        ({"block": Supervised, "y": LABELS[:3]}, "50 examples, 3 targets"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": (1, 2, 3)}, r"epochs=\(1, 2, 3\)"),
        ({"epochs": (1, 0)}, "epochs=0"),
        ({"x": np.full((50, 6), np.nan)}, "300 values"),
        ({"x": np.zeros((0, 6))}, r"x.shape=\(0, 6\)"),
        ({"x": np.zeros(6)}, r"x.shape=\(6,\)"),
        ({"x": [[0.0, 1.0]]}, "Received: list"),
        ({"x": tf.data.Dataset.from_tensors(examples()).take(0)}, "an empty data set"),
        ({"block": RBM, "encoder": networks.mlp((5,), None, activation="relu")}, "activation='relu'"),
        ({"y": LABELS, "x": tf.data.Dataset.from_tensors(examples())}, "both a data set and y"),
    ],
)
def test_refusals(arguments, message):
    arguments = {"encoder": networks.mlp((5, 4), None), "x": examples()} | arguments
    with pytest.raises(ValueError, match=message):
        pretrain_greedily(**arguments)


@pytest.mark.parametrize("name", ["callbacks", "validation_data", "sample_weight", "initial_epoch"])
def test_arguments_of_fit_are_refused_with_the_way_to_give_them(name):
    encoder = networks.mlp((4,), num_classes=None)
    with pytest.raises(InputError, match=rf"Received: {name}\. fit=lambda .*{name}=…, \*\*more\)") as caught:
        pretrain_greedily(encoder, np.ones((8, 5), "float32"), **{name: [1]})
    assert "\n" not in str(caught.value)
