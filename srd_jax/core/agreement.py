"""Axes of values that meet: positions that share an axis become one, and equal places of axes the same positions.

The numbers that place position axes in a grid are each value's own. Which positions of two values belong together is
what array axis they lie on where the values meet, as in any elementwise step.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from srd_jax.core import layout as lay
from srd_jax.core.geometry import Copy, Regrid, Slice
from srd_jax.core.layout import BATCH, CHANNEL, Dim, Layout, LayoutError
from srd_jax.core.values import Coefficient, Map, Sum, Term, Value, extend, joined, restructure, select

__all__ = ["agreeing", "beside_channels", "on_own_axis", "same_places"]


def on_own_axis(value: Value, axis: int) -> Value:
    """A value whose positions along an array axis are one axis of its grid, where several axes share it.

    Repeats along the axis, as in an upsampling, and channels, as in a pixel shuffle, become positions of their own,
    each of which reads the one PFV that it came from.

    Args:
        value: a map or an open sum.
        axis: of the array.

    Raises:
        LayoutError: the axis holds all channels of a PFV beside its positions, as a flattened map does.
    """
    dims = value.layout[axis]
    if len(dims) < 2 or not any(dim.is_position for dim in dims) or BATCH in lay.kinds(dims):
        return value
    if CHANNEL in lay.kinds(dims) and not any(
        CHANNEL in lay.kinds(other) for place, other in enumerate(value.layout) if place != axis
    ):
        raise LayoutError(f"axis {axis} holds a PFV's channels beside its positions, as a flattened map does")
    return _merged(_all_positions(value, axis), axis)


def agreeing(values: Sequence[Any]) -> list[Any]:
    """Values of one shape whose layouts say of every axis the same, as an elementwise step needs them.

    A value whose positions have another order than those of the first is rearranged.

    Args:
        values: maps, open sums and coefficients; what else there is stays as it is.

    Raises:
        LayoutError: an axis means positions in one operand and channels in another.
    """
    own = [value for value in values if isinstance(value, Map | Sum | Coefficient)]
    if len(own) < 2 or _agree(own):
        return list(values)
    for axis in range(len(own[0].layout)):
        sizes = {_sizes(value.layout[axis]) for value in own if _sizes(value.layout[axis])}
        if len(sizes) > 1:
            own = [_merged(_all_positions(value, axis), axis) if _sizes(value.layout[axis]) else value for value in own]
    own = [_without_single(value) for value in own]
    order = _order([value.layout for value in own])
    changed = iter([_numbered(value, order) for value in own])
    return [next(changed) if isinstance(value, Map | Sum | Coefficient) else value for value in values]


def beside_channels(value: Value) -> Value:
    """A value whose positions that share an axis with all its channels are channels of larger PFVs.

    So it is where squares of positions were made channels by a reshape: the larger PFV is a sum of one contribution
    from each position of its square, as if slices had been concatenated. A flattened map, which has no positions
    elsewhere, stays as it is.
    """
    channels = [axis for axis, dims in enumerate(value.layout) if CHANNEL in lay.kinds(dims)]
    if len(channels) != 1:
        return value
    kinds = {dim.kind for dim in value.layout[channels[0]] if dim.is_position and dim.size > 1}
    elsewhere = any(dim.kind not in kinds and dim.size > 1 for dim in lay.position_dims(value.layout))
    return _as_channels(value, channels[0], kinds) if kinds and elsewhere else value


def _as_channels(value: Value, axis: int, kinds: set[Any]) -> Sum:
    """One selection for each position along an axis, its channels in their place among all of the axis."""
    before, dims = lay.dims(value.layout), value.layout[axis]
    own = [dim for dim in dims if dim.kind in kinds]
    first = sum(map(len, value.layout[:axis]))
    places = {dim.kind: first + i for i, dim in enumerate(dims) if dim.kind in kinds}
    layout = (*value.layout[:axis], (Dim(CHANNEL, prod(dim.size for dim in dims)),), *value.layout[axis + 1 :])
    order = [dim.kind for dim in lay.position_dims(value.layout)]
    one = tuple(tuple(Dim(dim.kind, 1) if dim.kind in kinds else dim for dim in each) for each in value.layout)
    later = Regrid(lay.grid(layout), len(order))
    parts: list[Value] = []
    for offsets in np.ndindex(*(dim.size for dim in own)):
        at = {dim.kind: offset for dim, offset in zip(own, offsets, strict=True)}
        box = tuple(
            (at.get(kind, 0), at.get(kind, n - 1) + 1, 1) for kind, n in zip(order, lay.grid(value.layout), strict=True)
        )
        cuts = {places[kind]: (offset, before[places[kind]].size - offset - 1) for kind, offset in at.items()}

        def cut(x: jax.Array, cuts: dict[int, tuple[int, int]] = cuts) -> jax.Array:
            flat = x.reshape([len(x), *(dim.size for dim in before[1:])])
            for place, (start, _) in cuts.items():
                flat = lax.slice_in_dim(flat, start, start + 1, axis=place)
            return flat.reshape([len(x), *lay.shape_of(one)[1:]])

        def put(x: jax.Array, cuts: dict[int, tuple[int, int]] = cuts) -> jax.Array:
            flat = x.reshape([len(x), *(dim.size for dim in lay.dims(one)[1:])])
            flat = jnp.pad(flat, [cuts.get(place, (0, 0)) for place in range(flat.ndim)])
            return flat.reshape([len(x), *lay.shape_of(layout)[1:]])

        chosen = extend(value, cut, one, step=Slice(box), uniform=False)
        parts.append(extend(chosen, put, layout, step=later))
    return replace(joined(parts, value.array), ref=value.ref)


def same_places(layout: Layout, other: Layout) -> bool:
    """Whether two layouts have positions along the same axes, in the same order of their grids."""
    return _slots(layout) == _slots(other) and lay.grid(layout) == lay.grid(other)


def _agree(values: Sequence[Any]) -> bool:
    try:
        union = lay.unify([value.layout for value in values])
    except LayoutError:
        return False
    places = [dim.kind for dim in lay.position_dims(union)]
    return len(places) == len(set(places))


def _sizes(axis: lay.Axis) -> tuple[int, ...]:
    """Extents along an axis on which there are positions, else nothing."""
    long = [dim for dim in axis if dim.size != 1]
    return tuple(dim.size for dim in long) if any(dim.is_position for dim in long) else ()


def _slots(layout: Layout) -> list[tuple[int, int]]:
    """Where in the array each position axis lies, in the grid's order: the array axis, and the place in it."""
    places = [
        (dim.kind, (axis, i)) for axis, dims in enumerate(layout) for i, dim in enumerate(dims) if dim.is_position
    ]
    return [slot for _, slot in sorted(places, key=lambda each: each[0])]


