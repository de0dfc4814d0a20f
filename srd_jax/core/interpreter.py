"""The forward pass: interpret a traced function, keep sums open until they are X_j, and share each X_j out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import primitives as jp

from srd_jax.core import layout as lay
from srd_jax.core.activations import Activations
from srd_jax.core.agreement import beside_channels
from srd_jax.core.edges import Edge
from srd_jax.core.head import HeadRule
from srd_jax.core.holding import HELD
from srd_jax.core.interpretation import (
    Interpretation,
    Node,
    Source,
    encoder_of,
    source_of,
    sources_of,
    tokens_of,
    upstream,
)
from srd_jax.core.layout import LayoutError
from srd_jax.core.paths import Paths, paths_of
from srd_jax.core.registry import facts_of, rule_for
from srd_jax.core.rule_results import check_results
from srd_jax.core.sharing import Bias, Relevance, sharing_ratios
from srd_jax.core.tracing import Constant, Equation, Program, Ref, bind
from srd_jax.core.values import Coefficient, Map, Sum, Value, copied_axes
from srd_jax.errors import UnsupportedPrimitiveError

__all__ = ["Interpreter", "interpret"]

_MULTIPLY = (jp.mul_p, jp.div_p, jp.dot_general_p)
"""What takes coefficients as they are; for other steps they are constants."""
_ASIDE = Node("aside", (), 1, -1, named=True)
"""What coefficients are functions of, while a rule says what their axes mean: of any grid."""


@dataclass
class Interpreter:
    """What rules may ask of the interpretation in progress.

    Attributes:
        bias: how constants are shared.
        relevance: whether ratios are taken against X_j or against the value after its activation.
        recursion: as in `Interpretation`.
        reads: how often each value is read, but by what only becomes a factor that is held fixed.
        nodes: the PFV maps so far, the input first.
        held: the factors that are held fixed so far: the first result of their equation, and their place in it.
        program: what is interpreted.

    The ratios of some sums are put off until the end: of a step from a map to a single PFV, which mostly belongs to the
    head and needs none, and with ``relevance="post"`` until the value after the activation is known.
    """

    bias: Bias
    relevance: Relevance = "pre"
    recursion: bool = True
    reads: Mapping[Ref, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    held: set[tuple[Ref, int]] = field(default_factory=set)
    program: Program | None = None
    _closed: dict[Ref, Map] = field(default_factory=dict)
    _deferred: dict[int, Sum] = field(default_factory=dict)

    def close(self, value: Value) -> Map:
        """End an open sum: its value becomes X_j of a new PFV map and each term an edge of sharing ratios."""
        if isinstance(value, Map):
            return value
        if value.ref in self._closed:
            return self._closed[value.ref]
        if value.origin is not None and (value.is_mean or value.is_free):
            ended = self.close(value.origin if value.name is None else replace(value.origin, name=value.name))
            pool = value if value.is_mean else None
            return replace(ended, array=value.array, layout=value.layout, ref=value.ref, pool=pool)
        index = len(self.nodes)
        sources = sources_of(self.nodes, value)
        lone = len(value.terms) == 1 and value.terms[0].taps == 1
        node = Node(
            value.name or value.scope,
            lay.grid(value.layout),
            lay.channels(value.layout),
            value.ref,
            named=value.name is not None,
            sources=sources,
            live=_live(self.paths(value)),
            is_mean=value.is_mean,
            tokens=tokens_of(self.nodes, value),
        )
        into_single = node.is_single and any(not self.nodes[source.node].is_single for source in sources)
        if into_single or (self.relevance == "post" and not lone):
            self._deferred[index] = value
        else:
            node = replace(node, edges=self._edges(index, sources, value))
        self.nodes.append(node)
        closed = Map(value.array, value.layout, index, value.ref, value if value.is_mean else None)
        if value.ref >= 0:
            self._closed[value.ref] = closed
        return closed

    def through_mean(self, value: Any) -> Any:
        """A value, closed where it is a mean over all positions: whatever is made of it goes through its one PFV."""
        is_mean = isinstance(value, Sum) and value.is_mean and lay.positions(value.layout) == 1
        return self.close(value) if is_mean else value

    def settled(self, values: Sequence[Value]) -> list[Value]:
        """Operands of one step: an open selection ends where another operand is a function of its end, or itself."""
        origins = [value.origin or value if isinstance(value, Sum) else value for value in values]
        keys = [origin.ref for origin in origins]
        roots = {self.root(value.node) for value in values if isinstance(value, Map)}
        ends = [
            (key in self._closed and self.root(self._closed[key].node) in roots) or (key >= 0 and keys.count(key) > 1)
            for key in keys
        ]
        return [self.close(value) if end else value for value, end in zip(values, ends, strict=True)]

    def through_own_pfvs(self, values: Sequence[Value]) -> list[Value]:
        """Values to be added up: one that is copied over positions, as a mean is, ends at the PFVs that it has."""
        layout = lay.unify([value.layout for value in values])

        def stays(value: Value) -> bool:
            return not copied_axes(value, layout) or (isinstance(value, Sum) and value.shifts)

        return [value if stays(value) else self.close(value) for value in values]

    def paths(self, value: Sum) -> Paths:
        """Which PFV every tap of an open sum comes from."""
        nodes = [term.source.node for term in value.terms]
        return paths_of(value.terms, [self.root(node) for node in nodes], [self.nodes[node].live for node in nodes])

    def known(self, operand: Ref | Constant) -> np.ndarray | None:
        """A value that depends on neither images nor variables, None for any other."""
        if isinstance(operand, Constant):
            return np.asarray(operand.value)
        assert self.program is not None
        makers = {ref: equation for equation in self.program.equations for ref in equation.results}
        values: dict[Ref, Any] = dict(self.program.constants)

        def value(operand: Ref | Constant) -> Any:
            if isinstance(operand, Constant):
                return operand.value
            if operand not in values:
                equation = makers[operand]  # none makes an argument
                values.update(zip(equation.results, bind(equation, *map(value, equation.operands)), strict=True))
            return values[operand]

        try:
            with jax.ensure_compile_time_eval():
                found = value(operand)
        except KeyError:
            return None
        return None if isinstance(found, jax.core.Tracer) else np.asarray(found)

    def made_from(self, value: Value, other: Value) -> bool:
        """Whether a value is made from PFVs of another, by steps between them."""
        nodes = {self.root(source.node) for source in sources_of(self.nodes, value)}
        starts = {self.root(source.node) for source in sources_of(self.nodes, other)}
        if isinstance(value, Map):
            nodes = {self.root(s.node) for node in nodes for s in self.nodes[node].sources}
        return bool(nodes) and starts <= set(upstream(self.nodes, nodes))

    def name(self, value: Value, name: str) -> Value:
        """Call a value by a name: an open sum closes under it; a map becomes a PFV map of its own, with mu = 1.

        A max pool stays open under its name, so that a mixing step is still composed with it.
        """
        if isinstance(value, Sum):
            named = replace(value, name=name)
            pooled = value.selection is not None and value.selection.switches is not None
            return named if pooled else self.close(named)
        index = len(self.nodes)
        source = source_of(self.nodes, value)
        edge = Edge(None, source.node, index, self.nodes[source.node].grid, source.steps)
        grid, channels = lay.grid(value.layout), lay.channels(value.layout)
        live, tokens = self.nodes[value.node].live, self.nodes[value.node].tokens
        self.nodes.append(
            Node(
                name, grid, channels, value.ref, named=True, sources=(source,), edges=(edge,), live=live, tokens=tokens
            )
        )
        return replace(value, node=index)

    def root(self, index: int) -> int:
        """The PFV map that a map is only another name of (itself, mostly)."""
        node = self.nodes[index]
        if len(node.edges) == 1 and node.edges[0].ratios is None and not node.edges[0].steps:
            return self.root(node.edges[0].source)
        return index

    def hold(self, equation: Equation, place: int) -> None:
        """Note that one factor of a product is held fixed: no relevance goes through it."""
        self.held.add((equation.results[0], place))

    def unsupported(self, equation: Equation, why: str) -> NoReturn:
        """Refuse an equation with everything the user needs to find and mend it.

        Raises:
            UnsupportedPrimitiveError: always.
        """
        shapes = ", ".join(f"{s.dtype}{list(s.shape)}" for s in equation.shapes)
        raise UnsupportedPrimitiveError(
            f"no sharing rule for primitive '{equation.primitive.name}' of ({shapes}): {why}. It is at {equation.where}"
            + (f", in {equation.scope}" if equation.scope else "")
            + f". Register a rule with @srd_jax.register_rule({equation.primitive.name!r}); "
            "CONTRIBUTING.md walks through one"
        )

    def finished(self, program: Program, values: Mapping[Ref, Any], logits: Value, head: HeadRule) -> Interpretation:
        """The interpretation, with the ratios that were put off as far as relevance goes through them."""
        tops = {source.node for source in encoder_of(self.nodes, logits, head)}
        activations = Activations(program)
        nodes = list(self.nodes)
        for index in upstream(nodes, tops):
            if index in self._deferred:
                value = self._deferred[index]
                after = activations.of(value.ref) if self.relevance == "post" else None
                toward = None if after is None else values[after].array
                nodes[index] = replace(nodes[index], edges=self._edges(index, nodes[index].sources, value, toward))
        return Interpretation(
            program, values, logits, tuple(nodes), head, self.bias, self.relevance, recursion=self.recursion
        )

    def _edges(
        self, index: int, sources: Sequence[Source], value: Sum, toward: jax.Array | None = None
    ) -> tuple[Edge, ...]:
        """The sharing ratios of a sum that ends, ``toward`` X_j or another value."""
        ratios: list[jax.Array | None] = [None] * len(sources)
        if self.recursion:
            ratios = sharing_ratios(value, self.bias, self.paths(value), toward)
        return tuple(
            Edge(
                None if ratio is None else jnp.swapaxes(ratio, 0, 1),
                source.node,
                index,
                self.nodes[source.node].grid,
                source.steps,
            )
            for source, ratio in zip(sources, ratios, strict=True)
        )


def _live(paths: Paths) -> np.ndarray | None:
    reached = paths.reached
    return None if reached.all() else reached


def interpret(
    program: Program,
    variables: Sequence[Any],
    images: jax.Array,
    channel_axis: int,
    bias: Bias = "norm",
    *,
    head: HeadRule = "linear",
    relevance: Relevance = "pre",
    recursion: bool = True,
) -> Interpretation:
    """Run a program forward, computing each map's sharing ratios as soon as its sum is complete.

    Args:
        program: from `srd_jax.core.tracing.trace`.
        variables: leaves of the function's first argument.
        images: its second argument.
        channel_axis: of the images.
        bias: how constants are shared.
        head: how a logit is divided at the encoder's output.
        relevance: what ratios are taken against.
        recursion: whether to compute sharing ratios.

    Raises:
        UnsupportedPrimitiveError: an equation on image-dependent values has no rule, or not in that form.
    """

    def run(interpreter: Interpreter, leaves: Sequence[Any], images: jax.Array) -> tuple[dict[Ref, Any], Value]:
        return _run(interpreter, program, leaves, images, channel_axis)

    reads = program.uses
    if any(_may_hold(equation, program) for equation in program.equations):
        outline = Interpreter(bias, relevance, recursion=False, reads=reads, program=program)
        jax.eval_shape(lambda leaves, images: run(outline, leaves, images)[1].array, variables, images)
        reads = program.reads_without(outline.held)
    interpreter = Interpreter(bias, relevance, recursion, reads, program=program)
    return interpreter.finished(program, *run(interpreter, variables, images), head)


def _may_hold(equation: Equation, program: Program) -> bool:
    """Whether an equation may multiply a value by another that depends on the images, or holds one."""
    moving = [o for o in equation.operands if isinstance(o, int) and o in program.from_image]
    products = equation.primitive in (jp.mul_p, jp.div_p, jp.dot_general_p) and len(moving) > 1
    return products or (equation.primitive is jp.name_p and equation.params["name"] == HELD)


def _of_coefficients(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Whatever is made of coefficients and constants alone is a coefficient."""
    arrays = [x.array if isinstance(x, Coefficient) else x for x in operands]
    moving = [x for x in operands if isinstance(x, Coefficient)]
    facts = facts_of(equation.primitive)
    axes = equation.params.get("axes")
    if len(moving) == 1 == len(operands) and isinstance(axes, tuple) and facts and facts.action in ("mixing", "pool"):
        if lay.runs_over_images(moving[0].layout, axes):
            interpreter.unsupported(equation, "it sums over the batch, and images must not mix")
        layout = tuple(dims for axis, dims in enumerate(moving[0].layout) if axis not in axes)
        return [Coefficient(array, layout) for array in bind(equation, *arrays)]
    # a rule says what the axes mean: that of maps which are all functions of one PFV map
    aside = Interpreter(interpreter.bias, recursion=False, nodes=[_ASIDE], program=interpreter.program)
    maps = [Map(x.array, x.layout, 0) if isinstance(x, Coefficient) else x for x in operands]
    results = _apply_rule(aside, equation, maps)
    return [Coefficient(x.array, x.layout) if isinstance(x, Map | Sum) else x for x in results]


