"""Conversion of images to sequences of square patches, and back."""

from keras import ops

from tf_kit.checks import count, refuse, same_shape
from tf_kit.typing import ArrayLike, Tensor


def patchify(images: ArrayLike, patch_size: int) -> Tensor:
    """Cut images into square patches, row by row.

        p_{r,c} = x[r s : (r + 1) s, c s : (c + 1) s],  flattened           (1)

    where s = `patch_size`. `unpatchify` is the inverse.

    Args:
        images: array (n, h, w, c), with h and w divisible by `patch_size`.
        patch_size: side of a patch in pixels.

    Returns:
        Tensor (n, patches, s · s · c).

    Raises:
        ValueError: the patches do not cover the image exactly.

    Example:
        >>> import numpy as np
        >>> patchify(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, 1].numpy().tolist()
        [2.0, 3.0, 6.0, 7.0]
    """
    rows, columns = grid_shape(images.shape, patch_size)
    s, channels = patch_size, images.shape[-1]
    x = ops.reshape(images, (-1, rows, s, columns, s, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (n, rows, columns, s, s, c)
    return ops.reshape(x, (-1, rows * columns, s * s * channels))  # (1)


def unpatchify(patches: ArrayLike, image_shape: tuple[int, int, int], patch_size: int) -> Tensor:
    """Assemble images from patches; the inverse of `patchify`.

    Args:
        patches: array (n, patches, s · s · c).
        image_shape: (h, w, c).
        patch_size: s, side of a patch in pixels.

    Returns:
        Tensor (n, h, w, c).

    Raises:
        ValueError: the patches do not cover the image exactly, or `patches` has another number or size of them.

    Example:
        >>> import numpy as np
        >>> x = np.arange(32.0).reshape(2, 4, 4, 1)
        >>> bool((unpatchify(patchify(x, 2), (4, 4, 1), 2) == x).numpy().all())
        True
    """
    rows, columns = grid_shape((None, *image_shape), patch_size)
    s, channels = patch_size, image_shape[-1]
    given, wanted = tuple(patches.shape), (None, rows * columns, s * s * channels)
    if not same_shape(given, wanted):
        requirement = f"have shape (n, {wanted[1]}, {wanted[2]}) for images of shape {tuple(image_shape)}"
        refuse("unpatchify.patches", requirement, f"shape {given}")
    x = ops.reshape(patches, (-1, rows, columns, s, s, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (n, rows, s, columns, s, c)
    return ops.reshape(x, (-1, rows * s, columns * s, channels))


def grid_shape(shape: tuple[int | None, ...], patch_size: int) -> tuple[int, int]:
    """Return the numbers of rows and columns of patches in images of shape (n, h, w, c).

    Raises:
        ValueError: the shape is another one, or the patches do not cover the image exactly.
    """
    count("patches.patch_size", patch_size)
    if len(shape) != 4:
        refuse("patches.images", "have shape (n, height, width, channels)", f"shape={tuple(shape)}")
    _, height, width, _ = shape
    if height is None or width is None:
        refuse("patches.images", "have a known height and width", f"shape={tuple(shape)}")
    if height % patch_size or width % patch_size:
        refuse(
            "patch_size",
            f"divide the {height} × {width} pixels of an image",
            f"patch_size={patch_size}",
            "Choose a divisor of both, or crop the images",
        )
    return height // patch_size, width // patch_size
