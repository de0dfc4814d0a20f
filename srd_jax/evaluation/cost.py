"""What a function costs: multiply-adds, counted in its jaxpr without running it."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import jax
import jax.extend.core as jex
from jax.extend.core import primitives as jp

from srd_jax.errors import UnsupportedPrimitiveError

__all__ = ["multiply_adds"]


def multiply_adds(fn: Callable[..., Any], *args: Any) -> int:
    """Multiply-adds of the convolutions and matrix products that a function runs.

    A convolution counts its output's elements times the kernel's positions times the input channels of one group,
    padding and dilation included; a matrix product its output's elements times the contracted extent. Elementwise work
    is not counted. A scan (such as `jax.lax.map`) counts its body once for each step, a conditional its dearest branch.

    Args:
        fn: a function that JAX can trace.
        *args: its arguments, or `jax.ShapeDtypeStruct`s in their place; nothing is computed.

    Returns:
        The count, as an int of any size.

    Raises:
        UnsupportedPrimitiveError: multiply-adds in a while loop, whose number of steps only its values tell.
    """
    return _count(jax.make_jaxpr(fn)(*args).jaxpr)


def _count(jaxpr: jex.Jaxpr) -> int:
    return sum(_count_step(eqn) for eqn in jaxpr.eqns)


def _count_step(eqn: jex.JaxprEqn) -> int:
    params = eqn.params
    if eqn.primitive is jp.conv_general_dilated_p:
        kernel = _shape(eqn.invars[1])
        out_channels = kernel[params["dimension_numbers"].rhs_spec[0]]
        return prod(_shape(eqn.outvars[0])) * prod(kernel) // max(out_channels, 1)
    if eqn.primitive is jp.dot_general_p:
        (contracted, _), _ = params["dimension_numbers"]
        left = _shape(eqn.invars[0])
        return prod(_shape(eqn.outvars[0])) * prod(left[axis] for axis in contracted)
    inner = [_count(jaxpr) for jaxpr in _inner(params)]
    if eqn.primitive is jp.scan_p:
        return params["length"] * sum(inner)
    if eqn.primitive is jp.cond_p:
        return max(inner, default=0)
    if eqn.primitive is jp.while_p and any(inner):
        raise UnsupportedPrimitiveError(
            "multiply-adds in a while loop cannot be counted: how often it runs is only known from its values. Use "
            "lax.scan, or lax.fori_loop with bounds that are Python ints"
        )
    return sum(inner)


def _shape(atom: jex.Var | jex.Literal) -> tuple[int, ...]:
    shape: tuple[int, ...] = getattr(atom.aval, "shape")  # noqa: B009  (the base class of types has none)
    return shape


def _inner(params: dict[str, Any]) -> Iterator[jex.Jaxpr]:
    """Every jaxpr among the parameters of a primitive, alone or in a tuple."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, jex.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, jex.Jaxpr):
                yield item
