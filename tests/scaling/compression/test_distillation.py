"""Topic 21: the distillation loss, its limits, and that only the student is trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from oracles import scaling as oracle
from support.twins import wrong_twin

from tf_kit.errors import InputError
from tf_kit.scaling import distill, distillation_loss
from tf_kit.scaling.compression import distillation

rng = np.random.default_rng(23)
LABELS = np.array([0, 3, 1, 2, 2])
TEACHER, STUDENT = rng.normal(size=(2, 5, 4)) * 3
X = rng.normal(size=(32, 6)).astype("float32")
Y = rng.integers(4, size=32)


def network(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, name="logits", **settings)])


def ending_in(*sizes, rank=1):
    """Model with an output of each size."""
    inputs = keras.Input((5, 6)[-rank:])
    outputs = [layers.Dense(size)(inputs) for size in sizes]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


def compiled(model, optimizer=None, **kwargs):
    model.compile(optimizer or keras.optimizers.SGD(0.1), run_eagerly=True, **kwargs)
    return model


def gradient(loss):
    """∂ Σ J / ∂ z at the student's logits."""
    logits = tf.constant(STUDENT)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(loss(logits))
    return tape.gradient(value, logits).numpy()


def check_equals_the_oracle(module):
    for temperature, alpha in ((1.0, 0.3), (4.0, 0.1), (0.5, 0.9)):
        value = module.distillation_loss(LABELS, TEACHER, tf.constant(STUDENT), temperature, alpha)
        expected = oracle.distillation_loss(LABELS, TEACHER, STUDENT, temperature, alpha)
        np.testing.assert_allclose(value, expected, rtol=1e-10)


def check_regression_at_high_temperature(module):
    """T → ∞: the gradient tends to (z − v)/K of the centered logits (equation 4 of the paper, times T²)."""
    found = gradient(lambda logits: module.distillation_loss(LABELS, TEACHER, logits, 1e4, 0.0))
    centered = [each - each.mean(axis=1, keepdims=True) for each in (STUDENT, TEACHER)]
    np.testing.assert_allclose(found, (centered[0] - centered[1]) / 4, atol=1e-3)


def check_labels_alone(module):
    """α = 1 gives the cross-entropy with the labels, α = 0 at T = 1 that with the teacher's probabilities."""
    plain = keras.ops.sparse_categorical_crossentropy(LABELS, tf.constant(STUDENT), from_logits=True)
    value = module.distillation_loss(LABELS, TEACHER, tf.constant(STUDENT), 5.0, 1.0)
    np.testing.assert_allclose(value, plain, rtol=1e-10)
    taught = keras.ops.categorical_crossentropy(
        tf.nn.softmax(TEACHER), tf.constant(STUDENT), from_logits=True
    )
    value = module.distillation_loss(LABELS, TEACHER, tf.constant(STUDENT), 1.0, 0.0)
    np.testing.assert_allclose(value, taught, rtol=1e-10)


def check_step(module):
    """A training step is gradient descent on the mean of the loss plus the student's penalty."""
    settings = {"kernel_regularizer": keras.regularizers.L2(0.1)}
    penalties = {f"{name}_regularizer": keras.regularizers.L2(100.0) for name in ("kernel", "activity")}
    teacher, student = network(1, **penalties), network(2, **settings)
    kernel, bias = (each.astype("float64") for each in student.get_weights())
    model = compiled(module.distill(teacher, student, 3.0, 0.4), keras.optimizers.SGD(0.5))
    history = model.fit(X, Y, batch_size=32, verbose=0).history

    kernel, bias = tf.Variable(kernel), tf.Variable(bias)
    with tf.GradientTape() as tape:
        logits = tf.constant(X, tf.float64) @ kernel + bias
        losses = distillation_loss(Y, np.asarray(teacher(X), "float64"), logits, 3.0, 0.4)
        value = tf.reduce_mean(losses) + 0.1 * tf.reduce_sum(kernel**2)
    slope = tape.gradient(value, kernel)
    np.testing.assert_allclose(history["loss"], value.numpy()[None], rtol=1e-5)
    np.testing.assert_allclose(student.layers[0].kernel, kernel - 0.5 * slope, atol=1e-5)


CHECKS = [check_equals_the_oracle, check_regression_at_high_temperature, check_labels_alone, check_step]


@pytest.mark.parametrize("check", CHECKS)
def test_distillation(check):
    check(distillation)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_equals_the_oracle, "temperature**2 * soft", "temperature * soft"),
        (check_equals_the_oracle, "student_logits / temperature)", "student_logits)"),
        (
            check_equals_the_oracle,
            "return cross_entropy(probabilities",
            "return -cross_entropy(probabilities",
        ),
        (check_regression_at_high_temperature, "temperature**2 * soft", "soft"),
        (
            check_regression_at_high_temperature,
            "ops.softmax(teacher_logits / temperature)",
            "ops.softmax(teacher_logits)",
        ),
        (check_labels_alone, "alpha * hard + (1 - alpha)", "(1 - alpha) * hard + alpha"),
        (
            check_step,
            "distillation_loss(labels, teacher_logits, s",
            "distillation_loss(labels, student_logits, s",
        ),
        (check_step, "return self.student.losses", "return super().losses"),
    ],
)
def test_wrong_twin(check, right, wrong):
    twin = wrong_twin(distillation, right, wrong)
    with pytest.raises(AssertionError):
        check(twin)


