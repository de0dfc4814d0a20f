"""Layouts: what axes mean survives reshapes, and losing track of positions is refused."""

from math import prod

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srd_jax.core import layout as lay
from srd_jax.core.layout import BATCH, CHANNEL, COPY, Dim, LayoutError

B, C = Dim(BATCH, 2), Dim(CHANNEL, 6)
H, W = Dim(0, 3), Dim(1, 4)
TWO, THREE = Dim(CHANNEL, 2), Dim(CHANNEL, 3)
MAP = ((B,), (H,), (W,), (C,))


@pytest.mark.parametrize(
    ("shape", "channel_axis", "expected"),
    [
        ((2, 3, 4, 6), -1, ((B,), (H,), (W,), (C,))),
        ((2, 6, 3, 4), 1, ((B,), (C,), (H,), (W,))),
        ((2, 3, 6, 4), 2, ((B,), (H,), (C,), (W,))),
        ((2, 3, 6), -1, ((B,), (H,), (C,))),
        ((2, 3, 4, 5, 6), -1, ((B,), (H,), (W,), (Dim(2, 5),), (C,))),
    ],
)
def test_layout_of_images(shape, channel_axis, expected):
    layout = lay.of_images(shape, channel_axis)
    assert layout == expected
    assert lay.shape_of(layout) == shape
    assert (lay.batch(layout), lay.channels(layout)) == (2, 6)


def test_what_is_read_from_a_layout():
    flattened = ((B,), (W, C, H), ())
    assert lay.shape_of(flattened) == (2, 72, 1)
    assert lay.dims(flattened) == [B, W, C, H]
    assert lay.position_dims(flattened) == [H, W]
    assert lay.grid(flattened) == (3, 4)
    assert lay.positions(flattened) == 12
    assert lay.channels(flattened) == 6
    assert lay.axis_of(flattened, CHANNEL) == 1
    assert lay.axis_of(flattened, 0) == 1
    assert lay.axis_of(flattened, COPY) is None


def test_a_single_pfv():
    layout = ((B,), (C,))
    assert lay.grid(layout) == ()
    assert lay.positions(layout) == 1


def test_extents_of_one_say_nothing():
    assert lay.kinds((Dim(0, 1), C)) == {CHANNEL}
    assert lay.kinds((H, Dim(COPY, 2))) == {0, COPY}
    assert lay.kinds(()) == frozenset()


def test_grid_axis_counts_position_axes_in_grid_order():
    transposed = ((B,), (Dim(5, 4),), (C,), (Dim(2, 3),))
    assert [lay.grid_axis(transposed, axis) for axis in (1, 3)] == [1, 0]


@pytest.mark.parametrize(("layout", "axis"), [(MAP, 0), (MAP, 3), (((B,), (H, W), (C,)), 1), (((B,), (), (C,)), 1)])
def test_grid_axis_of_anything_else_is_refused(layout, axis):
    with pytest.raises(LayoutError, match=f"axis {axis} is not a position axis of its own"):
        lay.grid_axis(layout, axis)


