"""Layer-wise relevance propagation: every layer hands its relevance back by a rule, which is data.

A layer is a step with weights and the affine steps per channel behind it, batch norm say, merged into one: z = w x + b.
A `Composite` says by which rule each kind of step does it. Between layers relevance passes through: activations, scales
and shifts of what is no layer's output have one contributor each, max pools hand it to their switches, sums of branches
in proportion.

Source: Bach et al., PLoS ONE 2015; composites as in Montavon et al., "Layer-Wise Relevance Propagation", 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.registry import facts_of
from srd_jax.core.sharing import accumulator
from srd_jax.core.tracing import Equation, Operand, Ref, bind, hands_on
from srd_jax.zrule.engine import Neurons, fit, pull, refuse

__all__ = ["Composite", "Kind", "Layerwise", "LinearStep", "Rule", "shares", "stabilised"]

Kind = Literal["first", "convolution", "dense", "pool"]
"""The steps with weights nearest the pixels, others that make several positions, others that make one, and means."""


@dataclass(frozen=True, eq=False)
class LinearStep:
    """A layer on its input: z = w x + b.

    Attributes:
        x: the input.
        weights: w.
        bias: b, of z's shape.
        forward: ``(x, w) -> w x``, linear in each.
        inside: of x's shape, 1 where it holds a value and 0 where it was padded before the step.
    """

    x: jax.Array
    weights: jax.Array
    bias: jax.Array
    forward: Callable[[jax.Array, jax.Array], jax.Array]
    inside: jax.Array

    def back(self, ahead: jax.Array, weights: jax.Array) -> jax.Array:
        """The transpose of ``x -> w x``."""
        (made,) = jax.linear_transpose(lambda x: self.forward(x, weights), self.x)(ahead)
        return made


Rule = Callable[[LinearStep, jax.Array], jax.Array]
"""``(step, R of z) -> R of x``."""

Composite = Mapping[Kind, Rule]
"""A rule for every kind of step."""


@dataclass(eq=False)
class Layerwise(Neurons):
    """Relevance of the neurons of one batch of images by a composite.

    Attributes:
        composite: a rule for every kind of step.
    """

    composite: Composite = field(kw_only=True)

    def __post_init__(self) -> None:
        """Go forward once, which finds the layers."""
        super().__post_init__()
        readers: dict[Ref, Equation] = {}
        for equation in self.program.equations:
            readers.update((operand, equation) for operand in equation.operands if isinstance(operand, int))
        self._makers = {ref: equation for equation in self.program.equations for ref in equation.results}
        self._chains = {
            equation.results[0]: self._chain(equation, readers)
            for equation in self.program.equations
            if self._is_layer(equation)
        }
        self._first = self._nearest_the_pixels()

    def back(self, seeds: Mapping[Ref, jax.Array]) -> dict[Ref, jax.Array]:
        """Relevance of every value that some values are made of, from the relevance of these."""
        relevance = dict(seeds)

        def add(operand: Operand, amount: jax.Array) -> None:
            if isinstance(operand, int):
                amount = fit(amount, self._value(operand).shape)
                relevance[operand] = relevance[operand] + amount if operand in relevance else amount

        for equation in reversed(self.program.equations):
            if any(ref in relevance for ref in equation.results) and equation.results[0] in self._effects:
                self._hand_back(equation, relevance, add)
        return relevance

    def _hand_back(
        self, equation: Equation, relevance: Mapping[Ref, jax.Array], add: Callable[[Operand, jax.Array], None]
    ) -> None:
        result = equation.results[0]
        effect, moving = self._effects[result]
        operands = [equation.operands[place] for place in moving]
        if effect == "bend":
            add(self._bent(equation, operands), relevance[result])
        elif effect == "pool":
            add(operands[0], self._unpool(equation, operands[0], relevance[result]))
        elif effect == "select":
            values = [self._value(operand) for operand in operands]
            found = [relevance.get(ref, jnp.zeros_like(self._value(ref))) for ref in equation.results]
            parts = pull(equation, self._run(equation, moving, jnp.zeros_like), values)(found)
            for operand, part in zip(operands, parts, strict=True):
                add(operand, part)
        elif effect == "sum":
            signs = (1, -1 if equation.primitive is jp.sub_p else 1)
            values = [sign * self._value(operand) for sign, operand in zip(signs, equation.operands, strict=True)]
            for operand, part in zip(operands, shares(values, relevance[result]), strict=True):
                add(operand, part)
        elif effect == "mix":
            add(operands[0], self._through_layer(equation, moving[0], relevance[result]))
        else:
            add(operands[0], relevance[result])  # per element, and so one contributor

    def _through_layer(self, equation: Equation, place: int, relevance: jax.Array) -> jax.Array:
        x = self._value(equation.operands[place])
        weight = self._weight(equation)
        if weight is None:
            run = self._run(equation, [place])
            ones = jnp.ones_like(x)
            step = LinearStep(x, jnp.ones(()), jnp.zeros_like(relevance), lambda x, w: run(x)[0] * w, ones)
            return self.composite["pool"](step, relevance)
        chain, result = self._chains[equation.results[0]], self._value(equation.results[0])
        axis, own = _channel_axes(equation, weight)
        bias = self._by_channel_of(chain, equation, jnp.zeros_like(result))
        scale = self._by_channel_of(chain, equation, jnp.ones_like(result)) - bias
        weights = self._value(equation.operands[weight])
        weights = weights * _aligned(scale, weights.ndim, own)
        bias = jnp.broadcast_to(_aligned(bias, result.ndim, axis), result.shape)

        def forward(x: jax.Array, w: jax.Array) -> jax.Array:
            made = bind(equation, *((w, x) if weight == 0 else (x, w)))[0]
            return made.astype(accumulator(made.dtype))

        single = lay.positions(self.layouts[equation.results[0]]) == 1
        kind: Kind = "first" if equation.results[0] in self._first else "dense" if single else "convolution"
        inside = self._inside().get(equation.operands[place]) if kind == "first" else None
        inside = jnp.ones_like(x) if inside is None else inside
        return self.composite[kind](LinearStep(x, weights, bias, forward, inside), relevance)

    def _weight(self, equation: Equation) -> int | None:
        """The place of a step's weights among its operands, None where it has none."""
        if equation.primitive not in (jp.conv_general_dilated_p, jp.dot_general_p):
            return None
        return 1 - self._effects[equation.results[0]][1][0]

    def _is_layer(self, equation: Equation) -> bool:
        effect = self._effects.get(equation.results[0])
        return effect is not None and effect[0] == "mix" and self._weight(equation) is not None

    def _chain(self, equation: Equation, readers: Mapping[Ref, Equation]) -> list[Equation]:
        """The affine steps per channel behind a layer, and what rearranges it between them."""
        chain: list[Equation] = []
        ref = equation.results[0]
        while ref in readers and self.program.uses.get(ref) == 1:
            step = readers[ref]
            effect, moving = self._effects.get(step.results[0], ("", []))
            others = [operand for place, operand in enumerate(step.operands) if place not in moving]
            affine = effect in ("shift", "scale") and all(self._by_channel(each, step) for each in others)
            if not affine and not (effect == "select" and _rearranges(step)):
                break
            chain.append(step)
            ref = step.results[0]
        while chain and self._effects[chain[-1].results[0]][0] == "select":
            chain.pop()
        return chain

    def _by_channel(self, operand: Operand, step: Equation) -> bool:
        """Whether a constant has one value a channel, or one in all."""
        if not isinstance(operand, int):
            return jnp.ndim(operand.value) == 0
        if operand in self.program.from_image:
            return False
        layout = self.layouts[step.results[0]]
        maker = self._makers.get(operand)
        shape, along = jnp.shape(self.values[operand]), range(len(layout))
        if not shape:
            return True
        if maker is not None and maker.primitive is jp.broadcast_in_dim_p and maker.shapes[0] is not None:
            shape, along = maker.shapes[0].shape, maker.params["broadcast_dimensions"]
        varying = [axis for n, axis in zip(shape, along, strict=True) if n > 1]
        return all(lay.kinds(layout[axis]) <= {lay.CHANNEL} for axis in varying)

    def _by_channel_of(self, chain: Sequence[Equation], start: Equation, x: jax.Array) -> jax.Array:
        """What a chain makes of a value, of which one PFV says everything: (C,)."""
        for equation in chain:
            (x,) = self._run(equation, self._effects[equation.results[0]][1])(x)
        end = (chain or [start])[-1].results[0]
        return lay.to_rows(x, self.layouts[end])[0]

    def _inside(self) -> dict[Operand, jax.Array]:
        """What the layers nearest the pixels read, 1 where it is of a pixel and 0 in padding."""
        ones: dict[Operand, jax.Array] = {self.program.image: jnp.ones_like(self._value(self.program.image))}
        for equation in self.program.equations:
            effect, moving = self._effects.get(equation.results[0], ("", []))
            own = [ones[equation.operands[place]] for place in moving if equation.operands[place] in ones]
            if effect == "select" and len(own) == len(moving) > 0:
                ones.update(zip(equation.results, self._run(equation, moving, jnp.zeros_like)(*own), strict=True))
            elif effect in ("shift", "scale", "bend") and len(own) == len(moving) == 1:
                ones[equation.results[0]] = jnp.broadcast_to(own[0], equation.out_shapes[0].shape)
        return ones

    def _nearest_the_pixels(self) -> set[Ref]:
        """The layers between which and the pixels there is none."""
        before: set[Ref] = {self.program.image}
        first: set[Ref] = set()
        for equation in self.program.equations:
            if before.intersection(operand for operand in equation.operands if isinstance(operand, int)):
                (first if equation.results[0] in self._chains else before).update(equation.results)
        return first