def _run(
    interpreter: Interpreter, program: Program, variables: Sequence[Any], images: jax.Array, channel_axis: int
) -> tuple[dict[Ref, Any], Value]:
    layout = lay.of_images(images.shape, channel_axis)
    grid, channels = lay.grid(layout), lay.channels(layout)
    interpreter.nodes.append(Node("input", grid, channels, program.image, named=True))
    env: dict[Ref, Any] = dict(program.constants)
    env.update(zip(program.arguments, [*variables, images], strict=True))
    env[program.image] = Map(images, layout, 0, program.image)

    def read(operand: Ref | Constant, *, aside: bool = False, together: bool = False) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        value = env[operand]
        if isinstance(value, Map | Sum) and not (together and program.uses[operand] == 1):
            env[operand] = value = beside_channels(value)
        if not isinstance(value, Sum) or value.is_free:
            return value
        if interpreter.reads.get(operand, 0) > 1:
            env[operand] = value = interpreter.close(value)
        return interpreter.close(value) if aside and program.uses[operand] > 1 else value

    for equation in program.equations:
        aside = not any(ref in interpreter.reads for ref in equation.results)
        facts = facts_of(equation.primitive)
        together = (facts is not None and facts.rearranges) or equation.primitive is jp.dot_general_p
        operands = [read(operand, aside=aside, together=together) for operand in equation.operands]
        if facts is None or not facts.keeps_a_mean:
            operands = [interpreter.through_mean(value) for value in operands]
        if any(isinstance(value, Map | Sum) for value in operands):
            results = _apply_rule(interpreter, equation, operands)
        elif any(isinstance(value, Coefficient) for value in operands):
            results = _of_coefficients(interpreter, equation, operands)
        else:
            results = _constants(equation, operands)
        for ref, result in zip(equation.results, results, strict=True):
            env[ref] = replace(result, ref=ref) if isinstance(result, Map | Sum | Coefficient) else result
    logits = read(program.output)
    if isinstance(logits, Coefficient):
        raise UnsupportedPrimitiveError(
            "the logits are made of coefficients alone, such as attention weights or what srd_jax.hold holds fixed: "
            "nothing that the model weighs by them reaches the logits, so there is nothing to share among the pixels"
        )
    return env, logits


