"""Dense layers: over channels position-wise; over flattened positions every position contributes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL, Dim, Layout
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.convolution import selection
from srd_jax.core.rules.reduce_positions import at_position, reduce_positions
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Map, Mix, Sum, Value, extend, mixed


@register_rule(jp.dot_general_p, action="mixing")
def dot_general(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value:
    """A product with constant weights that contracts channels, or all positions together."""
    left, right = operands
    if isinstance(left, Map | Sum) and isinstance(right, Map | Sum):
        interpreter.unsupported(equation, "both factors depend on the images, as in attention, which is not supported")
    first = isinstance(left, Map | Sum)
    value, weights = (left, jnp.asarray(right)) if first else (right, jnp.asarray(left))
    contracted, batched = equation.params["dimension_numbers"]
    own, others = contracted if first else contracted[::-1]
    own_batch, other_batch = batched if first else batched[::-1]
    held = {dim.kind for axis in own for dim in value.layout[axis] if dim.is_position}
    if lay.runs_over_images(value.layout, own):
        interpreter.unsupported(equation, "it contracts the batch, and images must not mix")
    free_weights = [axis for axis in range(weights.ndim) if axis not in others and axis not in other_batch]

    def product(x: jax.Array, w: jax.Array = weights) -> jax.Array:
        return bind(equation, *((x, w) if first else (w, x)))[0]

    def out_layout(source: Layout) -> Layout:
        free: list[lay.Axis] = [dims for axis, dims in enumerate(source) if axis not in own and axis not in own_batch]
        new: list[lay.Axis] = [(Dim(CHANNEL, weights.shape[axis]),) for axis in free_weights]
        shared = [source[axis] for axis in own_batch]
        return tuple(shared + (free + new if first else new + free))

    if not held:
        return extend(value, product, out_layout(value.layout), position_invariant=not own_batch)
    left_over = [dim for dim in lay.position_dims(value.layout) if dim.kind not in held and dim.size > 1]
    if left_over:
        interpreter.unsupported(
            equation, "it contracts some position axes and keeps others (token mixing), which is not supported"
        )
    term, operand, biased = selection(interpreter, value)
    step, gather, gathered = reduce_positions(term.layout, own)
    weight_layout = tuple(
        term.layout[own[others.index(axis)]] if axis in others else (Dim(CHANNEL, size),)
        for axis, size in enumerate(weights.shape)
    )

    def local(read: jax.Array, tap: jax.Array | int) -> jax.Array:
        return product(read, at_position(weights, weight_layout, held, tap))

    mix = Mix(step.taps, lambda x, _: x, gather, local, gathered)
    return mixed(term, product(operand), out_layout(term.layout), mix, step, biased=biased)