def shares(values: Sequence[jax.Array], relevance: jax.Array) -> list[jax.Array]:
    """What each of some values gets of the relevance of their sum, in proportion."""
    factor = relevance / stabilised(sum(values[1:], values[0]))
    return [value * factor for value in values]


def stabilised(z: jax.Array, epsilon: float = 1e-6) -> jax.Array:
    """Z, moved away from zero."""
    return z + jnp.where(z < 0, -epsilon, epsilon).astype(z.dtype)


def _aligned(by_channel: jax.Array, rank: int, axis: int) -> jax.Array:
    return by_channel.reshape([-1 if place == axis else 1 for place in range(rank)])


def _rearranges(equation: Equation) -> bool:
    facts = facts_of(equation.primitive)
    return hands_on(equation) or (facts is not None and facts.rearranges)


def _channel_axes(equation: Equation, weight: int) -> tuple[int, int]:
    """The axes of a layer's output and of its weights that hold the channels it makes."""
    if equation.primitive is jp.conv_general_dilated_p:
        numbers = equation.params["dimension_numbers"]
        return numbers.out_spec[1], numbers.rhs_spec[0]
    contracted, batched = equation.params["dimension_numbers"]
    shape = equation.shapes[weight]
    assert shape is not None
    free = [axis for axis in range(len(shape.shape)) if axis not in (*contracted[weight], *batched[weight])]
    if len(free) != 1:
        refuse(equation, "its weights make no axis of channels, or several")
    rank = len(equation.out_shapes[0].shape)
    return (rank - 1 if weight == 1 else len(batched[0])), free[0]
