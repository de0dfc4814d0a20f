"""Steps that pick by places: indexing with constant places, and sorting or picking among the channels of a PFV."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.agreement import on_own_axis
from srd_jax.core.geometry import Take
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL, COPY, Dim
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.positionwise import require_channels
from srd_jax.core.rules.shape import sliced
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Map, Sum, Value, restructure, select


@register_rule(jp.gather_p, action="selection")
def gather(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """Places along one axis, in any order and as often as they are named: channels, or positions of known places."""
    value, indices = operands
    if not isinstance(value, Map | Sum) or isinstance(indices, Map | Sum):
        interpreter.unsupported(equation, "which places are read depends on the images")
    numbers = equation.params["dimension_numbers"]
    axes, sizes = numbers.start_index_map, equation.params["slice_sizes"]
    whole = [n if axis not in axes else 1 for axis, n in enumerate(value.array.shape)] == list(sizes)
    alone = len(axes) == 1 and tuple(numbers.collapsed_slice_dims) == tuple(axes) and not numbers.operand_batching_dims
    if not (whole and alone):
        interpreter.unsupported(equation, "only places along one axis, all else whole, are supported")
    (axis,) = axes
    value = on_own_axis(value, axis)
    out = equation.out_shapes[0].shape
    new = [place for place in range(len(out)) if place not in numbers.offset_dims]
    rest = iter(dims for place, dims in enumerate(value.layout) if place != axis)
    kinds = lay.kinds(value.layout[axis])
    if lay.BATCH in kinds:
        interpreter.unsupported(equation, f"it takes the batch apart (axis {axis})")
    if kinds <= {CHANNEL, COPY}:
        layout = tuple((Dim(CHANNEL, n),) if place in new else next(rest) for place, n in enumerate(out))
        return restructure(value, lambda x, _: bind(equation, x, indices)[0], layout)
    places = interpreter.known(equation.operands[1])
    if places is None or len(new) > 1:
        interpreter.unsupported(equation, "which positions it reads is not known while the model is traced")
    flat, extent = np.asarray(places).reshape(-1), value.array.shape[axis]
    if flat.size and not 0 <= flat.min() <= flat.max() < extent:
        interpreter.unsupported(equation, f"it reads places from {flat.min()} to {flat.max()} of {extent}")
    kept = value.layout[axis][0].kind
    layout = tuple((Dim(kept, n),) if place in new else next(rest) for place, n in enumerate(out))
    grid_axis = lay.grid_axis(value.layout, axis)
    step = Take(grid_axis, len(lay.grid(value.layout)), tuple(int(place) for place in flat))
    if not new:
        interpreter.unsupported(equation, "it reads one position: write it as a slice")

    def taken(x: jax.Array, fill: int | float) -> jax.Array:
        del fill
        moved = x.take(flat, axis)
        return moved if new == [axis] else jax.numpy.moveaxis(moved, axis, new[0])

    return select(value, taken, layout, step)


@register_rule(jp.dynamic_slice_p, action="selection", averages=True)
def dynamic_slice(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A slice whose start is known while the model is traced."""
    value, *starts = operands
    if not isinstance(value, Map | Sum):
        interpreter.unsupported(equation, "where it starts depends on the images")
    sizes, box = equation.params["slice_sizes"], []
    for axis, (size, extent) in enumerate(zip(sizes, value.array.shape, strict=True)):
        place = 0 if size == extent else interpreter.known(equation.operands[1 + axis])
        if place is None:
            interpreter.unsupported(equation, "where it starts is not known while the model is traced")
        first = int(np.clip(int(place), 0, extent - size))
        box.append((first, first + size, 1))
    del starts
    return sliced(value, box)


@register_rule(jp.sort_p, action="other", pattern="refused")
def sort(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Map]:
    """The channels of each PFV in order: a function of one PFV at a time."""
    if len(operands) > 1:
        interpreter.unsupported(equation, "it sorts several values by one of them")
    value = interpreter.close(operands[0])
    require_channels(interpreter, equation, value.layout, (equation.params["dimension"],))
    return [Map(array, value.layout, value.node) for array in bind(equation, value.array)]


@register_rule(jp.top_k_p, action="other", pattern="refused")
def top_k(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Map]:
    """The largest channels of each PFV, and where they are: functions of one PFV at a time."""
    value = interpreter.close(operands[0])
    axis = equation.params.get("axis", value.array.ndim - 1) % value.array.ndim
    require_channels(interpreter, equation, value.layout, (axis,))
    layout = (*value.layout[:axis], (Dim(CHANNEL, equation.params["k"]),), *value.layout[axis + 1 :])
    return [Map(array, layout, value.node) for array in bind(equation, value.array)]
