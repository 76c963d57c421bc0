"""Prohibitions: those of a whole lab are closed before the forks."""

from types import SimpleNamespace

import pytest

from tf_kit.grading import labs
from tf_kit.grading.sandbox.processes import common_prohibitions


def exercise(*forbids, opens=()):
    return SimpleNamespace(forbids=forbids, opens=opens)


@pytest.mark.parametrize(
    ("exercises", "common"),
    [
        ([exercise("keras", "scipy"), exercise("keras", "sklearn")], ["keras"]),
        ([exercise("keras"), exercise()], []),
        ([exercise("keras.layers"), exercise("keras.layers", opens=["keras.layers.Layer"])], []),
        ([exercise("keras.layers"), exercise("keras.layers", opens=["keras.Layer"])], []),  # the same class
        ([exercise("tf.nn"), exercise("tf.nn", opens=["tensorflow.nn.relu"])], []),
        ([exercise("tf.nn", "keras.ops"), exercise("tf.nn", "keras.ops", opens=["keras.Layer"])], ["tf.nn"]),
    ],
)
def test_only_names_that_no_answer_may_use_are_closed_for_all(exercises, common):
    assert common_prohibitions(exercises) == common


def test_lab_without_libraries_closes_them_once():
    exercises = list(labs.find("backpropagation").exercises.values())
    assert common_prohibitions(exercises) == ["keras", "sklearn", "tensorflow"]
