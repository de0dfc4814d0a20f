"""Steps between grids: each tap reads the position that coordinates, and JAX's own primitives, say it reads."""

from itertools import product
from math import prod

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from srd_jax.core.geometry import Copy, Flip, Pad, ReducePositions, Regrid, Slice, Window, count_taps, valid_taps


def index_map(grid):
    """A scalar map that holds each position's number, from 1, so that 0 means none."""
    return np.arange(1, prod(grid) + 1).reshape(grid)


def position_read(step, grid, j, tap):
    """The earlier position that the later position j reads at a tap, None for none, from coordinates alone."""
    match step:
        case Pad():
            at = [x - lo for x, (lo, _, _) in zip(j, step.config, strict=True)]
            i = spread_back(at, grid, [interior + 1 for _, _, interior in step.config])
        case Slice():
            i = [start + x * stride for x, (start, _, stride) in zip(j, step.box, strict=True)]
        case Flip():
            i = [n - 1 - x if axis in step.axes else x for axis, (x, n) in enumerate(zip(j, grid, strict=True))]
        case Copy():
            i = [x for axis, x in enumerate(j) if axis not in step.new]
        case Regrid():
            i = np.unravel_index(np.ravel_multi_index(j, step.grid), grid) if grid else ()
        case Window():
            offset = np.unravel_index(tap, step.size)
            at = zip(j, step.stride, offset, step.dilation, step.padding, strict=True)
            i = spread_back([x * s + o * d - lo for x, s, o, d, (lo, _) in at], grid, step.base_dilation)
        case ReducePositions():
            offsets = dict(zip(step.axes, np.unravel_index(tap, [grid[axis] for axis in step.axes]), strict=True))
            kept = iter(j)
            i = [offsets[axis] if axis in step.axes else next(kept) for axis in range(len(grid))]
    return None if i is None else tuple(int(x) for x in i)