def test_size_of_the_gradient_does_not_depend_on_temperature():
    sizes = [
        np.abs(gradient(lambda logits, t=t: distillation_loss(LABELS, TEACHER, logits, t, 0.0))).mean()
        for t in (10.0, 1000.0)
    ]
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=0.5)


def test_gradient_equals_central_differences():
    found = gradient(lambda logits: distillation_loss(LABELS, TEACHER, logits, 2.5, 0.3))
    for index in ((0, 0), (2, 3), (4, 1)):
        step = np.zeros_like(STUDENT)
        step[index] = 1e-5
        ends = [oracle.distillation_loss(LABELS, TEACHER, STUDENT + s, 2.5, 0.3).sum() for s in (step, -step)]
        np.testing.assert_allclose(found[index], (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("labels", [LABELS[:, None], np.eye(4)[LABELS]])
def test_labels_may_be_columns_or_probabilities(labels):
    value = distillation_loss(labels, TEACHER, tf.constant(STUDENT))
    np.testing.assert_allclose(value, distillation_loss(LABELS, TEACHER, tf.constant(STUDENT)), rtol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "num_classes"), [("uint8", 256), ("uint8", 300), ("int8", 200), ("bool", 2)]
)
def test_labels_may_be_of_any_whole_type(dtype, num_classes):
    """The number of classes does not fit into the first three."""
    logits, labels = np.zeros((2, num_classes)), np.array([1, 0])
    expected = distillation_loss(labels, logits, logits)
    np.testing.assert_array_equal(distillation_loss(labels.astype(dtype), logits, logits), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32"])
def test_loss_is_computed_in_float32_or_float64(dtype):
    logits = np.array([[0, 4000, -4000]])
    value = distillation_loss([1], logits, tf.cast(logits, dtype), temperature=0.05)
    assert value.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_allclose(value, [0.0], atol=1e-6)
    if tf.as_dtype(dtype).is_floating:
        model = distill(network(1), network(2, dtype=dtype))
        losses, _ = model.per_example(X, Y, None, training=False)
        assert losses["loss"].dtype == value.dtype


@pytest.mark.parametrize("label", [-1, 4, 77, 1.5])
def test_labels_that_are_no_class_of_the_student_are_refused(label):
    """In arrays and data sets; in the loss itself they are nan, and with α = 0 nobody asks for them."""
    loss = np.asarray(distillation_loss([0, label], TEACHER[:2], tf.constant(STUDENT[:2])))
    assert np.isnan(loss).tolist() == [False, True]
    wrong = np.where(np.arange(32) == 5, label, Y)
    model = compiled(distill(network(0), network(1), alpha=0.5))
    for call in (model.fit, model.evaluate):
        for data in (
            (X, wrong),
            (X, wrong[:, None]),
            (tf.data.Dataset.from_tensor_slices((X, wrong)).batch(8),),
        ):
            with pytest.raises(InputError, match="be class numbers 0 … 3"):
                call(*data, verbose=0)
    with pytest.raises(InputError, match="be class numbers 0 … 3"):
        model.train_on_batch(X, wrong)
    assert np.isfinite(compiled(distill(network(0), network(1), alpha=0)).evaluate(X, wrong, verbose=0))


def test_labels_of_validation_data_are_checked_too():
    with pytest.raises(InputError, match=r"fit\.validation_data"):
        compiled(distill(network(), network(1))).fit(X, Y, validation_data=(X, Y + 9), verbose=0)


def test_large_logits_give_finite_loss():
    value = distillation_loss(LABELS, 1e4 * TEACHER, tf.constant(1e4 * STUDENT, tf.float32), 1.0, 0.5)
    assert np.all(np.isfinite(value))
    assert np.all(np.asarray(value) >= 0)


def test_a_logit_of_minus_infinity_rules_its_class_out():
    """The loss of the other classes alone."""
    teacher, student = np.array([[1.0, -np.inf, 2.0]]), np.array([[0.0, -np.inf, 3.0]])
    value = distillation_loss([0], teacher, student)
    np.testing.assert_allclose(
        value, distillation_loss([0], teacher[:, [0, 2]], student[:, [0, 2]]), rtol=1e-6
    )


def test_teacher_does_not_change():
    teacher = keras.Sequential(
        [keras.Input((6,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(4)]
    )
    before = teacher.get_weights()
    trainable = len(teacher.trainable_variables)
    model = compiled(distill(teacher, network()))
    model.fit(X, Y, epochs=2, verbose=0)
    for old, now in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(now, old)
    assert len(teacher.trainable_variables) == trainable  # distill does not freeze the teacher
    assert len(model.trainable_variables) == 2


def test_student_learns_the_answers_of_the_teacher():
    teacher, student = network(1), network(2)
    model = distill(teacher, student, temperature=2.0, alpha=0.0)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(np.tile(X, (160, 1)), verbose=0)
    np.testing.assert_allclose(np.ptp(teacher(X) - student(X), axis=1), 0, atol=0.05)


def test_metrics_compare_labels_and_logits():
    model = compiled(distill(network(1), network(2), alpha=0.5), metrics=["accuracy"])
    scores = model.evaluate(X, Y, verbose=0, return_dict=True)
    np.testing.assert_allclose(scores["accuracy"], np.mean(np.argmax(network(2)(X), axis=1) == Y))
    expected = distillation_loss(Y, network(1)(X), network(2)(X), alpha=0.5)
    np.testing.assert_allclose(scores["loss"], np.mean(expected), rtol=1e-5)


def test_sample_weights_scale_the_loss():
    model = compiled(distill(network(1), network(2)))
    weight = np.arange(32) / 32
    expected = np.mean(weight * np.asarray(distillation_loss(Y, network(1)(X), network(2)(X))))
    np.testing.assert_allclose(model.evaluate(X, Y, sample_weight=weight, verbose=0), expected, rtol=1e-5)


def test_saved_model_continues_training(tmp_path):
    model = compiled(
        distill(network(1), network(2), 3.0, 0.2), keras.optimizers.Adam(0.1), metrics=["accuracy"]
    )
    model.fit(X, Y, shuffle=False, verbose=0)
    model.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert (loaded.temperature, loaded.alpha) == (3.0, 0.2)
    np.testing.assert_array_equal(loaded(X), model(X))
    for each in (model, loaded):
        each.fit(X, Y, shuffle=False, verbose=0)
    np.testing.assert_allclose(loaded.student.get_weights()[0], model.student.get_weights()[0], atol=1e-6)
    np.testing.assert_array_equal(loaded.teacher.get_weights()[0], model.teacher.get_weights()[0])


def test_loss_in_mixed_precision():
    model = compiled(distill(network(1), network(2, dtype="mixed_bfloat16")))
    expected = np.mean(distillation_loss(Y, network(1)(X), network(2)(X)))
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), expected, rtol=0.02)


def softmax_model():
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="softmax")])


