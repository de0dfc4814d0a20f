"""Edges: every edge is the matrix its ratios spell out, and its transpose is the transpose of that matrix."""

from itertools import product
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from srd_jax.core.edges import Edge
from srd_jax.core.geometry import Copy, Flip, Pad, ReducePositions, Regrid, Slice, Window, count_taps

N = 2


def box(size, stride=1, padding=(0, 0), *, dilation=1, base=1, rank=2):
    """A window of one kind along every axis."""
    return Window((size,) * rank, (stride,) * rank, (padding,) * rank, (dilation,) * rank, (base,) * rank)


def selected(steps, x, taps):
    for step, tap in zip(steps, taps, strict=True):
        x = step.select(x, tap)
    return np.asarray(x)


def edge_of(steps, grid, *, ones=False):
    """An edge with random ratios, or without."""
    later = selected(steps, np.zeros(grid), [0] * len(steps)).shape
    ratios = None if ones else np.random.default_rng(7).normal(size=(N, count_taps(steps), *later)).astype(np.float32)
    return Edge(None if ratios is None else jnp.asarray(ratios), 0, 1, grid, tuple(steps)), later


def dense(edge, later):
    """The matrices (N, later positions, earlier positions), tap by tap and position by position."""
    numbers = np.arange(1, prod(edge.grid) + 1).reshape(edge.grid)
    matrix = np.zeros((N, prod(later), prod(edge.grid)))
    for number, taps in enumerate(product(*(range(step.taps) for step in edge.steps))):
        reads = selected(edge.steps, numbers, taps).reshape(-1)
        for j, i in enumerate(reads):
            if i:
                mu = 1 if edge.ratios is None else np.asarray(edge.ratios[:, number]).reshape((N, -1))[:, j]
                matrix[:, j, i - 1] += mu
    return matrix


def basis(grid):
    size = prod(grid)
    return jnp.broadcast_to(jnp.eye(size, dtype=jnp.float32).reshape((size, *grid)), (N, size, *grid))


def as_matrix(edge):
    """The matrix, by applying the edge to every one-hot map."""
    columns = edge.apply(basis(edge.grid))
    return np.asarray(columns).reshape((N, prod(edge.grid), -1)).swapaxes(1, 2)


def transpose_as_matrix(edge, later):
    rows = edge.transpose(basis(later))
    return np.asarray(rows).reshape((N, prod(later), -1)).swapaxes(1, 2)


