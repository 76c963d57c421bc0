"""Random hiding of places of a sequence, and its inverse for the visible tokens."""

from keras import ops

from tf_kit.typing import ArrayLike, Tensor


def hide(noise: ArrayLike, num_visible: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the places of a sequence that stay visible: those of the smallest numbers in each row of `noise`.

        o = argsort(u),  visible = o[: V],  rank = argsort(o)               (1)
        masked_p = 1 if rank_p ≥ V, else 0                                  (2)

    where u = `noise` and V = `num_visible`. With independent uniform noise, all choices of V places are equally
    likely.

    Args:
        noise: (n, places).
        num_visible: V, the number of visible places per row.

    Returns:
        visible, the visible places, integers (n, V); rank, integers (n, places); masked, booleans (n, places), True
        where hidden.

    Example:
        >>> import numpy as np
        >>> visible, rank, masked = hide(np.array([[0.3, 0.9, 0.1]]), 2)
        >>> visible.numpy().tolist(), masked.numpy().tolist()
        ([[2, 0]], [[False, True, False]])
    """
    order = ops.argsort(noise, axis=-1)
    rank = ops.argsort(order, axis=-1)  # (1)
    return order[:, :num_visible], rank, rank >= num_visible  # (2)


def take_places(tokens: Tensor, places: Tensor) -> Tensor:
    """Take tokens[i, places[i, k]] for each example i and each k, (n, places, d) -> (n, k, d)."""
    return ops.take_along_axis(tokens, places[..., None], axis=1)


def put_back(visible_tokens: Tensor, mask_token: Tensor, rank: Tensor) -> Tensor:
    """Put visible tokens back in their places, and the mask token in the hidden ones: the inverse of `hide`.

    Args:
        visible_tokens: (n, V, d), in the order of `visible` of `hide`.
        mask_token: (d,).
        rank: (n, places), from `hide`.

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