RESHAPES = {
    "flatten": (MAP, (2, 72), ((B,), (H, W, C))),
    "tokens": (MAP, (2, 12, 6), ((B,), (H, W), (C,))),
    "tokens and back": (((B,), (H, W), (C,)), (2, 3, 4, 6), MAP),
    "positions into the batch": (MAP, (24, 6), ((B, H, W), (C,))),
    "and out of it": (((B, H, W), (C,)), (2, 3, 4, 6), MAP),
    "channel groups": (MAP, (2, 3, 4, 2, 3), ((B,), (H,), (W,), (TWO,), (THREE,))),
    "groups merged": (((B,), (H,), (TWO,), (THREE,)), (2, 3, 6), ((B,), (H,), (TWO, THREE))),
    "channels first": (((B,), (C,), (H,), (W,)), (2, 72), ((B,), (C, H, W))),
    "part of the channels with the positions": (MAP, (2, 3, 8, 3), ((B,), (H,), (W, TWO), (THREE,))),
    "a new axis": (MAP, (2, 1, 3, 4, 6), ((B,), (), (H,), (W,), (C,))),
    "a copied extent split": (((B,), (Dim(COPY, 4),)), (2, 2, 2), ((B,), (Dim(COPY, 2),), (Dim(COPY, 2),))),
    "a single column kept": (((B,), (H,), (Dim(1, 1),), (C,)), (2, 3, 1, 6), ((B,), (H,), (Dim(1, 1),), (C,))),
    "a single column dropped": (((B,), (H,), (Dim(1, 1),), (C,)), (2, 3, 6), ((B,), (H,), (C,))),
    "windows": (MAP, (2, 3, 2, 2, 6), ((B,), (H,), (Dim(1, 2),), (Dim(2, 2),), (C,))),
    "windows of a token axis": (
        ((B,), (H, W), (C,)), (2, 6, 2, 6), ((B,), (H, Dim(1, 2)), (Dim(2, 2),), (C,)),
    ),
    "one image": (((Dim(BATCH, 1),), (H,), (C,)), (3, 6), ((H,), (C,))),
    "one image's positions": (((Dim(BATCH, 1),), (H,), (W,), (C,)), (12, 6), ((Dim(BATCH, 1), H, W), (C,))),
    "one image kept": (((Dim(BATCH, 1),), (H,), (C,)), (1, 18), ((Dim(BATCH, 1),), (H, C))),
    "everything of extent one": (((Dim(BATCH, 1),), (Dim(0, 1),)), (1,), ((Dim(BATCH, 1),),)),
}  # fmt: skip


@pytest.mark.parametrize("case", RESHAPES)
def test_reshape(case):
    before, shape, after = RESHAPES[case]
    assert lay.reshape(before, shape) == after
    assert lay.shape_of(after) == shape


@pytest.mark.parametrize(
    ("layout", "shape", "said"),
    [
        (MAP, (2, 2, 6, 6), "splits the position axis 0"),
        (((Dim(BATCH, 4),), (C,)), (2, 2, 6), "splits the batch axis"),
        (((B,), (C,), (H,)), (2, 4, 9), "splits the channel axis"),
        (MAP, (2, 3, 4, 6, 2), "does not keep the number of elements"),
    ],
)
def test_reshapes_that_lose_track_are_refused(layout, shape, said):
    with pytest.raises(LayoutError, match=said):
        lay.reshape(layout, shape)


