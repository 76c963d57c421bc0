"""DINO: the student predicts how a slow teacher assigns other views of the example to prototypes."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number, refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import build_on, freeze_parts
from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.joint_embedding.teacher import Teacher, follow_students, start_teachers
from tf_kit.pretraining.method_options import DINOOptions
from tf_kit.randomness import example_keys
from tf_kit.randomness.step import ExampleRandom
from tf_kit.regularization.augmentation import RandomResizedCrop
from tf_kit.replicas import gather
from tf_kit.typing import ArrayLike, Tensor
from tf_kit.xla import without_gradients

LOCAL_AREA = (0.1, 0.4)  # area of the window of a local view, as a fraction of the image


def dino(
    student: ArrayLike,
    teacher: ArrayLike,
    center: ArrayLike = 0.0,
    temperature: float = DINOOptions.temperature,
    teacher_temperature: float = DINOOptions.teacher_temperature,
) -> Tensor:
    """Compute the DINO loss of one view: cross-entropy of the student's assignment to prototypes with the teacher's.

        Q_ik = softmax_k(s_ik / τ),   P_ik = softmax_k((t_ik − c_k) / τ_t)  (1)
        L = −1/n Σ_i Σ_k P_ik log Q_ik                                      (2)

    A small τ_t sharpens the teacher, the center c keeps one prototype from taking all examples; each alone would
    collapse, to one prototype or to all equally.

    Args:
        student: s, scores of one view for each prototype by the student, (n, k).
        teacher: t, scores of another view by the teacher, (n, k). No gradient flows into them.
        center: c, (k,) or 0.
        temperature: τ, above 0. Defaults to 0.1.
        teacher_temperature: τ_t, above 0. Defaults to 0.04.

    Returns:
        L, a scalar; at least the mean entropy of P.

    Raises:
        InputError: the shapes differ, or a temperature is not above 0.

    Example:
        >>> import math
        >>> import numpy as np
        >>> equal = np.zeros((2, 8))
        >>> round(float(dino(equal, equal)), 4), round(math.log(8), 4)
        (2.0794, 2.0794)

    Reference: Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin, 2021, Emerging properties in self-supervised
    vision transformers, equations 1, 2 and 4, arXiv:2104.14294.
    """
    temperature = number("dino.temperature", temperature, above=0)
    teacher_temperature = number("dino.teacher_temperature", teacher_temperature, above=0)
    student, teacher = pair("dino", student, teacher)
    p = assigned_by_teacher(teacher, ops.cast(center, teacher.dtype), teacher_temperature)
    return -ops.mean(ops.sum(p * ops.log_softmax(student / temperature), axis=-1))  # (2)


def assigned_by_teacher(teacher: Tensor, center: Tensor, teacher_temperature: float) -> Tensor:
    """Compute P of equation (1) of `dino`, (…, k), a constant for the gradient."""
    return ops.softmax((ops.stop_gradient(teacher) - center) / teacher_temperature)  # (1)


class Prototypes(keras.layers.Layer):
    """Cosine of embeddings with each of k learned directions: s_k = ẑ·ŵ_k, where the hats scale to length 1.

    Args:
        count: k.
        seed: whole number that fixes the directions.
    """

    def __init__(self, count: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count, self.seed = count, seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        normal = keras.initializers.RandomNormal(seed=self.seed)
        self.directions = self.add_weight(
            (self.count, input_shape[-1]), normal, autocast=False, name="directions"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.matmul(unit(widened(inputs)), ops.transpose(unit(widened(self.directions))))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.count)


@keras.saving.register_keras_serializable(package="tf_kit")
class DINO(JointEmbedding):
    """DINO (self-distillation with no labels): the student predicts the teacher's assignment of other views.

    The teacher sees two global views, the student these and L local ones, which show a small part (multi-crop). So
    the student learns to tell the whole from a part. With scores s = prototypes(projector(encoder(x))), weights θ of
    the student and ξ of the teacher,

        x_iv for v = 0, 1 as in `JointEmbedding`; for v = 2 … L + 1 from a window of 10 to 40 % of the area   (1)
        ℓ_i = 1/(2 (L + 1)) Σ_{v ∈ {0, 1}} Σ_{u ≠ v} −Σ_k P_ivk log Q_iuk,   P and Q as in `dino`   (2)
        ξ ← ρ ξ + (1 − ρ) θ   after each step                               (3)
        c ← m c + (1 − m) mean of the teacher's scores over the global batch and both views   (4)

    The gradient of (2) is taken with respect to θ only. Center and teacher are saved with the model and are the same
    on all replicas.

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        local_views: L, at least 0. Defaults to 2.
        num_prototypes: k. Defaults to 512.
        temperature: τ of the student, above 0. Defaults to 0.1.
        teacher_temperature: τ_t, above 0. Defaults to 0.04.
        momentum: ρ in [0, 1]. Defaults to 0.99.
        center_momentum: m in [0, 1]. Defaults to 0.9.
        local_augment: augmentation of local views, of the same kinds as `augment`. Defaults to None: for images
            `RandomResizedCrop((0.1, 0.4))` followed by `augment`; for other inputs `augment`.

    Attributes:
        prototypes: k directions that belong to the student.
        center: c, (k,), not trainable.
        teacher_encoder, teacher_projector, teacher_prototypes: the teacher, see `Teacher`.

    Raises:
        InputError: an argument has the wrong type or is out of range.

    Example:
        >>> from tf_kit import data, networks, regularization
        >>> x = data.load("digits", seed=0)[0].x[:256]
        >>> encoder = networks.mlp((64,), num_classes=None, seed=0)
        >>> model = DINO(encoder, augment=regularization.preset("digits"), local_views=4)
        >>> model.compile(keras.optimizers.Adam(0.002))
        >>> history = model.fit(x, batch_size=128, verbose=0).history
        >>> model.num_views, tuple(model.center.shape), history["loss"][0] < 7   # log 512 = 6.2
        (6, (512,), True)

    Convention: the authors give local views fewer pixels, which the encoders of small images do not take; here a
    window is stretched to the size of the image, so a local view costs as much as a global one. They also raise ρ to
    1 and τ_t from 0.04 to 0.07 in the course of a training, and hold the prototypes constant in its first epoch.
    Reference: Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin, 2021, Emerging properties in self-supervised
    vision transformers, algorithm 1 and equations 1 to 4, arXiv:2104.14294.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        local_views: int = DINOOptions.local_views,
        num_prototypes: int = DINOOptions.num_prototypes,
        temperature: float = DINOOptions.temperature,
        teacher_temperature: float = DINOOptions.teacher_temperature,
        momentum: float = DINOOptions.momentum,
        center_momentum: float = DINOOptions.center_momentum,
        seed: int = 0,
        chunk_size: int | None = DINOOptions.chunk_size,
        local_augment: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        checked = DINOOptions(
            chunk_size,
            momentum,
            local_views,
            num_prototypes,
            temperature,
            teacher_temperature,
            center_momentum,
        )
        self.options = checked
        self.local_views, self.num_prototypes = checked.local_views, checked.num_prototypes
        self.temperature, self.teacher_temperature = checked.temperature, checked.teacher_temperature
        self.momentum, self.center_momentum = checked.momentum, checked.center_momentum
        if not (local_augment is None or hasattr(local_augment, "augment") or _is_function(local_augment)):
            requirement = "be an augmentation of tf_kit.regularization or a function (x, key)"
            refuse("DINO.local_augment", requirement, repr(local_augment))
        self.local_augment = local_augment
        self.window = RandomResizedCrop(LOCAL_AREA)
        self.prototypes = Prototypes(self.num_prototypes, self.seed + 2000, dtype=self.dtype_policy)
        self.teacher_encoder, self.teacher_projector, self.teacher_prototypes = (
            Teacher(each) for each in (self.encoder, self.projector, self.prototypes)
        )
        self.center: Any = None

    @property
    def num_views(self) -> int:
        return 2 + self.local_views

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        build_on(self.prototypes, self._embedding_shape)
        shapes = (input_shape, self._representation_shape, self._embedding_shape)
        start_teachers(self._pairs, shapes)
        self.center = self.add_weight(
            shape=(self.num_prototypes,),
            initializer="zeros",
            dtype=keras.backend.result_type(self.variable_dtype, "float32"),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="center",
        )
        freeze_parts(self)

    @property
    def _pairs(self):
        """(teacher, student) of encoder, projector and prototypes."""
        return (
            (self.teacher_encoder, self.encoder),
            (self.teacher_projector, self.projector),
            (self.teacher_prototypes, self.prototypes),
        )

    def views(self, x: ArrayLike, random: ExampleRandom) -> Tensor:
        """Make the views of each example, (1): ((2 + L) n, …), those of an example next to each other."""
        x = self._floats(x)
        whole, shape = super().views(x, random), x.shape[1:]
        parts = [self._local_view(x, random, view) for view in range(2, self.num_views)]
        every = [ops.reshape(whole, (-1, 2, *shape)), *(part[:, None] for part in parts)]
        return ops.reshape(ops.concatenate(every, axis=1), (-1, *shape))

    def _local_view(self, x, random, view):
        keys = example_keys(random.seed, self.num_views * random.step + view, random.index)
        with without_gradients():
            if self.local_augment is not None:
                return getattr(self.local_augment, "augment", self.local_augment)(x, keys)
            if len(x.shape) == 4:
                x = self.window.augment(x, keys)
            return x if self.augment is None else self._augmented(x, keys)

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        s = self.prototypes(ops.reshape(z, (-1, z.shape[-1])))
        log_q = ops.log_softmax(ops.reshape(s, (-1, self.num_views, self.num_prototypes)) / self.temperature)
        shape = views.shape[1:]
        whole = ops.reshape(ops.reshape(views, (-1, self.num_views, *shape))[:, :2], (-1, *shape))
        t = self.teacher_encoder(whole, training=training)
        t = self.teacher_prototypes(self.teacher_projector(t, training=training))
        t = ops.reshape(widened(t), (-1, 2, self.num_prototypes))
        center = ops.cast(self.center, t.dtype)
        p = assigned_by_teacher(t, center, self.teacher_temperature)
        if training:
            mean = ops.mean(gather(ops.stop_gradient(t)), axis=(0, 1))
            # The optimizer skips a step whose gradients are not finite, and the center its scores.
            moved = self.center_momentum * center + (1 - self.center_momentum) * mean
            self.center.assign(ops.where(ops.isfinite(mean), moved, center))  # (4)
        crossed = -ops.einsum("nvk,nuk->nvu", p, log_q)  # of the teacher's view v and the student's view u
        same = crossed[:, 0, 0] + crossed[:, 1, 1]
        return (ops.sum(crossed, axis=(1, 2)) - same) / (2 * (self.num_views - 1))  # (2)

    def train_step(self, batch: Any) -> dict[str, Tensor]:
        result = super().train_step(batch)
        follow_students(self._pairs, self.momentum)  # (3)
        return result

    def get_config(self) -> dict[str, Any]:
        local = self.local_augment and keras.saving.serialize_keras_object(self.local_augment)
        return {**super().get_config(), "local_augment": local}


def _is_function(given):
    return callable(given) and not isinstance(given, keras.layers.Layer)