POOL_THEN_CONV = [box(2, 2), box(3, padding=(1, 1))]
EDGES = {
    "identity": ([], (3, 2)),
    "pad": ([Pad(((1, 0, 0), (0, 2, 1)))], (2, 2)),
    "crop": ([Pad(((-1, 0, 0), (1, -1, 0)))], (3, 3)),
    "slice": ([Slice(((0, 4, 2), (1, 3, 1)))], (4, 3)),
    "flip": ([Flip((1,), 2)], (2, 3)),
    "copy": ([Copy((3, 2), (0,))], (2,)),
    "copy a single PFV": ([Copy((2, 2), (0, 1))], ()),
    "regrid": ([Regrid((3, 2), 2)], (2, 3)),
    "window": ([box(3, padding=(1, 1))], (3, 3)),
    "strided window": ([box(3, 2, (1, 0))], (4, 4)),
    "dilated window": ([box(2, dilation=2, padding=(1, 0))], (3, 3)),
    "transposed window": ([box(3, base=2, padding=(1, 2))], (2, 2)),
    "cropping window": ([box(2, padding=(-1, 0))], (4, 4)),
    "1-d window": ([box(3, padding=(2, 0), rank=1)], (5,)),
    "3-d window": ([box(2, padding=(0, 1), rank=3)], (2, 2, 2)),
    "whole": ([ReducePositions((0, 1), (2, 3))], (2, 3)),
    "one whole axis": ([ReducePositions((0,), (3, 2))], (3, 2)),
    "whole, then copied back": ([ReducePositions((0, 1), (2, 2)), Copy((2, 2), (0, 1))], (2, 2)),
    "pool then convolution": (POOL_THEN_CONV, (4, 4)),
    "overlapping pool then convolution": ([box(3, 2, (1, 1)), box(2, padding=(1, 0))], (4, 4)),
    "pad, pool, convolution": ([Pad(((1, 1, 0), (1, 0, 0))), *POOL_THEN_CONV], (3, 3)),
    "slice between": ([box(2, 1), Slice(((0, 3, 2), (0, 3, 2))), box(2, padding=(1, 0))], (4, 4)),
    "flip between": ([box(2, 2), Flip((0, 1), 2), box(2)], (4, 4)),
    "convolution, pad, flip": ([box(2), Pad(((0, 1, 0), (1, 0, 0))), Flip((0,), 2)], (3, 3)),
    "regrid, convolution": ([Regrid((1, 6), 1), Window((1, 3), (1, 1), ((0, 0), (1, 1)), (1, 1), (1, 1))], (6,)),
    "convolution, regrid": ([box(3, padding=(1, 1)), Regrid((6,), 2)], (2, 3)),
    "pool then whole": ([box(2, 2), ReducePositions((0, 1), (2, 2))], (4, 4)),
    "copy then pool then whole": ([Copy((2, 4), (0,)), box(2, 2), ReducePositions((0, 1), (1, 2))], (4,)),
    "whole of one axis, then a window": ([ReducePositions((0,), (2, 4)), box(3, padding=(1, 1), rank=1)], (2, 4)),
}
every_edge = pytest.mark.parametrize("case", EDGES)


@every_edge
def test_apply_is_the_matrix_and_transpose_its_transpose(case):
    edge, later = edge_of(*EDGES[case])
    matrix = dense(edge, later)
    applied, transposed = jax.jit(lambda e: (e.apply(basis(e.grid)), e.transpose(basis(later))))(edge)
    np.testing.assert_allclose(np.asarray(applied).reshape((N, -1, prod(later))).swapaxes(1, 2), matrix, atol=1e-6)
    np.testing.assert_allclose(np.asarray(transposed).reshape((N, prod(later), -1)), matrix, atol=1e-6)


@pytest.mark.parametrize("case", [name for name, (steps, _) in EDGES.items() if count_taps(steps) == 1])
def test_an_edge_without_ratios_weighs_everything_by_one(case):
    edge, later = edge_of(*EDGES[case], ones=True)
    matrix = dense(edge, later)
    np.testing.assert_array_equal(as_matrix(edge), matrix)
    np.testing.assert_array_equal(transpose_as_matrix(edge, later), matrix.swapaxes(1, 2))


@st.composite
def window_steps(draw):
    """One or two windows along one or two axes, the second after the first."""
    rank = draw(st.integers(1, 2))
    grid = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    steps, seen = [], grid
    for _ in range(draw(st.integers(1, 2))):
        each = [
            draw(st.tuples(st.integers(1, 2), st.integers(1, 2), st.tuples(st.integers(-1, 1), st.integers(0, 1)),
                           st.integers(1, 2), st.integers(1, 2)))
            for _ in range(rank)
        ]  # fmt: skip
        for n, (k, _, (lo, hi), d, b) in zip(seen, each, strict=True):
            assume((n - 1) * b + 1 + lo + hi >= (k - 1) * d + 1)
        steps.append(Window(*(tuple(column) for column in zip(*each, strict=True))))
        seen = steps[-1].select(np.zeros(seen), 0).shape
    return steps, grid