@st.composite
def reshapes(draw):
    """A layout and a shape of as many elements."""
    grid = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    shape = (draw(st.integers(1, 3)), *grid, draw(st.sampled_from([1, 2, 4, 6])))
    layout = lay.of_images(shape, draw(st.sampled_from([1, -1])))
    left, new = prod(shape), []
    while left > 1 and len(new) < 5:
        new.append(draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= new[-1]
    return layout, (*new, left)


@given(reshapes())
@settings(max_examples=60, deadline=None)
def test_a_reshape_keeps_every_pfv_or_is_refused(case):
    layout, shape = case
    array = np.arange(prod(shape)).reshape(lay.shape_of(layout))
    try:
        after = lay.reshape(layout, shape)
    except LayoutError as error:
        assert "splits" in str(error)  # noqa: PT017
        return
    assert lay.shape_of(after) == shape
    assert (lay.batch(after), lay.positions(after), lay.channels(after)) == (
        lay.batch(layout), lay.positions(layout), lay.channels(layout),
    )  # fmt: skip
    pfvs = [np.asarray(lay.to_pfvs(jnp.asarray(a), own)) for a, own in ((array, layout), (array.reshape(shape), after))]
    np.testing.assert_array_equal(pfvs[1].reshape(pfvs[0].shape), pfvs[0])


UNIFIED = {
    "the same": ([MAP, MAP], MAP),
    "copied over positions": ([MAP, ((B,), (Dim(COPY, 3),), (Dim(COPY, 4),), (C,))], MAP),
    "copied first": ([((B,), (Dim(COPY, 3),), (C,)), ((B,), (H,), (C,))], ((B,), (H,), (C,))),
    "copied over channels": ([((B,), (H,), (Dim(COPY, 6),)), ((B,), (H,), (C,))], ((B,), (H,), (C,))),
    "extents of one": ([((B,), (), (C,)), ((B,), (Dim(0, 1),), (C,))], ((B,), (Dim(0, 1),), (C,))),
    "extents of one, other way": ([((B,), (Dim(0, 1),), (C,)), ((B,), (), (C,))], ((B,), (Dim(0, 1),), (C,))),
    "groups and channels": (
        [((B,), (TWO, THREE)), ((B,), (C,))], ((B,), (TWO, THREE)),
    ),
    "channels partly copied": (
        [((B,), (TWO, Dim(COPY, 3))), ((B,), (C,))], ((B,), (C,)),
    ),
    "three": ([((B,), (Dim(COPY, 6),)), ((B,), (C,)), ((B,), (C,))], ((B,), (C,))),
}  # fmt: skip


@pytest.mark.parametrize("case", UNIFIED)
def test_unify(case):
    layouts, expected = UNIFIED[case]
    assert lay.unify(layouts) == expected


@pytest.mark.parametrize(
    ("layouts", "said"),
    [
        ([((B,), (Dim(0, 6),)), ((B,), (C,))], "position axis 0 in one operand and channel axis in another"),
        ([((B,), (Dim(0, 3),)), ((B,), (Dim(1, 3),))], "position axis 0 in one operand and position axis 1"),
        ([((B,), (C,)), ((Dim(CHANNEL, 2),), (C,))], "batch axis in one operand and channel axis"),
        ([((H, C),), ((C, H),)], "position axis 0 x channel axis in one operand and channel axis x position axis 0"),
    ],
)
def test_one_axis_with_two_meanings_is_refused(layouts, said):
    with pytest.raises(LayoutError, match=said):
        lay.unify(layouts)


LAYOUTS = {
    "plain": ((B,), (H,), (W,), (C,)),
    "channels first": ((B,), (C,), (H,), (W,)),
    "transposed grid": ((B,), (W,), (H,), (C,)),
    "flattened": ((B,), (H, W, C)),
    "batch last": ((C,), (H,), (B,)),
    "positions in the batch axis": ((B, H), (C,)),
    "groups": ((B,), (TWO,), (H,), (THREE,)),
    "with copies": ((B,), (Dim(COPY, 2),), (H,), (C,)),
    "single": ((B,), (C,)),
    "no channels": ((W,), (B,), (H,)),
    "one image without its axis": ((W,), (C,)),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_pfvs_and_their_sums_element_by_element(case):
    layout = LAYOUTS[case]
    flat = lay.dims(layout)
    n, grid = lay.batch(layout), lay.grid(layout)
    array = np.random.default_rng(0).normal(size=lay.shape_of(layout)).astype(np.float32)
    pfvs = np.asarray(lay.to_pfvs(jnp.asarray(array), layout))
    sums = np.asarray(lay.channel_sum(jnp.asarray(array), layout))
    assert sums.shape == (n, *grid)
    spread = array.reshape([dim.size for dim in flat])
    collected = {}
    for index in np.ndindex(*spread.shape):
        where = {dim.kind: i for dim, i in zip(flat, index, strict=True) if dim.kind == BATCH or dim.is_position}
        key = (where.get(BATCH, 0), *(where[dim.kind] for dim in lay.position_dims(layout)))
        collected.setdefault(key, []).append(spread[index])
    assert pfvs.shape == (n, *grid, len(next(iter(collected.values()))))
    for key, values in collected.items():
        np.testing.assert_array_equal(pfvs[key], values)
        np.testing.assert_allclose(sums[key], np.sum(values), atol=1e-5)
