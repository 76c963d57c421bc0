"""The usual projector and predictor."""

import keras

from tf_kit.checks import count, refuse
from tf_kit.regularization.batch_norm import BatchNorm

UNITS = (256, 128)  # of the default projector


def projection_head(units=UNITS, seed=0, name=None):
    """The usual projector or predictor: dense layers with batch norm and ReLU between them, a `keras.Sequential`.

        a⁰ = r;   aˡ = ReLU(BatchNorm(Wˡ aˡ⁻¹));   z = W^L a^{L−1}          (1)

    There are no biases: batch norm takes those of the hidden layers out again, Barlow Twins and VICReg do not see
    that of the last, and SimCLR and BYOL, which see directions, gain nothing from one that all embeddings share.
    The batch norm is that of the global batch on any number of replicas.

    Args:
        units: size of each layer, the embedding's last. Defaults to (256, 128).
        seed: seed of the Glorot-uniform weights.
        name: name of the model.

    Reference: Chen, Kornblith, Norouzi, Hinton 2020, section 4.2.
    """
    units = [count("projection_head.units", each) for each in units]
    if not units:
        refuse("projection_head.units", "name a layer", "()", "Layer Identity() projects nothing")
    layers = []
    for i, size in enumerate(units, start=1):
        glorot = keras.initializers.GlorotUniform(seed=seed + i)
        layers.append(
            keras.layers.Dense(size, use_bias=False, kernel_initializer=glorot, name=f"projection_{i}")
        )
        if i < len(units):
            layers += [BatchNorm(name=f"norm_{i}"), keras.layers.Activation("relu", name=f"relu_{i}")]
    return keras.Sequential(layers, name=name)
