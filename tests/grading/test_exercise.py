"""Exercise: arguments that it refuses, and mistakes made from the solution."""

import dataclasses

import pytest

from grading.class_of_students import LAB
from tf_kit.grading import Mistake, Variant

EXERCISE = LAB.exercises["leaky"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "not a name"}, "id='not a name'"),
        ({"points": 0}, "points=0"),
        ({"seconds": 1e10}, "in \\[0.1, 86400\\]"),
        ({"memory_mb": -1}, "memory_mb=-1"),
        ({"parts": {"easy": 1}}, "add up to points=2"),
        ({"forbids": "keras.optimizers"}, "forbids='keras.optimizers'"),
        ({"forbids": ("tensorflow.keras",)}, "all of Keras"),
        ({"defines": "leaky_relu"}, "a tuple of one item ends with a comma"),
    ],
)
def test_invalid_argument_is_refused(change, words):
    with pytest.raises(ValueError, match="(?i)" + words):
        dataclasses.replace(EXERCISE, **change)


def test_unknown_part_is_refused():
    with pytest.raises(ValueError, match="'grpah'"):
        EXERCISE.part_of({"part": "grpah"})


def test_edits_replace_pieces_that_occur_once():
    assert Mistake("wrong sign", {"+": "-"}).of("a + b") == "a - b"
    assert Variant("whole", code="other").of("a + b") == "other"
    with pytest.raises(ValueError, match="0 times"):
        Mistake("typo", {"*": "-"}).of("a + b")
    with pytest.raises(ValueError, match="2 times"):
        Mistake("twice", {"a": "b"}).of("a + a")
