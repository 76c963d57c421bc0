"""SimSiam, NNCLR and SupCon: predictions, the queue and its neighbors, classes as positives."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from pretraining import methods
from support.twins import wrong_twin

from tf_kit import data, networks
from tf_kit.pretraining import BYOL, NNCLR, CollapseMonitor, ExampleRandom, SimCLR, SimSiam, SupCon
from tf_kit.randomness import keys as draws

MODULES = {
    name: importlib.import_module(f"tf_kit.pretraining.joint_embedding.{name}")
    for name in ("simsiam", "nnclr", "supcon")
}
N = 7
Y = np.array([2, 0, 2, -1, 0, -1, 2])


@keras.saving.register_keras_serializable(package="tests")
def noise(x, key):
    """Noise on each feature, drawn from the example's key."""
    return x + 0.5 * draws.normal(draws.stream(key, "noise"), x.shape[1])


def vectors(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")


def encoder():
    dense = keras.layers.Dense(5, "tanh", kernel_initializer=keras.initializers.GlorotUniform(1))
    return keras.Sequential([keras.Input((6,)), dense])


def model_of(method, **options):
    return method(encoder(), projector=(4,), augment=noise, **options)


def embeddings(model, step):
    """Embeddings of the two views of `vectors()` at a step, float64."""
    z = model.projector(model.encoder(model.views(vectors(), ExampleRandom(model.seed, step, N))))
    return np.asarray(z, "float64").reshape(N, 2, -1).transpose(1, 0, 2)


def predictions(model, step):
    return [np.asarray(model.predictor(z.astype("float32")), "float64") for z in embeddings(model, step)]


def losses(model, step=3, y=None):
    values, outputs = model.per_example(vectors(), y, ExampleRandom(model.seed, step, N), training=False)
    assert outputs is None
    return np.asarray(values["loss"])


def units(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


# Each check must fail for a wrong twin.


def check_simsiam(module):
    """The loss of each example is the mean over its views, each predicting the embedding of the other one."""
    model = model_of(module.SimSiam)
    model.prepare(vectors()[:1])
    (za, zb), (pa, pb) = embeddings(model, 3), predictions(model, 3)
    expected = [
        (oracle.simsiam(pa[i : i + 1], zb[i : i + 1]) + oracle.simsiam(pb[i : i + 1], za[i : i + 1])) / 2
        for i in range(N)
    ]
    np.testing.assert_allclose(losses(model), expected, rtol=1e-4)


def check_nnclr(module):
    """The neighbors of each view come from the queue, and are compared with the predictions from the other view."""
    model = model_of(module.NNCLR, queue_size=9, temperature=0.3)
    model.prepare(vectors()[:1])
    (za, zb), (pa, pb) = embeddings(model, 3), predictions(model, 3)
    queue = np.asarray(model.queue, "float64")
    expected = (
        oracle.nnclr(oracle.nearest(za, queue), pb, 0.3) + oracle.nnclr(oracle.nearest(zb, queue), pa, 0.3)
    ) / 2
    np.testing.assert_allclose(losses(model).mean(), expected, rtol=1e-4)


def check_queue(module):
    """After steps of 3, 3 and 1 examples it ends in the first views of these, oldest first; evaluation adds none."""
    model = model_of(module.NNCLR, queue_size=8)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.prepare(vectors()[:1])
    before = np.asarray(model.queue)
    model.evaluate(vectors(), verbose=0)
    np.testing.assert_array_equal(model.queue, before)
    model.fit(vectors(), batch_size=3, shuffle=False, verbose=0)
    x, expected = vectors(), [before[-1:]]
    for step, part in enumerate((slice(0, 3), slice(3, 6), slice(6, 7))):
        views = model.views(x[part], ExampleRandom(0, step, len(x[part])))
        expected.append(units(np.asarray(model.projector(model.encoder(views)))[::2]))
    np.testing.assert_allclose(model.queue, np.concatenate(expected), rtol=1e-5, atol=1e-6)


def check_supcon(module):
    """The mean loss of the examples is that of the oracle, with two classes and examples without label."""
    model = model_of(module.SupCon, temperature=0.3)
    model.prepare(vectors()[:1], Y[:1])
    za, zb = embeddings(model, 3)
    np.testing.assert_allclose(losses(model, y=Y).mean(), oracle.supcon(za, zb, Y, 0.3), rtol=1e-5)
    np.testing.assert_allclose(module.supcon(za, zb, Y, 0.3), oracle.supcon(za, zb, Y, 0.3), rtol=1e-12)


CHECKS = {check_simsiam: "simsiam", check_nnclr: "nnclr", check_queue: "nnclr", check_supcon: "supcon"}


@pytest.mark.parametrize("check", CHECKS)
def test_method(check):
    check(MODULES[CHECKS[check]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_simsiam, "simsiam_of_each(p[:, 1], z[:, 0])", "simsiam_of_each(p[:, 1], z[:, 1])"),
        (check_simsiam, "simsiam_of_each(p[:, 0], z[:, 1]) +", "simsiam_of_each(z[:, 0], z[:, 1]) +"),
        (check_simsiam, "simsiam_of_each(p[:, 1], z[:, 0])) / 2", "simsiam_of_each(p[:, 1], z[:, 0]))"),
        (check_nnclr, "nearest(z[:, view], earlier), p[:, 1 - view]", "nearest(z[:, view], earlier), p[:, view]"),
        (check_nnclr, "nearest(z[:, view], earlier)", "nearest(z[:, 0], earlier)"),
        (check_nnclr, "every[:, 1 - view], self.temperature", "every[:, 1 - view], 0.1"),
        (check_nnclr, "ops.argmax(ops", "ops.argmin(ops"),
        (check_nnclr, "ops.transpose(unit(support))", "ops.transpose(support)"),
        (check_queue, "[-self.queue_size :]", "[: self.queue_size]"),
        (check_queue, "ops.stop_gradient(z[:, 0])", "ops.stop_gradient(z[:, 1])"),
        (check_queue, "if training:", "if True:"),
        (check_queue, "newest = unit(gather", "newest = (gather"),
        (check_supcon, "& ~itself", ""),
        (check_supcon, "same_example | same_class", "same_class"),
        (check_supcon, "same_example | same_class", "same_example"),
        (check_supcon, " & (y[:, None] >= 0)", ""),
        (check_supcon, "share = share / ops.sum(share, axis=1, keepdims=True)", "pass"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    module = MODULES[CHECKS[check]]
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(module, right, wrong))


def gradient_of(model, y=None):
    with tf.GradientTape() as tape:
        values, _ = model.per_example(vectors(), y, ExampleRandom(0, 0, N), training=True)
        loss = tf.reduce_mean(values["loss"])
    return tape.gradient(loss, [each.value for each in model.trainable_variables])


def assert_equal_gradients(ours, theirs, factor=1):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(factor * mine, other, rtol=1e-4, atol=1e-6)


def test_simsiam_is_byol_whose_teacher_is_the_student():
    """The loss of BYOL is 4 ℓ + 4, so its gradient is four times as large."""
    simsiam, byol = model_of(SimSiam), model_of(BYOL, momentum=0.0)
    for model in (simsiam, byol):
        model.prepare(vectors()[:1])
    np.testing.assert_allclose(4 * losses(simsiam) + 4, losses(byol), rtol=1e-4)
    assert_equal_gradients(gradient_of(simsiam), gradient_of(byol), 4)


def test_supcon_without_labels_is_simclr():
    supcon, simclr = model_of(SupCon, temperature=0.3), model_of(SimCLR, temperature=0.3)
    expected = losses(simclr)
    for y in (None, np.full(N, -1), np.arange(N)):
        np.testing.assert_allclose(losses(supcon, y=y), expected, rtol=1e-5)
    assert_equal_gradients(gradient_of(supcon, np.full(N, -1)), gradient_of(simclr))


@pytest.mark.slow
def test_queue_shorter_than_a_batch_keeps_the_last_embeddings():
    model = model_of(NNCLR, queue_size=2)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(vectors(), batch_size=N, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.queue, units(embeddings(model, 0)[0])[-2:], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_queue_does_not_keep_what_is_not_finite():
    x = vectors()
    x[2] = np.nan
    model = model_of(NNCLR, queue_size=N)
    model.prepare(x[:1])
    model.per_example(x, None, ExampleRandom(0, 0, N), training=True)
    queue = np.asarray(model.queue)
    np.testing.assert_array_equal(queue[2], 0)
    np.testing.assert_allclose(np.linalg.norm(np.delete(queue, 2, axis=0), axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_queue_is_saved(tmp_path):
    model = model_of(NNCLR, queue_size=12)
    model.compile(keras.optimizers.SGD(0.05))
    model.fit(vectors(), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.queue, model.queue)
    assert (loaded.queue_size, loaded.hidden_units) == (12, (256,))


@pytest.mark.parametrize("y", [np.eye(3)[Y], Y.astype("float32")])
def test_supcon_refuses_labels_that_are_not_classes(y):
    model = model_of(SupCon)
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"SupCon\.fit\.y.*whole numbers.*Received: shape"):
        model.fit(vectors(), y, verbose=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimSiam(encoder(), predictor="dense"), r"SimSiam\.predictor.*Received: str"),
        (lambda: SimSiam(encoder(), predictor=keras.layers.Dense(7)).prepare(vectors(1)), "Received: 7 features"),
        (lambda: NNCLR(encoder(), queue_size=0), "queue_size=0"),
        (lambda: NNCLR(encoder(), temperature=0), "temperature=0"),
        (lambda: SupCon(encoder(), temperature=-1), "temperature=-1"),
    ],
)  # fmt: skip
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_simsiam_without_predictor_collapses():
    """The monitor finds it in the first epochs, while the loss falls to its minimum."""
    train, val, _ = data.load("digits", seed=0)
    model = SimSiam(
        networks.mlp((64,), num_classes=None, seed=0),
        projector=(32,),
        predictor=keras.layers.Identity(),
        augment=methods.VIEWS,
    )
    model.compile(keras.optimizers.Adam(0.01))
    monitor = CollapseMonitor(val.x, say=lambda line: None)
    history = model.fit(train.x, epochs=3, verbose=0, callbacks=[monitor]).history
    assert monitor.collapsed_in is not None
    assert history["loss"][-1] < -0.99
