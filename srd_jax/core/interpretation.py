"""What the forward pass leaves: the PFV maps of a program on a batch of images, and where relevance starts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import jax
import numpy as np

from srd_jax.core import layout as lay
from srd_jax.core.edges import Edge
from srd_jax.core.geometry import Regrid, Step, reads
from srd_jax.core.head import HeadRule
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.tracing import Program, Ref
from srd_jax.core.values import Coefficient, Map, Sum, Term, Value

__all__ = [
    "Interpretation", "Node", "Source", "encoder_of", "source_of", "sources_of", "tokens_of", "upstream",
]  # fmt: skip


class Source(NamedTuple):
    """A value that a later one was summed from.

    Attributes:
        node: index of the PFV map that it is a function of.
        ref: identifier of the value in the traced program.
        steps: which position of that map each tap reads.
    """

    node: int
    ref: Ref
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Node:
    """A PFV map.

    Attributes:
        name: the user's, or the scope of the step that made it.
        grid: extents of its positions.
        channels: of one PFV.
        ref: identifier of its value in the traced program.
        named: whether the user gave the name.
        sources: what it was summed from.
        edges: sharing ratios from these; none where nothing needs them, as behind the encoder's output.
        live: which positions a pixel reaches, (*grid) bool; None for all of them.
        is_mean: whether it only pools the maps that it is made of.
        tokens: which positions are of no part of the image, as class tokens are, (*grid) bool; None for none of them.
    """

    name: str
    grid: tuple[int, ...]
    channels: int
    ref: Ref
    named: bool = False
    sources: tuple[Source, ...] = ()
    edges: tuple[Edge, ...] = ()
    live: np.ndarray | None = None
    is_mean: bool = False
    tokens: np.ndarray | None = None

    @property
    def is_single(self) -> bool:
        """Whether it has one PFV an image."""
        return all(size == 1 for size in self.grid)


@dataclass(frozen=True, eq=False)
class Interpretation:
    """A program, interpreted on a batch of images.

    Attributes:
        program: the traced program.
        values: every value on the images, `Map` or `Sum` where it depends on them.
        logits: the program's output.
        nodes: the PFV maps, the input first, each after those that it is made of.
        head: how a logit is divided at the encoder's output.
        bias: how constants are shared.
        relevance: what ratios are taken against.
        recursion: whether there are sharing ratios, else edges only tell how maps are connected.
    """

    program: Program
    values: Mapping[Ref, Any]
    logits: Value
    nodes: tuple[Node, ...]
    head: HeadRule
    bias: Bias
    relevance: Relevance
    recursion: bool

    @cached_property
    def encoder(self) -> tuple[Source, ...]:
        """The values that the head starts from."""
        return encoder_of(self.nodes, self.logits, self.head)

    @cached_property
    def upstream(self) -> tuple[int, ...]:
        """The PFV maps that relevance goes through, in order."""
        return upstream(self.nodes, {source.node for source in self.encoder})

    def read_by_head(self, node: int) -> np.ndarray:
        """Which positions of one of the encoder's maps the head reads, factors that are held included."""
        _, positions, passed = _start(self.nodes, self.logits, self.head)
        read = positions[node].copy()
        starts = {source.ref for source in self.encoder if source.node == node}
        before = {*passed, *self.upstream}
        aside = [
            source
            for index, each in enumerate(self.nodes)
            if index not in before
            for source in each.sources
            if source.ref in starts
        ]
        for source in aside:
            places = reads(source.steps, self.nodes[node].grid)
            read[np.unique(places[places > 0]) - 1] = True
        return (read if read.any() else np.ones_like(read)).reshape(self.nodes[node].grid)

    @property
    def arrays(self) -> dict[Ref, Any]:
        """Every value on the images, as an array."""
        return {ref: x.array if isinstance(x, Map | Sum | Coefficient) else x for ref, x in self.values.items()}

    @property
    def layouts(self) -> dict[Ref, lay.Layout]:
        """What the axes of the values that depend on the images mean."""
        return {ref: x.layout for ref, x in self.values.items() if isinstance(x, Map | Sum | Coefficient)}

    def array(self, ref: Ref) -> jax.Array:
        """A value that depends on the images, as an array."""
        value: Map | Sum | Coefficient = self.values[ref]
        return value.array


