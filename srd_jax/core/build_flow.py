"""From an interpretation to a flow: merge the maps that are one, number and name them, and take the head off."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from srd_jax.core import layout as lay
from srd_jax.core.edges import Edge
from srd_jax.core.flow import Flow, Layer
from srd_jax.core.geometry import ReducePositions, Slice, Window
from srd_jax.core.head import Head
from srd_jax.core.interpretation import Interpretation, Node
from srd_jax.core.squash import squash_of
from srd_jax.core.tracing import Ref, downstream
from srd_jax.core.values import Coefficient, Map, Sum

__all__ = ["build_flow", "layer_refs"]


def build_flow(interpretation: Interpretation) -> Flow:
    """The flow of relevance through an interpreted program; without recursion it has no edges."""
    nodes, place = _merged(interpretation)
    order = {old: new for new, old in enumerate(nodes)}
    edges = tuple(
        replace(edge, source=order[place[edge.source]], target=order[old])
        for old, node in nodes.items()
        for edge in node.edges
    )
    layers = _layers(list(nodes.values()), edges)
    head = _head(interpretation, {old: order[new] for old, new in place.items()})
    live = tuple(_known(node.live) for node in nodes.values())
    apart = tuple(None if node.tokens is None else tuple(node.tokens.ravel().tolist()) for node in nodes.values())
    return Flow(layers, edges if interpretation.recursion else (), head, live, apart if any(apart) else ())


def layer_refs(interpretation: Interpretation) -> tuple[Ref, ...]:
    """The value of each layer of the flow in the traced program, in the flow's order."""
    nodes, _ = _merged(interpretation)
    return tuple(node.ref for node in nodes.values())


def _merged(interpretation: Interpretation) -> tuple[dict[int, Node], dict[int, int]]:
    """The maps that relevance goes through, where one without a name of its own is the map that is its only reader.

    Returns:
        The remaining nodes by index, in order, and for every index the one that stands for it.
    """
    nodes, kept = interpretation.nodes, interpretation.upstream
    tops = {source.node for source in interpretation.encoder}
    readers: dict[int, int] = {}
    for index in kept:
        for edge in nodes[index].edges:
            readers[edge.source] = readers.get(edge.source, 0) + 1
    merged: dict[int, Node] = {}
    place = {index: index for index in kept}
    for index in kept:
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


def _head(interpretation: Interpretation, number: Mapping[int, int]) -> Head:
    program, values = interpretation.program, interpretation.values
    refs = tuple(source.ref for source in interpretation.encoder)
    own = tuple(source.node for source in interpretation.encoder)
    held = {ref for ref, value in values.items() if isinstance(value, Coefficient)}
    equations = downstream(program.equations, refs, program.output, held)
    made = {ref for equation in equations for ref in equation.results} | set(refs)
    read = {operand for equation in equations for operand in equation.operands if isinstance(operand, int)}
    if isinstance(program.output, int):
        read.add(program.output)
    others = sorted(read - made)
    fixed = tuple(ref for ref in others if isinstance(values[ref], Map | Sum | Coefficient))
    weights = tuple(ref for ref in others if ref not in fixed)
    return Head(
        logits=interpretation.logits.array,
        values=tuple(lay.by_image(values[ref].array, values[ref].layout) for ref in refs),
        fixed=tuple(lay.by_image(values[ref].array, values[ref].layout) for ref in fixed),
        weights=tuple(jnp.asarray(values[ref])[None] for ref in weights),
        rule=interpretation.head,
        bias=interpretation.bias,
        nodes=tuple(number[node] for node in own),
        layouts=tuple(values[ref].layout for ref in refs),
        grids=tuple(interpretation.nodes[node].grid for node in own),
        live=tuple(_known(interpretation.nodes[node].live) for node in own),
        read=tuple(_known(interpretation.read_by_head(node)) for node in own),
        refs=refs,
        fixed_refs=fixed,
        fixed_layouts=tuple(values[ref].layout for ref in fixed),
        weight_refs=weights,
        equations=equations,
        output=program.output,
        squash=squash_of(program),
    )


def _known(positions: np.ndarray | None) -> tuple[bool, ...] | None:
    """Some of a map's positions as a value that a pytree can be told by, None for all of them."""
    return None if positions is None or positions.all() else tuple(positions.ravel().tolist())
