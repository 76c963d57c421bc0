"""How fast a whole step of SimCLR is, augmentation included, beside the same written with Keras's own layers.

python tests/benchmarks/simclr.py [--batch 256] [--size 28] [--channels 1] [--steps 40] [--repeats 5]

Both train the same encoder and projector with Adam on two views of each image, turned, shifted, mirrored, and changed
in brightness and contrast; both run as one tf.function fed by tf.data that prepares batches ahead. Keras's layers
augment where they are faster on this machine: in the pipeline (mapped over batches in parallel) or in the step; both
places are timed. Epochs of the contestants alternate, and the ratio is the median over pairs of epochs.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tf_kit import networks, pretraining
from tf_kit import regularization as ours

theirs = keras.layers
TEMPERATURE = 0.5


def our_views():
    return ours.compose(
        ours.RandomRotation(15),
        ours.RandomCrop(3),
        ours.RandomFlip(),
        ours.RandomBrightness(0.4),
        ours.RandomContrast(0.4),
    )


def keras_views(size):
    shift = 3 / size
    return keras.Sequential(
        [
            theirs.RandomRotation(15 / 360, fill_mode="constant"),
            theirs.RandomTranslation(shift, shift, fill_mode="constant"),
            theirs.RandomFlip("horizontal"),
            theirs.RandomBrightness(0.4, value_range=(0, 1)),
            theirs.RandomContrast(0.4, value_range=(0, 1)),
        ]
    )


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


def contestants(x, batch):
    """name → a function that trains one epoch."""
    size, n = x.shape[1], len(x)

    def networks_for():
        encoder = networks.cnn(num_classes=None, input_shape=x.shape[1:], seed=0)
        return encoder, pretraining.projection_head((128, 64))

    kit = pretraining.SimCLR(*networks_for(), augment=our_views(), temperature=TEMPERATURE)
    kit.compile(keras.optimizers.Adam(0.001))
    shuffled = tf.data.Dataset.from_tensor_slices(x).shuffle(n).batch(batch, drop_remainder=True)
    in_step = PlainSimCLR(*networks_for(), augment=keras_views(size))
    in_pipeline, augment = PlainSimCLR(*networks_for()), keras_views(size)
    mapped = shuffled.map(
        lambda images: (augment(images, training=True), augment(images, training=True)),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
    for model in (in_step, in_pipeline):
        model.compile(keras.optimizers.Adam(0.001))
    return {
        "tf_kit": lambda: kit.fit(x, batch_size=batch, verbose=0),
        "Keras, augmented in the step": lambda: in_step.fit(shuffled.prefetch(2), verbose=0),
        "Keras, augmented in tf.data": lambda: in_pipeline.fit(mapped, verbose=0),
    }


def seconds(train_epoch):
    start = time.perf_counter()
    train_epoch()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("batch", 256), ("size", 28), ("channels", 1), ("steps", 40), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    z = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
    same = (
        float(plain_nt_xent(z, np.roll(np.arange(12), 6))),
        float(pretraining.nt_xent(z[:6], z[6:], TEMPERATURE)),
    )
    np.testing.assert_allclose(*same, rtol=1e-5, err_msg="both must minimise the same loss")
    shape = (options.steps * options.batch, options.size, options.size, options.channels)
    x = np.random.default_rng(0).random(shape, dtype="float32")
    competitors = contestants(x, options.batch)
    for train_epoch in competitors.values():
        seconds(train_epoch)  # traces and compiles
    rounds = [{name: seconds(epoch) for name, epoch in competitors.items()} for _ in range(options.repeats)]
    print(
        f"{options.batch} images of {' × '.join(map(str, shape[1:]))} a step, median of {options.repeats} epochs"
    )
    print(f"{'':32}{'images a second':>16}{'× the time of tf_kit':>24}")
    for name in competitors:
        rate = len(x) / statistics.median(each[name] for each in rounds)
        ratio = statistics.median(each[name] / each["tf_kit"] for each in rounds)
        print(f"{name:32}{rate:16,.0f}{ratio:24.2f}")


if __name__ == "__main__":
    main()
