"""Reading of prepared sets with TensorFlow: whole, into arrays, or as a stream of minibatches."""

import contextlib
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data import prepared
from tf_kit.data.batches import draw_order
from tf_kit.data.memory import memory_bytes
from tf_kit.data.splits import Split
from tf_kit.data.untuned import untuned
from tf_kit.data.white import white_of_dtype, white_of_values
from tf_kit.typing import Dataset

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_CHECKED_BYTES = 2**30  # the records of smaller sets are all checked before a stream begins
_RECORD_OVERHEAD = 16  # bytes: a length, its checksum, and the checksum of the content


def read(folder: Path, image_size: tuple[int, int] | None = None) -> tuple[Split, Split, Split]:
    """Read a prepared set into arrays.

    Args:
        folder: version folder of a prepared set.
        image_size: `(height, width)` to scale the images to; None keeps their size. Defaults to None.

    Returns:
        `Split` train, val, test.

    Raises:
        ValueError: a file is damaged, images vary in size and `image_size` is None, or the set does not fit into
            memory.
    """
    import tensorflow as tf

    builder, info = open_prepared(folder)
    shape = _shape(info, image_size)
    check_memory(info.name, sum(info.examples.values()), shape)
    names = tuple(builder.info.features[info.label].names)
    parts = _parts(builder, info)
    read = []
    for part in parts.values():
        n = builder.info.splits[part].num_examples
        x, y, start = np.empty((n, *shape), "float32"), np.empty(n, "int64"), 0
        examples = _examples(builder, info, part).map(_formed(info, image_size), tf.data.AUTOTUNE)
        kind = examples.element_spec[0].dtype.as_numpy_dtype
        with reading(folder):
            for images, classes in untuned(examples.batch(500).prefetch(2)).as_numpy_iterator():
                stop = start + len(classes)
                np.divide(images, white_of_dtype(kind), out=x[start:stop])
                y[start:stop], start = classes, stop
        read.append((x, y))
    if not np.issubdtype(kind, np.integer):
        white = white_of_values(info.name, min(x.min() for x, _ in read), max(x.max() for x, _ in read))
        for x, _ in read:
            x /= white
    train, val, test = (_labelled(x, y, names, part) for part, (x, y) in zip(parts, read, strict=True))
    return train, val, test


def _labelled(x, y, names, part):
    """Make a `Split`; examples without a class (−1) are unlabelled in train, and left out elsewhere."""
    kept = y >= 0
    if kept.all():
        return Split(x, y, names)
    return Split(x[kept], y[kept], names, unlabelled_x=x[~kept] if part == "train" else None)


def batches(
    folder: Path,
    split: str,
    *,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int,
    shuffle_buffer: int,
    image_size: tuple[int, int] | None,
) -> Dataset:
    """Stream minibatches `(x, y)` of one split of a prepared set; the arguments are those of `stream`."""
    import tensorflow as tf

    builder, info = open_prepared(folder)
    _shape(info, image_size)
    part = _parts(builder, info)[split]
    if info.size_bytes < _CHECKED_BYTES:
        _check_records(folder)
    white = _white_of_set(builder, info)
    n = _num_labelled(builder, info, part)
    # Compressed, so the blocks to shuffle need less memory.
    encoded = _examples(builder, info, part, encoded=True).filter(lambda image, label: label >= 0)
    form, feature = _formed(info, image_size), builder.info.features[info.image]

    def decode(image, label):
        return form(feature.decode_example(image), label)

    def scale(images, classes):
        return tf.cast(images, tf.float32) / white, classes

    def shuffle(epoch):
        def mix(block, examples):
            order = draw_order(tf.shape(examples[1])[0], seed, epoch, block)
            return tf.nest.map_structure(lambda each: tf.gather(each, order), examples)

        return encoded.batch(shuffle_buffer).enumerate().map(mix).prefetch(1).unbatch()

    def one(epoch):
        examples = shuffle(epoch) if shuffle_buffer > 1 else encoded
        examples = examples.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(batch_size).map(scale, num_parallel_calls=tf.data.AUTOTUNE)

    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(one)
    steps = (epochs - first_epoch) * -(-n // batch_size)
    stream = stream.apply(tf.data.experimental.assert_cardinality(steps))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return untuned(stream.with_options(options).prefetch(tf.data.AUTOTUNE))


def open_prepared(folder: Path) -> "tuple[tfds.core.DatasetBuilder, prepared.Prepared]":
    """Make the builder and the description of the set in a version folder, after a check of its files.

    Raises:
        ValueError: a file is missing or truncated, which the message names, or the set is not image classification.
    """
    import tensorflow_datasets as tfds

    info = prepared.describe(folder)
    if info.shape is None:
        prepared.not_images(info.name)
    if "train" not in prepared.own_parts(info.examples):
        received = f"{info.name!r} with {', '.join(info.examples) or 'no split'}"
        refuse("load.name", "name a set with a split for training", received, flag="--data")
    builder = tfds.builder_from_directory(folder)
    if "tfrecord" in str(builder.info.file_format).lower():
        for split in builder.info.splits.values():
            _check_files(split)
    return builder, info


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn TensorFlow's error about a damaged record into an `InputError` that names the file."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        _check_records(folder)
        prepared.damaged(folder, _message(error))


def _check_records(folder):
    """Raise `InputError` that names the first file with a damaged record."""
    import tensorflow as tf

    for path in sorted(folder.glob("*.tfrecord*")):
        try:
            for _ in tf.data.TFRecordDataset(str(path)).batch(1000):
                pass
        except tf.errors.OpError as cause:
            prepared.damaged(path, _message(cause))


def _message(error):
    """First line of TensorFlow's message, without the names of its nodes."""
    return re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error.message).splitlines()[0]).strip()


