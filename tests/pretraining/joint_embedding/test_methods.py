"""Methods with two views: their views, their losses, and learning of digits."""

import inspect
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from pretraining import methods
from support.twins import wrong_class

from tf_kit import data, networks, regularization
from tf_kit.errors import InputError
from tf_kit.pretraining import (
    BYOL,
    DINO,
    BarlowTwins,
    ExampleRandom,
    SimCLR,
    SupCon,
    VICReg,
    joint_embedding,
    knn_accuracy,
)
from tf_kit.regularization import RandomCrop, example_keys

DENSE = keras.layers.Dense
every_method = pytest.mark.parametrize("method", methods.JOINT.values())


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


# Each check must fail for a wrong twin.


def check_views(module):
    """View v of the i-th example at step t is the augmentation with the key (seed, 2t + v, i)."""
    x = images()
    model = model_of(module.SimCLR, seed=3)
    views = views_of(model, x, step=7)
    for view in (0, 1):
        expected = model.augment.augment(x, example_keys(3, 2 * 7 + view, range(6)))
        np.testing.assert_allclose(views[view::2], expected, atol=1e-6)


def check_views_of_a_part(module):
    """The views of a part of the batch are those that the whole batch has at these indices."""
    x, model = images(), model_of(module.SimCLR)
    whole = views_of(model, x, step=2)
    parts = [views_of(model, x[a:b], 2, first=a, total=6) for a, b in ((0, 4), (4, 5), (5, 6))]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def embeddings(model, x, step=0):
    z = np.asarray(model.projector(model.encoder(views_of(model, x, step))), "float64")
    return z[::2], z[1::2]


def check_cost(module):
    """The mean loss of the examples is the loss of the projector's embeddings of both views."""
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
    """The batch norm of the projector uses 2n rows."""
    x = images()
    model = module.SimCLR(encoder(), projector=(8, 4), augment=regularization.AddNoise(0.2))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(x, batch_size=6, shuffle=False, verbose=0)
    views = views_of(model, x, step=0)
    first, norm = model.projector.layers[:2]
    before = np.asarray(first(model.encoder(views)), "float64")
    expected = (1 - norm.momentum) * before.mean(axis=0)
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-4, atol=1e-6)


CHECKS = [check_views, check_views_of_a_part, check_cost, check_both_views_share_a_batch_norm]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_views_and_losses(check):
    check(joint_embedding)


def twin_of(method, right, wrong):
    """The classes; those with `right` in the source of `method` have `wrong` in its place."""
    kinds = (SimCLR, BarlowTwins, VICReg)
    has = {
        kind: hasattr(kind, method) and right in inspect.getsource(getattr(kind, method)) for kind in kinds
    }
    assert any(has.values())
    return SimpleNamespace(
        **{kind.__name__: wrong_class(kind, method, right, wrong) if has[kind] else kind for kind in kinds}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "method", "right", "wrong"),
    [
        (check_views, "views", "2 * random.step + view", "random.step + view"),
        (check_views, "views", "for view in (0, 1)", "for view in (0, 0)"),
        (check_views, "views", "example_keys(random.seed,", "example_keys(0,"),
        (check_views, "views", "ops.stack(keys, axis=1)", "ops.stack(keys, axis=0)"),
        (check_views_of_a_part, "views", "+ view, random.index", "+ view, range(len(x) // 2)"),
        (check_cost, "embed", "self.projector(r, training=training)", "r"),
        (check_cost, "loss_of_each", "z[:, 0], z[:, 1], every", "z[:, 1], z[:, 1], every"),
        (check_cost, "loss_of_each", "random.index, self.temperature", "random.index, 1.0"),
        (check_cost, "loss_of_batch", "barlow_twins(za, zb, self.redundancy_weight)", "barlow_twins(za, zb)"),
        (check_cost, "loss_of_batch",
         "self.invariance_weight, self.variance_weight", "self.variance_weight, self.invariance_weight"),
        (check_both_views_share_a_batch_norm, "embed", "self.projector(r, training=training)", "self.projector(r)"),
    ],
)  # fmt: skip
def test_wrong_twin(check, method, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(twin_of(method, right, wrong))


def test_views_differ_between_steps_and_seeds():
    x, model = images(), model_of(SimCLR)
    first, again = views_of(model, x), views_of(model, x)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[::2] - first[1::2]).max() > 0.1
    assert np.abs(first - views_of(model, x, step=1)).max() > 0.1
    assert np.abs(first - views_of(model_of(SimCLR, seed=1), x)).max() > 0.1


def test_views_are_equal_without_an_augmentation():
    model = model_of(SimCLR, augment=None)
    np.testing.assert_array_equal(views_of(model, images()), images().repeat(2, axis=0))


@pytest.mark.parametrize("method", [SimCLR, pytest.param(SupCon, marks=pytest.mark.slow)])
def test_warns_once_that_views_are_equal(method):
    model = model_of(method, augment=None)
    model.compile("sgd", run_eagerly=True)
    with pytest.warns(UserWarning, match=f"{method.__name__} has no `augment`.*views.*are equal") as caught:
        model.fit(images(4), verbose=0)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(images(4), verbose=0)


