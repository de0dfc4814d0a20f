"""Sums and products: residual branches are joined, constants are bias or scale, gates are held fixed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.agreement import agreeing
from srd_jax.core.geometry import Copy
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import CHANNEL
from srd_jax.core.registry import register_rule
from srd_jax.core.rules.positionwise import positionwise, same_node, spread
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Coefficient, Map, Sum, Value, extend, joined, open_sum


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
    if isinstance(value, Map) and value.shifts:
        shifted = add_constant(_negated(value) if subtracts and value is right else value, array)
        return replace(shifted, shifts=True)
    if isinstance(value, Map):
        return replace(value, array=array, ref=-1)
    return add_constant(_negated(value) if subtracts and value is right else value, array)


def _negated(value: Value) -> Value:
    return extend(open_sum(value), lambda x: -x, value.layout, position_invariant=True, proportional=True)


def add_constant(value: Value, array: jax.Array, *, only_in_padding: bool = False) -> Sum:
    """The value after a constant was added, ``only_in_padding`` or everywhere, which made it ``array``."""
    return replace(open_sum(value), array=array, biased=True, only_in_padding=only_in_padding)


@register_rule(jp.mul_p, action="scale")
def multiply(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map] | Coefficient:
    """A constant or a coefficient scales; of two values that depend on the images, one is held fixed.

    A value that is the same along positions or channels of the other one says how much of it is taken, and is held; so
    is one that is made from the other, as an attention that is computed from what it weighs. A product of every
    position of one with every position of the other is a coefficient.
    """
    left, right = spread(equation, operands)
    if not isinstance(right, Map | Sum):
        return _scaled(_at_end(interpreter, left, right), equation, lambda x: (x, _array(right)), right)
    if not isinstance(left, Map | Sum):
        return _scaled(_at_end(interpreter, right, left), equation, lambda x: (_array(left), x), left)
    left, right = interpreter.settled([interpreter.through_mean(left), interpreter.through_mean(right)])
    if isinstance(left, Map) and isinstance(right, Map) and same_node(interpreter, [left, right]) is not None:
        return positionwise(interpreter, equation, operands)
    if _outer(left.layout, right.layout):
        return _coefficient(interpreter, equation, left, right)
    held = held_of(interpreter, equation, left, right)
    interpreter.hold(equation, held)
    value, factor = (left, right) if held == 1 else (right, left)
    scaled = _scaled(value, equation, lambda x: (x, factor.array) if held == 1 else (factor.array, x), factor)
    is_mean = isinstance(value, Map) and value.pool is not None and lay.grid(value.layout) == lay.grid(factor.layout)
    return replace(scaled, shifts=True) if isinstance(scaled, Map) and is_mean else scaled


@register_rule(jp.select_n_p, action="elementwise", pattern="probe")
def choose(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map]:
    """A choice that does not depend on the images, between values that are no functions of one map: each where it is.

    Any other choice is a function of one PFV at a time.
    """
    which, *cases = operands
    moving = [x for x in cases if isinstance(x, Map | Sum)]
    maps = [x for x in moving if isinstance(x, Map)]
    of_one_map = len(maps) == len(moving) and same_node(interpreter, maps) is not None
    if isinstance(which, Map | Sum) or of_one_map or len(moving) < 2:
        return positionwise(interpreter, equation, operands)
    array = bind(equation, which, *(x.array if isinstance(x, Map | Sum) else x for x in cases))[0]
    own = iter(interpreter.through_own_pfvs(interpreter.settled(agreeing(moving))))
    chosen = []
    for place, case in enumerate(cases):
        if isinstance(case, Map | Sum):
            mask = which == (place if len(cases) > 2 else bool(place))
            value = next(own)
            chosen.append(extend(open_sum(value), partial(_where, mask), value.layout))
    return joined(chosen, array, biased=len(chosen) < len(cases))


def _where(mask: Any, x: jax.Array) -> jax.Array:
    return jnp.where(mask, x, 0)


def held_of(interpreter: Interpreter, equation: Equation, left: Value, right: Value) -> int:
    """Which of two factors is held fixed: a gate, what is made from the other, a statistic that multiplies a mean."""
    by_shape = gates(left.layout, right.layout), gates(right.layout, left.layout)
    made = interpreter.made_from(left, right), interpreter.made_from(right, left)
    means = [isinstance(x, Map) and x.pool is not None for x in (left, right)]
    statistic = (means == [False, True], means == [True, False])
    for each in (by_shape, made, statistic):
        if sum(each) == 1:
            return int(each[1])
    return _two_maps(interpreter, equation)


@register_rule(jp.div_p, action="scale")
def divide(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> Value | list[Map] | Coefficient:
    """Division by a constant scales; a denominator that depends on the images is held fixed, as a gate is.

    A map over its own sum over positions, as a softmax over positions is, says what part each of them takes: it is a
    coefficient.
    """
    left, right = spread(equation, operands)
    if not isinstance(right, Map | Sum):
        return _scaled(_at_end(interpreter, left, right), equation, lambda x: (x, _array(right)), right)
    if isinstance(left, Coefficient):
        interpreter.hold(equation, 1)
        return Coefficient(bind(equation, left.array, right.array)[0], lay.unify([left.layout, right.layout]))
    if not isinstance(left, Map | Sum):
        return positionwise(interpreter, equation, operands)
    if _is_part_of(left, right):
        return _coefficient(interpreter, equation, left, right)
    left, right = interpreter.settled([interpreter.through_mean(left), interpreter.through_mean(right)])
    if isinstance(left, Map) and isinstance(right, Map) and same_node(interpreter, [left, right]) is not None:
        return positionwise(interpreter, equation, operands)
    interpreter.hold(equation, 1)
    return _scaled(left, equation, lambda x: (x, right.array), right)


def _coefficient(interpreter: Interpreter, equation: Equation, left: Value, right: Value) -> Coefficient:
    """A coefficient made of two values that are both held fixed."""
    for place in (0, 1):
        interpreter.hold(equation, place)
    return Coefficient(bind(equation, left.array, right.array)[0], lay.unify([left.layout, right.layout]))


def _array(factor: Any) -> Any:
    return factor.array if isinstance(factor, Coefficient) else factor


def _outer(left: lay.Layout, right: lay.Layout) -> bool:
    """Whether each of two values has positions along an axis on which the other has none."""
    lefts, rights = ({dim.kind for dim in lay.position_dims(each) if dim.size > 1} for each in (left, right))
    return bool(lefts - rights) and bool(rights - lefts)


def _is_part_of(value: Value, total: Value) -> bool:
    """Whether a value over another is its part of its own sum over positions."""
    pooled = total if isinstance(total, Sum) else total.pool
    if not isinstance(value, Map) or pooled is None or not pooled.is_mean or len(pooled.terms) != 1:
        return False
    source = pooled.terms[0].source
    return source.ref >= 0 and source.ref == value.ref and source.node == value.node


def _at_end(interpreter: Interpreter, value: Value, factor: Any) -> Value:
    """A mean stays one when it is multiplied by a number; a factor for each channel is a step after it."""
    return value if jnp.size(_array(factor)) == 1 else interpreter.through_mean(value)


def _scaled(value: Value, equation: Equation, arguments: Callable[[jax.Array], tuple[Any, Any]], factor: Any) -> Value:
    """A value times (or over) a factor, a constant or a value that is held fixed."""
    held = isinstance(factor, Map | Sum | Coefficient)
    layout = lay.unify([value.layout, factor.layout]) if held else value.layout
    added = [place for place, dim in enumerate(lay.position_dims(layout)) if _lacks(value.layout, dim)]
    return extend(
        value,
        lambda x: bind(equation, *arguments(x))[0],
        layout,
        step=Copy(lay.grid(layout), tuple(added)) if added and isinstance(factor, Coefficient) else None,
        position_invariant=not held and _by_channel(factor, value),
        proportional=not held and jnp.size(factor) == 1,
    )


def _lacks(layout: lay.Layout, dim: lay.Dim) -> bool:
    return dim.size > 1 and dim.kind not in {each.kind for each in lay.position_dims(layout)}


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


def _two_maps(interpreter: Interpreter, equation: Equation) -> NoReturn:
    interpreter.unsupported(
        equation,
        "it multiplies two PFV maps, and neither is a gate (one value per channel or per position) or made from the "
        "other, so it is not clear which of them to hold fixed: say so by srd_jax.hold(...) around that one",
    )
