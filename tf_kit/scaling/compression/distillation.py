"""Distillation: a small network learns from the answers of a large one as well as from the labels.

The probabilities that the teacher gives to the wrong classes show how it generalizes; a temperature enlarges them.

Reference: Hinton, Vinyals, Dean, 2015, Distilling the knowledge in a neural network, section 2, arXiv:1503.02531.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit.checks import number, refuse, same_shape
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import all_layers, last_layer
from tf_kit.networks.losses import cross_entropy, one_hot
from tf_kit.training.converted import converted
from tf_kit.training.inputs import first_examples
from tf_kit.training.targets import check_labels
from tf_kit.training.trainer import Trainer
from tf_kit.typing import ArrayLike, Tensor


def distillation_loss(
    labels: ArrayLike,
    teacher_logits: ArrayLike,
    student_logits: ArrayLike,
    temperature: float = 4.0,
    alpha: float = 0.1,
) -> Tensor:
    """Compute the loss of each example: cross-entropy with the label and with the softened answer of the teacher.

        hard_i = −Σ_k y_ik log softmax(z_i)_k                            (1)
        soft_i = −Σ_k softmax(v_i / T)_k log softmax(z_i / T)_k          (2)
        J_i    = α hard_i + (1 − α) T² soft_i                            (3)

    where y = `labels`, v = `teacher_logits`, z = `student_logits`, T = `temperature`, α = `alpha`. The gradient
    of (2) shrinks as 1/T²; the factor T² keeps the balance of the two terms when T changes. For large T the
    gradient of T² soft_i tends to (z − v)/K, with z and v centered over the K classes: regression on the logits.

    Args:
        labels: classes (n,) or (n, 1), or their probabilities (n, K). The loss of a class that is not in 0 … K − 1 is
            nan.
        teacher_logits, student_logits: (n, K), of which half precision and integers are computed in float32.
        temperature: T, above 0. Defaults to 4.
        alpha: weight of the labels, from 0 to 1. Defaults to 0.1.

    Returns:
        (n,), the loss of each example.

    Raises:
        ValueError: `temperature` or `alpha` is outside its range, teacher and student have logits of different shapes,
            or `labels` have another shape.

    Example:
        >>> from tf_kit.scaling import distillation_loss
        >>> logits = [[0.0, 0.0]]
        >>> [round(float(distillation_loss([1], logits, logits, 2.0, alpha)[0]) / 0.693147, 3) for alpha in (1, 0)]
        [1.0, 4.0]

    Convention: cross-entropy as in the paper; others use the Kullback–Leibler divergence, which is smaller by the
    entropy of the teacher and has the same gradient. Here α is the weight of the labels; in some code it is the
    weight of the teacher.
    Reference: Hinton et al., 2015, section 2 and equations 2 to 4, arXiv:1503.02531.
    """
    temperature, alpha = _checked("distillation_loss", temperature, alpha)
    student_logits = widened(student_logits)
    teacher_logits = ops.cast(teacher_logits, student_logits.dtype)
    _check_shape("teacher_logits", "have the shape of the student's", teacher_logits, student_logits)
    labels = _one_hot(labels, student_logits)
    hard = _cross_entropy(labels, student_logits) if alpha else 0.0  # (1)
    soft = _cross_entropy(ops.softmax(teacher_logits / temperature), student_logits / temperature)  # (2)
    return alpha * hard + (1 - alpha) * temperature**2 * soft  # (3)


def _cross_entropy(probabilities, logits):
    return cross_entropy(probabilities, ops.log_softmax(logits))


def _check_shape(name, rule, given, student_logits):
    shape, wanted = tuple(given.shape), tuple(student_logits.shape)
    if not same_shape(shape, wanted):
        refuse(f"distillation_loss.{name}", rule, f"shape {shape} with student logits of shape {wanted}")


def _one_hot(labels, logits):
    labels = ops.convert_to_tensor(labels)
    num_classes = logits.shape[-1]
    if len(labels.shape) == 2 and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)
    if len(labels.shape) == 1:
        if not same_shape(labels.shape, logits.shape[:1]):
            received = (
                f"labels of shape {tuple(labels.shape)} with student logits of shape {tuple(logits.shape)}"
            )
            refuse("distillation_loss.labels", "have one label for each example", received)
        rows, known = one_hot(labels, num_classes, logits.dtype)
        return ops.where(known[:, None], rows, float("nan"))  # a row of zeros would cost nothing
    _check_shape("labels", "be classes (n,) or (n, 1), or probabilities (n, K)", labels, logits)
    return ops.cast(labels, logits.dtype)


def _checked(subject, temperature, alpha):
    remedy = "1 keeps the teacher's probabilities, 2 to 10 soften them"
    temperature = number(f"{subject}.temperature", temperature, above=0, remedy=remedy)
    remedy = "1 uses the labels alone, 0 the teacher alone"
    return temperature, number(f"{subject}.alpha", alpha, at_least=0, at_most=1, remedy=remedy)


@keras.saving.register_keras_serializable(package="tf_kit")
class Distiller(Trainer):
    """Model that trains `student` on the labels and on the answers of `teacher`; made by `distill`.

    Its outputs are those of the student. The teacher runs in inference mode and does not change.

    Args:
        teacher, student: Keras models with the same input, one array, that end in K logits.
        temperature: T, above 0. Defaults to 4.
        alpha: weight of the labels, from 0 to 1. Defaults to 0.1.
        seed: seed of the order of the examples. Defaults to 0.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: as for `distill`.

    Reference: Hinton et al., 2015, section 2, arXiv:1503.02531.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        temperature: float = 4.0,
        alpha: float = 0.1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.temperature, self.alpha = _checked("distill", temperature, alpha)
        sizes = [_num_logits(f"distill.{name}", model) for name, model in
                 (("teacher", teacher), ("student", student))]  # fmt: skip
        if None not in sizes and sizes[0] != sizes[1]:
            refuse("distill.student", f"end in {sizes[0]} logits as the teacher does", f"{sizes[1]} logits")
        _refuse_shared_layers(teacher, student)
        self.teacher, self.student = teacher, student

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        return self.student.trainable_variables

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        return self.student.trainable_weights

    @property
    def losses(self) -> list[Tensor]:
        return self.student.losses  # the teacher's penalties are constants

    def compile(
        self, optimizer: keras.optimizers.Optimizer | str = "rmsprop", loss: None = None, **kwargs: Any
    ) -> None:
        """Compile like `keras.Model.compile`, but without a loss, which this model computes itself."""
        if loss is not None:
            remedy = "The distillation loss includes the labels' cross-entropy: compile(optimizer) is enough"
            refuse("Distiller.compile.loss", "be left out", f"loss={loss!r}", remedy)
        super().compile(optimizer, **kwargs)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        x = converted("fit.x", x)
        self.check_targets("fit", x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = converted("evaluate.x", x)
        self.check_targets("evaluate", x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def train_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, *args: Any, **kwargs: Any) -> Any:
        self.check_targets("train_on_batch", x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, *args: Any, **kwargs: Any) -> Any:
        self.check_targets("test_on_batch", x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def check_targets(self, method: str, x: Any, y: Any = None) -> None:
        """Refuse classes that the student does not have; probabilities of classes pass."""
        num_logits = _num_logits("distill.student", self.student)
        seen = first_examples(x)[1] if isinstance(x, tf.data.Dataset) else y
        if self.alpha > 0 and seen is not None and num_logits and np.shape(seen)[1:] in ((), (1,)):
            check_labels(self, method, num_logits, x, y)

    def build(self, input_shape: Any = None) -> None:
        self.built = True  # teacher and student are built

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.student(inputs, training=training)

    def per_example(
        self, x: Tensor, y: Tensor | None, random: Any, training: bool
    ) -> tuple[dict[str, Tensor], Tensor]:
        student_logits = widened(self(x, training=training))  # (2)
        teacher_logits = ops.stop_gradient(widened(self.teacher(x, training=False)))  # (1)
        labels = y
        if y is None:
            if self.alpha > 0:
                remedy = "alpha=0 uses the teacher alone"
                refuse("distill.alpha", "be 0 if no labels are given", f"alpha={self.alpha:g}", remedy)
            labels = ops.zeros_like(teacher_logits)
        loss = distillation_loss(labels, teacher_logits, student_logits, self.temperature, self.alpha)  # (3)
        return {"loss": loss}, student_logits

    def get_config(self) -> dict[str, Any]:
        models = {"teacher": self.teacher, "student": self.student}
        saved = {name: keras.saving.serialize_keras_object(model) for name, model in models.items()}
        return {**super().get_config(), **saved, "temperature": self.temperature, "alpha": self.alpha}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Distiller":
        names = ("teacher", "student")
        return cls(
            **{**config, **{name: keras.saving.deserialize_keras_object(config[name]) for name in names}}
        )


def distill(
    teacher: keras.Model, student: keras.Model, temperature: float = 4.0, alpha: float = 0.1, seed: int = 0
) -> Distiller:
    """Knowledge distillation: make a model whose `fit` trains `student` on the answers of `teacher`.

        v = teacher(x), in inference mode                                (1)
        z = student(x)                                                   (2)
        J = 1/n Σ_i [α hard_i + (1 − α) T² soft_i] + penalties           (3)

    where hard and soft are equations (1) and (2) of `distillation_loss`, T = `temperature`, α = `alpha`, and
    penalties are those of the student's weights. The student is trained in place. With α = 0, `fit(x)` uses examples
    without labels. Like every `training.Trainer`, it trains to the same weights on any number of replicas.

    Args:
        teacher: trained Keras model that ends in logits (n, K). It does not change.
        student: Keras model with the same input, one array, that ends in logits (n, K).
        temperature: T, above 0. Defaults to 4.
        alpha: α, weight of the labels, from 0 to 1. Defaults to 0.1.
        seed: seed of the order of the examples in `fit`. Defaults to 0.

    Returns:
        `Distiller`: `compile(optimizer, metrics=[…])` it without a loss, then `fit(x, y)` with y the classes (n,)
        or their probabilities (n, K). The student is its attribute `.student`.

    Raises:
        ValueError: a number is outside its range, a model ends in softmax, in a single logit or in several outputs, the
            two models end in different numbers of logits, or they share a layer that would be trained.

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

    Convention: alpha is the weight of the labels, as in Keras's example.
    Reference: Hinton et al., 2015, section 2, arXiv:1503.02531.
    """
    return Distiller(teacher, student, temperature, alpha, seed)


def _refuse_shared_layers(teacher, student):
    """Refuse a student whose training would change the teacher."""
    of_teacher = set(map(id, all_layers(teacher)))
    shared = [
        layer.name
        for layer in all_layers(student)
        if id(layer) in of_teacher and layer.trainable and (layer.trainable_variables or not layer.built)
    ]
    if shared:
        remedy = "Give a copy, keras.models.clone_model, or freeze the layer"
        refuse("distill.student", "share no trainable layer with the teacher", f"{shared[0]}", remedy)


def _num_logits(subject, model):
    """Number of logits that a model ends in; None if it is not known yet."""
    last = last_layer(model)
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    if softmax or isinstance(last, keras.layers.Softmax):
        refuse(subject, "end in logits", "a model that ends in softmax", "Remove the softmax")
    shape = getattr(model, "output_shape", None) if getattr(model, "built", False) else None
    if shape is None:
        return None
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[-1], int):
        refuse(
            subject, "end in logits (n, K)", f"outputs of shape {shape}", "Give the part with one such output"
        )
    if shape[-1] == 1:
        remedy = "For two classes use two logits; the softmax of one is 1 whatever it is"
        refuse(subject, "end in two logits or more", "a model that ends in one", remedy)
    return shape[-1]
