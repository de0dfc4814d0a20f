"""Where the activations of a traced program are: which value goes into one, and which comes out.

An activation is a stretch of elementwise steps, at least one of them nonlinear, that begins and ends with a single
value: ``relu`` is one step, ``x * sigmoid(x)`` two, a hard tanh four.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from jax.extend.core import primitives as jp

from srd_jax.core.primitives import Action
from srd_jax.core.registry import facts_of
from srd_jax.core.tracing import Equation, Program, Ref, hands_on, is_elementwise

__all__ = ["Activations"]


@dataclass(frozen=True, eq=False)
class Activations:
    """What can be asked of a program about its activations.

    Attributes:
        program: the traced program.
    """

    program: Program

    def named(self, name: str) -> list[Ref]:
        """The values that `jax.ad_checkpoint.checkpoint_name` called by a name, in order."""
        equations = self.program.equations
        return [e.results[0] for e in equations if e.primitive is jp.name_p and e.params["name"] == name]

    def source(self, ref: Ref) -> Ref:
        """The value that a value only hands on: what was named, cast or copied."""
        maker = self._makers.get(ref)
        while maker is not None and hands_on(maker):
            operand = maker.operands[maker.results.index(ref)]
            if not isinstance(operand, int):
                break
            ref, maker = operand, self._makers.get(operand)
        return ref

    def before(self, ref: Ref) -> Ref | None:
        """The value that goes into the activation which a value comes out of, None where that cannot be told."""
        front, bent = {ref}, False
        while True:
            (only,) = front if len(front) == 1 else (None,)
            if bent and only is not None and not self._bends_one(only):
                return only
            last = max(front, key=lambda value: self._order.get(value, -1))
            maker = self._makers.get(last)
            if maker is None or not self._is_step(maker):
                return None
            bent |= self._bends(maker)
            front = (front - {last}) | self._from_image(maker)

    def after(self, ref: Ref) -> Ref | None:
        """The value that comes out of the activation which a value goes into, None where that cannot be told."""
        region: set[Ref] = {ref}
        inside: list[Equation] = []
        for equation in self.program.equations:
            if self._from_image(equation) and self._from_image(equation) <= region and self._is_step(equation):
                region.update(equation.results)
                inside.append(equation)
        reads = [operand for equation in inside for operand in self._from_image(equation)]
        left = {value: reads.count(value) for value in region}
        unread, bent = {ref} if left[ref] else set(), False
        for equation in inside:
            bent |= self._bends(equation)
            for operand in self._from_image(equation):
                left[operand] -= 1
            unread = {value for value in unread if left[value]}
            if bent and not unread:
                return self._to_the_end(equation.results[0])
            unread |= {value for value in equation.results if left[value]}
        return None

    def of(self, ref: Ref) -> Ref | None:
        """The value after the activation that acts on a value itself, with no other step between; None without one."""
        after = self.after(ref)
        before = None if after is None else self.before(after)
        return after if before is not None and self.source(before) == self.source(ref) else None

    def _to_the_end(self, ref: Ref) -> Ref:
        """The end of a chain of nonlinear steps that only read each other, as in ``min(max(x, 0), 6)``."""
        readers = self._readers.get(ref, [])
        while self.program.uses.get(ref) == 1 and len(readers) == 1 and self._bends_one(readers[0].results[0]):
            ref = readers[0].results[0]
            readers = self._readers.get(ref, [])
        return ref

    @cached_property
    def _readers(self) -> Mapping[Ref, list[Equation]]:
        readers: dict[Ref, list[Equation]] = {}
        for equation in self.program.equations:
            for operand in equation.operands:
                if isinstance(operand, int):
                    readers.setdefault(operand, []).append(equation)
        return readers

    @cached_property
    def _makers(self) -> Mapping[Ref, Equation]:
        return {ref: equation for equation in self.program.equations for ref in equation.results}

    @cached_property
    def _order(self) -> Mapping[Ref, int]:
        return {ref: i for i, equation in enumerate(self.program.equations) for ref in equation.results}

    def _from_image(self, equation: Equation) -> set[Ref]:
        return {o for o in equation.operands if isinstance(o, int) and o in self.program.from_image}

    def _is_step(self, equation: Equation) -> bool:
        """Whether a step is elementwise, on values of one shape and with one result."""
        if not is_elementwise(equation) or len(equation.results) != 1:
            return False
        shape = equation.out_shapes[0].shape
        own = zip(equation.operands, equation.shapes, strict=True)
        return all(s.shape == shape for o, s in own if isinstance(o, int) and o in self.program.from_image)

    def _bends(self, equation: Equation) -> bool:
        """Whether an elementwise step is nonlinear in what depends on the image."""
        moving = [o for o in equation.operands if isinstance(o, int) and o in self.program.from_image]
        if equation.primitive is jp.div_p:
            return equation.operands[1] in moving
        if equation.primitive is jp.select_n_p:
            return equation.operands[0] in moving
        action = _action(equation)
        return len(moving) > 1 if action == "scale" else action != "sum" and not hands_on(equation)

    def _bends_one(self, ref: Ref) -> bool:
        """Whether a value comes from a nonlinear step of one value, as in ``min(max(x, 0), 6)``."""
        maker = self._makers.get(ref)
        return maker is not None and self._is_step(maker) and self._bends(maker) and len(self._from_image(maker)) == 1


def _action(equation: Equation) -> Action | None:
    facts = facts_of(equation.primitive)
    return None if facts is None else facts.action
