"""Projection head: its layers, its seed, and refusals."""

import numpy as np
import pytest

from tf_kit.pretraining import projection_head


def test_projection_head():
    head = projection_head((6, 5, 3), seed=4)
    head.build((None, 7))
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Dense", "BatchNorm", "Activation", "Dense", "BatchNorm", "Activation", "Dense"]
    assert [tuple(v.shape) for v in head.trainable_variables if v.name == "kernel"] == [
        (7, 6),
        (6, 5),
        (5, 3),
    ]
    assert not [v for v in head.variables if v.name == "bias"]
    again, other = projection_head((6, 5, 3), seed=4), projection_head((6, 5, 3), seed=5)
    for each in (again, other):
        each.build((None, 7))
    np.testing.assert_array_equal(again.get_weights()[0], head.get_weights()[0])
    assert np.any(other.get_weights()[0] != head.get_weights()[0])


def test_refuses_no_sizes():
    with pytest.raises(ValueError, match="at least one size"):
        projection_head(())
