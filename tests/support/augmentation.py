"""What is asked of augmentations."""

import tensorflow as tf


def uncompiled(layer, images, key):
    """`layer.augment(images, key)` in plain operations: its two halves without XLA."""
    return layer.apply(tf.constant(images), layer.draw(key, images.shape[1:]))
