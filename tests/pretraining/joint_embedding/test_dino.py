"""DINO: what the teacher and the student see, the pairs of views that the loss counts, and the center."""

import importlib

import keras
import numpy as np
import pytest
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit import regularization
from tf_kit.errors import InputError
from tf_kit.pretraining import DINO, ExampleRandom

dino_module = importlib.import_module("tf_kit.pretraining.joint_embedding.dino")
N = 4


def images(n=N):
    return np.random.default_rng(0).random((n, 6, 6, 1), dtype="float32")


def model_of(module=dino_module, **arguments):
    encoder = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(5, "tanh")]
    )
    arguments = {"augment": regularization.RandomFlip(), "num_prototypes": 6, "projector": (4,)} | arguments
    keras.utils.set_random_seed(0)
    return module.DINO(encoder, **arguments)


def scores(model, x, teacher=False):
    """Scores (rows, prototypes) of images, by the layers of the student or the teacher, in float64."""
    names = ("encoder", "projector", "prototypes")
    for name in names:
        x = getattr(model, f"teacher_{name}" if teacher else name)(x)
    return np.asarray(x, "float64")


def check_pairs_of_views(module):
    """The loss is the mean of the oracle over all pairs of a whole view of the teacher and another of the student."""
    model = model_of(module, local_views=3, teacher_temperature=0.2)
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(images(), epochs=3, verbose=0)  # so that teacher and student differ, and the center is not 0
    random = ExampleRandom(0, 5, N)
    views = np.asarray(model.views(images(), random)).reshape(N, 5, 6, 6, 1)
    s, t = ([scores(model, views[:, v], teacher) for v in range(5)] for teacher in (False, True))
    center = np.asarray(model.center, "float64")
    assert np.abs(center).max() > 1e-3
    pairs = [(v, u) for v in (0, 1) for u in range(5) if u != v]
    expected = [
        np.mean([oracle.dino(s[u][i : i + 1], t[v][i : i + 1], center, 0.1, 0.2) for v, u in pairs])
        for i in range(N)
    ]
    values, _ = model.per_example(images(), None, random, training=False)
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-4)


def check_center(module):
    """After a step the center is (1 − m) times the mean of the teacher's scores for both whole views."""
    model = model_of(module, center_momentum=0.7)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(images(), epochs=1, shuffle=False, verbose=0)
    views = np.asarray(model.views(images(), ExampleRandom(0, 0, N))).reshape(N, 4, 6, 6, 1)
    mean = scores(model, views[:, :2].reshape(-1, 6, 6, 1), teacher=True).mean(axis=0)
    np.testing.assert_allclose(model.center, 0.3 * mean, rtol=1e-4)


def check_views(module):
    """Whole views are those of the frame; a local view is a window of the image, other in each view and step."""
    x = images()
    model = model_of(module, augment=None)
    views = np.asarray(model.views(x, ExampleRandom(0, 3, N))).reshape(N, 4, 6, 6, 1)
    for whole in (0, 1):
        np.testing.assert_array_equal(views[:, whole], x)
    assert np.abs(views[:, 2] - views[:, 3]).max() > 0.1
    ramp = np.tile(np.arange(6, dtype="float32")[:, None] / 5, (N, 1, 6, 1)).reshape(N, 6, 6, 1)
    local = np.asarray(model.views(ramp, ExampleRandom(0, 4, N))).reshape(N, 4, 6, 6, 1)[:, 2:]
    spans = local.max(axis=(2, 3, 4)) - local.min(axis=(2, 3, 4))
    assert spans.max() < 0.75  # a window of at most 40 % of the area and 4/3 as high as wide
    assert spans.min() > 0.1


CHECKS = [check_pairs_of_views, check_center, check_views]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_dino(check):
    check(dino_module)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_pairs_of_views, "axis=(1, 2)) - same", "axis=(1, 2))"),
        (check_pairs_of_views, "/ (2 * (self.num_views - 1))", "/ (2 * self.num_views)"),
        (check_pairs_of_views, "t = self.teacher_encoder(whole", "t = self.encoder(whole"),
        (check_pairs_of_views, "self.num_views, *shape))[:, :2]", "self.num_views, *shape))[:, 2:4]"),
        (check_center, "(1 - self.center_momentum) * mean", "mean"),
        (check_views, "self.num_views * random.step + view", "self.num_views * random.step"),
        (check_views, "x = self.window.augment(x, keys)", "pass"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(dino_module, right, wrong))


@pytest.mark.slow
def test_without_local_views_the_teacher_and_the_student_see_two():
    model = model_of(local_views=0)
    model.compile(keras.optimizers.SGD(0.1))
    assert model.views(images(), ExampleRandom(0, 0, N)).shape[0] == 2 * N
    assert np.isfinite(model.fit(images(), verbose=0).history["loss"]).all()


def test_local_augmentation_of_the_user_replaces_the_window():
    model = model_of(augment=None, local_augment=lambda x, key: 0 * x)
    views = np.asarray(model.views(images(), ExampleRandom(0, 0, N))).reshape(N, 4, 6, 6, 1)
    assert not views[:, 2:].any()
    np.testing.assert_array_equal(views[:, 0], images())


def test_bad_arguments_are_refused():
    for wrong, message in (
        ({"local_views": -1}, "local_views=-1"),
        ({"num_prototypes": 0}, "num_prototypes=0"),
        ({"local_augment": 3}, r"DINO\.local_augment"),
        ({"local_augment": keras.layers.RandomFlip()}, r"DINO\.local_augment"),
    ):
        with pytest.raises(InputError, match=message):
            model_of(**wrong)


def test_is_a_method_of_the_package():
    assert dino_module.DINO is DINO
