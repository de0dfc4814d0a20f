"""Models with some of their steps changed: traced, and run with others in their place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp
from jaxtyping import Array

from srd_jax.core.evaluate import evaluate
from srd_jax.core.tracing import Constant, Equation, Operand, Program, Ref, body, trace

__all__ = ["Instead", "Rectifier", "Rewritten", "in_place_of_relus", "relus", "started"]

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


class Rectifier(NamedTuple):
    """Where a ReLU takes its argument, and at which value it ends.

    Attributes:
        place: of x among the operands of its step.
        cap: its largest value, None for one that has none.
    """

    place: int
    cap: float | None = None


def relus(program: Program) -> dict[Ref, Rectifier]:
    """The ReLUs of a program, max(x, 0), and those with a cap, min(max(x, 0), 6): by their result.

    `jax.nn.relu` and `jax.nn.relu6`, a maximum with zero, a clip from zero on, and a choice between x and zero by x's
    sign.
    """
    makers = {ref: equation for equation in program.equations for ref in equation.results}
    found: dict[Ref, Rectifier] = {}
    for equation in program.equations:
        if equation.results[0] in program.from_image:
            rectifier = _rectifier(equation, makers)
            if rectifier is not None:
                found[equation.results[0]] = rectifier
    return found


def in_place_of_relus(program: Program, activation: Callable[[Array, float | None], Array]) -> Instead:
    """Another activation wherever a program has a ReLU: ``(x, cap) -> y``, of any shape that x broadcasts to."""
    results = {equation.results[0]: equation.out_shapes[0] for equation in program.equations}

    def instead(ref: Ref, rectifier: Rectifier) -> Callable[..., list[Array]]:
        def step(*operands: Array) -> list[Array]:
            y = activation(operands[rectifier.place], rectifier.cap)
            return [jnp.broadcast_to(y, results[ref].shape).astype(results[ref].dtype)]

        return step

    return {ref: instead(ref, rectifier) for ref, rectifier in relus(program).items()}


def _rectifier(equation: Equation, makers: Mapping[Ref, Equation]) -> Rectifier | None:
    whole = body(equation)
    if whole is not None:
        return _whole(*whole)
    if equation.primitive is jp.max_p:
        zero = [_is_zero(operand, makers) for operand in equation.operands]
        return Rectifier(zero.index(False)) if sum(zero) == 1 else None
    if equation.primitive is jp.clamp_p and _is_zero(equation.operands[0], makers):
        cap = _constant(equation.operands[2], makers)
        return None if cap is None else Rectifier(1, cap)
    if equation.primitive is jp.select_n_p and len(equation.operands) == 3:
        place = _chosen_by_sign(equation, makers)
        return None if place is None else Rectifier(place)
    return None


def _whole(equations: Sequence[Equation], arguments: Sequence[Ref], results: Sequence[Operand]) -> Rectifier | None:
    """What an activation that was kept whole is, if it is a ReLU of its one argument."""
    own = {ref: each for each in equations for ref in each.results}
    last = own.get(results[0]) if isinstance(results[0], int) else None
    cap = None
    if last is not None and last.primitive is jp.min_p:
        caps = [_constant(operand, own) for operand in last.operands]
        cap = next((value for value in caps if value is not None), None)
        inner = [operand for operand, value in zip(last.operands, caps, strict=True) if value is None]
        last = own.get(inner[0]) if cap is not None and len(inner) == 1 and isinstance(inner[0], int) else None
    rectifier = _rectifier(last, own) if last is not None else None
    if last is None or rectifier is None or len(arguments) != 1 or last.operands[rectifier.place] != arguments[0]:
        return None
    return Rectifier(0, cap)


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
    return _constant(operand, makers) == 0


def _constant(operand: Operand, makers: Mapping[Ref, Equation]) -> float | None:
    """The value of a constant scalar, or of one that is repeated or cast; None for anything else."""
    while isinstance(operand, int) and operand in makers:
        maker = makers[operand]
        if maker.primitive not in (jp.broadcast_in_dim_p, jp.convert_element_type_p):
            return None
        operand = maker.operands[0]
    return float(operand.value) if isinstance(operand, Constant) and jnp.ndim(operand.value) == 0 else None