def spread_back(at, grid, spacing):
    """Undo the spacing of positions: None between positions and outside the grid."""
    inside = all(x % s == 0 and 0 <= x // s < n for x, s, n in zip(at, spacing, grid, strict=True))
    return tuple(x // s for x, s in zip(at, spacing, strict=True)) if inside else None


def assert_reads_by_coordinates(step, grid):
    numbers = index_map(grid)
    for tap in range(step.taps):
        selected = step.select(numbers, tap)
        for j in product(*map(range, selected.shape)):
            i = position_read(step, grid, j, tap)
            assert selected[j] == (0 if i is None else numbers[i]), (tap, j)
    if isinstance(step, Window):
        each = list(step.each(numbers))
        assert len(each) == step.taps
        for tap, read in enumerate(each):
            np.testing.assert_array_equal(read, step.select(numbers, tap))


axes = st.tuples(
    st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(-1, 2), st.integers(-1, 2), st.integers(1, 2),
    st.integers(1, 2),
)  # fmt: skip
"""Extent, window size, stride, low and high padding, dilation and base dilation along an axis."""


@st.composite
def windows(draw, grid=None):
    """A window and a grid on which it has at least one place along every axis."""
    each = draw(st.lists(axes, min_size=1, max_size=3)) if grid is None else [draw(axes) for _ in grid]
    each = [(n if grid is None else grid[axis], *rest) for axis, (n, *rest) in enumerate(each)]
    for n, k, _, lo, hi, d, b in each:
        assume((n - 1) * b + 1 + lo + hi >= (k - 1) * d + 1)
    extents, size, stride, low, high, dilation, base = (tuple(column) for column in zip(*each, strict=True))
    return Window(size, stride, tuple(zip(low, high, strict=True)), dilation, base), extents


@given(windows())
@settings(max_examples=60, deadline=None)
def test_windows_read_by_coordinates(case):
    assert_reads_by_coordinates(*case)


@given(windows())
@settings(max_examples=60, deadline=None)
def test_as_many_windows_as_fit(case):
    window, grid = case
    later = window.select(index_map(grid), 0).shape
    per_axis = zip(grid, window.size, window.stride, window.padding, window.dilation, window.base_dilation, strict=True)
    for axis, (n, k, s, (lo, hi), d, b) in enumerate(per_axis):
        extent = (n - 1) * b + 1 + lo + hi
        assert later[axis] == sum(1 for start in range(0, extent, s) if start + (k - 1) * d < extent)


paddings = st.tuples(st.integers(1, 5), st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 2))


@given(st.lists(paddings, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_padding_and_cropping_read_by_coordinates(each):
    for n, lo, hi, interior in each:
        assume(n + (n - 1) * interior + lo + hi >= 0)
        assume(n + (n - 1) * interior >= max(-lo, 0) + max(-hi, 0))
    grid = tuple(n for n, *_ in each)
    assert_reads_by_coordinates(Pad(tuple((lo, hi, interior) for _, lo, hi, interior in each)), grid)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_valid_taps_of_two_windows(data):
    grid = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))
    first, _ = data.draw(windows(grid))
    between = first.select(index_map(grid), 0).shape
    second, _ = data.draw(windows(between))
    valid = valid_taps([first, second], grid)
    assert valid.shape[0] == count_taps([first, second]) == first.taps * second.taps
    for number, (a, b) in enumerate(product(range(first.taps), range(second.taps))):
        for j in product(*map(range, valid.shape[1:])):
            k = position_read(second, between, j, b)
            assert valid[(number, *j)] == (k is not None and position_read(first, grid, k, a) is not None)


PRIMITIVES = [
    (Pad(((1, 2, 0), (0, 1, 2))), (3, 2), lambda x: lax.pad(x, 0, [(1, 2, 0), (0, 1, 2)])),
    (Pad(((-1, 1, 0), (2, -2, 1))), (3, 3), lambda x: lax.pad(x, 0, [(-1, 1, 0), (2, -2, 1)])),
    (Slice(((1, 4, 2), (0, 3, 1))), (4, 3), lambda x: lax.slice(x, (1, 0), (4, 3), (2, 1))),
    (Flip((0,), 2), (3, 4), lambda x: lax.rev(x, (0,))),
    (Flip((0, 2), 3), (2, 3, 2), lambda x: lax.rev(x, (0, 2))),
    (Copy((3, 2, 4), (0, 2)), (2,), lambda x: lax.broadcast_in_dim(x, (3, 2, 4), (1,))),
    (Copy((2, 3), (0, 1)), (), lambda x: lax.broadcast_in_dim(x, (2, 3), ())),
    (Copy((2, 3), ()), (2, 3), lambda x: x),
    (Regrid((6,), 2), (2, 3), lambda x: lax.reshape(x, (6,))),
    (Regrid((1, 2, 1, 3), 2), (2, 3), lambda x: lax.reshape(x, (1, 2, 1, 3))),
    (Regrid((), 2), (1, 1), lambda x: lax.reshape(x, ())),
]


@pytest.mark.parametrize(("step", "grid", "primitive"), PRIMITIVES, ids=[str(p[0]) for p in PRIMITIVES])
def test_selections_agree_with_the_primitive(step, grid, primitive):
    numbers = index_map(grid)
    expected = np.asarray(primitive(jnp.asarray(numbers)))
    assert_reads_by_coordinates(step, grid)
    assert step.taps == 1
    np.testing.assert_array_equal(step.select(numbers, 0), expected)
    np.testing.assert_array_equal(step.select(jnp.asarray(numbers), 0), expected)


WINDOWS = [
    (Window((3,), (1,), ((1, 1),), (1,), (1,)), (5,)),
    (Window((2, 3), (2, 1), ((0, 1), (1, 1)), (1, 1), (1, 1)), (4, 3)),
    (Window((3, 2), (1, 2), ((2, 0), (-1, 1)), (2, 1), (1, 1)), (4, 5)),
    (Window((3, 3), (1, 1), ((2, 2), (1, 2)), (1, 1), (2, 2)), (2, 3)),
    (Window((2, 1, 2), (1, 2, 1), ((1, 0), (0, 0), (0, 0)), (1, 1, 2), (1, 1, 1)), (2, 3, 3)),
]


@pytest.mark.parametrize(("window", "grid"), WINDOWS)
def test_windows_agree_with_patches_of_a_convolution(window, grid):
    numbers = index_map(grid)
    patches = lax.conv_general_dilated_patches(
        numbers[None, None].astype(np.float32), window.size, window.stride, window.padding,
        lhs_dilation=window.base_dilation, rhs_dilation=window.dilation,
    )[0]  # fmt: skip
    assert patches.shape[0] == window.taps
    for tap in range(window.taps):
        np.testing.assert_array_equal(window.select(numbers, tap), patches[tap])
        np.testing.assert_array_equal(window.select(jnp.asarray(numbers), tap), patches[tap])


@pytest.mark.parametrize("window", [w for w, _ in WINDOWS])
def test_the_grid_of_windows_from_the_padded_grid(window):
    grid = (4, 5, 3)[: len(window.size)]
    padded = window.pad.select(index_map(grid)).shape
    assert window.later_grid(padded) == window.select(index_map(grid), 0).shape
    assert window.later_grid([0] * len(grid)) == (0,) * len(grid)


WHOLE = [((0, 1), (2, 3)), ((1,), (2, 3)), ((0, 2), (2, 3, 2)), ((2, 0), (2, 3, 2)), ((0,), (4,)), ((), (2, 3))]


@pytest.mark.parametrize(("axes", "grid"), WHOLE)
def test_whole_axes(axes, grid):
    step = ReducePositions(axes, grid)
    assert step.taps == prod(grid[axis] for axis in axes)
    assert_reads_by_coordinates(step, grid)
    numbers = index_map(grid)
    spread = step.spread(numbers)
    np.testing.assert_array_equal(step.spread(jnp.asarray(numbers)), spread)
    for tap in range(step.taps):
        np.testing.assert_array_equal(step.select(numbers, tap), spread[tap])
        np.testing.assert_array_equal(step.select(jnp.asarray(numbers), tap), spread[tap])
    np.testing.assert_array_equal(spread.sum(0), numbers.sum(axes))


EVERY_STEP = (
    [(step, grid) for step, grid, _ in PRIMITIVES]
    + WINDOWS
    + [(ReducePositions(axes, grid), grid) for axes, grid in WHOLE]
)
every_step = pytest.mark.parametrize(("step", "grid"), EVERY_STEP, ids=[str(step) for step, _ in EVERY_STEP])


@every_step
def test_every_step_is_linear_on_maps_with_leading_axes(step, grid):
    maps = np.random.default_rng(0).normal(size=(2, 3, *grid))
    for tap in range(step.taps):
        selected = step.select(maps, tap)
        for n, p in np.ndindex(2, 3):
            np.testing.assert_array_equal(selected[n, p], step.select(np.asarray(maps[n, p]), tap))
        np.testing.assert_allclose(step.select(2 * maps[0] - maps[1], tap), 2 * selected[0] - selected[1], atol=1e-12)


@every_step
def test_numpy_stays_numpy(step, grid):
    """What depends on shapes alone must be known while tracing, down to maps of a single position."""
    assert isinstance(step.select(np.ones(grid, bool), 0), np.ndarray)
    assert step.select(np.ones(grid, bool), 0).dtype == bool


@every_step
def test_steps_can_be_compared_and_hashed(step, grid):
    del grid
    twin = type(step)(**{name: getattr(step, name) for name in step.__dataclass_fields__})
    assert twin == step
    assert hash(twin) == hash(step)


def test_taps_multiply_and_the_first_step_is_the_outermost():
    pool = Window((2,), (2,), ((0, 0),), (1,), (1,))
    conv = Window((3,), (1,), ((1, 1),), (1,), (1,))
    assert count_taps([]) == 1
    assert count_taps([pool, Flip((0,), 1), conv]) == 6
    valid = valid_taps([pool, conv], (4,))
    expected = [[False, True], [True, True], [True, False]]  # conv taps -1, 0, 1 over two pooled positions
    np.testing.assert_array_equal(valid, expected * 2)


def test_valid_taps_of_no_steps_and_of_padding():
    np.testing.assert_array_equal(valid_taps([], (2, 2)), np.ones((1, 2, 2), bool))
    np.testing.assert_array_equal(valid_taps([Pad(((1, 0, 1),))], (2,)), [[False, True, False, True]])
    np.testing.assert_array_equal(valid_taps([Pad(((2, 0, 0),)), Slice(((0, 2, 1),))], (3,)), [[False, False]])
    whole_then_copy = valid_taps([ReducePositions((0, 1), (2, 2)), Copy((2, 2), (0, 1))], (2, 2))
    assert isinstance(whole_then_copy, np.ndarray)
    np.testing.assert_array_equal(whole_then_copy, np.ones((4, 2, 2), bool))
