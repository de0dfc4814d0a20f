"""Running the steps of a traced program on values, so that they can be differentiated."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core.geometry import Window
from srd_jax.core.tracing import Constant, Equation, Operand, Ref, bind

__all__ = ["evaluate", "run"]


def evaluate(
    equations: Sequence[Equation],
    known: Mapping[Ref, Any],
    output: Operand,
    instead: Mapping[Ref, Callable[..., list[Any]]] = MappingProxyType({}),
) -> Any:
    """Run equations from known values to the output.

    Args:
        equations: in order.
        known: values that they start from.
        output: what to return.
        instead: what to run in place of some equations, by their first result: operands to a list of results.
    """
    env = run(equations, known, instead)
    return output.value if isinstance(output, Constant) else env[output]


def run(
    equations: Sequence[Equation],
    known: Mapping[Ref, Any],
    instead: Mapping[Ref, Callable[..., list[Any]]] = MappingProxyType({}),
) -> dict[Ref, Any]:
    """Run equations from known values, as `evaluate`: every value."""
    env = dict(known)

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Constant) else env[operand]

    for equation in equations:
        step = instead.get(equation.results[0], partial(_differentiable, equation))
        env.update(zip(equation.results, step(*map(read, equation.operands)), strict=True))
    return env


def _differentiable(equation: Equation, *args: Any) -> list[Any]:
    """As `bind`; a max pool with dilated windows, which JAX has no derivative of, by its taps."""
    params = equation.params
    if equation.primitive not in (jp.reduce_window_max_p, jp.reduce_window_min_p) or set(params["window_dilation"]) == {
        1
    }:
        return bind(equation, *args)
    (x,) = args
    largest = equation.primitive is jp.reduce_window_max_p
    each = zip(params["padding"], params["base_dilation"], strict=True)
    never = jnp.asarray(-jnp.inf if largest else jnp.inf, x.dtype)
    padded = lax.pad(x, never, [(low, high, base - 1) for (low, high), base in each])
    ones = (1,) * x.ndim
    window = Window(
        params["window_dimensions"], params["window_strides"], ((0, 0),) * x.ndim, params["window_dilation"], ones
    )
    chosen = None
    for read in window.each(padded):
        wins = None if chosen is None else (read > chosen if largest else read < chosen)
        chosen = read if chosen is None else jnp.where(wins, read, chosen)
    return [chosen]
