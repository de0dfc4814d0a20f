"""Sharing ratios of single neurons, each a PFV of one channel: the z-rule, from a traced program and its values.

With x_i the neurons that a later neuron z_j = sum_i w_ij x_i + b_j is summed from, the share of x_i is

    mu_{i->j} = ( w_ij x_i + s_ij b_j ) / z_j ,   s_ij = |w_ij x_i| / sum_i' |w_i'j x_i'| ,   R_i = sum_j mu_{i->j} R_j

which is x_i times a linear transpose, so nothing is as large as the ratios themselves. Values are closed, with a
relevance of their own, or open: on the way from closed values to the sum z_j that they end in. Three messages run back
through an open value: g, which a contribution is multiplied by, and two amounts, one shared by the size of the
contributions (biases) and one shared evenly (where every contribution, or z_j, is zero).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
from jax.extend.core import primitives as jp

from srd_jax.core.activations import Activations
from srd_jax.core.layout import Layout
from srd_jax.core.registry import facts_of
from srd_jax.core.rules.arithmetic import gates
from srd_jax.core.sharing import Bias, Relevance, accumulator
from srd_jax.core.tracing import Equation, Operand, Program, Ref, bind, hands_on, is_elementwise
from srd_jax.errors import UnsupportedPrimitiveError
from srd_jax.patterns.frozen_pattern import switched

__all__ = ["Neurons", "fit", "pull", "refuse"]

Effect = Literal["select", "mix", "pool", "shift", "sum", "scale", "bend"]
Function = Callable[..., list[jax.Array]]


class Open(NamedTuple):
    """What is known of an open value going forward: the sizes of its contributions added up, and their number."""

    size: jax.Array
    number: jax.Array


class Message(NamedTuple):
    """What runs back through an open value: the factor g, and the amounts shared by size and evenly."""

    factor: jax.Array
    by_size: jax.Array
    evenly: jax.Array


@dataclass(eq=False)
class Neurons:
    """Relevance of the neurons of one batch of images.

    Attributes:
        program: the traced program.
        values: every value on the images.
        layouts: of those that depend on the images.
        bias: how biases are shared.
        relevance: whether the neurons that are zero after their activation are lost.
        ends: values that end a sum whatever reads them, the PFV maps and the encoder's output among them.
    """

    program: Program
    values: Mapping[Ref, jax.Array]
    layouts: Mapping[Ref, Layout]
    bias: Bias
    relevance: Relevance
    ends: frozenset[Ref]
    _effects: dict[Ref, tuple[Effect, list[int]]] = field(default_factory=dict)
    _open: dict[Ref, Open] = field(default_factory=dict)
    _closed: dict[Ref, Open] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Go forward once, which finds the sums and the sizes of what they are made of."""
        self._activations = Activations(self.program)
        for equation in self.program.equations:
            if equation.results[0] in self.program.from_image and equation.results[0] in self.values:
                self._forward(equation)

    def back(self, seeds: Mapping[Ref, jax.Array]) -> dict[Ref, jax.Array]:
        """Relevance of every value that some values are made of, from the relevance of these.

        Args:
            seeds: by value, of its shape.
        """
        relevance = dict(seeds)
        messages: dict[Ref, Message] = {}
        for equation in reversed(self.program.equations):
            for ref in equation.results:
                if ref in relevance and ref in self._closed:
                    messages[ref] = self._start(ref, relevance[ref])
            if any(ref in relevance or ref in messages for ref in equation.results):
                self._back(equation, relevance, messages)
        return relevance

    # --- forward -----------------------------------------------------------------------------------------------------

    def _forward(self, equation: Equation) -> None:
        effect, moving = self._effects[equation.results[0]] = self._effect(equation)
        operands = [equation.operands[place] for place in moving]
        opens = any(operand in self._open for operand in operands)
        if effect == "mix" or (effect == "select" and (opens or equation.primitive is jp.pad_p)):
            known = [self._of(operand) for operand in operands]
            sizes = self._run(equation, moving, jnp.abs)(*(each.size for each in known))
            counts = self._run(equation, moving, jnp.ones_like)(*(each.number for each in known))
            made = [Open(*pair) for pair in zip(sizes, counts, strict=True)]
        elif effect == "sum":
            left, right = (self._of(operand) for operand in operands)
            made = [Open(left.size + right.size, left.number + right.number)]
        elif effect == "scale" and opens:
            (known_one,) = (self._of(operand) for operand in operands)
            (size,) = self._run(equation, moving)(known_one.size)
            made = [Open(jnp.abs(size), jnp.broadcast_to(known_one.number, size.shape))]
        elif effect == "shift" and opens:
            shape = equation.out_shapes[0].shape
            made = [Open(*(jnp.broadcast_to(x, shape) for x in self._of(operands[0])))]
        else:
            made = []
        for ref, each in zip(equation.results, made, strict=False):
            ends = ref in self.ends or equation.primitive is jp.name_p or self.program.uses.get(ref) != 1
            (self._closed if ends else self._open)[ref] = each
        if effect in ("bend", "pool"):
            for operand in operands:
                if isinstance(operand, int) and operand in self._open:
                    self._closed[operand] = self._open.pop(operand)

    def _of(self, operand: Operand) -> Open:
        if isinstance(operand, int) and operand in self._open:
            return self._open[operand]
        value = self._value(operand)
        return Open(jnp.abs(value), jnp.ones_like(value))

    # --- backward ----------------------------------------------------------------------------------------------------

    def _start(self, ref: Ref, relevance: jax.Array) -> Message:
        """From the relevance of a sum to the message for what it is summed from."""
        x = self._value(ref)
        alive = jnp.abs(x) > jnp.finfo(x.dtype).tiny
        after = self._activations.of(ref) if self.relevance == "post" else None
        if after is not None:
            alive &= self._value(after) != 0
        factor = jnp.where(alive, relevance / jnp.where(alive, x, 1), 0)
        return Message(factor, jnp.zeros_like(factor), jnp.where(alive, 0, relevance))

    def _back(self, equation: Equation, relevance: dict[Ref, jax.Array], messages: dict[Ref, Message]) -> None:
        def add(operand: Operand, amount: jax.Array) -> None:
            assert isinstance(operand, int)
            amount = fit(amount, self._value(operand).shape)
            relevance[operand] = relevance[operand] + amount if operand in relevance else amount

        def give(operand: Operand, message: Message) -> None:
            assert isinstance(operand, int)
            if operand in self._open:
                messages[operand] = Message(*(fit(part, self._value(operand).shape) for part in message))
            else:
                factor = fit(message.factor, self._value(operand).shape)
                rest = fit(message.by_size + message.evenly, factor.shape)
                add(operand, self._value(operand) * factor + rest)

        result = equation.results[0]
        effect, moving = self._effects[result]
        operands = [equation.operands[place] for place in moving]
        if effect == "bend":
            add(self._bent(equation, operands), relevance[result])
        elif effect == "pool":
            add(operands[0], self._unpool(equation, operands[0], relevance[result]))
        elif effect == "select":
            self._unselect(equation, relevance, messages, add, give)
        elif result not in messages:
            add(operands[0], relevance[result])  # a closed value, scaled or shifted: its one contributor
        elif effect == "mix":
            give(operands[0], self._unmix(equation, moving, messages[result]))
        elif effect == "sum":
            for operand, part in zip(operands, self._unsum(equation, messages[result]), strict=True):
                give(operand, part)
        elif effect == "scale":
            unscaled = pull(equation, self._run(equation, moving), [self._value(operands[0])])
            (factor,) = unscaled([messages[result].factor])
            give(operands[0], messages[result]._replace(factor=factor))
        else:
            give(operands[0], self._unshift(equation, moving[0], messages[result]))

    def _bent(self, equation: Equation, operands: Sequence[Operand]) -> Operand:
        """The one contributor of an activation or a gate."""
        source = operands[0] if len(operands) == 1 else self._activations.before(equation.results[0])
        if source is None:
            refuse(equation, "it joins values in a way that is neither an activation nor a gate")
        return source

    def _unpool(self, equation: Equation, operand: Operand, relevance: jax.Array) -> jax.Array:
        """What a max pool hands back to its switches."""
        value = self._value(operand)
        (back,) = pull(equation, lambda probe: switched(equation, value, probe), [value])(relevance)
        return back

    def _unselect(
        self,
        equation: Equation,
        relevance: Mapping[Ref, jax.Array],
        messages: Mapping[Ref, Message],
        add: Callable[[Operand, jax.Array], None],
        give: Callable[[Operand, Message], None],
    ) -> None:
        """Hand back to every place what was selected from it."""
        _, moving = self._effects[equation.results[0]]
        operands = [equation.operands[place] for place in moving]
        values = [self._value(operand) for operand in operands]
        unselected = pull(equation, self._run(equation, moving, jnp.zeros_like), values)

        def back(parts: Sequence[jax.Array | None]) -> list[jax.Array]:
            results = zip(parts, equation.results, strict=True)
            return unselected([jnp.zeros_like(self._value(ref)) if part is None else part for part, ref in results])

        if any(ref in messages for ref in equation.results):
            found = [messages.get(ref) for ref in equation.results]
            columns = [back([None if m is None else m[i] for m in found]) for i in range(len(Message._fields))]
            for operand, parts in zip(operands, zip(*columns, strict=True), strict=True):
                give(operand, Message(*parts))
        else:
            for operand, part in zip(operands, back([relevance.get(ref) for ref in equation.results]), strict=True):
                add(operand, part)

    def _unmix(self, equation: Equation, moving: list[int], message: Message) -> Message:
        operand = equation.operands[moving[0]]
        known, total = self._of(operand), self._made(equation)

        def back(ahead: jax.Array, change: Callable[[jax.Array], jax.Array]) -> jax.Array:
            return pull(equation, self._run(equation, moving, change), [self._value(operand)])([ahead])[0]

        return Message(
            back(message.factor, lambda x: x),
            known.size * back(_divide(message.by_size, total.size), jnp.abs),
            known.number * back(_divide(message.evenly, total.number), jnp.ones_like),
        )

    def _unsum(self, equation: Equation, message: Message) -> tuple[Message, Message]:
        left, right = (self._of(operand) for operand in equation.operands)
        by_size = _divide(message.by_size, left.size + right.size)
        evenly = _divide(message.evenly, left.number + right.number)
        sign = -1 if equation.primitive is jp.sub_p else 1
        return (
            Message(message.factor, by_size * left.size, evenly * left.number),
            Message(sign * message.factor, by_size * right.size, evenly * right.number),
        )

    def _unshift(self, equation: Equation, place: int, message: Message) -> Message:
        """The bias's part of the relevance is shared among the contributions to what it was added to."""
        sign = -1 if equation.primitive is jp.sub_p and place == 1 else 1
        amount = (self._value(equation.results[0]) - sign * self._value(equation.operands[place])) * message.factor
        by_size, evenly = message.by_size, message.evenly
        if self.bias == "norm":
            sized = self._made(equation).size > 0
            by_size, evenly = by_size + jnp.where(sized, amount, 0), evenly + jnp.where(sized, 0, amount)
        elif self.bias == "uniform":
            evenly = evenly + amount
        return Message(sign * message.factor, by_size, evenly)

    def _made(self, equation: Equation) -> Open:
        ref = equation.results[0]
        return self._open[ref] if ref in self._open else self._closed[ref]

    # --- equations ---------------------------------------------------------------------------------------------------

    def _effect(self, equation: Equation) -> tuple[Effect, list[int]]:
        """What an equation does to the neurons, and the places of the operands that it does it to."""
        facts, own = facts_of(equation.primitive), self.program.from_image
        action = "other" if facts is None else facts.action
        moving = [i for i, operand in enumerate(equation.operands) if isinstance(operand, int) and operand in own]
        effect: Effect
        if action == "selection" or hands_on(equation):
            effect = "select"
        elif action == "pool":
            effect = "pool"
        elif action == "mixing" and len(moving) == 1:
            effect = "mix"
        elif action == "sum":
            effect = "shift" if len(moving) == 1 else "sum"
        elif action == "scale" and (place := self._scaled(equation, moving)) is not None:
            effect, moving = "scale", [place]
        elif is_elementwise(equation):
            effect = "bend"
        elif action == "linear":
            refuse(equation, 'the sizes of contributions are known of "mixing" alone, whose weights are operands')
        elif action == "unknown":
            refuse(equation, "what it does is unknown: register its rule with action=")
        else:
            refuse(equation, "there is no rule for single neurons")
        return effect, moving

    def _scaled(self, equation: Equation, moving: list[int]) -> int | None:
        """The factor that is scaled; of two that depend on the images the other, a gate or a norm, is held."""
        if len(moving) == 1:
            return None if equation.primitive is jp.div_p and moving[0] == 1 else moving[0]
        if self._activations.before(equation.results[0]) is not None:
            return None
        left, right = (operand for operand in equation.operands if isinstance(operand, int))
        if equation.primitive is jp.div_p or gates(self.layouts[right], self.layouts[left]):
            return 0
        if gates(self.layouts[left], self.layouts[right]):
            return 1
        opens = [left in self._open, right in self._open]
        return opens.index(True) if sum(opens) == 1 else None

    def _run(
        self, equation: Equation, moving: list[int], change: Callable[[jax.Array], jax.Array] = lambda x: x
    ) -> Function:
        """An equation as a linear function of some operands, its other ones changed, as their sizes are."""
        selects = self._effects[equation.results[0]][0] == "select" and equation.primitive is not jp.pad_p
        same = _is_identity(equation)

        def run(*xs: jax.Array) -> list[jax.Array]:
            given = iter(xs)
            args = []
            for place, operand in enumerate(equation.operands):
                shape = equation.shapes[place]
                if place in moving:
                    x = next(given)  # an integer or a boolean that is only moved is moved as a float, which is linear
                    args.append(x.astype(shape.dtype) if jnp.issubdtype(shape.dtype, jnp.inexact) else x)
                elif equation.primitive is jp.pad_p:
                    args.append(jnp.zeros(shape.shape, shape.dtype))
                else:
                    fixed = self.values[operand] if isinstance(operand, int) else operand.value
                    args.append(fixed if selects else change(jnp.asarray(fixed)))
            made = args if same else bind(equation, *args)
            return [x.astype(accumulator(x.dtype)) for x in made]

        return run

    def _value(self, operand: Operand) -> jax.Array:
        array = jnp.asarray(self.values[operand] if isinstance(operand, int) else operand.value)
        return array.astype(accumulator(array.dtype))


