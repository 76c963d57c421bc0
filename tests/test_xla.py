"""Tests of the kernels that XLA compiles: which of them are shared."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from tf_kit import regularization, xla
from tf_kit.regularization import RandomCrop, compose, example_keys
from tf_kit.regularization.augmentation.geometry import resample

IMAGES = np.random.default_rng(0).random((4, 8, 8, 1), dtype="float32")


class Own(RandomCrop):
    """An augmentation whose configuration does not determine what it does."""


def digits(**options):
    return regularization.preset("digits", **options)


def test_augmentations_of_equal_configuration_share_kernels():
    assert xla._kernel_of(digits(seed=1).draw) is xla._kernel_of(digits(seed=2).draw)
    assert xla._kernel_of(resample) is xla._kernel_of(resample)


@pytest.mark.parametrize("other", [digits(strong=True), RandomCrop(2), compose(RandomCrop(2)), RandomCrop(1)])
def test_other_configurations_have_their_own_kernels(other):
    assert xla._kernel_of(digits().draw) is not xla._kernel_of(other.draw)
    assert xla._kernel_of(RandomCrop(3).draw) is not xla._kernel_of(other.draw)


@pytest.mark.slow
def test_shared_kernels_transform_by_their_own_configuration():
    keys = example_keys(0, 0, range(4))
    for padding in (1, 2):
        found = RandomCrop(padding).augment(IMAGES, keys)
        with xla.uncompiled():
            np.testing.assert_allclose(found, RandomCrop(padding).augment(IMAGES, keys), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "function", [Own(2).draw, compose(Own(2)).draw, lambda x: x], ids=["subclass", "composition", "lambda"]
)
def test_foreign_functions_share_no_kernels(function):
    assert xla._kernel_of(function) is not xla._kernel_of(function)


def operations(jit_compile=False, gradients=False):
    """Types of the operations in a graph that draws views by an augmentation, and in the functions it calls."""
    augment, keys = RandomCrop(2), example_keys(0, 0, range(4))

    def views(x):
        with contextlib.nullcontext() if gradients else xla.without_gradients():
            return augment.augment(x, keys)

    graph = tf.function(views, jit_compile=jit_compile).get_concrete_function(IMAGES).graph.as_graph_def()
    nodes = [graph.node, *(each.node_def for each in graph.library.function)]
    return [node.op for row in nodes for node in row]


@pytest.mark.slow
def test_views_are_drawn_by_single_operations():
    assert operations().count("XlaLaunch") == 2
    assert operations(gradients=True).count("XlaLaunch") == 1


def test_views_within_a_compiled_step_are_part_of_it():
    assert "XlaLaunch" not in operations(jit_compile=True)