def _order(layouts: Sequence[Layout]) -> list[tuple[int, int]]:
    """One order of all position axes: the first layout's, others' own after those that they follow there."""
    order: list[tuple[int, int]] = []
    for layout in layouts:
        before = -1
        for slot in _slots(layout):
            if slot not in order:
                order.insert(before + 1, slot)
            before = order.index(slot)
    return order


def _numbered(value: Any, order: Sequence[tuple[int, int]]) -> Any:
    """A value whose position axes are numbered by their places in an order, and rearranged where theirs is another."""
    numbers = {slot: number for number, slot in enumerate(order)}
    layout = tuple(
        tuple(dim._replace(kind=numbers[axis, i]) if dim.is_position else dim for i, dim in enumerate(dims))
        for axis, dims in enumerate(value.layout)
    )
    slots = _slots(value.layout)
    later = sorted(slots, key=lambda slot: numbers[slot])
    if isinstance(value, Coefficient) or slots == later:
        return relabelled(value, layout)
    order_of_axes = tuple(slots.index(slot) for slot in later)
    return select(value, lambda x, _: x, layout, Regrid(lay.grid(layout), len(slots), order_of_axes))


def relabelled(value: Any, layout: Layout) -> Any:
    """A value with other numbers for its position axes, in the same order."""

    def term(part: Sum | Term) -> Sum | Term:
        if isinstance(part, Sum):
            return relabelled(part, layout)
        return replace(part, layout=layout) if part.is_selection else part

    if isinstance(value, Sum):
        return replace(value, layout=layout, parts=tuple(map(term, value.parts)))
    return replace(value, layout=layout)


def _without_single(value: Any) -> Any:
    """A value without position axes of extent 1, which say nothing."""
    layout = tuple(tuple(dim for dim in dims if not (dim.is_position and dim.size == 1)) for dims in value.layout)
    if layout == value.layout:
        return value
    if not isinstance(value, Sum):
        return replace(value, layout=layout)
    return restructure(value, lambda x, _: x, layout)


def _all_positions(value: Any, axis: int) -> Any:
    """A value whose repeats and channels along an axis are positions, each a copy of those that it had."""
    others = [i for i, dim in enumerate(value.layout[axis]) if not dim.is_position and dim.size != 1]
    if not others:
        return value
    places = {}
    for at, dims in enumerate(value.layout):
        for i, dim in enumerate(dims):
            if dim.is_position:
                places[at, i] = (dim.kind, 0)
    first = min((places[axis, i] for i, dim in enumerate(value.layout[axis]) if dim.is_position))
    last: Any = (first[0], -len(value.layout[axis]))
    for i in range(len(value.layout[axis])):
        if (axis, i) in places:
            last = places[axis, i]
        elif i in others:
            last = places[axis, i] = (last[0], last[1] + 1)
    numbers = {slot: number for number, slot in enumerate(sorted(places, key=lambda slot: places[slot]))}
    layout = tuple(
        tuple(Dim(numbers[at, i], dim.size) if (at, i) in numbers else dim for i, dim in enumerate(dims))
        for at, dims in enumerate(value.layout)
    )
    if isinstance(value, Coefficient):
        return replace(value, layout=layout)
    new = tuple(sorted(numbers[axis, i] for i in others))
    return select(value, _as_it_is, layout, Copy(lay.grid(layout), new))


def _merged(value: Any, axis: int) -> Any:
    dims = tuple(dim for dim in value.layout[axis] if dim.size != 1)
    if len(dims) < 2 or not all(dim.is_position for dim in dims):
        return value
    value = _without_single(value)
    layout, order = lay.merged(value.layout, axis)
    if isinstance(value, Coefficient):
        return replace(value, layout=layout)
    kept = order == tuple(range(len(order)))
    if kept and isinstance(value, Map):
        return replace(value, layout=layout)
    return select(value, _as_it_is, layout, Regrid(lay.grid(layout), len(order), () if kept else order))


def _as_it_is(x: jax.Array, fill: int | float) -> jax.Array:
    del fill
    return x
