"""Steps that select or rearrange: reshape, transpose, broadcast, slice, split, pad, flip, concatenate.

None computes anything. Where positions move, the step is remembered; a selection stays open to the mixing step
after it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.agreement import on_own_axis
from srd_jax.core.geometry import Flip, Pad, Slice
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import BATCH, CHANNEL, COPY, Dim, Layout, LayoutError
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.arithmetic import add_constant
from srd_jax.core.rules.positionwise import same_node, without
from srd_jax.core.tracing import Equation
from srd_jax.core.values import Map, Sum, Value, copied_axes, extend, joined, open_sum, restructure, select


@register_rule(jp.reshape_p, action="selection", rearranges=True)
def reshape(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A row-major reshape; positions and channels may share an axis afterwards, as in a flatten."""
    if equation.params["dimensions"] is not None:
        interpreter.unsupported(equation, "a reshape that permutes axes")
    value = operands[0]
    before, after = value.layout, lay.reshape(value.layout, equation.params["new_sizes"])

    def reshaped(x: jax.Array, _: int | float) -> jax.Array:
        if x.shape == lay.shape_of(before):
            return jnp.reshape(x, lay.shape_of(after))
        return jnp.reshape(x, lay.shape_of(lay.of_one_position(after, x.size // lay.channels(before))))

    return restructure(value, reshaped, after, uniform=True)


@register_rule(jp.squeeze_p, action="selection", rearranges=True)
def squeeze(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Axes of extent 1 go."""
    del interpreter
    value, axes = operands[0], equation.params["dimensions"]
    return restructure(value, lambda x, _: jnp.squeeze(x, axes), without(value.layout, axes), uniform=True)


@register_rule(jp.transpose_p, action="selection", rearranges=True)
def transpose(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Axes change places and keep their meaning."""
    del interpreter
    value, order = operands[0], equation.params["permutation"]
    layout = tuple(value.layout[axis] for axis in order)
    return restructure(value, lambda x, _: jnp.transpose(x, order), layout, uniform=True)


@register_rule(jp.broadcast_in_dim_p, action="selection", rearranges=True)
def broadcast(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """New extents repeat a value: they are positions or channels only once another operand says so."""
    del interpreter
    value, shape, places = operands[0], equation.params["shape"], equation.params["broadcast_dimensions"]
    layout: list[lay.Axis] = [() if size == 1 else (Dim(COPY, size),) for size in shape]
    for axis, place in enumerate(places):
        if value.array.shape[axis] == shape[place]:
            layout[place] = value.layout[axis]
    return restructure(value, lambda x, _: lax.broadcast_in_dim(x, shape, places), tuple(layout))


@register_rule(jp.slice_p, action="selection", averages=True)
def slice_(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Positions (strided ones too) or channels are left out."""
    del interpreter
    value = operands[0]
    strides = equation.params["strides"] or (1,) * value.array.ndim
    starts, limits = equation.params["start_indices"], equation.params["limit_indices"]
    box = list(zip(starts, limits, strides, strict=True))
    return sliced(value, box)


def _cuts(value: Value, axis: int, box: tuple[int, int, int]) -> bool:
    start, limit, stride = box
    return (start, stride) != (0, 1) or limit != value.array.shape[axis]


def _on_own_axes(value: Value, axes: Sequence[int]) -> Value:
    """A value whose positions lie on axes of their own where they are to be moved."""
    for axis in axes:
        value = on_own_axis(value, axis)
    return value


@register_rule("split", action="selection", averages=True)
def split(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Value]:
    """Slices along one axis."""
    return _parts(interpreter, operands[0], equation.params["axis"], equation.params["sizes"])


def _parts(interpreter: Interpreter, value: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Slices of these sizes along one axis, one after the other."""
    value = _on_own_axes(value, [axis])
    value = interpreter.close(value) if isinstance(value, Sum) and value.selection is None else value
    parts = []
    for start, limit in pairwise(np.cumsum([0, *sizes]).tolist()):
        box = [(0, size, 1) for size in value.array.shape]
        box[axis] = (start, limit, 1)
        parts.append(sliced(value, box))
    return parts


def sliced(value: Value, box: Sequence[tuple[int, int, int]]) -> Value:
    """Every ``stride``-th element of a box, one (start, limit, stride) an axis."""
    value = _on_own_axes(value, [axis for axis, each in enumerate(box) if _cuts(value, axis, each)])
    layout = list(value.layout)
    moved: dict[int, tuple[int, int, int]] = {}
    for axis, (start, limit, stride) in enumerate(box):
        size = len(range(start, limit, stride))
        if not _cuts(value, axis, (start, limit, stride)):
            continue
        layout[axis] = _resized(value.layout, axis, size)
        if lay.kinds(value.layout[axis]) - {CHANNEL, COPY}:
            moved[lay.grid_axis(value.layout, axis)] = (start, limit, stride)
    step = Slice(tuple(moved.get(i, (0, n, 1)) for i, n in enumerate(lay.grid(value.layout)))) if moved else None

    def cut(x: jax.Array, _: int | float) -> jax.Array:
        starts, limits, strides = zip(*box, strict=True)
        return lax.slice(x, starts, limits, strides)

    return select(value, cut, tuple(layout), step)


def _resized(layout: Layout, axis: int, size: int) -> lay.Axis:
    """An axis after it was sliced or padded to another extent."""
    kinds = lay.kinds(layout[axis])
    if BATCH in kinds:
        raise LayoutError(f"it takes the batch apart (axis {axis})")
    if kinds == {COPY}:
        return (Dim(COPY, size),)
    if kinds <= {CHANNEL, COPY} and not any(dim.is_position for dim in layout[axis]):
        return (Dim(CHANNEL, size),)
    lay.grid_axis(layout, axis)
    return (Dim(layout[axis][0].kind, size),)


@register_rule(jp.rev_p, action="selection")
def flip(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Positions or channels in reverse order."""
    value, axes = operands[0], equation.params["dimensions"]
    if any(BATCH in lay.kinds(value.layout[axis]) for axis in axes):
        interpreter.unsupported(equation, "it reverses the batch")
    value = _on_own_axes(value, axes)
    moving = [axis for axis in axes if lay.kinds(value.layout[axis]) - {CHANNEL, COPY}]
    grid_axes = tuple(lay.grid_axis(value.layout, axis) for axis in moving)
    step = Flip(grid_axes, len(lay.grid(value.layout))) if moving else None
    return select(value, lambda x, _: lax.rev(x, axes), value.layout, step)


@register_rule(jp.pad_p, action="selection")
def pad(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Zeros around positions or channels; another constant is bias, and -inf is what a max pool never chooses."""
    value, fill = operands
    if isinstance(fill, Map | Sum) or not isinstance(value, Map | Sum):
        interpreter.unsupported(equation, "the padding depends on the images")
    config = equation.params["padding_config"]
    value = _on_own_axes(value, [axis for axis, each in enumerate(config) if any(each)])
    layout = list(value.layout)
    moved: dict[int, tuple[int, int, int]] = {}
    for axis, (low, high, interior) in enumerate(config):
        if low or high or interior:
            size = equation.out_shapes[0].shape[axis]
            layout[axis] = _resized(value.layout, axis, size)
            if any(dim.is_position for dim in value.layout[axis]):
                moved[lay.grid_axis(value.layout, axis)] = (low, high, interior)
    if moved and isinstance(value, Sum) and value.selection is None:
        value = interpreter.close(value)
    grid = lay.grid(value.layout)
    step = Pad(tuple(moved.get(i, (0, 0, 0)) for i in range(len(grid)))) if moved else None
    known = None if isinstance(fill, jax.core.Tracer) else float(fill)
    floor = known is not None and not np.isfinite(known)
    pooled = value.selection if isinstance(value, Sum) else None
    if floor and pooled is not None and pooled.switches is not None:
        value = replace(value, parts=(replace(pooled, switches=replace(pooled.switches, floored=True)),))

    def padded(x: jax.Array, outside: int | float) -> jax.Array:
        return lax.pad(x, jnp.asarray(fill if floor and outside == 0 else outside, x.dtype), config)

    result = select(value, padded, tuple(layout), step)
    if known == 0 or floor:
        return result
    whole = lax.pad(value.array, fill, config)
    if isinstance(result, Map):
        return replace(result, array=whole)
    only_in_padding = step is not None and isinstance(result, Sum) and result.selection is not None
    return add_constant(result, whole, only_in_padding=only_in_padding)


@register_rule(jp.concatenate_p, action="selection")
def concatenate(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A sum of embedded operands: along channels X = (v_a, 0) + (0, v_b), along positions maps side by side."""
    return _joined(interpreter, equation, operands, equation.params["dimension"])


@register_rule("stack", action="selection")
def stack(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A concatenation along a new axis, which runs over channels."""
    axis = equation.params["axis"]

    def lifted(x: Any) -> Any:
        if not isinstance(x, Map | Sum):
            return jnp.expand_dims(x, axis)
        layout = (*x.layout[:axis], (), *x.layout[axis:])
        return replace(restructure(x, lambda array, _: jnp.expand_dims(array, axis), layout), ref=x.ref)

    return _joined(interpreter, equation, [lifted(x) for x in operands], axis)


@register_rule("unstack", action="selection")
def unstack(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Value]:
    """What lies at each place of one axis, without the axis."""
    value, axis = operands[0], equation.params["axis"]
    parts = _parts(interpreter, value, axis, [1] * value.array.shape[axis])
    return [
        restructure(part, lambda x, _: jnp.squeeze(x, axis), (*part.layout[:axis], *part.layout[axis + 1 :]))
        for part in parts
    ]


@register_rule("tile", action="selection")
def tile(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Channels repeated block by block."""
    value, repeats = operands[0], equation.params["reps"]
    for axis, count in enumerate(repeats):
        if count > 1 and lay.kinds(value.layout[axis]) - {CHANNEL, COPY}:
            interpreter.unsupported(equation, f"axis {axis} does not run over channels")
    layout = tuple(
        (Dim(CHANNEL, count * size),) if count > 1 else dims
        for dims, count, size in zip(value.layout, repeats, value.array.shape, strict=True)
    )
    return restructure(value, lambda x, _: jnp.tile(x, repeats), layout)


def _joined(interpreter: Interpreter, equation: Equation, operands: Sequence[Any], axis: int) -> Value:
    values = [x for x in operands if isinstance(x, Map | Sum)]
    if any(BATCH in lay.kinds(x.layout[axis]) for x in values):
        interpreter.unsupported(equation, f"it takes the batch apart (axis {axis})")
    operands = [_on_own_axes(x, [axis]) if isinstance(x, Map | Sum) else x for x in operands]
    values = [x for x in operands if isinstance(x, Map | Sum)]
    along_channels = not any(dim.is_position for x in values for dim in x.layout[axis])
    maps = [x for x in values if isinstance(x, Map)]
    if along_channels and len(maps) == len(values) and same_node(interpreter, maps) is not None:
        return _parts_of_one_map(interpreter, equation, operands, axis)
    total = equation.out_shapes[0].shape[axis]
    array = jnp.concatenate([x.array if isinstance(x, Map | Sum) else x for x in operands], axis)
    if not along_channels and len(values) == 1:
        return _beside_constants(interpreter, operands, axis, array)
    branches: list[Sum] = []
    start = 0
    own = iter(_through_own_pfvs(interpreter, values, axis))
    for operand in (next(own) if isinstance(x, Map | Sum) else x for x in operands):
        size = operand.array.shape[axis] if isinstance(operand, Map | Sum) else operand.shape[axis]
        if isinstance(operand, Map | Sum):
            branches.append(_embedded(open_sum(operand), axis, start, total - start - size, along_channels))
        start += size
    return joined(branches, array, biased=len(branches) < len(operands))


def _through_own_pfvs(interpreter: Interpreter, values: Sequence[Value], axis: int) -> list[Value]:
    """As `Interpreter.through_own_pfvs`, for values whose extents along one axis differ."""
    layout = lay.unify([(*v.layout[:axis], (), *v.layout[axis + 1 :]) for v in values])
    return [interpreter.close(v) if copied_axes(v, layout) else v for v in values]


def _beside_constants(interpreter: Interpreter, operands: Sequence[Any], axis: int, array: jax.Array) -> Value:
    """A map with positions of constants beside it: as padding, bias of the step that mixes them in."""
    place = next(i for i, x in enumerate(operands) if isinstance(x, Map | Sum))
    value = operands[place]
    if isinstance(value, Sum) and value.selection is None:
        value = interpreter.close(value)
    before = sum(x.shape[axis] for x in operands[:place])
    after = sum(x.shape[axis] for x in operands[place + 1 :])
    config = [(0, 0, 0)] * value.array.ndim
    config[axis] = (before, after, 0)
    layout = list(value.layout)
    layout[axis] = _resized(value.layout, axis, array.shape[axis])
    around = lay.grid_axis(value.layout, axis)
    step = Pad(tuple((before, after, 0) if i == around else (0, 0, 0) for i in range(len(lay.grid(value.layout)))))
    selected = select(value, lambda x, fill: lax.pad(x, jnp.asarray(fill, x.dtype), config), tuple(layout), step)
    return add_constant(selected, array, only_in_padding=True)


def _parts_of_one_map(interpreter: Interpreter, equation: Equation, operands: Sequence[Any], axis: int) -> Map:
    """Channels of one map (and constants) side by side are a function of that map."""
    maps = [x for x in operands if isinstance(x, Map)]
    total = equation.out_shapes[0].shape[axis]
    layouts = [(*x.layout[:axis], (Dim(CHANNEL, total),), *x.layout[axis + 1 :]) for x in maps]
    array = jnp.concatenate([x.array if isinstance(x, Map) else x for x in operands], axis)
    node = same_node(interpreter, maps)
    assert node is not None
    return Map(array, lay.unify(layouts), node)


def _embedded(value: Sum, axis: int, before: int, after: int, along_channels: bool) -> Sum:
    config = [(0, 0, 0)] * value.array.ndim
    config[axis] = (before, after, 0)
    layout = list(value.layout)
    size = value.array.shape[axis] + before + after
    step = None
    if along_channels:
        layout[axis] = (Dim(CHANNEL, size),)
    else:
        layout[axis] = _resized(value.layout, axis, size)
        place = lay.grid_axis(value.layout, axis)
        step = Pad(tuple((before, after, 0) if i == place else (0, 0, 0) for i in range(len(lay.grid(value.layout)))))

    def embed(x: jax.Array) -> jax.Array:
        return lax.pad(x, jnp.zeros((), x.dtype), config)

    embedded = extend(value, embed, tuple(layout), step=step)
    assert isinstance(embedded, Sum)
    return replace(embedded, name=None)
