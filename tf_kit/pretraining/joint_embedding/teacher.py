"""Slow teacher: a second set of weights that follows those of the student, for BYOL and DINO."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tf_kit.networks.inspection import build_on, call_with
from tf_kit.typing import Tensor


class Teacher(keras.layers.Layer):
    """Second set of weights for a layer or model, the student, and the function that it computes with them.

        teacher(x) = f(x; ξ)   where   student(x) = f(x; θ)                 (1)

    f itself is not copied, so the student may be of any kind: with `Lambda` layers, of a class that is not
    registered, without a config. The teacher has the student's dtype policy, but other dropout masks and other moving
    statistics, which its passes in training update. Its weights ξ are not trainable.

    Args:
        student: layer or model with one input.
    """

    def __init__(self, student: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(dtype=student.dtype_policy, **kwargs)
        self._student = lambda: student  # an attribute would make its weights those of the teacher, too

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        student = self._student()
        build_on(student, input_shape)
        for variable in student.weights:
            self.add_weight(
                shape=variable.shape,
                initializer="zeros",
                dtype=variable.dtype,
                trainable=False,
                autocast=False,
                aggregation=variable.aggregation,
                name=variable.name,
            )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        student = self._student()
        own = {id(theirs): ours for ours, theirs in zip(self.weights, student.weights, strict=True)}
        values = [(theirs, ops.convert_to_tensor(own[id(theirs)])) for theirs in student.weights]
        outputs, after = call_with(student, values, inputs, training)  # (1)
        if training:
            for variable in student.non_trainable_variables:
                if (value := after(variable)) is not None:
                    # States of random generators are not among the weights: both draw from the same stream in turn.
                    own.get(id(variable), variable).assign(value)
        return outputs


Pairs = Sequence[tuple[Teacher, keras.layers.Layer]]  # each teacher with its student


def start_teachers(pairs: Pairs, input_shapes: Sequence[tuple[int | None, ...]]) -> None:
    """Build teachers as copies of their built students.

    Args:
        pairs: each teacher with its student.
        input_shapes: shape of the inputs of each student.
    """
    for (teacher, student), shape in zip(pairs, input_shapes, strict=True):
        build_on(teacher, shape)
        teacher.set_weights(student.get_weights())


def follow_students(pairs: Pairs, momentum: float) -> None:
    """Move the weights of teachers toward those of their students: ξ ← ρ ξ + (1 − ρ) θ.

    Args:
        pairs: each teacher with its student.
        momentum: ρ, the share of its weights that a teacher keeps.
    """
    for teacher, student in pairs:
        for slow, fast in zip(teacher.weights, student.weights, strict=True):
            if fast.trainable:  # the teacher has its own moving statistics
                slow.assign(momentum * slow + (1 - momentum) * fast)