def refuse(equation: Equation, why: str) -> NoReturn:
    """Say that single neurons have no ratios at a step.

    Raises:
        UnsupportedPrimitiveError: always.
    """
    raise UnsupportedPrimitiveError(
        f"no sharing ratios of single neurons for primitive '{equation.primitive.name}': {why}. It is at "
        f"{equation.where}" + (f", in {equation.scope}" if equation.scope else "") + '. Use unit="vector"'
    )


def _is_identity(equation: Equation) -> bool:
    """Whether a step is the identity, in type too."""
    facts = facts_of(equation.primitive)
    same = [shape.dtype for shape in equation.shapes] == [shape.dtype for shape in equation.out_shapes]
    return facts is not None and facts.action == "identity" and same


def pull(equation: Equation, fn: Callable[..., object], like: Sequence[jax.Array]) -> Callable[..., list[jax.Array]]:
    """The transpose of an equation as a linear function of arrays.

    Raises:
        UnsupportedPrimitiveError: JAX does not know it.
    """

    def back(ahead: object) -> list[jax.Array]:
        try:
            return list(jax.linear_transpose(fn, *like)(ahead))
        except NotImplementedError as error:
            refuse(equation, f"it needs a transpose, and JAX says: {str(error).splitlines()[0]}")

    return back


def fit(amount: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Add up what went to the copies of a value that was repeated along axes of extent 1."""
    axes = tuple(i for i, (now, size) in enumerate(zip(amount.shape, shape, strict=True)) if now != size)
    return jnp.sum(amount, axes, keepdims=True) if axes else amount


def _divide(amount: jax.Array, total: jax.Array) -> jax.Array:
    """Zero where there is nothing to share among."""
    some = total > 0
    return jnp.where(some, amount / jnp.where(some, total, 1), 0)
