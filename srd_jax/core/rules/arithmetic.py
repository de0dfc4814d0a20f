"""Sums and products: residual branches are joined, constants are bias or scale, gates are held fixed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.positionwise import positionwise, same_node, spread
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Map, Sum, Value, extend, joined, open_sum


@register_rule(jp.add_p, "add_any", jp.sub_p, action="sum")
def add(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """A sum of branches joins their terms: X_j = sum_i vhat_{i->j} + b. A constant is bias."""
    left, right = spread(equation, operands)
    subtracts = equation.primitive is jp.sub_p
    if isinstance(left, Map | Sum) and isinstance(right, Map | Sum):
        left, right = interpreter.settled([left, right]) if left.ref != right.ref else (left, right)
        if isinstance(left, Map) and isinstance(right, Map) and same_node(interpreter, [left, right]) is not None:
            return positionwise(interpreter, equation, operands)
        array = bind(equation, left.array, right.array)[0]
        left, right = interpreter.through_own_pfvs([left, right])
        return joined([left, _negated(right) if subtracts else right], array)
    value = left if isinstance(left, Map | Sum) else right
    array = bind(equation, *(x.array if isinstance(x, Map | Sum) else x for x in (left, right)))[0]
    if isinstance(value, Map):
        return replace(value, array=array, ref=-1)
    return add_constant(_negated(value) if subtracts and value is right else value, array)


def _negated(value: Value) -> Value:
    return extend(open_sum(value), lambda x: -x, value.layout, position_invariant=True, proportional=True)


def add_constant(value: Value, array: jax.Array, *, only_in_padding: bool = False) -> Sum:
    """The value after a constant was added, ``only_in_padding`` or everywhere, which made it ``array``."""
    return replace(open_sum(value), array=array, biased=True, only_in_padding=only_in_padding)


@register_rule(jp.mul_p, action="scale")
def multiply(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """A constant scales; of two values that depend on the images, the gate is held fixed."""
    left, right = spread(equation, operands)
    if not isinstance(right, Map | Sum):
        return _scaled(_at_end(interpreter, left, right), equation, lambda x: (x, right), right)
    if not isinstance(left, Map | Sum):
        return _scaled(_at_end(interpreter, right, left), equation, lambda x: (left, x), left)
    left, right = interpreter.settled([interpreter.through_mean(left), interpreter.through_mean(right)])
    if isinstance(left, Map) and isinstance(right, Map) and same_node(interpreter, [left, right]) is not None:
        return positionwise(interpreter, equation, operands)
    if gates(right.layout, left.layout):
        interpreter.hold(equation, 1)
        return _scaled(left, equation, lambda x: (x, right.array), right)
    if gates(left.layout, right.layout):
        interpreter.hold(equation, 0)
        return _scaled(right, equation, lambda x: (left.array, x), left)
    return _two_maps(interpreter, equation)


@register_rule(jp.div_p, action="scale")
def divide(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """Division by a constant scales; a denominator that depends on the images is held fixed, as a gate is."""
    left, right = spread(equation, operands)
    if not isinstance(right, Map | Sum):
        return _scaled(_at_end(interpreter, left, right), equation, lambda x: (x, right), right)
    if not isinstance(left, Map | Sum):
        return positionwise(interpreter, equation, operands)
    left, right = interpreter.settled([interpreter.through_mean(left), interpreter.through_mean(right)])
    if isinstance(left, Map) and isinstance(right, Map) and same_node(interpreter, [left, right]) is not None:
        return positionwise(interpreter, equation, operands)
    if gates(right.layout, left.layout):
        interpreter.hold(equation, 1)
        return _scaled(left, equation, lambda x: (x, right.array), right)
    return _two_maps(interpreter, equation)


def _at_end(interpreter: Interpreter, value: Value, factor: Any) -> Value:
    """A mean stays one when it is multiplied by a number; a factor for each channel is a step after it."""
    return value if jnp.size(factor) == 1 else interpreter.through_mean(value)


def _scaled(value: Value, equation: Equation, arguments: Callable[[jax.Array], tuple[Any, Any]], factor: Any) -> Value:
    """A value times (or over) a factor, a constant or a value that is held fixed."""
    held = isinstance(factor, Map | Sum)
    layout = lay.unify([value.layout, factor.layout]) if held else value.layout
    return extend(
        value,
        lambda x: bind(equation, *arguments(x))[0],
        layout,
        position_invariant=not held and _by_channel(factor, value),
        proportional=not held and jnp.size(factor) == 1,
    )


def _by_channel(constant: Any, value: Value) -> bool:
    """Whether a constant has at most one value for each channel."""
    shape = jnp.shape(constant) or (1,) * len(value.layout)
    return all(size == 1 or lay.kinds(axis) == {CHANNEL} for size, axis in zip(shape, value.layout, strict=True))


def gates(gate: lay.Layout, value: lay.Layout) -> bool:
    """Whether one value is broadcast over the positions or the channels of another: it says how much, not what."""
    fewer_axes = len(lay.grid(gate)) < len(lay.grid(value))
    if lay.positions(gate) == 1 and (lay.positions(value) > 1 or fewer_axes):
        return True
    return lay.grid(gate) == lay.grid(value) and lay.channels(gate) == 1 and lay.channels(value) > 1


def _two_maps(interpreter: Interpreter, equation: Equation) -> Any:
    interpreter.unsupported(
        equation,
        "it multiplies two PFV maps, and neither is a gate (one value per channel or per position), so it is not clear "
        "which of them to hold fixed",
    )