@given(window_steps())
@settings(max_examples=60, deadline=None)
def test_apply_is_the_matrix_whatever_the_windows(case):
    edge, later = edge_of(*case)
    numpy_edge = Edge(np.asarray(edge.ratios), 0, 1, edge.grid, edge.steps)
    applied = numpy_edge.apply(np.asarray(basis(edge.grid)))
    assert applied.shape == (N, prod(edge.grid), *later)
    np.testing.assert_allclose(applied.reshape((N, -1, prod(later))).swapaxes(1, 2), dense(edge, later), atol=1e-6)


@given(window_steps())
@settings(max_examples=10, deadline=None)
def test_transpose_is_the_adjoint_of_apply_whatever_the_windows(case):
    edge, later = edge_of(*case)
    rng = np.random.default_rng(1)
    earlier_maps = rng.normal(size=(N, 1, *edge.grid)).astype(np.float32)
    later_maps = rng.normal(size=(N, 1, *later)).astype(np.float32)
    ahead = (dense(edge, later) @ earlier_maps.reshape((N, -1, 1))).reshape(later_maps.shape)
    back = np.asarray(edge.transpose(jnp.asarray(later_maps)))
    assert back.shape == earlier_maps.shape
    np.testing.assert_allclose(np.sum(later_maps * ahead), np.sum(back * earlier_maps), atol=1e-4)


def test_without_steps_and_ratios_relevance_is_the_same_array():
    edge, _ = edge_of([], (2, 2), ones=True)
    maps = jnp.ones((N, 1, 2, 2))
    assert edge.transpose(maps) is maps
    assert edge.apply(maps) is maps


def test_an_edge_is_a_pytree_of_its_ratios():
    edge, later = edge_of(*EDGES["window"])
    assert [leaf.shape for leaf in jax.tree.leaves(edge)] == [edge.ratios.shape]
    doubled = jax.tree.map(lambda ratios: 2 * ratios, edge)
    assert (doubled.source, doubled.target, doubled.grid, doubled.steps) == (0, 1, edge.grid, edge.steps)
    np.testing.assert_allclose(dense(doubled, later), 2 * dense(edge, later), atol=1e-6)
    assert jax.tree.leaves(edge_of([], (2, 2), ones=True)[0]) == []


def test_an_edge_goes_through_jit_as_argument_and_result():
    edge, later = edge_of(*EDGES["window"])
    same = jax.jit(lambda e: e)(edge)
    assert jax.tree.structure(same) == jax.tree.structure(edge)
    np.testing.assert_allclose(as_matrix(same), dense(edge, later), atol=1e-6)


def test_an_edge_can_be_mapped():
    edge, _ = edge_of(*EDGES["pool then convolution"])
    stacked = jax.tree.map(lambda ratios: jnp.stack([ratios, 3 * ratios]), edge)
    maps = jnp.asarray(np.random.default_rng(2).normal(size=(N, 1, 2, 2)), jnp.float32)
    back = jax.jit(jax.vmap(lambda e: e.transpose(maps)))(stacked)
    np.testing.assert_allclose(back[0], edge.transpose(maps), atol=1e-6)
    np.testing.assert_allclose(back[1], 3 * back[0], atol=1e-5)


def test_relevance_is_kept_where_ratios_sum_to_one():
    edge, later = edge_of(*EDGES["strided window"])
    positive = jnp.where(jnp.asarray(dense_valid(edge)), jnp.abs(edge.ratios) + 0.1, 0)
    edge = Edge(positive / positive.sum(1, keepdims=True), 0, 1, edge.grid, edge.steps)
    maps = jnp.asarray(np.random.default_rng(3).normal(size=(N, 2, *later)), jnp.float32)
    np.testing.assert_allclose(edge.transpose(maps).sum((2, 3)), maps.sum((2, 3)), atol=1e-5)
    np.testing.assert_allclose(edge.apply(jnp.ones((N, 1, *edge.grid))), 1, atol=1e-6)


def dense_valid(edge):
    (window,) = edge.steps
    return np.stack([window.select(np.ones(edge.grid, bool), tap) for tap in range(window.taps)])[None]
