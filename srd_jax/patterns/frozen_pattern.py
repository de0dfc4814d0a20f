"""Run a program on a probe while every nonlinear step keeps the state that it has on the images.

Each value is known twice: on the images, which fixes the states, and on the probe, which runs through. A step without
a rule of its own here runs on the probe as usual; booleans and integers are states, and so always the images'.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core.primitives import Limits, Pattern
from srd_jax.core.registry import facts_of
from srd_jax.core.tracing import Equation, Operand, Program, Ref, bind, body, runs_a_program
from srd_jax.errors import UnsupportedPrimitiveError

__all__ = ["run_held", "switched"]

Held = Callable[[Equation, Sequence[Any], Sequence[Any], Sequence[bool]], Any]
"""``(equation, on images, on probe, which operands depend on the images) -> result on the probe``."""


def run_held(program: Program, leaves: Sequence[Any], images: jax.Array, probe: jax.Array) -> jax.Array:
    """The logits of a probe under the states of the images.

    Args:
        program: from `srd_jax.core.tracing.trace`.
        leaves: leaves of the function's first argument.
        images: its second argument.
        probe: of the images' shape.

    Raises:
        UnsupportedPrimitiveError: a step that depends on the images and whose state cannot be held.
    """
    on_images: dict[Ref, Any] = dict(program.constants)
    on_images.update(zip(program.arguments, [*leaves, images], strict=True))
    on_probe: dict[Ref, Any] = {program.image: probe}
    _run(program.equations, on_images, on_probe)
    output = program.output
    if not isinstance(output, int):
        return output.value
    return on_probe[output] if output in on_probe else on_images[output]


def switched(equation: Equation, images: jax.Array, probe: jax.Array) -> jax.Array:
    """What a pool or an extremum makes of a probe with the switches that it has on the images; linear in the probe."""
    state = _state_of(equation)
    assert state is not None
    return state(equation, [images], [probe], [True])


def _run(equations: Sequence[Equation], on_images: dict[Ref, Any], on_probe: dict[Ref, Any]) -> None:
    """Extend what is known on the images by every result, and on the probe by those that depend on it."""

    def image(operand: Operand) -> Any:
        return on_images[operand] if isinstance(operand, int) else operand.value

    exponents = {e.results[0]: e.operands[0] for e in equations if e.primitive is jp.exp_p}
    for equation in equations:
        made = bind(equation, *(read := [image(operand) for operand in equation.operands]))
        on_images.update(zip(equation.results, made, strict=True))
        moving = [isinstance(operand, int) and operand in on_probe for operand in equation.operands]
        if any(moving):
            probes = [on_probe[o] if own else x for o, own, x in zip(equation.operands, moving, read, strict=True)]  # type: ignore[index]
            exponent = exponents.get(equation.operands[0]) if equation.primitive is jp.log1p_p else None  # type: ignore[arg-type]
            if isinstance(exponent, int):  # log(1 + exp(z)), as in softplus, is max(z, 0) but for its smooth corner
                results: Sequence[Any] = [jnp.where(on_images[exponent] > 0, on_probe[exponent], 0)]
            else:
                results = _hold(equation, read, probes, moving)
            pairs = zip(equation.results, results, made, strict=True)
            on_probe.update((ref, p if jnp.issubdtype(m.dtype, jnp.inexact) else m) for ref, p, m in pairs)


def _hold(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> Sequence[Any]:
    state = _state_of(equation)
    if state is not None:
        return [state(equation, images, probes, moving)]
    whole = body(equation)
    if whole is not None:
        equations, arguments, outputs = whole
        inner = dict(zip(arguments, images, strict=True))
        ahead = {ref: p for ref, p, own in zip(arguments, probes, moving, strict=True) if own}
        _run(equations, inner, ahead)
        return [ahead.get(o, inner[o]) if isinstance(o, int) else o.value for o in outputs]
    facts = facts_of(equation.primitive)
    at = f"It is at {equation.where}" + (f", in {equation.scope}" if equation.scope else "")
    if not runs_a_program(equation) and (facts is None or facts.pattern == "unknown"):
        raise UnsupportedPrimitiveError(
            f"what primitive '{equation.primitive.name}' keeps under an activation pattern is unknown: register "
            f"its rule with pattern=. {at}"
        )
    if runs_a_program(equation) or (facts is not None and facts.pattern == "refused"):
        raise UnsupportedPrimitiveError(
            f"the states inside primitive '{equation.primitive.name}' cannot be held: it is a loop, a branch or an "
            f"ordering that depends on the images. {at}"
        )
    return bind(equation, *probes)


def _larger(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """The operand that was the larger; of equals the constant, else the first."""
    del equation
    (a, b), (p, q) = images, probes
    return jnp.where(a >= b if moving[1] else a > b, p, q)


def _smaller(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """The operand that was the smaller; of equals the constant, else the first."""
    del equation
    (a, b), (p, q) = images, probes
    return jnp.where(a <= b if moving[1] else a < b, p, q)


def _clamp(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """The bound that was given, or the value between them."""
    del equation, moving
    (low, x, high), (below, p, above) = images, probes
    return jnp.where(x <= low, below, jnp.where(x >= high, above, p))


def _abs(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    del equation, moving
    return jnp.where(images[0] < 0, -probes[0], probes[0])


def _steps(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """A piecewise-constant function keeps its value."""
    del probes, moving
    return bind(equation, *images)[0]


def _limits(limits: Limits) -> Held:
    """A function that saturates, at zero at the smaller limit."""
    falls = limits.positive < limits.negative

    def hold(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
        del equation, moving
        negative, positive = (jnp.asarray(limit, probes[0].dtype) for limit in limits)
        return jnp.where(images[0] < 0, negative, positive) if falls else jnp.where(images[0] > 0, positive, negative)

    return hold


def _expm1(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """-1 where the argument was negative; an exponential has no limit on the other side."""
    del moving
    negative = images[0] < 0
    return jnp.where(negative, -1, bind(equation, jnp.where(negative, 0, probes[0]))[0])


def _remainder(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """As many divisors less as on the images."""
    del moving
    (x, y), (p, q) = images, probes
    return p - jnp.round((x - bind(equation, x, y)[0]) / y) * q


def _extremum(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """The value at the place of the extremum along some axes, the first of equals."""
    del moving
    axes = [axis % images[0].ndim for axis in equation.params["axes"]]
    kept = [axis for axis in range(images[0].ndim) if axis not in axes]

    def flat(x: jax.Array) -> jax.Array:
        return x.transpose([*kept, *axes]).reshape((*(x.shape[axis] for axis in kept), -1))

    find = jnp.argmax if equation.primitive is jp.reduce_max_p else jnp.argmin
    place = find(flat(images[0]), -1, keepdims=True)
    return jnp.take_along_axis(flat(probes[0]), place, -1)[..., 0]


def _pool(equation: Equation, images: Sequence[Any], probes: Sequence[Any], moving: Sequence[bool]) -> jax.Array:
    """The value at the switch of every window, the first of equals in row-major order."""
    del moving
    largest = equation.primitive is jp.reduce_window_max_p
    never = -jnp.inf if largest else jnp.inf
    params = equation.params
    size, strides, dilation = params["window_dimensions"], params["window_strides"], params["window_dilation"]
    padding = zip(params["padding"], params["base_dilation"], strict=True)
    config = [(low, high, base - 1) for (low, high), base in padding]
    image = lax.pad(images[0], jnp.asarray(never, images[0].dtype), config)
    probe = lax.pad(probes[0], jnp.zeros((), probes[0].dtype), config)
    later = equation.out_shapes[0].shape

    def at(x: jax.Array, tap: int) -> jax.Array:
        starts = [int(i) * d for i, d in zip(np.unravel_index(tap, size), dilation, strict=True)]
        ends = [o + (n - 1) * s + 1 for o, n, s in zip(starts, later, strides, strict=True)]
        return lax.slice(x, starts, ends, strides)

    best, value = at(image, 0), at(probe, 0)
    for tap in range(1, prod(size)):
        other = at(image, tap)
        wins = other > best if largest else other < best
        best, value = jnp.where(wins, other, best), jnp.where(wins, at(probe, tap), value)
    return value


_STATES: Mapping[Pattern, Held] = MappingProxyType(
    {
        "larger": _larger,
        "smaller": _smaller,
        "clamp": _clamp,
        "sign": _abs,
        "constant": _steps,
        "expm1": _expm1,
        "remainder": _remainder,
        "extremum": _extremum,
        "switches": _pool,
    }
)
"""How a step keeps its state, by what it keeps."""


def _state_of(equation: Equation) -> Held | None:
    """How a step keeps its state, None where it keeps none or cannot."""
    facts = facts_of(equation.primitive)
    if facts is None:
        return None
    return _limits(facts.pattern) if isinstance(facts.pattern, Limits) else _STATES.get(facts.pattern)
