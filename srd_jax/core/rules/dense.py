"""Dense layers: over channels position-wise; over positions every position contributes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.all_to_all import all_to_all
from srd_jax.core.geometry import Copy, Step
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL, Dim, Layout
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.arithmetic import held_of
from srd_jax.core.rules.attention import product_of_maps, weighed
from srd_jax.core.rules.convolution import selection
from srd_jax.core.rules.reduce_positions import at_position, reduce_positions
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Coefficient, Map, Mix, Sum, Value, extend, mixed


def _of_two(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | Coefficient:
    """A product of two values that depend on the images: how alike they are, or one of them weighed by the other."""
    (summed, _), _ = equation.params["dimension_numbers"]
    coefficients = sum(isinstance(x, Coefficient) for x in operands)
    if coefficients == 1:
        return weighed(interpreter, equation, operands)
    if summed or coefficients == 2:
        return product_of_maps(interpreter, equation, operands)
    held = held_of(interpreter, equation, *operands)
    interpreter.hold(equation, held)
    factors = [Coefficient(x.array, x.layout) if place == held else x for place, x in enumerate(operands)]
    return weighed(interpreter, equation, factors)


@register_rule(jp.dot_general_p, action="mixing")
def dot_general(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | Coefficient:
    """A product with constant weights, or of two values that depend on the images.

    Positions that are not summed over are kept. Where a product sums over positions alone and leaves channels as they
    are, as the tokens of a mixer are mixed, what it makes are positions; where it sums over channels too, as after a
    flatten or of a patch, they are channels.
    """
    left, right = operands
    if isinstance(left, Map | Sum | Coefficient) and isinstance(right, Map | Sum | Coefficient):
        return _of_two(interpreter, equation, operands)
    first = isinstance(left, Map | Sum)
    value, weights = (left, jnp.asarray(right)) if first else (right, jnp.asarray(left))
    contracted, batched = equation.params["dimension_numbers"]
    own, others = contracted if first else contracted[::-1]
    own_batch, other_batch = batched if first else batched[::-1]
    held = {dim.kind for axis in own for dim in value.layout[axis] if dim.is_position}
    if lay.runs_over_images(value.layout, own):
        interpreter.unsupported(equation, "it contracts the batch, and images must not mix")
    summed_channels = any(CHANNEL in lay.kinds(value.layout[axis]) for axis in own)
    tokens = bool(held) and not summed_channels and lay.channels(value.layout) > 1
    free_weights = [axis for axis in range(weights.ndim) if axis not in others and axis not in other_batch]

    def product(x: jax.Array, w: jax.Array = weights) -> jax.Array:
        return bind(equation, *((x, w) if first else (w, x)))[0]

    def new_axes(source: Layout) -> list[lay.Axis]:
        after = 1 + max((dim.kind for dim in lay.position_dims(source)), default=0)
        places = [min(held), *range(after, after + len(free_weights))] if tokens else []
        return [(Dim(places[i] if tokens else CHANNEL, weights.shape[axis]),) for i, axis in enumerate(free_weights)]

    def out_layout(source: Layout) -> Layout:
        free = [dims for axis, dims in enumerate(source) if axis not in own and axis not in own_batch]
        shared, new = [source[axis] for axis in own_batch], new_axes(source)
        return tuple(shared + (free + new if first else new + free))

    if not held:
        return extend(value, product, out_layout(value.layout), position_invariant=not own_batch)
    term, operand, biased = selection(interpreter, value)
    if term.switches is not None and tokens:
        term, operand, biased = selection(interpreter, interpreter.close(value))
    step, gather, gathered = reduce_positions(term.layout, own)
    met = dict(zip((*others, *other_batch), (term.layout[axis] for axis in (*own, *own_batch)), strict=True))
    new = dict(zip(free_weights, new_axes(term.layout), strict=True))
    layout = tuple(met.get(axis, new.get(axis, ())) for axis in range(weights.ndim))
    made = out_layout(term.layout)

    def local(read: jax.Array, tap: jax.Array | int) -> jax.Array:
        return product(read, at_position(weights, layout, held, tap))

    pairs = [list(zip(others, own, strict=True)), list(zip(other_batch, own_batch, strict=True))]
    closed = all_to_all(weights, layout, term.layout, made, pairs[1], pairs[0]) if tokens else None
    mix = Mix(step.taps, lambda x, _: x, gather, local, gathered, all_to_all=closed)
    kept = {dim.kind for dim in lay.position_dims(term.layout)} - held
    fresh = tuple(place for place, dim in enumerate(lay.position_dims(made)) if dim.kind not in kept)
    copies: tuple[Step, ...] = (Copy(lay.grid(made), fresh),) if fresh else ()
    return mixed(term, product(operand), made, mix, step, *copies, biased=biased)
