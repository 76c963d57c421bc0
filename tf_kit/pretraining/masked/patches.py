"""Images as patches: cutting, putting together, hiding some and putting what is left back in its place."""

from keras import ops

from tf_kit import _checks


def patchify(images, patch_size):
    """Cuts images into square patches, row by row.

        p_{r,c} = x[r s : (r + 1) s, c s : (c + 1) s],  flattened           (1)

    where s = `patch_size`. `unpatchify` is the inverse.

    Args:
        images: (n, h, w, c), h and w divisible by `patch_size`.
        patch_size: side of a patch, in pixels.

    Returns:
        (n, patches, s · s · c).

    Raises:
        InputError: if the patches do not cover the image exactly.

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


def unpatchify(patches, image_shape, patch_size):
    """Images (n, h, w, c) from the patches (n, patches, s · s · c) that `patchify` cut.

    >>> import numpy as np
    >>> x = np.arange(32.0).reshape(2, 4, 4, 1)
    >>> bool((unpatchify(patchify(x, 2), (4, 4, 1), 2) == x).numpy().all())
    True
    """
    rows, columns = grid_shape((None, *image_shape), patch_size)
    s, channels = patch_size, image_shape[-1]
    x = ops.reshape(patches, (-1, rows, columns, s, s, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (n, rows, s, columns, s, c)
    return ops.reshape(x, (-1, rows * s, columns * s, channels))


def grid_shape(shape, patch_size):
    """Rows and columns of patches in images of shape (n, h, w, c), or `InputError`."""
    if len(shape) != 4:
        _checks.refuse("patches.images", "have shape (n, height, width, channels)", f"shape={tuple(shape)}")
    height, width = shape[1:3]
    if height % patch_size or width % patch_size:
        _checks.refuse(
            "patch_size",
            f"divide the {height} × {width} pixels of an image",
            f"patch_size={patch_size}",
            "Choose a divisor of both, or crop the images",
        )
    return height // patch_size, width // patch_size


def hide(noise, num_visible):
    """Which places stay visible: those of the `num_visible` smallest numbers of each row.

        o = argsort(u),  visible = o[: V],  rank = argsort(o)               (1)
        masked_p = 1 if rank_p ≥ V, else 0                                  (2)

    where u = `noise` and V = `num_visible`. With independent uniform noise every choice of V places is equally
    likely.

    Args:
        noise: (n, places).
        num_visible: places of a row that stay.

    Returns:
        visible, (n, V) integers; rank, (n, places) integers; masked, (n, places), True where hidden.

    Example:

    >>> import numpy as np
    >>> visible, rank, masked = hide(np.array([[0.3, 0.9, 0.1]]), 2)
    >>> visible.numpy().tolist(), masked.numpy().tolist()
    ([[2, 0]], [[False, True, False]])
    """
    order = ops.argsort(noise, axis=-1)
    rank = ops.argsort(order, axis=-1)  # (1)
    return order[:, :num_visible], rank, rank >= num_visible  # (2)


def take_places(tokens, places):
    """tokens[i, places[i, k]] for each example i and each k: (n, places, d) → (n, k, d)."""
    return ops.take_along_axis(tokens, places[..., None], axis=1)


def put_back(visible_tokens, mask_token, rank):
    """Tokens in their places again, with the mask token where nothing was seen.

    Args:
        visible_tokens: (n, V, d), in the order of `hide`'s `visible`.
        mask_token: (d,).
        rank: (n, places), of `hide`.

    Returns:
        (n, places, d).

    Example:

    >>> import numpy as np
    >>> u, x = np.array([[0.3, 0.9, 0.1]]), np.array([[[1.0], [2.0], [3.0]]])
    >>> visible, rank, masked = hide(u, 2)
    >>> put_back(take_places(x, visible), np.array([-1.0]), rank)[0, :, 0].numpy().tolist()
    [1.0, -1.0, 3.0]
    """
    n, num_visible, width = ops.shape(visible_tokens)
    hidden = ops.broadcast_to(mask_token, (n, rank.shape[1] - num_visible, width))
    return take_places(ops.concatenate([visible_tokens, hidden], axis=1), rank)
