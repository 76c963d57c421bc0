"""Residual networks with a stem for small images.

Reference: He, Zhang, Ren, Sun, 2016, Deep residual learning for image recognition, arXiv:1512.03385.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from tf_kit.checks import choice, count, refuse
from tf_kit.networks.convolutional import Convolution
from tf_kit.typing import Tensor

SMALLEST = 8  # pixels per side, so that the last of the four stages still has a place
SMALL = 64  # pixels per side below which the stem keeps the resolution
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}  # blocks of each stage
EXPANSION = {18: 1, 50: 4}  # filters at the end of a block / filters within it


def resnet(
    depth: int = 18,
    num_classes: int | None = 10,
    normalization: Callable[[], keras.layers.Layer] = keras.layers.BatchNormalization,
    input_shape: Sequence[int] = (32, 32, 3),
    seed: int = 0,
) -> keras.Model:
    """Residual network: each block adds a correction to its input, so that a hundred layers can be trained.

        h^(l+1) = ReLU(s(h^(l)) + F(h^(l)))                                 (1)
        F = norm ∘ W₂ ∘ ReLU ∘ norm ∘ W₁                    (depth 18)      (2)
        F = norm ∘ W₃ ∘ ReLU ∘ norm ∘ W₂ ∘ ReLU ∘ norm ∘ W₁ (depth 50)      (3)
        r_c = mean over the places (i, j) of h^(L)_ijc                      (4)

    W are convolutions without bias: of 3×3 pixels in (2), of 1×1, 3×3 and 1×1 in (3). There are four stages of
    blocks, with 64, 128, 256 and 512 filters (four times as many at the end of a block of (3)); the first block of
    stages two to four halves height and width. The shortcut s is the identity, or a convolution of 1×1 with norm where
    the shape changes. Images of fewer than 64 pixels per side enter by a convolution of 3×3 at full resolution; larger
    ones by one of 7×7 and a maximum over 3×3 places, which leave a quarter of height and width.

    Args:
        depth: number of layers with weights, 18 or 50. Defaults to 18.
        num_classes: number of outputs of the layer `logits`; None for an encoder without that layer. Defaults to 10.
        normalization: layer class, or function without arguments that returns a new layer. Defaults to
            `keras.layers.BatchNormalization`; `regularization.BatchNorm` sees the global batch on replicas.
        input_shape: shape of one image, at least 8 pixels per side. Defaults to (32, 32, 3).
        seed: whole number that fixes the initial weights. Defaults to 0.

    Returns:
        `keras.Model` that maps images (n, h, w, c) to logits (n, num_classes), or to the representation (4), (n, 512)
        for depth 18 and (n, 2048) for depth 50.

    Raises:
        InputError: an argument is out of range.

    Example:
        >>> from tf_kit.networks import resnet
        >>> encoder = resnet(18, num_classes=None, input_shape=(28, 28, 1))
        >>> encoder.output_shape, len(encoder.trainable_variables)
        ((None, 512), 60)

    Convention: the stem for small images is that of SimCLR (Chen et al., 2020, appendix B.9) for CIFAR; with four
    stages, unlike the networks for CIFAR of the paper. As in PyTorch and unlike in the paper, the 3×3 convolution of a
    block of (3) has the stride.
    Reference: He, Zhang, Ren, Sun, 2016, Deep residual learning for image recognition, table 1, arXiv:1512.03385.
    """
    choice("resnet.depth", depth, tuple(BLOCKS))
    sides = input_shape if np.iterable(input_shape) else ()
    shape = tuple(count("resnet.input_shape", side) for side in sides)
    if len(shape) != 3 or min(shape[:2]) < SMALLEST:
        requirement = f"be (height, width, channels) with at least {SMALLEST} pixels per side"
        refuse("resnet.input_shape", requirement, f"input_shape={shape or input_shape!r}")
    if num_classes is not None:
        num_classes = count("resnet.num_classes", num_classes, remedy="None leaves the layer of logits out")
    seeds = np.random.SeedSequence(count("resnet.seed", seed, at_least=0))
    convolve = _Convolutions(normalization, seeds)
    inputs = keras.Input(shape)
    if min(shape[:2]) < SMALL:
        h = convolve(inputs, 64, 3, 1, "stem")
    else:
        h = convolve(inputs, 64, 7, 2, "stem")
        h = keras.layers.MaxPooling2D(3, 2, padding="same", data_format="channels_last", name="stem_pooling")(
            h
        )
    for stage, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            h = _block(convolve, h, depth, 64 * 2**stage, stride, f"stage{stage + 1}_block{block + 1}")
    outputs = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="average")(h)  # (4)
    if num_classes is not None:
        glorot = keras.initializers.GlorotUniform(seed=convolve.next_seed())
        outputs = keras.layers.Dense(num_classes, kernel_initializer=glorot, name="logits")(outputs)
    return keras.Model(inputs, outputs, name="encoder" if num_classes is None else f"resnet{depth}")


def _block(convolve, h: Tensor, depth: int, filters: int, stride: int, name: str) -> Tensor:
    """Apply equation (1)."""
    out = filters * EXPANSION[depth]
    if depth == 18:
        f = convolve(h, filters, 3, stride, f"{name}_1")
        f = convolve(f, out, 3, 1, f"{name}_2", rectify=False)  # (2)
    else:
        f = convolve(h, filters, 1, 1, f"{name}_1")
        f = convolve(f, filters, 3, stride, f"{name}_2")
        f = convolve(f, out, 1, 1, f"{name}_3", rectify=False)  # (3)
    if stride > 1 or h.shape[-1] != out:
        h = convolve(h, out, 1, stride, f"{name}_shortcut", rectify=False)
    added = keras.layers.Add(name=f"{name}_sum")([h, f])
    return keras.layers.ReLU(name=f"{name}_relu")(added)  # (1)


class _Convolutions:
    """Makes convolutions, each with its seed, followed by a normalization and a rectifier."""

    def __init__(
        self, normalization: Callable[[], keras.layers.Layer], seeds: np.random.SeedSequence
    ) -> None:
        self.normalization, self.seeds = normalization, seeds

    def next_seed(self) -> int:
        return int(self.seeds.spawn(1)[0].generate_state(1)[0])

    def __call__(
        self, h: Tensor, filters: int, size: int, stride: int, name: str, rectify: bool = True
    ) -> Tensor:
        he = keras.initializers.HeNormal(seed=self.next_seed())
        h = Convolution(
            filters,
            size,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer=he,
            name=name,
            data_format="channels_last",
        )(h)
        h = self.normalization()(h)
        return keras.layers.ReLU(name=f"{name}_relu")(h) if rectify else h
