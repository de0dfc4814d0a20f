"""From the interpreter's nodes to a flow: find the encoder's output, keep what leads to it, name the maps."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from srd_jax.core import layout as lay
from srd_jax.core.activations import Activations
from srd_jax.core.edges import Edge
from srd_jax.core.flow import Flow, Layer
from srd_jax.core.geometry import ReducePositions, Slice, Window
from srd_jax.core.head import Head, HeadKind
from srd_jax.core.interpreter import Interpreter, Node
from srd_jax.core.squash import squash_of
from srd_jax.core.tracing import Program, Ref, downstream
from srd_jax.core.values import Map, Sum, Value

__all__ = ["build_flow", "references"]


def build_flow(interpreter: Interpreter, program: Program, env: dict[Ref, Any], logits: Value, kind: HeadKind) -> Flow:
    """The flow of an interpreted program.

    Args:
        interpreter: after the forward pass.
        program: what was interpreted.
        env: every value by reference.
        logits: the program's output.
        kind: of head.
    """
    tops = _values_under(interpreter, logits, whole_head=kind == "sharing")
    kept = _ancestors(interpreter, {top.node for top in tops})
    activations = Activations(program)
    for index in sorted(kept):
        deferred = interpreter.nodes[index].deferred
        if deferred is not None:
            after = activations.of(deferred.ref) if interpreter.relevance == "post" else None
            interpreter.share(index, deferred, None if after is None else _array(env[after]))
    nodes, place = _without_aliases(interpreter.nodes, kept, {top.node for top in tops})
    order = {old: new for new, old in enumerate(sorted(nodes))}
    edges = tuple(
        replace(edge, source=order[place[edge.source]], target=order[old])
        for old in sorted(nodes)
        for edge in nodes[old].edges
    )
    layers = _layers([nodes[old] for old in sorted(nodes)], edges)
    head = _head(interpreter, program, env, logits, tops, kind, lambda old: order[place[old]])
    live = tuple(_known(nodes[old]) for old in sorted(nodes))
    recursion = interpreter.recursion
    return Flow(layers, edges if recursion else (), head, live, recursion=recursion)


def references(interpreter: Interpreter, logits: Value, kind: HeadKind) -> tuple[Ref, ...]:
    """The value of each layer of the flow in the traced program, in the flow's order; after `assemble`."""
    tops = {top.node for top in _values_under(interpreter, logits, whole_head=kind == "sharing")}
    nodes, _ = _without_aliases(interpreter.nodes, _ancestors(interpreter, tops), tops)
    return tuple(nodes[index].ref for index in sorted(nodes))


def _values_under(interpreter: Interpreter, logits: Value, *, whole_head: bool) -> list[Map]:
    """The values the head starts from: the last with more than one position, or for ``whole_head`` the last of all."""
    found: dict[Ref, Map] = {}
    pending = [logits] if isinstance(logits, Map) else [term.source for term in logits.terms]
    while pending:
        value = pending.pop(0)
        node = interpreter.nodes[value.node]
        passed = node.is_mean if whole_head else True
        if not node.is_single or not node.sources or not passed:
            found.setdefault(value.ref, value)
        else:
            pending += node.sources
    return list(found.values())


def _ancestors(interpreter: Interpreter, tops: set[int]) -> set[int]:
    kept: set[int] = set()
    pending = list(tops)
    while pending:
        index = pending.pop()
        if index not in kept:
            kept.add(index)
            pending += [source.node for source in interpreter.nodes[index].sources]
    return kept | {0}


def _without_aliases(nodes: Sequence[Node], kept: set[int], tops: set[int]) -> tuple[dict[int, Node], dict[int, int]]:
    """Merge a map without a name of its own into the one map that is only another name of it.

    Returns:
        The remaining nodes by index, and for every kept index the one that stands for it.
    """
    readers: dict[int, int] = {}
    for index in kept:
        for edge in nodes[index].edges:
            readers[edge.source] = readers.get(edge.source, 0) + 1
    merged: dict[int, Node] = {}
    place = {index: index for index in kept}
    for index in sorted(kept):
        node = nodes[index]
        lone = node.edges[0] if len(node.edges) == 1 else None
        if lone is not None and node.named and lone.ratios is None and not lone.steps:
            source = merged.get(lone.source)
            if source is not None and not source.named and readers[lone.source] == 1 and lone.source not in tops:
                node = replace(node, edges=merged.pop(lone.source).edges)
                place[lone.source] = index
        merged[index] = node
    return merged, place


