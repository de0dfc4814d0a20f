"""What each axis of an image-dependent array means: images, positions of a grid, or channels of a PFV.

A layout holds one tuple of dimensions per array axis. Most axes hold one dimension; a reshape may merge
several into one axis (row-major) or leave an axis of extent 1 with none. Reading the dimensions back is how
``(N, H*W*C)`` is known to be a map of PFVs after a flatten.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["BATCH", "CHANNEL", "COPY", "Dim", "Layout", "LayoutError"]

BATCH = "batch"
CHANNEL = "channel"
COPY = "copy"
"""An extent along which a value is repeated, so that it says nothing about position or channel."""


class Dim(NamedTuple):
    """One dimension: ``BATCH``, ``CHANNEL``, ``COPY`` or a number that places a position axis in the grid's order."""

    kind: Any
    size: int

    @property
    def is_position(self) -> bool:
        """Whether it runs over positions of the grid."""
        return not isinstance(self.kind, str)


Axis = tuple[Dim, ...]
Layout = tuple[Axis, ...]


class LayoutError(Exception):
    """A step would take an axis apart in a way that loses track of positions; rules turn it into a full error."""


def of_images(shape: Sequence[int], channel_axis: int) -> Layout:
    """The layout of a batch of images whose axis 0 is the batch.

    Args:
        shape: extents, (N, *grid, C) with C at ``channel_axis``.
        channel_axis: which axis holds the channels.
    """
    channel_axis %= len(shape)
    kinds: list[str | int] = [BATCH]
    positions = iter(range(len(shape)))
    kinds += [CHANNEL if axis == channel_axis else next(positions) for axis in range(1, len(shape))]
    return tuple((Dim(kind, size),) for kind, size in zip(kinds, shape, strict=True))


def shape_of(layout: Layout) -> tuple[int, ...]:
    """The array shape a layout describes."""
    return tuple(prod(dim.size for dim in axis) for axis in layout)


def dims(layout: Layout) -> list[Dim]:
    """All dimensions, in the row-major order of the array."""
    return [dim for axis in layout for dim in axis]


def position_dims(layout: Layout) -> list[Dim]:
    """The position dimensions in grid order."""
    return sorted((dim for dim in dims(layout) if dim.is_position), key=lambda dim: dim.kind)


def grid(layout: Layout) -> tuple[int, ...]:
    """Extents of the position grid, () for a value with a single PFV per image."""
    return tuple(dim.size for dim in position_dims(layout))


def positions(layout: Layout) -> int:
    """How many PFVs there are per image."""
    return prod(grid(layout))


def channels(layout: Layout) -> int:
    """How many channels a PFV has."""
    return prod(dim.size for dim in dims(layout) if dim.kind == CHANNEL)


def batch(layout: Layout) -> int:
    """How many images there are."""
    return prod(dim.size for dim in dims(layout) if dim.kind == BATCH)


def kinds(axis: Axis) -> frozenset[Any]:
    """What an axis runs over; extents of 1 say nothing."""
    return frozenset(dim.kind for dim in axis if dim.size != 1)


def runs_over_images(layout: Layout, axes: Sequence[int]) -> bool:
    """Whether some axes run over the batch, if it be of one image: what is taken over them is of a batch."""
    return any(dim.kind == BATCH for axis in axes for dim in layout[axis])


def axis_of(layout: Layout, kind: Any) -> int | None:
    """The array axis that holds the dimension ``kind``, None where there is none."""
    return next((i for i, axis in enumerate(layout) if any(dim.kind == kind for dim in axis)), None)


def grid_axis(layout: Layout, axis: int) -> int:
    """Which axis of the grid (in grid order) an array axis is.

    Raises:
        LayoutError: the axis does not hold exactly one position dimension.
    """
    if len(layout[axis]) != 1 or not layout[axis][0].is_position:
        raise LayoutError(f"axis {axis} is not a position axis of its own")
    return [dim.kind for dim in position_dims(layout)].index(layout[axis][0].kind)