def source_of(nodes: Sequence[Node], value: Map, steps: tuple[Step, ...] = ()) -> Source:
    """A map as a source of what ``steps`` lead to; they begin on the grid of its node."""
    grid, seen = nodes[value.node].grid, lay.grid(value.layout)
    return Source(value.node, value.ref, steps if grid == seen else (Regrid(seen, len(grid)), *steps))


def sources_of(nodes: Sequence[Node], value: Value) -> tuple[Source, ...]:
    """What a value is summed from, a map of itself."""
    if isinstance(value, Map):
        return (source_of(nodes, value),)
    terms: Sequence[Term] = value.terms
    return tuple(source_of(nodes, term.source, term.steps) for term in terms)


def tokens_of(nodes: Sequence[Node], value: Sum) -> np.ndarray | None:
    """Which positions of a sum are of no part of the image: what was put beside its positions, and stays there.

    What reads one position each tells; where all read several, a step from all positions to as many others does.
    """
    single, wide = [], []
    for term in value.terms:
        node, source = nodes[term.source.node], source_of(nodes, term.source, term.steps)
        tokens = np.zeros(node.grid, bool) if node.tokens is None else node.tokens
        if term.taps == 1:
            place = reads(source.steps, node.grid)[0]
            single.append((place == 0) | tokens.ravel()[place - 1])
        elif tokens.shape == lay.grid(value.layout) and term.mix is not None and term.mix.all_to_all is not None:
            wide.append(tokens)
    found = np.all(single or wide, 0) if single or wide else np.zeros(1, bool)
    return found if found.any() and not found.all() else None


def encoder_of(nodes: Sequence[Node], logits: Value, head: HeadRule) -> tuple[Source, ...]:
    """The last values of which the logits read more than one position, or for ``head="sharing"`` the last but means."""
    return _start(nodes, logits, head)[0]


def _start(
    nodes: Sequence[Node], logits: Value, head: HeadRule
) -> tuple[tuple[Source, ...], dict[int, np.ndarray], set[int]]:
    """Where relevance starts: values, which positions of their maps the logits read, and the maps behind them.

    From the logits backwards, position by position: a class token that is read alone leads to all that it attended to.
    """
    found: dict[Ref, Source] = {}
    read: dict[int, np.ndarray] = {}
    readers: dict[int, list[Source]] = {}
    passed: set[int] = set()

    def look(sources: Sequence[Source], positions: np.ndarray | None) -> None:
        for source in sources:
            places = reads(source.steps, nodes[source.node].grid)
            places = places.reshape((len(places), -1))
            places = places if positions is None else places[:, positions]
            mask = read.setdefault(source.node, np.zeros(prod(nodes[source.node].grid), bool))
            mask[np.unique(places[places > 0]) - 1] = True
            readers.setdefault(source.node, []).append(source)

    look(sources_of(nodes, logits), None)
    while readers:
        index = max(readers)
        node, sources = nodes[index], readers.pop(index)
        if read[index].sum() <= 1 and node.sources and (node.is_mean or head != "sharing"):
            passed.add(index)
            look(node.sources, read[index])
        else:
            for source in sources:
                found.setdefault(source.ref, source)
    return tuple(found.values()), read, passed


def upstream(nodes: Sequence[Node], tops: Collection[int]) -> tuple[int, ...]:
    """Some maps, the input, and all that lies between, in order."""
    kept = {0}
    pending = list(tops)
    while pending:
        index = pending.pop()
        if index not in kept:
            kept.add(index)
            pending += [source.node for source in nodes[index].sources]
    return tuple(sorted(kept))
