"""Residual network: formula, numbers of weights, stems, seeds."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from tf_kit.errors import InputError
from tf_kit.networks import resnet

network = importlib.import_module("tf_kit.networks.resnet")


def expected(model, x, depth):
    """Equations (1) to (4) with the kernels of the model, for a network without normalization."""

    def convolved(h, name, stride=1):
        return ops.conv(h, model.get_layer(name).kernel, strides=stride, padding="same")

    h = ops.relu(convolved(x, "stem"))
    for stage, blocks in enumerate(network.BLOCKS[depth]):
        for block in range(blocks):
            name, stride = f"stage{stage + 1}_block{block + 1}", 2 if stage and block == 0 else 1
            parts = {18: ((1, stride), (2, 1)), 50: ((1, 1), (2, stride), (3, 1))}[depth]
            f = h
            for part, step in parts:
                f = convolved(f if part == 1 else ops.relu(f), f"{name}_{part}", step)
            has_kernel = f"{name}_shortcut" in [layer.name for layer in model.layers]
            h = ops.relu((convolved(h, f"{name}_shortcut", stride) if has_kernel else h) + f)
    return ops.mean(h, axis=(1, 2))


def check_formula(module, depth=18):
    model = module.resnet(depth, num_classes=None, normalization=keras.layers.Identity, input_shape=(9, 8, 2))
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 2)).astype("float32")
    np.testing.assert_allclose(model(x), expected(model, x, depth), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [18, 50])
def test_equals_the_formula(depth):
    check_formula(network, depth)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("_block", "layers.Add(", "layers.Subtract("),
        ("_block", "_2\", rectify=False)", "_2\")"),
        ("_block", "keras.layers.ReLU(name=f\"{name}_relu\")(added)", "added"),
        ("resnet", "stage and not block", "not block"),
    ],
)  # fmt: skip
def test_formula_rejects_wrong_twins(name, right, wrong, wrong_twin):
    wrong_twin(network, name, right, wrong)
    with pytest.raises((AssertionError, ValueError)):
        check_formula(network)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "count"), [(18, 11_176_512), (50, 23_508_032)])
def test_has_as_many_weights_as_the_networks_of_the_paper(depth, count):
    """Those of torchvision.models.resnet18 and resnet50 for images of three channels, less the layer of logits."""
    model = resnet(depth, num_classes=None, input_shape=(64, 64, 3))
    assert sum(ops.size(each) for each in model.trainable_variables) == count


@pytest.mark.slow
def test_stem_keeps_the_resolution_of_small_images_only():
    for side, after_stem in ((63, 63), (64, 16)):
        model = resnet(18, num_classes=None, input_shape=(side, side, 1))
        assert model.get_layer("stage1_block1_relu").output.shape == (None, after_stem, after_stem, 64)


@pytest.mark.slow
def test_initial_weights_depend_only_on_the_seed():
    first, other = (resnet(18, num_classes=3, input_shape=(8, 8, 1), seed=seed) for seed in (3, 4))
    keras.utils.set_random_seed(99)
    for ours, theirs in zip(resnet(18, 3, input_shape=(8, 8, 1), seed=3).weights, first.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    kernels = [np.ravel(each)[0] for each in first.weights if len(each.shape) > 1]
    assert len(set(map(float, kernels))) == len(kernels)
    assert np.all(first.weights[0].numpy() != other.weights[0].numpy())


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"depth": 34}, "depth=34"),
        ({"input_shape": (28, 28)}, r"input_shape=\(28, 28\)"),
        ({"input_shape": (7, 28, 1)}, r"input_shape=\(7, 28, 1\)"),
        ({"input_shape": 32}, "input_shape=32"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_refuses_bad_arguments(given, received):
    with pytest.raises(InputError, match=f"Received: .*{received}"):
        resnet(**given)