def reshape(layout: Layout, shape: Sequence[int]) -> Layout:
    """The layout after a row-major reshape.

    A position axis that is split becomes several, such as windows and the positions in them; then all position axes are
    numbered anew. A batch of one image stays known where it has an axis of its own, or is merged with several others.

    Raises:
        LayoutError: the batch would be split, or an axis into parts that do not divide it.
    """
    pending = [dim._replace(kind=(dim.kind,)) if dim.is_position else dim for dim in dims(layout)]
    keeps_one = len(shape) == len(layout)
    result: list[Axis] = []
    for axis, size in enumerate(shape):
        if size == 1:
            same = keeps_one and shape_of(layout)[axis] == 1
            one_image = pending[:1] if pending and pending[0] == Dim(BATCH, 1) else []
            result.append(_placed(layout[axis]) if same else tuple(one_image))
            pending = pending[1:] if one_image else pending
            continue
        taken: list[Dim] = []
        left = size
        while left > 1:
            if not pending:
                raise LayoutError("the reshape does not keep the number of elements")
            dim = pending.pop(0)
            if dim.size == 1:
                taken += [dim] if dim.kind == BATCH else []
                continue
            if left % dim.size == 0:
                taken.append(dim)
                left //= dim.size
            elif dim.size % left == 0 and dim.kind != BATCH:
                kinds = [(*dim.kind, part) for part in (0, 1)] if isinstance(dim.kind, tuple) else [dim.kind] * 2
                taken.append(Dim(kinds[0], left))
                pending.insert(0, Dim(kinds[1], dim.size // left))
                left = 1
            else:
                raise LayoutError(f"the reshape splits the {_describe(dim)}")
        result.append(tuple(taken if len(taken) > 2 else [dim for dim in taken if dim != Dim(BATCH, 1)]))
    places: list[Any] = [dim.kind for dim in position_dims(tuple(result))]
    split = any(len(place) > 1 for place in places)
    return renamed(tuple(result), {place: i if split else place[0] for i, place in enumerate(places)})


def of_one_position(layout: Layout, images: int) -> Layout:
    """The layout with so many images and one position."""

    def resized(dim: Dim) -> Dim:
        return dim._replace(size=1) if dim.is_position else dim._replace(size=images) if dim.kind == BATCH else dim

    return tuple(tuple(map(resized, axis)) for axis in layout)


def _placed(axis: Axis) -> Axis:
    """Position axes by what they are parts of, as `reshape` splits them."""
    return tuple(dim._replace(kind=(dim.kind,)) if dim.is_position else dim for dim in axis)


def renamed(layout: Layout, kinds: Mapping[Any, Any]) -> Layout:
    """The layout with other kinds in place of some."""
    return tuple(tuple(dim._replace(kind=kinds.get(dim.kind, dim.kind)) for dim in axis) for axis in layout)


def merged(layout: Layout, axis: int) -> tuple[Layout, tuple[int, ...]]:
    """The layout with the position axes that share an array axis as one, and in which order it reads the grid's axes.

    Args:
        layout: of a value.
        axis: of the array; it holds position axes alone.

    Returns:
        The layout, and the axes of the grid in the order in which the merged grid has them.
    """
    own = layout[axis]
    one = Dim(own[0].kind, prod(dim.size for dim in own))
    later = tuple((one,) if place == axis else each for place, each in enumerate(layout))
    before = [dim.kind for dim in position_dims(layout)]
    order = [
        before.index(part.kind) for dim in position_dims(later) for part in (own if dim.kind == one.kind else (dim,))
    ]
    return later, tuple(order)


def unify(layouts: Sequence[Layout]) -> Layout:
    """The layout of an elementwise combination of arrays of one shape.

    Raises:
        LayoutError: an axis means positions in one operand and channels in another.
    """
    return tuple(_unify_axis(axes) for axes in zip(*layouts, strict=True))


def _unify_axis(axes: Sequence[Axis]) -> Axis:
    chosen = axes[0]
    for axis in axes[1:]:
        if _ranks(chosen) == _ranks(axis):
            chosen = axis if len(chosen) < len(axis) else chosen
        elif kinds(axis) <= {COPY}:
            continue
        elif kinds(chosen) <= {COPY}:
            chosen = axis
        elif kinds(chosen) <= {CHANNEL, COPY} and kinds(axis) <= {CHANNEL, COPY}:
            chosen = axis if COPY in kinds(chosen) else chosen
        else:
            raise LayoutError(f"one axis runs over {_list(chosen)} in one operand and {_list(axis)} in another")
    return chosen


def _ranks(axis: Axis) -> Axis:
    return tuple(dim for dim in axis if dim.size != 1)


def _describe(dim: Dim) -> str:
    if not dim.is_position:
        return f"{dim.kind} axis"
    return f"position axis {dim.kind[0] if isinstance(dim.kind, tuple) else dim.kind}"


def _list(axis: Axis) -> str:
    return " x ".join(_describe(dim) for dim in axis) or "nothing"


def to_pfvs(array: jax.Array, layout: Layout) -> jax.Array:
    """Bring an array to ``(N, *grid, C)``: batch first, positions in grid order, every channel last."""
    flat = dims(layout)
    array = jnp.reshape(array, [dim.size for dim in flat])
    order = [i for i, dim in enumerate(flat) if dim.kind == BATCH]
    n = batch(layout)
    places = {dim.kind: i for i, dim in enumerate(flat) if dim.is_position}
    order += [places[dim.kind] for dim in position_dims(layout)]
    order += [i for i in range(len(flat)) if i not in order]
    return jnp.transpose(array, order).reshape((n, *grid(layout), -1))


def by_image(array: jax.Array, layout: Layout) -> jax.Array:
    """The array with the batch on an axis of its own, the first: ``(N, ...)``, all else in order."""
    flat = dims(layout)
    places = [i for i, dim in enumerate(flat) if dim.kind == BATCH]
    rest = [i for i in range(len(flat)) if i not in places]
    array = jnp.transpose(jnp.reshape(array, [dim.size for dim in flat]), [*places, *rest])
    return array.reshape((batch(layout), *(flat[i].size for i in rest)))


def from_by_image(array: jax.Array, layout: Layout) -> jax.Array:
    """What `by_image` was made from."""
    flat = dims(layout)
    places = [i for i, dim in enumerate(flat) if dim.kind == BATCH]
    order = [*places, *(i for i in range(len(flat)) if i not in places)]
    array = array.reshape([flat[i].size for i in order])
    return jnp.transpose(array, [order.index(i) for i in range(len(flat))]).reshape(shape_of(layout))


def to_rows(array: jax.Array, layout: Layout) -> jax.Array:
    """Bring an array to ``(N * positions, C)``: one PFV a row."""
    return to_pfvs(array, layout).reshape((-1, channels(layout)))


def per_image(values: jax.Array, layout: Layout) -> jax.Array:
    """(N,) values, one an image, in a form that broadcasts to the array that a layout describes."""
    return _spread(values, layout, lambda dim: dim.kind == BATCH)


def per_pfv(values: jax.Array, layout: Layout) -> jax.Array:
    """(N or 1, *grid) values in a form that broadcasts to the array that a layout describes."""
    order = [dim.kind for dim in position_dims(layout)]
    places = [
        order.index(dim.kind) + 1 if dim.is_position else 0
        for dim in dims(layout)
        if dim.kind == BATCH or dim.is_position
    ]
    if BATCH not in [dim.kind for dim in dims(layout)]:
        values = jnp.squeeze(values, 0)
        places = [place - 1 for place in places]
    return _spread(jnp.transpose(values, places), layout, lambda dim: dim.kind == BATCH or dim.is_position)


def _spread(values: jax.Array, layout: Layout, runs: Callable[[Dim], bool]) -> jax.Array:
    """Values along some dimensions, in the array's order; other extents are 1 unless they share an axis with them."""
    own = iter(values.shape)
    flat = [[next(own) if runs(dim) else 1 for dim in axis] for axis in layout]
    array = values.reshape([size for axis in flat for size in axis])
    whole = [
        [dim.size for dim in axis] if len(axis) > 1 and any(map(runs, axis)) else sizes
        for axis, sizes in zip(layout, flat, strict=True)
    ]
    array = jnp.broadcast_to(array, [size for axis in whole for size in axis])
    return array.reshape([prod(axis) for axis in whole])


def channel_sum(array: jax.Array, layout: Layout) -> jax.Array:
    """Sum over everything that is neither image nor position: ``(N, *grid)``.

    Without axes of extent 1, for one image's sake: XLA's sum over channels of a batch of one takes up to ten times as
    long on a CPU.
    """
    flat = [dim for dim in dims(layout) if dim.size != 1]
    axes = tuple(i for i, dim in enumerate(flat) if dim.kind != BATCH and not dim.is_position)
    kept = [dim for i, dim in enumerate(flat) if i not in axes]
    summed = jnp.sum(jnp.reshape(array, [dim.size for dim in flat]), axes)
    order = sorted(range(len(kept)), key=lambda i: kept[i].kind if kept[i].is_position else -1)
    return jnp.transpose(summed, order).reshape((batch(layout), *grid(layout)))
