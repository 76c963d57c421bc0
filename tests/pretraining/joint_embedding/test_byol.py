"""BYOL: the teacher is a moving average of the student, is not trained, and is saved."""

import importlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit import regularization
from tf_kit.pretraining import BYOL, ExampleRandom
from tf_kit.pretraining.joint_embedding import teacher as teacher_module
from tf_kit.randomness import keys as draws

byol_module = importlib.import_module("tf_kit.pretraining.joint_embedding.byol")
TEACHER = ("Teacher", "start_teachers", "follow_students")

DENSE = keras.layers.Dense


def vectors(n=12, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
def noisy(x, key):
    """Noise on each feature, drawn from the example's key."""
    return x + 0.5 * draws.normal(draws.stream(key, "noise"), x.shape[1])


def student(module=byol_module, norm=False, **arguments):
    layers = [keras.Input((6,)), DENSE(5, "tanh", kernel_initializer=keras.initializers.GlorotUniform(1))]
    if norm:
        layers.append(regularization.BatchNorm(momentum=0.5))
    arguments = {"projector": (4,), "predictor": (3,), "augment": noisy} | arguments
    return module.BYOL(keras.Sequential(layers), **arguments)


def train(model, epochs=1, x=None, learning_rate=0.5):
    """Fit in steps of 4 examples; return the student's weights before the first step and after each step."""
    model.compile(keras.optimizers.SGD(learning_rate), run_eagerly=True)
    x = vectors() if x is None else x
    model.prepare(x[:1])
    path = [trainable(model.encoder, model.projector)]
    remember = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: path.append(trainable(model.encoder, model.projector))
    )
    model.fit(x, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=[remember])
    return path


def trainable(*layers):
    return [variable.numpy() for layer in layers for variable in layer.trainable_variables]


def teacher(model):
    """Return the teacher's weights, without moving statistics."""
    return [
        variable.numpy()
        for layer in (model.teacher_encoder, model.teacher_projector)
        for variable in layer.weights
        if "moving" not in variable.name
    ]


# Each check must fail for a wrong twin.


def check_closed_form(module):
    """After n steps ξ_n = ρⁿ θ_0 + (1 − ρ) Σ_t ρ^{n−t} θ_t: equation (4), unrolled."""
    for rho in (0.0, 0.7, 1.0):
        model = student(module, momentum=rho)
        path = train(model, epochs=2)
        n = len(path) - 1
        assert n == 6
        assert max(np.abs(a - b).max() for a, b in zip(path[0], path[-1], strict=True)) > 0.01
        for k, ours in enumerate(teacher(model)):
            expected = rho**n * path[0][k].astype("float64")
            for t in range(1, n + 1):
                expected = expected + (1 - rho) * rho ** (n - t) * path[t][k]
            np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def check_cost(module):
    """The loss compares each view's prediction with the teacher's embedding of the other view: (1) to (3)."""
    x, random = vectors(), ExampleRandom(0, 3, 12)
    model = student(module, predictor=(16,))
    train(model)  # so that teacher and student differ
    views = model.views(x, random)
    p = np.asarray(model.predictor(model.projector(model.encoder(views))), "float64")
    z = np.asarray(model.teacher_projector(model.teacher_encoder(views)), "float64")
    expected = [
        oracle.byol(p[2 * i : 2 * i + 1], z[2 * i + 1 : 2 * i + 2])
        + oracle.byol(p[2 * i + 1 : 2 * i + 2], z[2 * i : 2 * i + 1])
        for i in range(12)
    ]
    values, _ = model.per_example(x, None, random, training=False)
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-4)


def check_the_teacher_is_not_trained(module):
    """Its weights are constants for the gradient and not among the trainable variables."""
    model = student(module)
    model.prepare(vectors()[:1])
    with tf.GradientTape() as tape:
        weights = [*model.teacher_encoder.weights, *model.teacher_projector.weights]
        tape.watch([weight.value for weight in weights])
        values, _ = model.per_example(vectors(), None, ExampleRandom(0, 0, 12), training=True)
        loss = tf.reduce_mean(values["loss"])
    assert tape.gradient(loss, [weight.value for weight in weights]) == [None] * len(weights)
    ours = {id(variable) for variable in model.trainable_variables}
    assert not ours & {id(weight) for weight in weights}
    parts = (model.encoder, model.projector, model.predictor)
    assert len(ours) == sum(len(part.trainable_variables) for part in parts)


