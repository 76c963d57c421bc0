"""How fast a whole step of SimCLR is, augmentation included, against the same in Keras's own layers and in PyTorch.

python tests/benchmarks/simclr.py [--images digits fashion natural] [--batch 256] [--steps 20] [--repeats 9]

Both train the encoder that `tf-kit pretrain simclr` takes for such images (28 × 28 grey for digits and fashion, 32 ×
32 × 3 for natural ones), with its projector and Adam, on two views of each image made as the preset makes them:
turned or mirrored, a window stretched to the image's size, brightness and contrast, for colors saturation and hue. In
Keras's layers a window is a zoom and a shift. Both run as one tf.function fed by tf.data that prepares batches ahead.
Keras's layers augment where they are faster on this machine: in the pipeline (mapped over batches in parallel) or in
the step; both places are timed. In PyTorch, where it is installed, the views are tensor operations on the whole batch
with one draw per image, the loss is lightly's where that is installed, and Adam is fused. The contestants take turns,
each for two epochs in one `fit`, of which the second is timed; a ratio is the median over turns, with its quartiles.
"""

import argparse
import contextlib
import functools
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with contextlib.suppress(ImportError):
    import torch._dynamo  # noqa: F401  (torch.optim loads it; after TensorFlow that ends the process)

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from rows import MISSING

from tf_kit import pretraining, regularization
from tf_kit.runs import encoders

if "torch" not in MISSING:
    import in_torch

TEMPERATURE = 0.2


SHAPES = {"digits": (28, 28, 1), "fashion": (28, 28, 1), "natural": (32, 32, 3)}


def keras_views(kind):
    """What `regularization.preset(kind, strong=True)` does, in Keras's layers."""

    def window(smallest):
        side = smallest**0.5
        return [
            layers.RandomZoom((side - 1, 0.0), fill_mode="constant"),
            layers.RandomTranslation((1 - side) / 2, (1 - side) / 2, fill_mode="constant"),
        ]

    grey = [layers.RandomBrightness(0.4, value_range=(0, 1)), layers.RandomContrast(0.4, value_range=(0, 1))]
    colors = layers.RandomColorJitter(
        (0, 1), brightness_factor=0.8, contrast_factor=0.8, saturation_factor=0.8, hue_factor=0.2
    )
    mirror, turn = layers.RandomFlip("horizontal"), layers.RandomRotation(15 / 360, fill_mode="constant")
    parts = {
        "digits": [turn, *window(0.5), *grey],
        "fashion": [mirror, *window(0.4), *grey],
        "natural": [*window(0.2), mirror, colors],
    }
    return keras.Sequential(parts[kind])


def plain_nt_xent(z, labels):
    """NT-Xent of 2n embeddings, row labels[i] being the other view of row i, as a softmax over the other rows."""
    z = tf.math.l2_normalize(z, axis=1)
    similarity = tf.matmul(z, z, transpose_b=True) / TEMPERATURE
    similarity = tf.linalg.set_diag(similarity, tf.fill([tf.shape(z)[0]], -1e9))
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, similarity))


class PlainSimCLR(keras.Model):
    """SimCLR as one writes it in Keras: both views in one pass through encoder and projector."""

    def __init__(self, encoder, projector, augment=None):
        super().__init__()
        self.encoder, self.projector, self.augment = encoder, projector, augment
        self.mean_loss = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.mean_loss]

    def train_step(self, batch):
        if self.augment is not None:
            batch = self.augment(batch, training=True), self.augment(batch, training=True)
        views = tf.concat(batch, axis=0)
        n = tf.shape(views)[0]
        labels = tf.roll(tf.range(n), n // 2, axis=0)  # the other view
        with tf.GradientTape() as tape:
            z = self.projector(self.encoder(views, training=True), training=True)
            loss = plain_nt_xent(z, labels)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.mean_loss.update_state(loss)
        return {"loss": self.mean_loss.result()}


def contestants(kind, x, batch):
    """name → a function (epochs, callbacks) that trains."""
    shape = x.shape[1:]

    def networks_for():
        encoder = encoders.make_encoder(shape, **encoders.encoder_options("simclr", None, shape, {}))
        return encoder, pretraining.projection_head()

    kit, without_views = (
        pretraining.SimCLR(*networks_for(), augment=augment, temperature=TEMPERATURE)
        for augment in (regularization.preset(kind, strong=True), None)
    )
    for model in (kit, without_views):
        model.compile(keras.optimizers.Adam(0.001))
    shuffled = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x)).batch(batch, drop_remainder=True)
    in_step = PlainSimCLR(*networks_for(), augment=keras_views(kind))
    in_pipeline, augment = PlainSimCLR(*networks_for()), keras_views(kind)
    mapped = shuffled.map(
        lambda images: (augment(images, training=True), augment(images, training=True)),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
    for model in (in_step, in_pipeline):
        model.compile(keras.optimizers.Adam(0.001))
    found = {
        "tf_kit": functools.partial(kit.fit, x, batch_size=batch, verbose=0),
        "tf_kit, the networks without views": functools.partial(
            without_views.fit, x, batch_size=batch, verbose=0
        ),
        "Keras, augmented in the step": functools.partial(in_step.fit, shuffled.prefetch(2), verbose=0),
        "Keras, augmented in tf.data": functools.partial(in_pipeline.fit, mapped, verbose=0),
    }
    if "torch" in MISSING:
        return found
    loss = functools.partial(in_torch.nt_xent, temperature=TEMPERATURE)
    name = "PyTorch, views of tensors"
    if "lightly" not in MISSING:
        loss = in_torch.of_lightly("nt_xent", temperature=TEMPERATURE)
        name += ", lightly's loss"
    return found | {name: in_torch.simclr(kind, x, batch, loss)}


class SecondsOfEpochs(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.began)


def seconds(train):
    """Of the second of two epochs: the first also starts the pipeline."""
    clock = SecondsOfEpochs()
    train(epochs=2, callbacks=[clock])
    return clock.seconds[1]


def check_equal_losses():
    z = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
    plain = float(plain_nt_xent(z, np.roll(np.arange(12), 6)))
    ours = float(pretraining.nt_xent(z[:6], z[6:], TEMPERATURE))
    np.testing.assert_allclose(plain, ours, rtol=1e-5, err_msg="both must minimize the same loss")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", nargs="+", choices=SHAPES, default=list(SHAPES))
    for name, default in (("batch", 256), ("steps", 20), ("repeats", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    check_equal_losses()
    print(f"{options.batch} images a step, median of {options.repeats} epochs of {options.steps} steps")
    print(f"{'':42}{'images a second':>16}{'× the time of tf_kit':>24}{'quartiles':>16}")
    for kind in options.images:
        shape = SHAPES[kind]
        x = np.random.default_rng(0).random((options.steps * options.batch, *shape), dtype="float32")
        competitors = contestants(kind, x, options.batch)
        for train in competitors.values():
            seconds(train)  # traces and compiles
        turns = [
            {name: seconds(train) for name, train in competitors.items()} for _ in range(options.repeats)
        ]
        for name in competitors:
            rate = len(x) / statistics.median(each[name] for each in turns)
            low, ratio, high = np.quantile([each[name] / each["tf_kit"] for each in turns], (0.25, 0.5, 0.75))
            print(f"{f'{kind}: {name}':42}{rate:16,.0f}{ratio:24.2f}{low:10.2f}–{high:.2f}", flush=True)


if __name__ == "__main__":
    main()