def _layers(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[Layer, ...]:
    names: dict[str, int] = {}
    fields = _receptive_fields(nodes, edges)
    layers = []
    for index, (node, field) in enumerate(zip(nodes, fields, strict=True)):
        name = node.name or f"pfv{index}"
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name}#{names[name]}"
        layers.append(Layer(unique, node.grid, node.channels, field))
    return tuple(layers)


def _receptive_fields(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[tuple[int, ...]]:
    """Extent and spacing in input positions along each axis, step by step; the widest of several ways."""
    rank, full = len(nodes[0].grid), nodes[0].grid
    known: dict[int, tuple[list[int], list[float]]] = {0: ([1] * rank, [1.0] * rank)}
    for edge in edges:
        if edge.source not in known:
            continue
        field, spacing = list(known[edge.source][0]), list(known[edge.source][1])
        for step in edge.steps:
            same_axes = isinstance(step, Window) and len(step.size) == rank
            if isinstance(step, Window) and same_axes:
                for axis in range(rank):
                    field[axis] += int((step.size[axis] - 1) * step.dilation[axis] * spacing[axis])
                    spacing[axis] *= step.stride[axis] / step.base_dilation[axis]
            elif isinstance(step, Slice) and len(step.box) == rank:
                spacing = [gap * stride for gap, (_, _, stride) in zip(spacing, step.box, strict=True)]
            elif isinstance(step, ReducePositions | Window):
                field = list(full)
        before = known.get(edge.target, ([0] * rank, spacing))[0]
        wider = [min(size, max(pair)) for size, *pair in zip(full, field, before, strict=True)]
        known[edge.target] = (wider, spacing)
    return [tuple(known[index][0]) if index in known else full for index in range(len(nodes))]


def _head(
    interpreter: Interpreter,
    program: Program,
    env: dict[Ref, Any],
    logits: Value,
    tops: Sequence[Map],
    kind: HeadKind,
    number: Callable[[int], int],
) -> Head:
    refs = tuple(top.ref for top in tops)
    equations = downstream(program.equations, refs, program.output)
    made = {ref for equation in equations for ref in equation.results} | set(refs)
    read = {operand for equation in equations for operand in equation.operands if isinstance(operand, int)}
    if isinstance(program.output, int):
        read.add(program.output)
    others = sorted(read - made)
    fixed = [ref for ref in others if isinstance(env[ref], Map | Sum)]
    weights = [ref for ref in others if ref not in fixed]
    return Head(
        logits=logits.array,
        values=tuple(lay.by_image(env[ref].array, env[ref].layout) for ref in refs),
        fixed=tuple(lay.by_image(env[ref].array, env[ref].layout) for ref in fixed),
        weights=tuple(jnp.asarray(env[ref])[None] for ref in weights),
        kind=kind,
        bias=interpreter.bias,
        nodes=tuple(number(top.node) for top in tops),
        layouts=tuple(env[ref].layout for ref in refs),
        grids=tuple(interpreter.nodes[top.node].grid for top in tops),
        live=tuple(_known(interpreter.nodes[top.node]) for top in tops),
        refs=refs,
        fixed_refs=tuple(fixed),
        fixed_layouts=tuple(env[ref].layout for ref in fixed),
        weight_refs=tuple(weights),
        equations=equations,
        output=program.output,
        squash=squash_of(program),
    )


def _known(node: Node) -> tuple[bool, ...] | None:
    """Which positions a pixel reaches, as a value that a pytree can be told by."""
    return None if node.live is None else tuple(node.live.ravel().tolist())


def _array(value: Any) -> jax.Array:
    return value.array if isinstance(value, Map | Sum) else jnp.asarray(value)