def check_the_start(module):
    """The teacher starts as a copy of the encoder, also of a trained one, and shares no variable with it."""
    model = student(module)
    model.encoder.set_weights([weight + 1 for weight in model.encoder.get_weights()])
    model.prepare(vectors()[:1])
    for ours, expected in zip(teacher(model), trainable(model.encoder, model.projector), strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert not {id(v) for v in model.teacher_encoder.variables} & {id(v) for v in model.encoder.variables}


def check_moving_statistics(module):
    """The moving statistics of the teacher's batch norm come from its own passes over the batch."""
    model = student(module, norm=True, momentum=1.0)
    x = vectors(4)
    train(model, x=x, learning_rate=0.0)
    views = model.views(x, ExampleRandom(0, 0, 4))
    dense, _ = model.encoder.layers  # its weights do not change either
    expected = 0.5 * np.asarray(dense(views), "float64").mean(axis=0)
    (moving_mean,) = [each for each in model.teacher_encoder.weights if each.name == "moving_mean"]
    np.testing.assert_allclose(moving_mean, expected, rtol=1e-4, atol=1e-6)


CHECKS = [
    check_closed_form,
    check_cost,
    check_the_teacher_is_not_trained,
    check_the_start,
    check_moving_statistics,
]


@pytest.mark.parametrize("check", CHECKS)
def test_teacher(check):
    check(byol_module)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_closed_form, "(1 - momentum) * fast", "momentum * fast"),
        (check_closed_form, "slow.assign(momentum * slow", "slow.assign(slow"),
        (check_the_start, "teacher.set_weights(student.get_weights())", "pass"),
        (check_cost, "byol_of_each(p[:, 1], target[:, 0])", "byol_of_each(p[:, 1], target[:, 1])"),
        (check_cost, "p = self.predictions(z, training)", "p = z"),
        (check_cost, "target = self.teacher_encoder(views", "target = self.encoder(views"),
        (check_the_teacher_is_not_trained, "trainable=False,", "trainable=True,"),
        (check_moving_statistics, "self.teacher_encoder(views, training=training)", "self.teacher_encoder(views)"),
        (check_moving_statistics, "own.get(id(variable), variable).assign(value)", "pass"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(twin_of_byol(right, wrong))


def twin_of_byol(right, wrong):
    """BYOL with one token wrong, in its module or in that of the teacher."""
    if right in inspect.getsource(byol_module):
        return wrong_twin(byol_module, right, wrong)
    twin, wrong_teacher = (
        wrong_twin(byol_module, "def byol(", "def byol("),
        wrong_twin(teacher_module, right, wrong),
    )
    vars(twin).update({name: getattr(wrong_teacher, name) for name in TEACHER})
    return twin


@pytest.mark.slow
def test_teacher_is_saved(tmp_path):
    model = student(norm=True)
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(teacher(loaded)) == len(teacher(model))
    for ours, expected in zip(teacher(loaded), teacher(model), strict=True):
        np.testing.assert_array_equal(ours, expected)
    apart = [
        np.abs(a - b).max()
        for a, b in zip(teacher(model), trainable(model.encoder, model.projector), strict=True)
    ]
    assert max(apart) > 1e-3, "the test needs a teacher that differs from the student"
    for each in (model, loaded):
        train(each)
    for ours, expected in zip(teacher(loaded), teacher(model), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_frozen_encoder_stays_frozen_in_the_teacher():
    model = student()
    model.encoder.trainable = False
    before = [weight.copy() for weight in model.encoder.get_weights()]
    train(model)
    for weights in (model.encoder.get_weights(), model.teacher_encoder.get_weights()):
        for ours, expected in zip(weights, before, strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_weight_penalties_count_the_student_only():
    dense = DENSE(5, kernel_regularizer=keras.regularizers.L2(0.1))
    model = BYOL(keras.Sequential([keras.Input((6,)), dense]), projector=(4,))
    model.prepare(vectors()[:1])
    assert float(sum(model.losses)) == pytest.approx(0.1 * float(np.sum(np.square(dense.kernel))))
