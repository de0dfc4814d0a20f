"""Whether a function ends in probabilities, whose maps fade where these are all but 0 or 1."""

from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jax.extend.core import primitives as jp

from srd_jax.core.registry import facts_of
from srd_jax.core.tracing import Equation, Operand, Program, Ref

__all__ = ["Squash", "squash_of"]

_SATURATED = 1e-4
"""How near to 0 or 1 the derivative of a probability has lost half the digits of float32."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Squash:
    """The last step of a function, where it makes probabilities of logits.

    Attributes:
        step: empty for none.
        where: the user's line.
    """

    step: Literal["", "softmax", "log_softmax", "sigmoid"] = ""
    where: str = ""

    @property
    def advice(self) -> str:
        """What to do about it."""
        return (
            f"the function ends in a {self.step} at {self.where}: where it is saturated, the map is rounding noise. "
            f"Explain the logits instead: return what goes into the {self.step}"
        )

    def is_saturated(self, outputs: np.ndarray) -> bool:
        """Whether the largest probability of an image, (N, classes), is all but 1 (of a sigmoid, or 0)."""
        probabilities = np.exp(outputs) if self.step == "log_softmax" else outputs
        largest = probabilities.max(-1)
        near = 1 - largest < _SATURATED
        return bool(near.any() or (self.step == "sigmoid" and (largest < _SATURATED).any()))


def squash_of(program: Program) -> Squash:
    """The last step of a traced function, where it makes probabilities."""
    makers = {ref: equation for equation in program.equations for ref in equation.results}

    def source(operand: Operand) -> Ref | None:
        while isinstance(operand, int) and operand in makers and _hands_on(makers[operand]):
            operand = makers[operand].operands[0]
        return operand if isinstance(operand, int) else None

    def maker(operand: Operand) -> Equation | None:
        ref = source(operand)
        return makers.get(ref) if ref is not None else None

    def made_by(equation: Equation | None, primitive: str, place: int = 0) -> Equation | None:
        found = None if equation is None else maker(equation.operands[place])
        return found if found is not None and found.primitive.name == primitive else None

    last = maker(program.output)
    if last is None:
        return Squash()
    if last.primitive is jp.logistic_p:
        return Squash("sigmoid", last.where)
    if last.primitive is jp.div_p:
        above, below = made_by(last, "exp"), made_by(made_by(last, "reduce_sum", 1), "exp")
        if above is not None and below is not None and source(above.operands[0]) == source(below.operands[0]):
            return Squash("softmax", last.where)
    if last.primitive is jp.sub_p and made_by(made_by(made_by(last, "log", 1), "reduce_sum"), "exp"):
        return Squash("log_softmax", last.where)
    return Squash()


def _hands_on(equation: Equation) -> bool:
    """Whether a step hands its first operand on, or a part of it."""
    facts = facts_of(equation.primitive)
    return facts is not None and (facts.action == "identity" or facts.rearranges or equation.primitive is jp.slice_p)