def pair(shared, built=True):
    """Teacher and student that share a layer, directly or in a nested model."""
    begin = [keras.Input((6,))] if built else []
    return [keras.Sequential([*begin, shared, layers.Dense(4, name="logits")]) for _ in range(2)]


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_student_that_would_change_the_teacher_is_refused(nested, built):
    dense = layers.Dense(5, name="both")
    shared = keras.Sequential([dense], name="outer") if nested else dense
    with pytest.raises(ValueError, match=r"share no trainable layer.*Received: (both|outer)"):
        distill(*pair(shared, built))
    dense.trainable = shared.trainable = False
    distill(*pair(shared, built))


def test_teacher_as_its_own_student_is_refused():
    teacher = network()
    with pytest.raises(ValueError, match=f"share no trainable layer.*Received: {teacher.name}"):
        distill(teacher, teacher)


def test_layers_without_weights_may_be_shared():
    distill(*pair(layers.ReLU()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distill(network(), network(), temperature=0), "above|temperature=0"),
        (lambda: distill(network(), network(), alpha=1.1), "alpha=1.1"),
        (lambda: distill(softmax_model(), network()), r"distill.teacher.*end in logits"),
        (lambda: distill(network(), softmax_model()), r"distill.student.*end in logits"),
        (lambda: distill(keras.Sequential([softmax_model()]), network()), r"distill.teacher.*end in logits"),
        (lambda: distill(ending_in(1), ending_in(1)), r"distill.teacher.*two logits or more.*ends in one"),
        (lambda: distill(ending_in(3, 3), ending_in(3, 3)), r"distill.teacher.*end in logits \(n, K\)"),
        (lambda: distill(ending_in(3), ending_in(3, rank=2)), r"distill.student.*\(None, 5, 3\)"),
        (
            lambda: distillation_loss(LABELS, TEACHER[:, :1], STUDENT),
            r"teacher_logits` must have the shape of",
        ),
        (lambda: distillation_loss(LABELS, TEACHER[:1], STUDENT), r"teacher_logits` must have the shape of"),
        (
            lambda: distillation_loss(np.eye(9)[LABELS], TEACHER, STUDENT),
            r"labels` must be classes .*, 9\) with",
        ),
        (
            lambda: distill(network(), keras.Sequential([keras.Input((6,)), layers.Dense(3)])),
            "4 logits as the teacher does.*3 logits",
        ),
        (lambda: distill(network(), network()).compile("sgd", "mse"), "be left out.*loss='mse'"),
        (lambda: compiled(distill(network(), network())).fit(X, verbose=0), r"no labels.*alpha=0\.1"),
        (lambda: distillation_loss(LABELS, TEACHER, STUDENT, temperature=-1.0), r"temperature=-1\.0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [[0], [1]]])
def test_other_numbers_of_labels_are_refused(labels):
    """One label would count for all examples."""
    with pytest.raises(InputError, match=r"one label for each example.*logits of shape \(7, 5\)"):
        distillation_loss(np.array(labels), np.ones((7, 5)), np.ones((7, 5)))
