"""How fast the augmentations are beside Keras's preprocessing layers: alternating calls in one run, median ratio.

python tests/benchmarks/augmentation.py [--batch 128] [--size 32] [--repeats 30]

Each side is one tf.function on a batch of float images, as it would run in `tf.data`'s map or in a training step.
Keras draws for each image too, except that its crop takes one window for the batch; its translation, which is what
a padded crop does, is drawn for each image and stands in for it.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tf_kit import regularization as ours

theirs = keras.layers


def pairs(size):
    """name -> (ours, Keras's)."""
    shift = 4 / size
    return {
        "flip": (ours.RandomFlip(), theirs.RandomFlip("horizontal")),
        "crop": (ours.RandomCrop(4), theirs.RandomTranslation(shift, shift, fill_mode="constant")),
        "rotation": (ours.RandomRotation(15), theirs.RandomRotation(15 / 360, fill_mode="constant")),
        "brightness": (ours.RandomBrightness(0.4), theirs.RandomBrightness(0.4, value_range=(0, 1))),
        "contrast": (ours.RandomContrast(0.4), theirs.RandomContrast(0.4, value_range=(0, 1))),
        "jitter": (
            ours.ColorJitter(0.5),
            theirs.RandomColorJitter((0, 1), 0.4, 0.4, (0.3, 0.7), 0.1),
        ),
        "noise": (ours.AddNoise(0.1), theirs.GaussianNoise(0.1)),
        "cutout": (ours.Cutout(8), theirs.RandomErasing(1.0, scale=1 / 16, fill_value=0, value_range=(0, 1))),
        "blur": (
            ours.GaussianBlur((0.5, 2.0), 1.0, radius=1),
            theirs.RandomGaussianBlur(1.0, 3, sigma=(0.5, 2.0), value_range=(0, 1)),
        ),
        "rotation + crop + flip": (
            ours.compose(ours.RandomRotation(15), ours.RandomCrop(4), ours.RandomFlip()),
            keras.Sequential(
                [
                    theirs.RandomRotation(15 / 360, fill_mode="constant"),
                    theirs.RandomTranslation(shift, shift, fill_mode="constant"),
                    theirs.RandomFlip("horizontal"),
                ]
            ),
        ),
    }


def seconds(function, images):
    start = time.perf_counter()
    np.asarray(function(images))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    images = tf.random.uniform((options.batch, options.size, options.size, 3), seed=0)
    print(f"{options.batch} images of {options.size} x {options.size} x 3, median of {options.repeats}")
    print(f"{'':24}{'tf_kit ms':>12}{'Keras ms':>12}{'Keras / tf_kit':>16}")
    for name, layers in pairs(options.size).items():
        functions = [tf.function(lambda x, layer=layer: layer(x, training=True)) for layer in layers]
        for function in functions:
            seconds(function, images)
        times = [[seconds(function, images) for function in functions] for _ in range(options.repeats)]
        ratio = statistics.median(slow / fast for fast, slow in times)
        mine, keras_s = (1e3 * statistics.median(each) for each in zip(*times, strict=True))
        print(f"{name:24}{mine:12.2f}{keras_s:12.2f}{ratio:16.2f}")


if __name__ == "__main__":
    main()
