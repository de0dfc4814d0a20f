"""Products that sum over two values of the images: coefficients, and what they weigh.

A product of two maps says how alike their PFVs are, or is a statistic of theirs: a coefficient. A product of a
coefficient with a map is linear in the map, with the coefficient held fixed; where it sums over positions, each later
position reads all of them: attention. Its positions are those of the coefficient that it does not sum over.
"""

from collections.abc import Sequence
from typing import Any

import jax

from srd_jax.core import layout as lay
from srd_jax.core.agreement import on_own_axis
from srd_jax.core.all_to_all import all_to_all
from srd_jax.core.geometry import Copy, Step
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import BATCH, CHANNEL, Layout
from srd_jax.core.rules.convolution import selection
from srd_jax.core.rules.reduce_positions import at_position, reduce_positions
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Coefficient, Mix, Term, Value, extend, mixed

__all__ = ["product_of_maps", "weighed"]


def product_of_maps(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Coefficient:
    """How alike PFVs are, or a statistic of them: it carries no relevance.

    Positions of the second operand that stay are axes of their own, beside those of the first.
    """
    left, right = (x if isinstance(x, Coefficient) else interpreter.close(x) for x in operands)
    for place, x in enumerate(operands):
        if not isinstance(x, Coefficient):
            interpreter.hold(equation, place)
    contracted, batched = equation.params["dimension_numbers"]
    for x, axes in zip((left, right), contracted, strict=True):
        if lay.runs_over_images(x.layout, axes):
            interpreter.unsupported(equation, "it contracts the batch, and images must not mix")
    batches = [
        lay.runs_over_images(x.layout, [axis for axis in range(len(x.layout)) if axis not in axes])
        for x, axes in zip((left, right), batched, strict=True)
    ]
    if all(batches):
        interpreter.unsupported(equation, "it compares every image with every other, and images must not mix")
    other = _apart(right.layout, left.layout, kept=batched[1])
    together = [
        own if any(map(_says, own)) else others
        for own, others in ((left.layout[a], right.layout[b]) for a, b in zip(*batched, strict=True))
    ]
    free = [
        layout[axis]
        for layout, summed, shared in zip((left.layout, other), contracted, batched, strict=True)
        for axis in range(len(layout))
        if axis not in summed and axis not in shared
    ]
    return Coefficient(bind(equation, left.array, right.array)[0], (*together, *free))


def weighed(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A product of a coefficient with a map or an open sum, in which it is linear."""
    first = isinstance(operands[0], Coefficient)
    coefficient, value = operands if first else operands[::-1]
    contracted, batched = (pair if first else pair[::-1] for pair in equation.params["dimension_numbers"])
    summed, shared = list(zip(*contracted, strict=True)), list(zip(*batched, strict=True))
    for _, axis in summed:
        value = on_own_axis(value, axis) if CHANNEL in lay.kinds(value.layout[axis]) else value
    if lay.runs_over_images(value.layout, contracted[1]):
        interpreter.unsupported(equation, "it contracts the batch, and images must not mix")
    held = {dim.kind for _, axis in summed for dim in value.layout[axis] if dim.is_position}
    term, operand, biased = _start(interpreter, value) if held else (None, value.array, False)
    layout = value.layout if term is None else term.layout
    weights, numbers = _weights_layout(coefficient.layout, layout, summed, shared)
    made = _made(layout, lay.renamed(weights, numbers), contracted, batched, first=first)
    array = coefficient.array

    def product(x: jax.Array, a: jax.Array = array) -> jax.Array:
        return bind(equation, *((a, x) if first else (x, a)))[0]

    kept = {dim.kind for dim in lay.position_dims(layout)} - held
    new = tuple(place for place, dim in enumerate(lay.position_dims(made)) if dim.kind not in kept)
    copies: tuple[Step, ...] = (Copy(lay.grid(made), new),) if new else ()
    if term is None:
        return extend(value, product, made, step=copies[0] if copies else None)
    step, gather, gathered = reduce_positions(layout, contracted[1])

    def local(read: jax.Array, tap: Any) -> jax.Array:
        return product(read, at_position(array, weights, held, tap))

    mix = Mix(
        step.taps,
        lambda x, _: x,
        gather,
        local,
        gathered,
        all_to_all=all_to_all(array, weights, layout, made, shared, summed),
    )
    return mixed(term, product(operand), made, mix, step, *copies, biased=biased)


def _start(interpreter: Interpreter, value: Value) -> tuple[Term, jax.Array, bool]:
    """What the step starts from; a max pool is ended before it."""
    term, operand, biased = selection(interpreter, value)
    if term.switches is None and not term.chain:
        return term, operand, biased
    return selection(interpreter, interpreter.close(value))


def _apart(layout: Layout, other: Layout, *, kept: Sequence[int] = ()) -> Layout:
    """A layout whose positions are numbered after those of another one, but along some of its axes."""
    first = 1 + max((dim.kind for each in (layout, other) for dim in lay.position_dims(each)), default=-1)
    own = {dim.kind for axis in kept for dim in layout[axis]}
    return lay.renamed(layout, {d.kind: d.kind + first for d in lay.position_dims(layout) if d.kind not in own})


def _weights_layout(
    coefficient: Layout, value: Layout, summed: Sequence[tuple[int, int]], shared: Sequence[tuple[int, int]]
) -> tuple[Layout, dict[Any, Any]]:
    """The coefficient's layout, with the value's dimensions along axes that both have, and others numbered after them.

    Returns:
        The layout; and how the product numbers these other positions: as the coefficient did, where the value has none
        of that number, or only one that is summed over. So do queries and keys of one map.
    """
    named: dict[int, lay.Axis] = {}
    for own, axis in (*summed, *shared):
        sizes = [[dim.size for dim in dims if dim.size != 1] for dims in (coefficient[own], value[axis])]
        if sizes[0] != sizes[1]:
            raise lay.LayoutError(
                f"axis {own} of the coefficient and axis {axis} of what it weighs are split in different ways"
            )
        named[own] = value[axis]
    gone = {dim.kind for _, axis in summed for dim in value[axis]}
    taken = {dim.kind for dim in lay.position_dims(value)} - gone
    free = sorted(
        dim.kind for axis, dims in enumerate(coefficient) if axis not in named for dim in dims if dim.is_position
    )
    first = 1 + max((dim.kind for dim in lay.position_dims(value)), default=-1)
    places = {kind: first + i for i, kind in enumerate(free)}
    layout = tuple(named.get(axis, dims) for axis, dims in enumerate(lay.renamed(coefficient, places)))
    return layout, {} if taken & set(free) else {place: kind for kind, place in places.items()}


def _made(
    value: Layout,
    weights: Layout,
    contracted: Sequence[Sequence[int]],
    batched: Sequence[Sequence[int]],
    *,
    first: bool,
) -> Layout:
    """The layout of the product."""
    shared = [value[axis] for axis in batched[1]]
    free = [
        [dims for axis, dims in enumerate(layout) if axis not in (*summed, *together)]
        for layout, summed, together in zip((weights, value), contracted, batched, strict=True)
    ]
    own, others = free if first else free[::-1]
    return (*shared, *own, *others)


def _says(dim: lay.Dim) -> bool:
    return dim.size != 1 or dim.kind == BATCH
