"""Distillation: a small network learns from the answers of a large one, not from the labels alone.

What the teacher holds possible beside the right class says how it generalizes; a temperature makes it visible.

Reference: Hinton, Vinyals, Dean, 2015, Distilling the knowledge in a neural network, section 2.
"""

import keras
from keras import ops

from tf_kit.checks import number, refuse
from tf_kit.training.trainer import Trainer


def distillation_loss(labels, teacher_logits, student_logits, temperature: float = 4.0, alpha: float = 0.1):
    """Loss of each example: cross-entropy with the label and with the teacher's softened answer.

        hard_i = −Σ_k y_ik log softmax(z_i)_k                            (1)
        soft_i = −Σ_k softmax(v_i / T)_k log softmax(z_i / T)_k          (2)
        J_i    = α hard_i + (1 − α) T² soft_i                            (3)

    where y = `labels`, v = `teacher_logits`, z = `student_logits`, T = `temperature`, α = `alpha`. The gradient
    of (2) shrinks as 1/T²; the factor T² keeps the balance of the two terms when T changes. For large T the
    gradient of T² soft_i tends to (z − v)/K, each centered over the K classes: regression on the logits.

    Args:
        labels: classes (n,) or (n, 1), or their probabilities (n, K).
        teacher_logits, student_logits: (n, K).
        temperature: T, above 0. Defaults to 4.
        alpha: weight of the labels, from 0 to 1. Defaults to 0.1.

    Returns: (n,), the loss of each example.

    Raises: ValueError: when `temperature` or `alpha` is outside its range.

    Example:
        >>> from tf_kit.scaling import distillation_loss
        >>> logits = [[0.0, 0.0]]
        >>> [round(float(distillation_loss([1], logits, logits, 2.0, alpha)[0]) / 0.693147, 3) for alpha in (1, 0)]
        [1.0, 4.0]

    Convention: the cross-entropy of the paper; others write the Kullback–Leibler divergence, which is less by
    the teacher's entropy and has the same gradient. Here α weighs the labels; in some code it weighs the
    teacher.
    Reference: Hinton et al., 2015, section 2 and equations 2 to 4.
    """
    temperature, alpha = _checked("distillation_loss", temperature, alpha)
    student_logits = ops.convert_to_tensor(student_logits)
    teacher_logits = ops.cast(teacher_logits, student_logits.dtype)
    labels = _one_hot(labels, student_logits)
    hard = _cross_entropy(labels, student_logits)  # (1)
    soft = _cross_entropy(ops.softmax(teacher_logits / temperature), student_logits / temperature)  # (2)
    return alpha * hard + (1 - alpha) * temperature**2 * soft  # (3)


def _cross_entropy(probabilities, logits):
    return -ops.sum(probabilities * ops.log_softmax(logits), axis=-1)


def _one_hot(labels, logits):
    labels = ops.convert_to_tensor(labels)
    num_classes = logits.shape[-1]
    if len(labels.shape) == 2 and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)
    if len(labels.shape) == 1:
        return ops.one_hot(ops.cast(labels, "int32"), num_classes, dtype=logits.dtype)
    return ops.cast(labels, logits.dtype)


def _checked(subject, temperature, alpha):
    remedy = "1 leaves the teacher's probabilities as they are, 2 to 10 soften them"
    temperature = number(f"{subject}.temperature", temperature, above=0, remedy=remedy)
    remedy = "1 is the labels alone, 0 the teacher alone"
    return temperature, number(f"{subject}.alpha", alpha, at_least=0, at_most=1, remedy=remedy)


