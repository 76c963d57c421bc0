"""Projection head: the usual projector and predictor of joint embedding."""

from collections.abc import Sequence
from typing import Any

import keras

from tf_kit.checks import count, refuse
from tf_kit.regularization.batch_norm import BatchNorm

UNITS = (256, 128)  # sizes of the default projector


def projection_head(
    units: Sequence[int] = UNITS, seed: int = 0, name: str | None = None, dtype: Any = None
) -> keras.Sequential:
    """Make a projection head: dense layers with batch norm and ReLU between them.

        a⁰ = r;   aˡ = ReLU(BatchNorm(Wˡ aˡ⁻¹));   z = W^L a^{L−1}          (1)

    There are no biases: batch norm removes those of the hidden layers; Barlow Twins and VICReg do not depend on that
    of the last layer, and SimCLR and BYOL, which use directions, do not benefit from a vector that all embeddings
    share. Batch norm uses the global batch on any number of replicas.

    Args:
        units: size of each layer; the last one is that of the embedding. Defaults to (256, 128).
        seed: whole number that fixes the weights (Glorot uniform). Defaults to 0.
        name: name of the model.
        dtype: dtype or dtype policy of the layers. Defaults to None, the global policy.

    Raises:
        InputError: there is no layer, or a size is not a positive whole number.

    Reference: Chen, Kornblith, Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual
    representations, section 4.2, arXiv:2002.05709.
    """
    units = [count("projection_head.units", each) for each in units]
    if not units:
        remedy = "Give keras.layers.Identity() for no projection"
        refuse("projection_head.units", "contain at least one size", "()", remedy)
    layers = []
    for i, size in enumerate(units, start=1):
        glorot = keras.initializers.GlorotUniform(seed=seed + i)
        layers.append(
            keras.layers.Dense(
                size, use_bias=False, kernel_initializer=glorot, dtype=dtype, name=f"projection_{i}"
            )
        )
        if i < len(units):
            rectifier = keras.layers.Activation("relu", dtype=dtype, name=f"relu_{i}")
            layers += [BatchNorm(dtype=dtype, name=f"norm_{i}"), rectifier]
    return keras.Sequential(layers, name=name)