@pytest.mark.slow
def test_does_not_warn_where_views_differ(recwarn):
    """With an augmentation, or with dropout in the encoder."""
    dropout = keras.Sequential([keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=0), DENSE(3)])
    for model in (model_of(SimCLR), SimCLR(dropout, projector=(4,))):
        model.compile("sgd", run_eagerly=True)
        model.fit(images(4), verbose=0)
    assert not [each for each in recwarn if "augment" in str(each.message)]


def test_augments_with_a_layer_of_keras():
    keras.utils.set_random_seed(0)
    model = model_of(SimCLR, augment=keras.layers.GaussianNoise(0.3, seed=1))
    model.compile("sgd")
    history = model.fit(images(20), batch_size=10, epochs=2, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))
    views = views_of(model, images())
    assert np.abs(views[::2] - views[1::2]).max() > 0.1


def test_augments_with_a_function_of_keys():
    """The function gets one key per row; the two rows of an example are next to each other."""

    def shift(x, key):
        assert key.shape == (2 * len(images()), 2)
        return (
            x + tf.cast(key[:, 1] + 100 * (tf.range(12, dtype="int64") % 2), "float32")[:, None, None, None]
        )

    views = views_of(model_of(SimCLR, augment=shift), np.zeros((6, 4, 4, 1), "float32"))
    assert views[:, 0, 0, 0].tolist() == [0, 100, 1, 101, 2, 102, 3, 103, 4, 104, 5, 105]


@pytest.mark.parametrize("method", [SimCLR, pytest.param(DINO, marks=pytest.mark.slow)])
def test_function_of_keys_gets_floats_in_the_format_of_the_encoder(method):
    """Whatever the format of the data: noise in float32 cannot be added to the float64 that NumPy makes."""
    x = np.round(64 * images(8)) / 64  # exact in half precision
    noise = np.random.default_rng(1).random((1, 4, 4, 1)).astype("float32")
    model = model_of(method, augment=lambda x, key: x + noise)
    found = [views_of(model, x.astype(dtype)) for dtype in ("float16", "float32", "float64")]
    assert {str(each.dtype) for each in found} == {"float32"}
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[1])
    values, _ = model.per_example(x.astype("float64"), None, ExampleRandom(0, 0, 8), training=False)
    assert np.all(np.isfinite(values["loss"]))
    unchanged = method(DENSE(5, dtype="float64"), augment=lambda x, key: x)
    for inputs in (np.ones((3, 4)), np.ones((3, 4), "int32")):
        assert views_of(unchanged, inputs).dtype == inputs.dtype


@pytest.mark.slow
@every_method
def test_learns_digits(method):
    """Nearest neighbors and a linear probe are much better than on the untrained encoder."""
    train, val, _ = data.load("digits", seed=0)
    untrained = methods.dense_encoder()
    before = knn_accuracy(untrained, train, val, k=5), methods.probe_accuracy(untrained, train, val)
    model = method(methods.dense_encoder(), augment=methods.VIEWS)
    model.compile(keras.optimizers.Adam(methods.LEARNING_RATE))
    y = train.y if method is SupCon else None
    losses = model.fit(train.x, y, batch_size=128, epochs=methods.EPOCHS, verbose=0).history["loss"]
    after = knn_accuracy(model.encoder, train, val, k=5), methods.probe_accuracy(model.encoder, train, val)
    assert losses[-1] < losses[0]
    assert after[0] > max(0.9, before[0] + 0.02), (before, after)
    assert after[1] > max(0.9, before[1] + 0.04), (before, after)


@pytest.mark.slow
@every_method
def test_trains_in_bfloat16(method):
    """Losses are computed in float32."""
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


def test_projector_may_be_any_layer():
    projector = keras.layers.Identity()
    model = model_of(SimCLR, projector=projector)
    views = views_of(model, images())
    np.testing.assert_allclose(model.embed(views), model.encoder(views), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
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
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "y", [np.array(["a"] * 8), np.full(8, np.nan), np.full(8, 0.5), np.eye(8), np.ones(8, "bool")]
)
def test_labels_of_supcon_that_are_not_class_numbers_are_refused_in_one_line(y):
    model = SupCon(networks.mlp((4,), num_classes=None, seed=0))
    model.compile("sgd")
    x = np.random.default_rng(0).random((8, 6)).astype("float32")
    for act in (lambda: model.fit(x, y, verbose=0), lambda: model.evaluate(x, y, verbose=0)):
        with pytest.raises(InputError, match=r"`SupCon\.fit\.y` must be whole numbers") as refused:
            act()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (lambda x: x, r"Received: <lambda>, which does not take them\. `lambda x, key: f\(x\)` makes one"),
        ([regularization.AddNoise(0.2)], r"regularization\.compose\(…\) makes one augmentation of several"),
        ("flip", r"Received: 'flip'\. regularization\.preset"),
    ],
)
def test_what_is_no_augmentation_is_refused(augment, message):
    with pytest.raises(InputError, match=rf"augmentation or a function \(x, key\)\. .*{message}") as caught:
        model_of(SimCLR, augment=augment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "augment", [lambda x, key: x, lambda x, key=None: x, lambda *given: given[0], np.add]
)
def test_functions_that_take_keys_are_taken(augment):
    assert model_of(SimCLR, augment=augment).augment is augment
