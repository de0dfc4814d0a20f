"""Numbers of taps: which offset each of them stands for, known while tracing where the tap is.

Taps are never negative, so that quotients are plain ones: those of `jax.numpy` round towards minus infinity, which
takes eight steps in place of one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Tap", "box_of", "divided", "offsets_of", "over_taps"]

_AT_ONCE = 9
"""Up to how many taps a GPU does at once: those of a 3 x 3 kernel."""

_ELEMENTS = 2**28
"""How many elements of contributions a GPU may hold at once: a gibibyte of float32."""

Tap = jax.Array | int
"""The number of a tap, traced inside a loop."""


def over_taps(fn: Callable[[Tap], Any], count: int, size: int) -> Any:
    """``fn`` of every tap: stacked pytrees of arrays.

    One tap after another keeps what it makes in a CPU's cache. A GPU would wait for many small kernels; there, as many
    taps as divide evenly are one product.

    Args:
        fn: of a tap.
        count: taps.
        size: elements that ``fn`` makes on the way.
    """
    most = min(_AT_ONCE, _ELEMENTS // max(size, 1)) if jax.default_backend() == "gpu" else 1
    at_once = max(n for n in range(1, max(most, 1) + 1) if count % n == 0)
    if at_once == 1:
        return lax.map(jax.checkpoint(fn), jnp.arange(count))
    made = lax.map(jax.checkpoint(jax.vmap(fn)), jnp.arange(count).reshape((-1, at_once)))
    return jax.tree.map(lambda x: x.reshape((count, *x.shape[2:])), made)


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
