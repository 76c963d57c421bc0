"""Losses of joint embedding: against float64 loops from the papers, in closed form, and at extreme values."""

import importlib
import inspect
import math

import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit import pretraining
from tf_kit.pretraining import (
    barlow_twins,
    byol,
    dino,
    lejepa,
    nnclr,
    nt_xent,
    sigreg,
    simsiam,
    supcon,
    vicreg,
)
from tf_kit.pretraining.joint_embedding import embeddings as shared
from tf_kit.pretraining.joint_embedding import nearest

WEIGHTS = {"invariance_weight": 3.0, "variance_weight": 5.0, "covariance_weight": 2.0}


class Fixed:
    """Random directions, the same in the kit and in the oracle."""

    @staticmethod
    def shared_normal(shape):
        return np.random.default_rng(3).normal(size=shape)


LOSSES = {  # name → arguments, none of them 1
    "nt_xent": {"temperature": 0.3},
    "byol": {},
    "dino": {"center": 0.0, "temperature": 0.7, "teacher_temperature": 0.4},
    "simsiam": {},
    "nnclr": {"temperature": 0.3},
    "supcon": {"y": None, "temperature": 0.3},
    "barlow_twins": {"redundancy_weight": 0.7},
    "vicreg": WEIGHTS,
    "lejepa": {"normality_weight": 0.3, "num_directions": 3, "random": Fixed()},
}
MODULES = {
    name: importlib.import_module(f"tf_kit.pretraining.joint_embedding.{file}")
    for name, file in {
        "nt_xent": "simclr",
        "byol": "byol",
        "dino": "dino",
        "simsiam": "simsiam",
        "nnclr": "nnclr",
        "supcon": "supcon",
        "barlow_twins": "barlow_twins",
        "vicreg": "vicreg",
        "lejepa": "lejepa",
    }.items()
}
EVERY = {name: getattr(pretraining, name) for name in MODULES}
CONSTANT = {"byol": 1, "dino": 1, "simsiam": 1, "nnclr": 0}  # which of the two arrays gets no gradient
every_loss = pytest.mark.parametrize("name", EVERY)


