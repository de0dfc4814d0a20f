"""Numbers of taps: which offset each of them stands for, known while tracing where the tap is.

Taps are never negative, so that quotients are plain ones: those of `jax.numpy` round towards minus infinity, which
takes eight steps in place of one.
"""

from collections.abc import Sequence

import jax
from jax import lax

__all__ = ["Tap", "box_of", "divided", "offsets_of"]

Tap = jax.Array | int
"""The number of a tap, traced inside a loop."""


def divided(tap: Tap, inner: int) -> tuple[Tap, Tap]:
    """A tap of two steps as one of each, the first step's outermost.

    Args:
        tap: of both.
        inner: taps of the second step.
    """
    if isinstance(tap, int):
        return divmod(tap, inner)
    if inner == 1:
        return tap, 0
    size = lax.full_like(tap, inner)
    return lax.div(tap, size), lax.rem(tap, size)


def offsets_of(tap: Tap, sizes: Sequence[int]) -> list[Tap]:
    """The offset along each axis of a window of these sizes, taps in row-major order."""
    offsets: list[Tap] = []
    for place, size in reversed(list(enumerate(sizes))):
        if size == 1:
            offsets.append(0)
        elif all(before == 1 for before in sizes[:place]):
            offsets.append(tap)
        else:
            tap, own = divided(tap, size)
            offsets.append(own)
    return offsets[::-1]


def box_of(
    x: jax.Array, starts: Sequence[Tap], extents: Sequence[int], strides: Sequence[int] | None = None
) -> jax.Array:
    """Every ``strides``-th element of a box of an array, whose starts may be traced."""
    known = [start for start in starts if isinstance(start, int)]
    if len(known) == len(starts):
        return lax.slice(x, known, [start + n for start, n in zip(known, extents, strict=True)], strides)
    box = lax.dynamic_slice(x, starts, extents, allow_negative_indices=False)
    return box if strides is None or {*strides} == {1} else lax.slice(box, [0] * box.ndim, box.shape, strides)
