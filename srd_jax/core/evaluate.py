"""Running the steps of a traced program on values, so that they can be differentiated."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives as jp

from srd_jax.core.geometry import Window
from srd_jax.core.tracing import Constant, Equation, Operand, Ref, bind

__all__ = ["evaluate"]


def evaluate(equations: Sequence[Equation], known: dict[Ref, Any], output: Operand) -> Any:
    """Run equations from known values to the output."""
    env = dict(known)

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Constant) else env[operand]

    for equation in equations:
        made = _differentiable(equation, *map(read, equation.operands))
        env.update(zip(equation.results, made, strict=True))
    return read(output)


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