def embeddings(n=5, d=3, seed=0, dtype="float64"):
    """Two views that agree partly, with features of different means and of deviations below and above 1."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, d))
    scale = np.geomspace(0.3, 2.0, d)
    return [((common + 0.5 * rng.normal(size=(n, d))) * scale + 0.2).astype(dtype) for _ in range(2)]


def twin_of(name, right, wrong):
    """The module of a loss with one token wrong, in itself or in the normalizations that the losses share."""
    module = MODULES[name]
    if right in inspect.getsource(module):
        return wrong_twin(module, right, wrong)
    twin = wrong_twin(module, f"def {name}(", f"def {name}(")
    vars(twin).update(
        {part: getattr(wrong_twin(shared, right, wrong), part) for part in ("unit", "centered")}
    )
    return twin


def check_value(module, name):
    for n, d in ((5, 3), (2, 4), (7, 1)):
        za, zb = embeddings(n, d)
        ours = getattr(module, name)(za, zb, **LOSSES[name])
        assert ours.shape == ()
        np.testing.assert_allclose(ours, getattr(oracle, name)(za, zb, **LOSSES[name]), rtol=1e-9)


def check_gradient(module, name):
    za, zb = embeddings()
    with tf.GradientTape() as tape:
        a, b = tf.constant(za), tf.constant(zb)
        tape.watch([a, b])
        value = getattr(module, name)(a, b, **LOSSES[name])
    for place, (array, ours) in enumerate(zip((za, zb), tape.gradient(value, (a, b)), strict=True)):
        if place == CONSTANT.get(name):
            assert ours is None
            continue
        by_hand = oracle.central_differences(lambda: getattr(oracle, name)(za, zb, **LOSSES[name]), array)
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-8)


def check_equal_embeddings(module):
    """With equal embeddings each anchor has 2n − 1 equally likely candidates."""
    for n in (2, 3, 50):
        equal = np.tile([[0.3, -2.0]], (n, 1))
        np.testing.assert_allclose(module.nt_xent(equal, 7 * equal), math.log(2 * n - 1), rtol=1e-7)


def check_orthogonal_examples(module):
    """For equal views of n orthogonal examples the loss is log(e^{1/τ} + 2n − 2) − 1/τ."""
    n, tau = 4, 0.5
    expected = math.log(math.exp(1 / tau) + 2 * n - 2) - 1 / tau
    np.testing.assert_allclose(module.nt_xent(np.eye(n), 3 * np.eye(n), tau), expected, rtol=1e-7)


def check_uncorrelated_equal_views(module):
    """Uncorrelated features that are equal in both views have zero loss, except for ε = 1e-5."""
    z = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]]) * [2, 5] + 3
    assert 0 <= float(module.barlow_twins(z, z)) < 1e-10
    np.testing.assert_allclose(module.barlow_twins(z, -z), 2 * 2.0**2, rtol=1e-5)  # C = −1, twice
    np.testing.assert_allclose(module.barlow_twins(z, z[::2].repeat(2, axis=0)), 1 + 0, atol=1e-5)


def check_variance_of_one(module):
    """Equal views with variance 1 (over n − 1) and no covariance have zero loss."""
    z = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]]) * math.sqrt(3 / 4)
    assert float(module.vicreg(z, z)) == 0
    np.testing.assert_allclose(module.vicreg(z / 2, z / 2), 25 * (1 - math.sqrt(0.25 + 1e-4)), rtol=1e-6)
    np.testing.assert_allclose(module.vicreg(z, z + 0.1), 25 * 0.01, rtol=1e-6)
    copies = z[:, [0, 0]]
    np.testing.assert_allclose(module.vicreg(copies, copies, 0, 0, 1), 2 * (1 + 1) / 2, rtol=1e-6)


def check_negative_cosines(module):
    """The loss is −1 for equal directions, 0 at a right angle, 1 for opposite ones, for any lengths."""
    z = np.array([[3.0, 4.0]])
    for other, expected in ((z / 9, -1), (z[:, ::-1] * [1, -1], 0), (-2 * z, 1)):
        np.testing.assert_allclose(module.simsiam(z, other), expected, atol=1e-12)


def check_equal_predictions(module):
    """With equal predictions each neighbor has n equally likely candidates."""
    for n in (1, 2, 50):
        equal = np.tile([[0.3, -2.0]], (n, 1))
        np.testing.assert_allclose(module.nnclr(embeddings(n, 2)[0], equal), math.log(n), atol=1e-12)


def check_orthogonal_classes(module):
    """Two orthogonal classes of m examples each: log((2m − 1) e^{1/τ} + 2m) − 1/τ, for any views of a class."""
    m, tau = 3, 0.5
    z, y = np.eye(2).repeat(m, axis=0), [7] * m + [4] * m
    expected = math.log((2 * m - 1) * math.exp(1 / tau) + 2 * m) - 1 / tau
    np.testing.assert_allclose(module.supcon(z, 3 * z, y, tau), expected, rtol=1e-12)


def check_one_class(module):
    """With equal embeddings each anchor has 2n − 1 equally likely candidates, whatever the classes are."""
    equal = np.tile([[0.3, -2.0]], (4, 1))
    for y in ([0, 0, 0, 0], [0, 1, 0, -1], None):
        np.testing.assert_allclose(module.supcon(equal, equal, y), math.log(7), rtol=1e-7)


def check_directions(module):
    """The loss is 0 for equal directions, 2 at a right angle, 4 for opposite ones, for any lengths."""
    z = np.array([[3.0, 4.0]])
    for other, expected in ((z / 9, 0), (z[:, ::-1] * [1, -1], 2), (-2 * z, 4)):
        np.testing.assert_allclose(module.byol(z, other), expected, atol=1e-12)


def check_shrunk_embeddings(module):
    """The statistic of Epps and Pulley in closed form, up to what lies beyond [−3, 3]: at most 0.7 % of n √(2π)."""
    for u in (np.zeros(5), np.random.default_rng(0).normal(size=40), 3 + np.arange(6.0)):
        for column in ([1.0], [-0.2]):
            found = float(module.sigreg(u[:, None], np.array([column])))
            np.testing.assert_allclose(found, oracle.epps_pulley(u), atol=0.01 * len(u))


def check_no_normality(module):
    """With λ = 0 the loss is a quarter of the mean squared distance of the views, with λ = 1 it is SIGReg."""
    z = embeddings(9, 3)[0]
    np.testing.assert_allclose(module.lejepa(z, z + 0.4, 0.0), 0.04, rtol=1e-12)
    directions = Fixed.shared_normal((3, 4))
    np.testing.assert_allclose(module.lejepa(z, z, 1.0, 4, Fixed()), module.sigreg(z, directions), rtol=1e-12)


def check_equal_scores(module):
    """With equal scores of the student every prototype costs log k; with a sharp teacher the chosen one counts."""
    scores = np.array([[4.0, 1.0, -2.0], [0.0, 5.0, 1.0]])
    np.testing.assert_allclose(module.dino(0 * scores, scores), math.log(3), rtol=1e-12)
    chosen = -np.mean([2 * max(row) - np.log(np.exp(2 * row).sum()) for row in scores])
    np.testing.assert_allclose(module.dino(scores, scores, 0.0, 0.5, 1e-3), chosen, rtol=1e-12)
    center = np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(
        module.dino(scores, scores + center, center, 0.5, 0.3),
        module.dino(scores, scores, 0.0, 0.5, 0.3),
        rtol=1e-12,
    )


CLOSED = [
    check_equal_scores,
    check_shrunk_embeddings,
    check_no_normality,
    check_equal_embeddings,
    check_orthogonal_examples,
    check_uncorrelated_equal_views,
    check_variance_of_one,
    check_directions,
    check_negative_cosines,
    check_equal_predictions,
    check_orthogonal_classes,
    check_one_class,
]


@every_loss
def test_equals_the_paper(name):
    check_value(MODULES[name], name)


@every_loss
def test_gradient(name):
    check_gradient(MODULES[name], name)


@pytest.mark.parametrize("check", CLOSED)
def test_closed_case(check):
    check(pretraining)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("nt_xent", "ops.where(itself, -float(\"inf\"), similarity)", "similarity"),
        ("nt_xent", "anchors / temperature", "anchors * temperature"),
        ("nt_xent", "axis=1) / temperature", "axis=1)"),
        ("nt_xent", "ops.roll(anchors, ops.shape(za)[0]", "ops.roll(anchors, 0"),
        ("nt_xent", "ops.mean(ops.reshape(losses, (2, -1)), axis=0)", "ops.sum(ops.reshape(losses, (2, -1)), axis=0)"),
        ("nt_xent", "anchors = unit(ops.concatenate([za, zb]))", "anchors = ops.concatenate([za, zb])"),
        ("nt_xent", "ops.sum(ops.square(z), axis=-1, keepdims=True)", "ops.sum(ops.square(z), axis=0, keepdims=True)"),
        ("byol", "p - unit(ops.stop_gradient(target))", "p + unit(ops.stop_gradient(target))"),
        ("byol", "ops.sum(ops.square(difference", "ops.mean(ops.square(difference"),
        ("dino", "log_softmax(student / temperature)", "log_softmax(student)"),
        ("dino", "- center) / teacher_temperature", "- center)"),
        ("dino", "return -ops.mean(ops.sum(p", "return -ops.mean(ops.mean(p"),
        ("simsiam", "unit(prediction) * unit", "unit(prediction) - unit"),
        ("nnclr", "unit(neighbor)) / temperature", "unit(neighbor)) * temperature"),
        ("nnclr", "ops.transpose(unit(every))", "ops.transpose(every)"),
        ("nnclr", "ops.logsumexp(similarity, axis=1)", "ops.logsumexp(similarity, axis=0)"),
        ("nnclr", "ops.sum(q * unit(prediction), axis=1)", "ops.sum(q * q, axis=1)"),
        ("supcon", "axis=1) / temperature", "axis=1)"),
        ("supcon", ") - agreement", ") + agreement"),
        ("barlow_twins", "ops.sum(weighted * distance)", "ops.sum(weighted)"),
        ("barlow_twins", "(1 - identity) + identity)", "identity + 1 - identity)"),
        ("barlow_twins", "rb / num_examples", "rb / (num_examples - 1)"),
        ("barlow_twins", "ops.transpose(ca), cb)", "ops.transpose(ca), ca)"),
        ("barlow_twins", "axis=0) + 1e-5)", "axis=0) + 1e-2)"),
        ("vicreg", "ops.shape(z)[0] - 1, z.dtype", "ops.shape(z)[0], z.dtype"),
        ("vicreg", "ops.sqrt(ops.sum(identity * covariance, axis=0) + 1e-4)", "ops.sum(identity * covariance, axis=0)"),
        ("vicreg", "ops.square(covariance)) / z.shape[1]", "ops.square(covariance))"),
        ("vicreg", "(va + vb) / 2", "(va + vb)"),
        ("vicreg", "ca + cb}", "ca}"),
        ("vicreg", "ops.relu(1 - deviation)", "(1 - deviation)"),
        ("vicreg", "invariance = ops.mean(", "invariance = ops.sum("),
        ("lejepa", "real - normal", "real + normal"),
        ("lejepa", "+ ops.square(imaginary)", ""),
        ("lejepa", "a / ops.sqrt(ops.sum(ops.square(a), axis=0))", "a"),
        ("lejepa", "np.isin(_POINTS, (0, 3)), 0.5, 1", "np.isin(_POINTS, (0, 3)), 1, 1"),
        ("lejepa", "(za - zb) / 2", "za - zb"),
        ("lejepa", "sigreg(zb, directions)) / 2", "sigreg(za, directions)) / 2"),
        ("lejepa", "ops.cast(ops.shape(z)[0], z.dtype) * ", ""),
    ],
)  # fmt: skip
def test_wrong_twin(name, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check_value(twin_of(name, right, wrong), name)


def test_wrong_twin_adds_the_center():
    right = "ops.stop_gradient(teacher) - center"
    with pytest.raises(AssertionError, match="Not equal"):
        check_equal_scores(twin_of("dino", right, right.replace("-", "+")))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("nt_xent", "(total * temperature)", "total"),
        ("nt_xent", "ops.transpose(shares), anchors", "shares, anchors"),
        ("byol", "difference - p *", "difference + p *"),
        ("byol", "scale * (difference", "(difference"),
        ("barlow_twins", "ops.sum(shared, axis=1)", "ops.sum(shared, axis=0)"),
        ("barlow_twins", "ops.transpose(g * scale)", "g * scale"),
        ("barlow_twins", "ra**2", "ra"),
        ("barlow_twins", "cb * (rb**2", "ca * (rb**2"),
    ],
)
def test_wrong_twin_has_another_gradient(name, right, wrong):
    with pytest.raises(AssertionError, match="Not equal"):
        check_gradient(wrong_twin(MODULES[name], right, wrong), name)


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("nnclr", "dino")])
def test_is_symmetric_in_the_views(name):
    za, zb = embeddings()
    np.testing.assert_allclose(EVERY[name](za, zb), EVERY[name](zb, za), rtol=1e-12)


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_embeddings_far_from_zero(name):
    """At an offset of 1e4, E[z²] − E[z]² in float32 would have no correct digit."""
    za, zb = (np.round(1024 * z) / 1024 for z in embeddings(64, 4))  # exact in float32 at the offset
    far = [(z + 1e4).astype("float32") for z in (za, zb)]
    np.testing.assert_allclose(EVERY[name](*far), EVERY[name](za, zb), rtol=2e-3)


@every_loss
@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_large_and_small_embeddings(name, scale):
    za, zb = embeddings(6, 3, dtype="float32")
    expected = getattr(oracle, name)(
        scale * za.astype("float64"), scale * zb.astype("float64"), **LOSSES[name]
    )
    np.testing.assert_allclose(EVERY[name](scale * za, scale * zb, **LOSSES[name]), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["simsiam", "nt_xent", "supcon", "nnclr"])
@pytest.mark.parametrize("zero", ["first", "second", "both"])
def test_embedding_without_direction_has_cosine_zero(name, zero):
    """A row of zeros agrees with no other row, also not with a row of zeros; the others count as before."""
    za, zb = embeddings()
    for z in {"first": [za], "second": [zb], "both": [za, zb]}[zero]:
        z[2] = 0
    ours, expected = (getattr(each, name)(za, zb, **LOSSES[name]) for each in (pretraining, oracle))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_low_temperature():
    """At logits of ±1e4, whose exp is infinite, the loss is finite. In the second case the positive is farthest."""
    za = np.array([[1.0, 0.0], [-1.0, 0.0]], "float32")
    np.testing.assert_allclose(nt_xent(za, za, temperature=1e-4), 0, atol=1e-6)
    np.testing.assert_allclose(nt_xent(za, -za, temperature=1e-4), 2e4, rtol=1e-6)


@every_loss
@pytest.mark.parametrize("case", ["zeros", "equal", "two", "one"])
def test_degenerate_batches_have_finite_gradients(name, case):
    za, zb = {
        "zeros": (np.zeros((4, 3), "float32"),) * 2,
        "equal": (np.ones((4, 3), "float32"),) * 2,
        "two": embeddings(2, 3, dtype="float32"),
        "one": embeddings(1, 3, dtype="float32"),
    }[case]
    with tf.GradientTape() as tape:
        a, b = tf.constant(za), tf.constant(zb)
        tape.watch([a, b])
        value = EVERY[name](a, b)
    assert np.isfinite(value)
    gradients = [each for each in tape.gradient(value, (a, b)) if each is not None]
    assert len(gradients) == 1 + (name not in CONSTANT)
    assert np.all(np.isfinite(gradients))


@every_loss
def test_half_precision_inputs_give_float32(name):
    za, zb = (tf.cast(z, "bfloat16") for z in embeddings(64, 8))
    exact = EVERY[name](tf.cast(za, "float64"), tf.cast(zb, "float64"))
    ours = EVERY[name](za, zb)
    assert ours.dtype == "float32"
    np.testing.assert_allclose(ours, exact, rtol=1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: nt_xent(np.ones((3, 2)), np.ones((3, 2)), temperature=0), "temperature=0"),
        (lambda: nt_xent(np.ones((3, 2)), np.ones((4, 2))), r"shapes \(3, 2\) and \(4, 2\)"),
        (lambda: nnclr(np.ones((3, 2)), np.ones((3, 2)), 0), "temperature=0"),
        (lambda: nnclr(np.ones((3, 2)), np.ones((4, 2))), r"shapes \(3, 2\) and \(4, 2\)"),
        (lambda: nearest(np.ones((3, 2)), np.ones((4, 3))), r"shapes \(3, 2\) and \(4, 3\)"),
        (lambda: simsiam(np.ones(3), np.ones(3)), r"shapes \(3,\) and \(3,\)"),
        (lambda: supcon(np.ones((3, 2)), np.ones((3, 2)), temperature=-1), "temperature=-1"),
        (lambda: supcon(np.ones((3, 2)), np.ones((3, 2)), [0, 1]), r"shape \(2,\)"),
        (lambda: supcon(np.ones((3, 2)), np.ones((3, 2)), [0.0, 1.0, 1.0]), "dtype float"),
        (lambda: supcon(np.ones((3, 2)), np.ones((3, 2)), np.eye(3, dtype=int)), r"shape \(3, 3\)"),
        (lambda: byol(np.ones(3), np.ones(3)), r"shapes \(3,\) and \(3,\)"),
        (lambda: barlow_twins(np.ones((3, 2)), np.ones((3, 1))), r"shapes \(3, 2\) and \(3, 1\)"),
        (lambda: barlow_twins(np.ones((3, 2)), np.ones((3, 2)), -1), "redundancy_weight=-1"),
        (lambda: vicreg(np.ones((3, 2)), np.ones((3, 2, 1))), r"shapes \(3, 2\) and \(3, 2, 1\)"),
        (lambda: dino(np.ones((3, 2)), np.ones((3, 2)), temperature=0), "temperature=0"),
        (lambda: lejepa(np.ones((3, 2)), np.ones((3, 2)), 1.5), "normality_weight=1.5"),
        (lambda: lejepa(np.ones((3, 2)), np.ones((3, 2)), num_directions=0), "num_directions=0"),
        (lambda: sigreg(np.ones((3, 2)), np.ones((3, 2))), r"shapes \(3, 2\) and \(3, 2\)"),
        *(
            (lambda name=name: vicreg(np.ones((3, 2)), np.ones((3, 2)), **{name: -1}), f"{name}=-1")
            for name in WEIGHTS
        ),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ValueError, match=message):
        act()
