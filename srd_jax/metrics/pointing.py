"""The pointing game: whether a map's highest point lies on the object."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real

__all__ = ["pointing_game"]


@jax.jit
def pointing_game(
    maps: Float[Array, "n h w"], boxes: Int[Array, "n 4"], tolerance: float | Real[Array, ""] = 0.0
) -> Bool[Array, " n"]:
    """Whether the largest value of each map is in the box, or no farther than ``tolerance`` pixels from it.

    Args:
        maps: (N, H, W); of equal largest values the first counts, row by row.
        boxes: (N, 4): first row, first column, and the row and the column after the last.
        tolerance: distance in pixels; the game's authors allow 15 on photos of a few hundred pixels a side.

    Returns:
        (N,) hits. A box without pixels is never hit.

    Source: Zhang et al., Top-down neural attention by excitation backprop, arXiv 1608.00507.
    """
    n, _, width = maps.shape
    place = jnp.argmax(maps.reshape(n, -1), -1)
    row, column = place // width, place % width
    top, left, bottom, right = boxes.T
    down = jnp.maximum(0, jnp.maximum(top - row, row - (bottom - 1)))
    across = jnp.maximum(0, jnp.maximum(left - column, column - (right - 1)))
    return (down**2 + across**2 <= tolerance**2) & (bottom > top) & (right > left)