def _constants(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Run an equation that does not depend on the images; scalars stay known while tracing (a padding value, say)."""
    known = not any(isinstance(x, jax.core.Tracer) for x in operands)
    if known and equation.primitive.name == "pvary":
        return list(operands)
    if known and all(shape is not None and shape.size == 1 for shape in equation.out_shapes):
        with jax.ensure_compile_time_eval():
            return bind(equation, *operands)
    return bind(equation, *operands)


def _apply_rule(interpreter: Interpreter, equation: Equation, operands: Sequence[Any]) -> list[Any]:
    rule, facts = rule_for(equation.primitive), facts_of(equation.primitive)
    if rule is None or facts is None:
        interpreter.unsupported(equation, "it acts on values that depend on the images")
    if interpreter.relevance == "post" and facts.action == "unknown":
        interpreter.unsupported(equation, "whether it is an activation is unknown: register its rule with action=")
    if interpreter.relevance == "post" and facts.is_elementwise and len(equation.results) > 1:
        interpreter.unsupported(equation, "which of its several results is the value after the activation is open")
    for place, operand in enumerate(operands):
        if isinstance(operand, Coefficient):
            interpreter.hold(equation, place)
    if equation.primitive not in _MULTIPLY:
        operands = [x.array if isinstance(x, Coefficient) else x for x in operands]
    try:
        results = rule(interpreter, equation, operands)
    except LayoutError as error:
        interpreter.unsupported(equation, str(error))
    results = list(results) if isinstance(results, list | tuple) else [results]
    name = f"{getattr(rule, '__module__', '')}.{getattr(rule, '__qualname__', repr(rule))}"
    nodes = () if interpreter.nodes[0] is _ASIDE else interpreter.nodes
    check_results(name, equation, operands, results, nodes)
    label = "" if facts.rearranges else equation.label
    return [replace(r, scope=label or r.scope) if isinstance(r, Sum) else r for r in results]
