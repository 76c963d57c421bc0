"""SimCLR, BYOL, Barlow Twins, VICReg: which views they see, what they cost, and that they learn digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from pretraining import methods
from support.twins import wrong_twin

from tf_kit import data, regularization
from tf_kit.pretraining import (
    BYOL,
    BarlowTwins,
    ExampleRandom,
    SimCLR,
    VICReg,
    joint_embedding,
    knn_accuracy,
    projection_head,
)
from tf_kit.regularization import RandomCrop, example_keys

DENSE = keras.layers.Dense
every_method = pytest.mark.parametrize(
    "method",
    [SimCLR, *(pytest.param(method, marks=pytest.mark.slow) for method in (BYOL, BarlowTwins, VICReg))],
)


def images(n=6, seed=0):
    return np.random.default_rng(seed).random((n, 4, 4, 1)).astype("float32")


def encoder(seed=0):
    dense = DENSE(5, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed))
    return keras.Sequential([keras.layers.Flatten(), dense])


def model_of(method, projector=(4,), augment=True, **arguments):
    augment = (
        regularization.compose(RandomCrop(1), regularization.AddNoise(0.2)) if augment is True else augment
    )
    return method(encoder(), projector=projector, augment=augment, **arguments)


def views_of(model, x, step=0, seed=None, first=0, total=None):
    random = ExampleRandom(model.seed if seed is None else seed, step, len(x), first, total)
    return np.asarray(model.views(x, random))


# Theorems, each as a check that a wrong twin must fail.


def check_views(module):
    """View v of the i-th example at step t is the augmentation with the key (seed, 2t + v, i), and nothing else."""
    x = images()
    model = model_of(module.SimCLR, seed=3)
    seen = views_of(model, x, step=7)
    for view in (0, 1):
        expected = model.augment.augment(x, example_keys(3, 2 * 7 + view, range(6)))
        np.testing.assert_allclose(seen[view::2], expected, atol=1e-6)


def check_views_by_place(module):
    """A part of the batch sees what the whole batch would have shown it there."""
    x, model = images(), model_of(module.SimCLR)
    whole = views_of(model, x, step=2)
    parts = [views_of(model, x[a:b], 2, first=a, total=6) for a, b in ((0, 4), (4, 5), (5, 6))]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def embeddings(model, x, step=0):
    z = np.asarray(model.projector(model.encoder(views_of(model, x, step))), "float64")
    return z[::2], z[1::2]


def check_cost(module):
    """What an example costs is the loss of the projector's embeddings of both views; their mean is the loss."""
    x, random = images(), ExampleRandom(0, 4, 6)
    simclr = model_of(module.SimCLR, temperature=0.3)
    values, outputs = simclr.per_example(x, None, random, training=True)
    assert outputs is None
    za, zb = embeddings(simclr, x, 4)
    np.testing.assert_allclose(np.mean(values["loss"]), oracle.nt_xent(za, zb, 0.3), rtol=1e-5)
    barlow = model_of(module.BarlowTwins, redundancy_weight=0.3)
    values, _ = barlow.per_example(x, None, random, training=True)
    np.testing.assert_allclose(
        values["loss"], [oracle.barlow_twins(*embeddings(barlow, x, 4), 0.3)] * 6, rtol=1e-4
    )
    weights = {"invariance_weight": 3, "variance_weight": 5, "covariance_weight": 2}
    vicreg = model_of(module.VICReg, **weights)
    values, _ = vicreg.per_example(x, None, random, training=True)
    np.testing.assert_allclose(
        values["loss"], [oracle.vicreg(*embeddings(vicreg, x, 4), **weights)] * 6, rtol=1e-4
    )


def check_both_views_share_a_batch_norm(module):
    """The projector's batch norm is over 2n rows."""
    x = images()
    model = module.SimCLR(encoder(), projector=(8, 4), augment=regularization.AddNoise(0.2))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(x, batch_size=6, shuffle=False, verbose=0)
    views = views_of(model, x, step=0)
    first, norm = model.projector.layers[:2]
    before = np.asarray(first(model.encoder(views)), "float64")
    expected = (1 - norm.momentum) * before.mean(axis=0)
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-4, atol=1e-6)


CHECKS = [check_views, check_views_by_place, check_cost, check_both_views_share_a_batch_norm]


@pytest.mark.parametrize("check", CHECKS)
def test_theorem(check):
    check(joint_embedding)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_views, "2 * random.step + view", "random.step + view"),
        (check_views, "for view in (0, 1)", "for view in (0, 0)"),
        (check_views, "example_keys(self.seed,", "example_keys(0,"),
        (check_views, "ops.stack(keys, axis=1)", "ops.stack(keys, axis=0)"),
        (check_views_by_place, "+ view, random.index", "+ view, range(len(x) // 2)"),
        (check_cost, "self.projector(r, training=training)", "r"),
        (check_cost, "z[:, 0], z[:, 1], every", "z[:, 1], z[:, 1], every"),
        (check_cost, "random.index, self.temperature", "random.index, 1.0"),
        (check_cost, "barlow_twins(za, zb, self.redundancy_weight)", "barlow_twins(za, zb)"),
        (check_cost, "self.invariance_weight, self.variance_weight", "self.variance_weight, self.invariance_weight"),
        (check_both_views_share_a_batch_norm, "self.projector(r, training=training)", "self.projector(r)"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(wrong_twin(joint_embedding, right, wrong))


def test_views_are_new_in_each_step_and_for_each_seed():
    x, model = images(), model_of(SimCLR)
    first, again = views_of(model, x), views_of(model, x)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[::2] - first[1::2]).max() > 0.1
    assert np.abs(first - views_of(model, x, step=1)).max() > 0.1
    assert np.abs(first - views_of(model_of(SimCLR, seed=1), x)).max() > 0.1


