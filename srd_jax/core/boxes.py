"""Fields of neighbouring PFVs at once, in every layer within the box of what these can read.

A tile of neighbouring positions reads, of every earlier layer, a box that moves with the tile and keeps its size. Edges
cut down to their boxes are edges again, so that fields are propagated as they are elsewhere and written where they
belong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from srd_jax.core.edges import Edge
from srd_jax.core.geometry import Pad, Slice, Step, Window
from srd_jax.core.meshes import varying_as

__all__ = ["Box", "boxes_of", "tiled_fields"]

_SIDE = 4
"""Up to how many positions of a tile lie side by side: more make larger boxes, fewer make more turns."""

_WORTH = 0.3
"""What part of the positions of all layers boxes may cover, so that they are worth their turns."""


@dataclass(frozen=True)
class Box:
    """The positions from ``scale * p + start`` on along each axis, for the tile of a later layer that starts at p."""

    scale: tuple[int, ...]
    start: tuple[int, ...]
    size: tuple[int, ...]

    def before(self, step: Step) -> "Box | None":
        """What the positions of this box read through a step, None where that is no box."""
        rank = len(self.size)
        stride, reach = (1,) * rank, (1,) * rank
        if isinstance(step, Window) and {*step.base_dilation} == {1}:
            low = tuple(lo for lo, _ in step.padding)
            stride, reach = step.stride, tuple((k - 1) * d + 1 for k, d in zip(step.size, step.dilation, strict=True))
        elif isinstance(step, Pad) and not any(interior for _, _, interior in step.config):
            low = tuple(lo for lo, _, _ in step.config)
        elif isinstance(step, Slice):
            low, stride = tuple(-start for start, _, _ in step.box), tuple(stride for _, _, stride in step.box)
        else:
            return None
        return Box(
            tuple(a * s for a, s in zip(self.scale, stride, strict=True)),
            tuple(b * s - lo for b, s, lo in zip(self.start, stride, low, strict=True)),
            tuple((n - 1) * s + k for n, s, k in zip(self.size, stride, reach, strict=True)),
        )

    def around(self, other: "Box") -> "Box | None":
        """The box around this one and another, None where they do not move alike."""
        if self.scale != other.scale:
            return None
        start = np.minimum(self.start, other.start)
        end = np.maximum(np.add(self.start, self.size), np.add(other.start, other.size))
        return Box(self.scale, tuple(map(int, start)), tuple(map(int, end - start)))

    def at(self, tile: Sequence[Array]) -> list[Array]:
        """Where it starts for the tile at a position."""
        return [a * p + b for a, p, b in zip(self.scale, tile, self.start, strict=True)]


def boxes_of(edges: Sequence[Edge], index: int, grids: Sequence[tuple[int, ...]]) -> dict[int, Box] | None:
    """The boxes of all layers that a tile of one layer reads, None where they are not worth it.

    Args:
        edges: of the flow.
        index: of the layer.
        grids: of all layers.
    """
    grid = grids[index]
    tile = tuple(max(side for side in range(1, min(n, _SIDE) + 1) if n % side == 0) for n in grid)
    boxes = {index: Box((1,) * len(grid), (0,) * len(grid), tile)}
    for edge in reversed(edges):
        if edge.target in boxes:
            box = _chain(edge, boxes[edge.target])
            known = boxes.get(edge.source)
            both = box[0] if box and known is None else box and known and known.around(box[0])
            if not both:
                return None
            boxes[edge.source] = both
    covered = sum(prod(map(min, box.size, grids[layer])) for layer, box in boxes.items())
    return boxes if covered <= _WORTH * sum(prod(grids[layer]) for layer in boxes) else None


def tiled_fields(
    edges: Sequence[Edge],
    boxes: Mapping[int, Box],
    index: int,
    grids: Sequence[tuple[int, ...]],
    n: int,
    dtype: jnp.dtype,
) -> Float[Array, "n p ..."]:
    """The fields of every position of a layer at the pixels, tile by tile.

    Args:
        edges: of the flow.
        boxes: from `boxes_of`.
        index: of the layer.
        grids: of all layers.
        n: images.
        dtype: of the fields.

    Returns:
        (N, P, *input grid), P row-major.
    """
    grid, pixels, tile = grids[index], grids[0], boxes[index].size
    turns = [extent // side for extent, side in zip(grid, tile, strict=True)]
    own = [edge for edge in reversed(edges) if edge.target in boxes]
    padded = {id(edge): _padded(edge, boxes[edge.target], grid) for edge in own if edge.ratios is not None}
    seeds = jnp.eye(prod(tile), dtype=dtype).reshape((1, prod(tile), *tile))

    def fields(start: Sequence[Array]) -> tuple[Array, list[Array]]:
        maps = {index: jnp.broadcast_to(seeds, (n, *seeds.shape[1:]))}
        for edge in own:
            back = _cut(edge, boxes, padded.get(id(edge)), start).transpose(maps[edge.target])
            if edge.source:
                back = jnp.where(_inside(boxes[edge.source], grids[edge.source], start), back, 0)
            maps[edge.source] = back + maps[edge.source] if edge.source in maps else back
        return _clipped(maps[0], boxes[0], pixels, start)

    def write(turn: Array, made: Array) -> Array:
        start = [i * side for i, side in zip(jnp.unravel_index(turn, turns), tile, strict=True)]
        few, place = fields(start)
        return lax.dynamic_update_slice(made, few.reshape((n, *tile, *few.shape[2:])), (0, *start, *place))

    like = jax.eval_shape(fields, [jnp.zeros((), int)] * len(grid))[0]
    empty = varying_as(jnp.zeros((n, *grid, *pixels), dtype), like)
    made: Array = lax.fori_loop(0, prod(turns), write, empty)
    return made.reshape((n, prod(grid), *pixels))


def _chain(edge: Edge, box: Box) -> list[Box] | None:
    """What a box reads before each step of an edge, and itself; None where that is no box."""
    chain = [box]
    for step in reversed(edge.steps):
        earlier = chain[0].before(step)
        if earlier is None:
            return None
        chain.insert(0, earlier)
    return chain


def _cut(edge: Edge, boxes: Mapping[int, Box], padded: Array | None, start: Sequence[Array]) -> Edge:
    """An edge between the boxes of its maps."""
    source, target = boxes[edge.source], boxes[edge.target]
    chain = _chain(edge, target)
    assert chain is not None
    before = np.subtract(chain[0].start, source.start).tolist()
    steps: list[Step] = [Slice(tuple((o, o + n, 1) for o, n in zip(before, chain[0].size, strict=True)))]
    for step, box in zip(edge.steps, chain, strict=False):
        if isinstance(step, Window):
            steps.append(replace(step, padding=((0, 0),) * len(box.size)))
        elif isinstance(step, Slice):
            steps.append(Slice(tuple((0, n, stride) for n, (_, _, stride) in zip(box.size, step.box, strict=True))))
    ratios = None
    if padded is not None:
        moved = [a + max(0, -b) for a, b in zip(target.at(start), target.start, strict=True)]
        ratios = lax.dynamic_slice(padded, (0, 0, *moved), (*padded.shape[:2], *target.size))
    return replace(edge, ratios=ratios, grid=source.size, steps=tuple(steps))


def _padded(edge: Edge, box: Box, grid: tuple[int, ...]) -> Array:
    """The ratios of an edge with zeros around them, as far as boxes reach beyond the grid."""
    config = [(0, 0, 0), (0, 0, 0)]
    for own, last, scale, start, size in zip(edge.ratios.shape[2:], grid, box.scale, box.start, box.size, strict=True):
        config.append((max(0, -start), max(0, scale * last + start + size - own), 0))
    return lax.pad(edge.ratios, jnp.zeros((), edge.ratios.dtype), config)


def _inside(box: Box, grid: tuple[int, ...], start: Sequence[Array]) -> Array:
    """Which positions of a box lie on the grid."""
    places = jnp.meshgrid(
        *(first + jnp.arange(size) for first, size in zip(box.at(start), box.size, strict=True)), indexing="ij"
    )
    on = [(place >= 0) & (place < extent) for place, extent in zip(places, grid, strict=True)]
    return jnp.stack(on).all(0)


def _clipped(maps: Array, box: Box, grid: tuple[int, ...], start: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Maps of a box moved onto the grid, as far as they lie on it, and where they start there."""
    sizes = tuple(map(min, box.size, grid))
    first = box.at(start)
    kept = [jnp.clip(begin, 0, n - size) for begin, n, size in zip(first, grid, sizes, strict=True)]
    around = [(0, 0, 0), (0, 0, 0), *((n, n, 0) for n in box.size)]
    canvas = lax.pad(maps, jnp.zeros((), maps.dtype), around)
    moved = [n + k - begin for n, k, begin in zip(box.size, kept, first, strict=True)]
    return lax.dynamic_slice(canvas, (0, 0, *moved), (*maps.shape[:2], *sizes)), kept
