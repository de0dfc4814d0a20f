"""What a rule must return: as many values as its equation makes, of their shapes, with layouts that fit."""

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.core import layout as lay
from srd_jax.core.interpretation import Node
from srd_jax.core.registry import facts_of
from srd_jax.core.tracing import Equation
from srd_jax.core.values import Coefficient, Map, Sum
from srd_jax.errors import ShapeError

__all__ = ["check_results"]

_MOVING = Map | Sum | Coefficient


def check_results(
    name: str, equation: Equation, operands: Sequence[Any], results: Sequence[Any], nodes: Sequence[Node]
) -> None:
    """Hold a rule to what its equation makes.

    Args:
        name: of the rule.
        equation: what it was asked.
        operands: with what.
        results: what it returned.
        nodes: the PFV maps so far; () where it was asked for layouts only.

    Raises:
        ShapeError: another number of results, one of another shape than the equation or its own layout says, or a
            constant for what depends on the images.
    """
    rule = f"the sharing rule {name} of primitive '{equation.primitive.name}'"
    arrays = [result.array if isinstance(result, _MOVING) else result for result in results]
    stray = [type(x).__name__ for x in arrays if not isinstance(x, jax.Array | np.ndarray | np.generic | float | int)]
    if stray:
        raise ShapeError(f"{rule} returned {', '.join(stray)} in place of a Map, a Sum or an array")
    if len(results) != len(equation.results):
        made, due = ([list(jnp.shape(x)) for x in each] for each in (arrays, equation.out_shapes))
        raise ShapeError(f"{rule} returned {len(results)} results {made} in place of {len(due)} {due}")
    facts, moving = facts_of(equation.primitive), [isinstance(x, Map | Sum) for x in operands]
    at_its_place = facts is not None and facts.action == "identity" and len(moving) == len(results)
    for place, (result, expected) in enumerate(zip(results, equation.out_shapes, strict=True)):
        if not isinstance(result, _MOVING) and not (at_its_place and not moving[place]):
            raise ShapeError(
                f"{rule} returned a plain array of shape {jnp.shape(result)}, which counts as a constant, for what "
                "depends on the images: return a Map or a Sum"
            )
        shape = jnp.shape(result.array if isinstance(result, _MOVING) else result)
        if shape != expected.shape:
            raise ShapeError(f"{rule} returned an array of shape {shape} in place of {expected.shape}")
        if isinstance(result, _MOVING) and lay.shape_of(result.layout) != shape:
            layout = lay.shape_of(result.layout)
            raise ShapeError(f"{rule} returned an array of shape {shape} with a layout of shape {layout}")
        if isinstance(result, Map) and nodes:
            grid, own = lay.grid(result.layout), nodes[result.node].grid
            if prod(grid) != prod(own):
                raise ShapeError(f"{rule} returned a function of PFVs on grid {own} with a layout on grid {grid}")
