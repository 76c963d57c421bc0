"""Images whose pixels are taken as they are in their files; TensorFlow decodes many of them at once."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tf_kit.data.pictures import Head
from tf_kit.data.untuned import untuned

_MODES = {1: "L", 3: "RGB"}  # channels → mode of Pillow
_FORMATS = ("JPEG", "PNG")  # which TensorFlow decodes to the same bytes
_MANY = 500  # images for which it is worth to start TensorFlow's threads
_BATCH, _BATCH_BYTES = 32, 2**23  # images that one call decodes, at most, and their pixels
_PIECE_BYTES = 2**23  # of files that are in memory at a time


def is_as_decoded(head: Head, shape: tuple[int, int, int]) -> bool:
    """Whether an image has a shape as soon as it is decoded: nothing is to be scaled, turned or converted.

    Example:
        >>> head = Head((64, 64), "RGB", "JPEG")
        >>> is_as_decoded(head, (64, 64, 3)), is_as_decoded(head, (32, 32, 3)), is_as_decoded(head, (64, 64, 1))
        (True, False, False)
    """
    height, width, channels = shape
    same = head.size == (height, width) and head.mode == _MODES[channels] and head.format in _FORMATS
    return same and head.is_upright and head.is_opaque


def decode_as_is(
    files: Sequence[Path],
    as_is: np.ndarray,
    shape: tuple[int, int, int],
    put: Callable[[np.ndarray, np.ndarray], None],
) -> list[int]:
    """Decode the images of some files whose pixels are taken as they are, if these are many.

    The pixels are those of `decode`, for which TensorFlow needs a third of the time.

    Args:
        files: paths of the images.
        as_is: bool (n,), for which of them `is_as_decoded` is true.
        shape: (height, width, channels) of the images.
        put: function of the indices of some images and these, uint8 (n, height, width, channels).

    Returns:
        Indices of the files that are left: the others, and those that are damaged.
    """
    from tf_kit.data.waiting import reporting

    places = np.flatnonzero(as_is)
    done = np.zeros(len(files), "bool")
    if len(places) >= _MANY:
        for place in reporting(_decoded(files, places, shape, put), len(places), "reading images"):
            done[place] = True
    return np.flatnonzero(~done).tolist()


def _decoded(files, places, shape, put) -> Iterator[int]:
    """Put the images of files and yield their places, without batches of which TensorFlow refuses an image.

    A batch is one call, since the calls of single images take longer than their pixels. The last, shorter one is left.
    """
    import tensorflow as tf

    def decode(content):
        # Decodes PNG as well. The slow, exact cosine transform is that of Pillow.
        return tf.io.decode_jpeg(content, shape[2], dct_method="INTEGER_ACCURATE")

    def decode_batch(places, contents):
        images = tf.stack([decode(content) for content in tf.unstack(contents)])
        return places, tf.ensure_shape(images, (size, *shape))

    size = max(1, min(_BATCH, _BATCH_BYTES // math.prod(shape)))
    batches = places[: len(places) // size * size].reshape(-1, size)
    for some, contents in _pieces(files, batches):
        images = tf.data.Dataset.from_tensor_slices((some, tf.constant(contents, tf.string, some.shape)))
        images = images.map(decode_batch, tf.data.AUTOTUNE).ignore_errors().prefetch(tf.data.AUTOTUNE)
        for decoded, pixels in untuned(images).as_numpy_iterator():
            put(decoded, pixels)
            yield from decoded.tolist()


def _pieces(files, batches):
    """Yield some rows of `batches` with the contents of their files, about `_PIECE_BYTES` at a time.

    TensorFlow's threads need several times as long to read short files as this loop.
    """
    first, contents, read = 0, [], 0
    for i, batch in enumerate(batches):
        contents.append([_content(files[k]) for k in batch])
        read += sum(map(len, contents[-1]))
        if read > _PIECE_BYTES or i + 1 == len(batches):
            yield batches[first : i + 1], contents
            first, contents, read = i + 1, [], 0


def _content(file):
    try:
        with open(file, "rb", buffering=0) as opened:  # a buffer takes longer than a short file
            return opened.read()
    except OSError:  # named when Pillow opens it
        return b""