def _parts(builder, info):
    """Divide the set by `prepared.parts`, without a test split whose labels are withheld (class −1)."""
    examples = dict(info.examples)
    own = prepared.own_parts(examples)
    if "test" in own:
        with reading(info.folder):
            first = next(iter(_examples(builder, info, own["test"], encoded=True).take(1)), (None, 0))
        if first[1] < 0:
            del examples[own["test"]]
            own = prepared.own_parts(examples)
    n, drawn = examples[own["train"]], {1: 2, 2: 1, 3: 0}[len(own)]
    if n <= drawn:
        requirement = f"hold at least {1 + drawn} examples, one each for training, validation and test"
        refuse("load.name", requirement, f"{info.name!r} with {n}", flag="--data")
    return prepared.parts(examples)


def _num_labelled(builder, info, part):
    """Count the examples of a split that have a class."""
    import tensorflow as tf

    with reading(info.folder):
        labels = _examples(builder, info, part, encoded=True).batch(1000).map(lambda image, label: label)
        count = labels.reduce(np.int64(0), lambda n, label: n + tf.math.count_nonzero(label >= 0))
    return int(count)


def _examples(builder, info, part, encoded=False):
    """Make a `tf.data.Dataset` of `(image, class)` in the order of the files; images stay compressed if `encoded`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(
        split=part,
        decoders={info.image: tfds.decode.SkipDecoding()} if encoded else None,
        read_config=tfds.ReadConfig(try_autocache=False),
        shuffle_files=False,
    )
    return dataset.map(lambda example: (example[info.image], example[info.label]), tf.data.AUTOTUNE)


def resized(images: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Scale float images (n, h, w, c) to `(height, width)`, as those of prepared sets are scaled."""
    import tensorflow as tf

    return tf.image.resize(images, image_size, antialias=True).numpy()


def _resized(image, image_size):
    """Scale `image` to `(height, width)` and keep its dtype; None or its size leaves it unchanged."""
    import tensorflow as tf

    if image_size is None or image_size == tuple(image.shape[:2]):
        return image
    kind = image.dtype
    image = tf.image.resize(image, image_size, antialias=True)
    return tf.cast(tf.round(image), kind) if kind.is_integer else image


def _formed(info, image_size):
    """Make the function that gives an image its size, and three channels if their number is not known."""
    import tensorflow as tf

    def form(image, label):
        if info.shape[2] < 1:
            image = image[..., :3] if tf.shape(image)[-1] >= 3 else tf.repeat(image[..., :1], 3, axis=-1)
            image.set_shape((None, None, 3))
        return _resized(image, image_size), label

    return form


def _white_of_set(builder, info):
    """Value of white in the images of a set; those of real numbers are read for it."""
    import tensorflow as tf

    kind = builder.info.features[info.image].np_dtype
    if np.issubdtype(kind, np.integer):
        return white_of_dtype(kind)
    low, high = [], []
    with reading(info.folder):
        for part in prepared.own_parts(info.examples).values():
            for image, _ in _examples(builder, info, part):
                low.append(float(tf.reduce_min(image)))
                high.append(float(tf.reduce_max(image)))
    return white_of_values(info.name, min(low), max(high))


def _shape(info, image_size):
    if image_size is None and min(info.shape[:2]) < 1:
        refuse(
            "load.image_size",
            "be given for images of varying size",
            f"no size for {info.name}, whose images have the shape {info.shape}",
            "`image_size=(64, 64)` scales all to 64×64",
            typed_remedy="`--image-size 64` scales all to 64×64",
        )
    channels = info.shape[2] if info.shape[2] > 0 else 3
    return (*image_size, channels) if image_size else (*info.shape[:2], channels)


def check_memory(name: str, count: int, shape: tuple[int, ...]) -> None:
    """Refuse a set whose images, `count` of a shape as float32, do not fit into memory."""
    need = 4 * count * math.prod(shape)
    have = memory_bytes()
    if need > 0.8 * have:
        refuse(
            "load.name",
            f"name a set that fits into the memory of {have / 2**30:.0f} GiB",
            f"{name}, {need / 2**30:.0f} GiB as float32",
            "`data.stream` reads it in minibatches; a smaller `image_size` needs less memory",
            flag="--data",
            typed_remedy="A smaller `--image-size` needs less memory",
        )


def _check_files(split):
    paths = [Path(path) for path in split.filepaths]
    for path in paths:
        if not path.exists():
            prepared.damaged(path, "no such file")
    expected = split.num_bytes + _RECORD_OVERHEAD * split.num_examples
    if sum(path.stat().st_size for path in paths) == expected:
        return
    for path, records in zip(paths, split.shard_lengths, strict=True):  # slow, so only if the sizes differ
        whole = _whole_records(path)
        if whole != records:
            prepared.damaged(path, f"{whole} whole records of {records} in {path.stat().st_size} bytes")


def _whole_records(path):
    """Count the complete records of a TFRecord file, from their lengths only."""
    size, found = path.stat().st_size, 0
    with open(path, "rb") as file:
        while (start := file.tell()) + _RECORD_OVERHEAD <= size:
            (length,) = struct.unpack("<Q", file.read(8))
            if start + _RECORD_OVERHEAD + length > size:
                break
            file.seek(start + _RECORD_OVERHEAD + length)
            found += 1
    return found