def test_without_an_augmentation_views_are_equal():
    model = model_of(SimCLR, augment=None)
    np.testing.assert_array_equal(views_of(model, images()), images().repeat(2, axis=0))


def test_a_layer_of_keras_may_augment():
    keras.utils.set_random_seed(0)
    model = model_of(SimCLR, augment=keras.layers.GaussianNoise(0.3, seed=1))
    model.compile("sgd")
    history = model.fit(images(20), batch_size=10, epochs=2, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))
    views = views_of(model, images())
    assert np.abs(views[::2] - views[1::2]).max() > 0.1


def test_a_function_of_keys_may_augment():
    """It gets one key for each row: rows of one example lie side by side."""

    def shift(x, key):
        assert key.shape == (2 * len(images()), 2)
        return (
            x + tf.cast(key[:, 1] + 100 * (tf.range(12, dtype="int64") % 2), "float32")[:, None, None, None]
        )

    views = views_of(model_of(SimCLR, augment=shift), np.zeros((6, 4, 4, 1), "float32"))
    assert views[:, 0, 0, 0].tolist() == [0, 100, 1, 101, 2, 102, 3, 103, 4, 104, 5, 105]


@every_method
def test_learns_digits(method):
    """Better than the untrained encoder by far, for neighbors and for a linear probe."""
    train, val, _ = data.load("digits", seed=0)
    untrained = methods.dense_encoder()
    before = knn_accuracy(untrained, train, val, k=5), methods.probe_accuracy(untrained, train, val)
    model = method(methods.dense_encoder(), augment=methods.VIEWS)
    model.compile(keras.optimizers.Adam(methods.LEARNING_RATE))
    losses = model.fit(train.x, batch_size=128, epochs=methods.EPOCHS, verbose=0).history["loss"]
    after = knn_accuracy(model.encoder, train, val, k=5), methods.probe_accuracy(model.encoder, train, val)
    assert losses[-1] < losses[0]
    assert after[0] > max(0.9, before[0] + 0.02), (before, after)
    assert after[1] > max(0.9, before[1] + 0.04), (before, after)


@every_method
def test_bfloat16_learns_too(method):
    """Losses are computed in float32, whatever the layers compute in."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = model_of(method)
        model.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
        values, _ = model.per_example(images(), None, ExampleRandom(0, 0, 6), training=True)
        assert values["loss"].dtype == "float32"
        history = model.fit(images(40), batch_size=20, epochs=2, verbose=0).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.all(np.isfinite(history))


def test_projection_head():
    head = projection_head((6, 5, 3), seed=4)
    head.build((None, 7))
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Dense", "BatchNorm", "Activation", "Dense", "BatchNorm", "Activation", "Dense"]
    assert [tuple(v.shape) for v in head.trainable_variables if v.name == "kernel"] == [
        (7, 6),
        (6, 5),
        (5, 3),
    ]
    assert not [v for v in head.variables if v.name == "bias"]
    again, other = projection_head((6, 5, 3), seed=4), projection_head((6, 5, 3), seed=5)
    for each in (again, other):
        each.build((None, 7))
    np.testing.assert_array_equal(again.get_weights()[0], head.get_weights()[0])
    assert np.any(other.get_weights()[0] != head.get_weights()[0])


def test_a_projector_of_one_s_own():
    projector = keras.layers.Identity()
    model = model_of(SimCLR, projector=projector)
    views = views_of(model, images())
    np.testing.assert_allclose(model.embed(views), model.encoder(views), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SimCLR("dense"), "Received: str"),
        (lambda: SimCLR(encoder(), projector="dense"), "Received: str"),
        (lambda: SimCLR(encoder(), projector=(3, 0)), "units=0"),
        (lambda: SimCLR(encoder(), augment="digits"), "Received: 'digits'"),
        (lambda: SimCLR(encoder(), temperature=0), "temperature=0"),
        (lambda: SimCLR(encoder(), seed=-1), "seed=-1"),
        (lambda: SimCLR(encoder(), chunk_size=0), "chunk_size=0"),
        (lambda: BarlowTwins(encoder(), redundancy_weight=-1), "redundancy_weight=-1"),
        (lambda: VICReg(encoder(), variance_weight=-1), "variance_weight=-1"),
        (lambda: BYOL(encoder(), momentum=1.5), "momentum=1.5"),
        (lambda: BYOL(encoder(), predictor="dense"), "Received: str"),
        (lambda: BYOL(encoder(), predictor=DENSE(7)).prepare(images(1)), "Received: 7 features"),
        (lambda: SimCLR(keras.layers.Conv2D(2, 1)).prepare(images(1)), r"outputs of shape \(None, 4, 4, 2\)"),
        (lambda: projection_head(()), "name a layer"),
    ],
)
def test_refusals(make, says):
    with pytest.raises(ValueError, match=says):
        make()
