"""Reading whole position axes at once, as global pools and flattened dense layers do."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax

from srd_jax.core import layout as lay
from srd_jax.core.geometry import ReducePositions
from srd_jax.core.layout import Dim, Layout
from srd_jax.core.taps import Tap, box_of, offsets_of

__all__ = ["at_position", "reduce_positions"]


def reduce_positions(
    layout: Layout, axes: Sequence[int]
) -> tuple[ReducePositions, Callable[[jax.Array, Tap], jax.Array], Layout]:
    """The step that reads every position along some array axes.

    Args:
        layout: of the array that is read.
        axes: array axes, which may hold channels too.

    Returns:
        The step; a gather ``(x, tap)`` of one position, its axes kept with extent 1; and the layout of that.
    """
    kinds = {dim.kind for axis in axes for dim in layout[axis] if dim.is_position}
    order = [dim.kind for dim in lay.position_dims(layout)]
    step = ReducePositions(tuple(place for place, kind in enumerate(order) if kind in kinds), lay.grid(layout))

    def gather(x: jax.Array, tap: Tap) -> jax.Array:
        return at_position(x, layout, kinds, tap)

    gathered = tuple(tuple(Dim(dim.kind, 1) if dim.kind in kinds else dim for dim in axis) for axis in layout)
    return step, gather, gathered


def at_position(x: jax.Array, layout: Layout, kinds: Collection[Any], tap: Tap) -> jax.Array:
    """An array at one position along the dimensions ``kinds``, taps counting row-major in grid order."""
    flat = lay.dims(layout)
    places = [
        next(i for i, d in enumerate(flat) if d.kind == dim.kind)
        for dim in lay.position_dims(layout)
        if dim.kind in kinds
    ]
    offsets = offsets_of(tap, [flat[place].size for place in places])
    starts: list[Tap] = [0] * len(flat)
    extents = [dim.size for dim in flat]
    for place, offset in zip(places, offsets, strict=True):
        starts[place], extents[place] = offset, 1
    one = box_of(x.reshape([dim.size for dim in flat]), starts, extents)
    gathered = [tuple(Dim(dim.kind, 1) if dim.kind in kinds else dim for dim in axis) for axis in layout]
    return one.reshape(lay.shape_of(tuple(gathered)))
