"""Models with some of their steps changed: traced, and run with others in their place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import primitives as jp
from jaxtyping import Array

from srd_jax.core.evaluate import evaluate
from srd_jax.core.tracing import Constant, Equation, Operand, Program, Ref, body, trace

__all__ = ["Rewritten", "relus"]

Instead = Mapping[Ref, Callable[..., list[Any]]]
"""By the first result of a step, what to run in its place: operands to a list of results."""


@dataclass(frozen=True)
class Rewritten:
    """A model, some of whose steps are others.

    Attributes:
        f: ``f(variables, images) -> logits``.
        change: a traced program to what is run in place of its steps.
    """

    f: Callable[[Any, Array], Array]
    change: Callable[[Program], Instead]

    def __call__(self, variables: Any, images: Array) -> Array:
        """The logits of the changed model."""
        program = trace(jax.make_jaxpr(self.f, return_shape=True), variables, images)
        logits: Array = evaluate(
            program.equations, started(program, variables, images), program.output, self.change(program)
        )
        return logits


def started(program: Program, variables: Any, images: Array) -> dict[Ref, Any]:
    """The values that a program starts from."""
    known = dict(program.constants)
    known.update(zip(program.arguments, [*jax.tree.leaves(variables), images], strict=True))
    return known


def relus(program: Program) -> dict[Ref, int]:
    """The ReLUs of a program, max(x, 0): by their result, the place of x among the operands.

    `jax.nn.relu`, a maximum with zero, and a choice between x and zero by x's sign.
    """
    makers = {ref: equation for equation in program.equations for ref in equation.results}
    found: dict[Ref, int] = {}
    for equation in program.equations:
        if equation.results[0] in program.from_image:
            place = _relu(equation, makers)
            if place is not None:
                found[equation.results[0]] = place
    return found


def _relu(equation: Equation, makers: Mapping[Ref, Equation]) -> int | None:
    whole = body(equation)
    if whole is not None:
        inner, arguments, results = whole
        own = {ref: each for each in inner for ref in each.results}
        last = own.get(results[0]) if isinstance(results[0], int) else None
        place = _relu(last, own) if last is not None else None
        return (
            0
            if place is not None and len(arguments) == 1 and last is not None and last.operands[place] in arguments
            else None
        )
    if equation.primitive is jp.max_p:
        zero = [_is_zero(operand, makers) for operand in equation.operands]
        return zero.index(False) if sum(zero) == 1 else None
    if equation.primitive is jp.select_n_p and len(equation.operands) == 3:
        return _chosen_by_sign(equation, makers)
    return None


def _chosen_by_sign(equation: Equation, makers: Mapping[Ref, Equation]) -> int | None:
    """``select(x > 0, x, 0)`` and its like: the predicate is true where the third operand is taken."""
    predicate, other, chosen = equation.operands
    test = makers.get(predicate) if isinstance(predicate, int) else None
    if test is None or len(test.operands) != 2 or not _is_zero(test.operands[1], makers):
        return None
    if test.primitive in (jp.gt_p, jp.ge_p) and test.operands[0] == chosen and _is_zero(other, makers):
        return 2
    if test.primitive in (jp.lt_p, jp.le_p) and test.operands[0] == other and _is_zero(chosen, makers):
        return 1
    return None


def _is_zero(operand: Operand, makers: Mapping[Ref, Equation]) -> bool:
    """Whether an operand is the constant zero, or that repeated or cast."""
    while isinstance(operand, int) and operand in makers:
        maker = makers[operand]
        if maker.primitive not in (jp.broadcast_in_dim_p, jp.convert_element_type_p):
            return False
        operand = maker.operands[0]
    return isinstance(operand, Constant) and jax.numpy.ndim(operand.value) == 0 and operand.value == 0