@keras.saving.register_keras_serializable(package="tf_kit")
class Distiller(Trainer):
    """A model that trains `student` on the labels and on the answers of `teacher`; see `distill`, which makes it.

    Called, it is the student. The teacher runs in inference mode and is not changed.

    Args:
        teacher, student: Keras models with the same input, one array, that end in K logits.
        temperature: T, above 0. Defaults to 4.
        alpha: weight of the labels, from 0 to 1. Defaults to 0.1.
        seed: seed of the order of the examples. Defaults to 0.

    Raises: ValueError: as `distill`.

    Reference: Hinton et al., 2015, section 2.
    """

    def __init__(self, teacher, student, temperature=4.0, alpha=0.1, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.temperature, self.alpha = _checked("distill", temperature, alpha)
        sizes = [_num_logits(f"distill.{name}", model) for name, model in
                 (("teacher", teacher), ("student", student))]  # fmt: skip
        if None not in sizes and sizes[0] != sizes[1]:
            refuse("distill.student", f"end in {sizes[0]} logits as the teacher does", f"{sizes[1]} logits")
        self.teacher, self.student = teacher, student

    @property
    def trainable_variables(self):
        return self.student.trainable_variables

    @property
    def trainable_weights(self):
        return self.student.trainable_weights

    @property
    def losses(self):
        return self.student.losses  # the teacher's penalties are constants

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """As `keras.Model.compile`, without a loss: this model brings its own."""
        if loss is not None:
            remedy = (
                "The labels' cross-entropy is part of the distillation loss: compile(optimizer) is enough"
            )
            refuse("Distiller.compile.loss", "be left out", f"loss={loss!r}", remedy)
        super().compile(optimizer, **kwargs)

    def build(self, input_shape=None):
        self.built = True  # its two models are

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def per_example(self, x, y, random, training):
        student_logits = ops.cast(self(x, training=training), "float32")  # (2)
        teacher_logits = ops.stop_gradient(ops.cast(self.teacher(x, training=False), "float32"))  # (1)
        labels = y
        if y is None:
            if self.alpha > 0:
                remedy = "Without labels take alpha=0, the teacher alone"
                refuse("distill.alpha", "be 0 where no labels are given", f"alpha={self.alpha:g}", remedy)
            labels = ops.zeros_like(teacher_logits)
        loss = distillation_loss(labels, teacher_logits, student_logits, self.temperature, self.alpha)  # (3)
        return {"loss": loss}, student_logits

    def get_config(self):
        models = {"teacher": self.teacher, "student": self.student}
        saved = {name: keras.saving.serialize_keras_object(model) for name, model in models.items()}
        return {**super().get_config(), **saved, "temperature": self.temperature, "alpha": self.alpha}

    @classmethod
    def from_config(cls, config):
        names = ("teacher", "student")
        return cls(
            **{**config, **{name: keras.saving.deserialize_keras_object(config[name]) for name in names}}
        )


def distill(teacher, student, temperature: float = 4.0, alpha: float = 0.1, seed: int = 0) -> Distiller:
    """Knowledge distillation: a model whose `fit` teaches `student` what `teacher` has learned.

        v = teacher(x), in inference mode                                (1)
        z = student(x)                                                   (2)
        J = 1/n Σ_i [α hard_i + (1 − α) T² soft_i] + penalties           (3)

    where hard and soft are equations (1) and (2) of `distillation_loss`, T = `temperature`, α = `alpha`, and
    penalties are those of the student's weights. The student is trained in place. Examples without a label
    can be used too: `fit(x)` with α = 0. It trains as every `pretraining.Trainer`: to the same weights on any
    number of replicas.

    Args:
        teacher: a trained Keras model that ends in logits (n, K). It is not changed.
        student: a Keras model with the same input, one array, that ends in logits (n, K).
        temperature: T, above 0. Defaults to 4.
        alpha: α, weight of the labels, from 0 to 1. Defaults to 0.1.
        seed: seed of the order in which `fit` takes arrays. Defaults to 0.

    Returns:
        A `Distiller`: `compile(optimizer, metrics=[…])` without a loss, then `fit(x, y)`, with y the classes (n,)
        or their probabilities (n, K). Read the student back as `.student`.

    Raises:
        ValueError: when a number is outside its range, when a model ends in softmax, or when the two do not
            end in equally many logits.

    Example:
        >>> import keras, numpy as np
        >>> from tf_kit.scaling import distill
        >>> teacher, student = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]) for _ in range(2))
        >>> model = distill(teacher, student, temperature=2.0, alpha=0.0)
        >>> model.compile(keras.optimizers.Adam(0.1))
        >>> x = np.random.default_rng(0).normal(size=(2000, 2))
        >>> history = model.fit(x, epochs=2, verbose=0)
        >>> answers = [np.argmax(each(x), axis=1) for each in (teacher, student)]
        >>> bool(np.mean(answers[0] == answers[1]) > 0.9)
        True

    Convention: Keras's example weighs the labels with alpha, as here.
    Reference: Hinton et al., 2015, section 2.
    """
    return Distiller(teacher, student, temperature, alpha, seed)


def _num_logits(subject, model):
    """How many logits a model ends in; None where it does not know yet."""
    layers = getattr(model, "layers", [])
    activation = getattr(layers[-1], "activation", None) if layers else None
    if activation is keras.activations.softmax or (layers and isinstance(layers[-1], keras.layers.Softmax)):
        refuse(subject, "end in logits", "a model that ends in softmax", "Leave the softmax out")
    shape = getattr(model, "output_shape", None) if getattr(model, "built", False) else None
    return shape[-1] if isinstance(shape, tuple) and shape else None
