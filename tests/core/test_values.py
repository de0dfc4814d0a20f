"""What the interpreter knows of a value: open sums account for every contribution through linear steps."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax.core import layout as lay
from srd_jax.core import values
from srd_jax.core.geometry import Copy, Flip, Pad, Regrid, Slice, Window
from srd_jax.core.layout import BATCH, CHANNEL, COPY, Dim, LayoutError
from srd_jax.core.values import Map, Mix, Sum, Switches, Term

RNG = np.random.default_rng(0)
LAYOUT = lay.of_images((2, 4, 3), -1)
POOL = Window((2,), (2,), ((0, 0),), (1,), (1,))


def a_map(node=0, ref=5):
    return Map(jnp.asarray(RNG.normal(size=(2, 4, 3)), jnp.float32), LAYOUT, node, ref)


def a_pool(value):
    """A lazy max pool of width 2 along the one grid axis."""
    pairs = value.array.reshape(2, 2, 2, 3)
    layout = ((Dim(BATCH, 2),), (Dim(0, 2),), (Dim(CHANNEL, 3),))
    switches = Switches(jnp.argmax(pairs, 2), 2)
    return Sum(pairs.max(2), layout, (Term(value, pairs.max(2), layout, (POOL,), switches),), ref=9)


def two_tap_mix(value):
    """X_j = v_j + 2 v_{j+1}, as a convolution of two taps."""

    def gather(x, tap):
        return jnp.where(tap == 0, x[:, :3], x[:, 1:])

    layout = ((Dim(BATCH, 2),), (Dim(0, 3),), (Dim(CHANNEL, 3),))
    mix = Mix(2, lambda x, _: x, gather, lambda read, tap: read * (1 + tap), layout)
    step = Window((2,), (1,), ((0, 0),), (1,), (1,))
    (term,) = values.open_sum(value).parts
    return values.mixed(term, value.array[:, :3] + 2 * value.array[:, 1:], layout, mix, step, biased=False)


def contributions(term):
    """vhat of a term without a pool, summed over its taps."""
    if term.mix is None:
        return term.after(term.operand)
    padded = term.mix.pad(term.operand, 0)
    return sum(term.after(term.mix.local(term.mix.gather(padded, tap), tap)) for tap in range(term.mix.taps))


def assert_accounts(total):
    """Without biases, the contributions of all terms add up to the value."""
    np.testing.assert_allclose(sum(contributions(term) for term in total.terms), total.array, atol=1e-6)


def test_a_map_opens_to_a_sum_of_itself():
    value = a_map()
    opened = values.open_sum(value)
    assert opened.array is value.array
    (term,) = opened.terms
    assert term.source is value
    assert (term.taps, term.pool_taps, term.steps, term.is_selection) == (1, 1, (), True)
    assert opened.selection is term
    assert values.open_sum(opened) is opened


def test_a_position_wise_linear_step_keeps_a_map_on_its_node():
    value = a_map(node=3)
    scaled = values.extend(value, lambda x: 2 * x, LAYOUT)
    assert isinstance(scaled, Map)
    assert (scaled.node, scaled.ref) == (3, -1)
    np.testing.assert_array_equal(scaled.array, 2 * value.array)


def test_a_step_that_moves_positions_opens_a_sum():
    value = a_map()
    flipped = values.extend(value, lambda x: x[:, ::-1], LAYOUT, step=Flip((0,), 1))
    (term,) = flipped.terms
    assert term.steps == (Flip((0,), 1),)
    assert term.source is value
    np.testing.assert_array_equal(term.operand, value.array[:, ::-1])
    assert flipped.selection is term


def test_linear_steps_extend_every_contribution():
    total = two_tap_mix(a_map())
    assert total.terms[0].taps == 2
    assert total.selection is None
    extended = values.extend(
        total, lambda x: x @ jnp.ones((3, 2)), ((Dim(BATCH, 2),), (Dim(0, 3),), (Dim(CHANNEL, 2),))
    )
    assert extended.array.shape == (2, 3, 2)
    assert_accounts(extended)
    assert extended.terms[0].after_mix == 0
    moved = values.extend(extended, lambda x: x[:, ::-1], extended.layout, step=Flip((0,), 1))
    assert moved.terms[0].after_mix == 1
    assert moved.terms[0].steps[-1] == Flip((0,), 1)
    assert_accounts(moved)


def test_linear_steps_reach_into_branches_with_biases_of_their_own():
    biased = replace(two_tap_mix(a_map()), biased=True)
    skip = values.extend(a_map(), lambda x: x[:, :3], biased.layout, step=Slice(((0, 3, 1),)))
    total = values.joined([biased, skip], biased.array + skip.array)
    extended = values.extend(total, lambda x: -x, total.layout)
    inner = extended.parts[0]
    assert isinstance(inner, Sum)
    assert inner.biased
    np.testing.assert_array_equal(inner.array, -biased.array)
    assert_accounts(extended)


def test_selections_stay_open_to_composition():
    value = a_map()
    padded = values.select(
        value, lambda x, fill: jnp.pad(x, ((0, 0), (1, 0), (0, 0)), constant_values=fill), LAYOUT, Pad(((1, 0, 0),))
    )
    pooled = a_pool(value)
    shifted = values.select(
        pooled,
        lambda x, fill: jnp.pad(x, ((0, 0), (1, 0), (0, 0)), constant_values=fill),
        pooled.layout,
        Pad(((1, 0, 0),)),
    )
    assert padded.selection is not None
    term = shifted.selection
    assert term is not None
    assert term.steps == (POOL, Pad(((1, 0, 0),)))
    assert not np.any(term.operand[:, 0])
    np.testing.assert_array_equal(term.switches.index[:, 0], -1)
    np.testing.assert_array_equal(term.switches.index[:, 1:], pooled.terms[0].switches.index)
    assert (term.taps, term.pool_taps) == (2, 2)
    assert shifted.ref == -1


def test_a_selection_of_an_open_sum_is_a_linear_step():
    total = two_tap_mix(a_map())
    cut = values.select(
        total, lambda x, _: x[:, 1:], ((Dim(BATCH, 2),), (Dim(0, 2),), (Dim(CHANNEL, 3),)), Slice(((1, 3, 1),))
    )
    assert cut.selection is None
    assert cut.terms[0].after_mix == 1
    assert_accounts(cut)


@pytest.mark.parametrize("biased", [False, True])
def test_a_sum_with_a_bias_is_no_selection(biased):
    value = replace(values.open_sum(a_map()), biased=biased)
    assert (value.selection is None) is biased


def test_restructuring_a_map_needs_no_step():
    value = a_map()
    moved = values.restructure(value, lambda x, _: x.transpose(0, 2, 1), (LAYOUT[0], LAYOUT[2], LAYOUT[1]))
    assert isinstance(moved, Map)
    assert moved.node == value.node


def test_restructuring_a_sum_remembers_grid_axes_that_come_and_go():
    total = two_tap_mix(a_map())
    layout = (total.layout[0], total.layout[1], (Dim(1, 1),), total.layout[2])
    lifted = values.restructure(total, lambda x, _: x[:, :, None], layout)
    assert lifted.terms[0].steps[-1] == Regrid((3, 1), 1)
    moved = values.restructure(total, lambda x, _: x.transpose(0, 2, 1), (LAYOUT[0], LAYOUT[2], total.layout[1]))
    assert moved.terms[0].steps == total.terms[0].steps


def test_broadcast_copies_along_extents_of_one():
    layout = ((Dim(BATCH, 2),), (Dim(0, 4),), (Dim(CHANNEL, 1),))
    value = Map(jnp.ones((2, 4, 1)), layout, 0)
    wide = values.broadcast(value, (2, 4, 5))
    assert isinstance(wide, Map)
    assert wide.array.shape == (2, 4, 5)
    assert wide.layout == (*layout[:2], (Dim(COPY, 5),))
    assert values.broadcast(value, (2, 4, 1)) is value


def test_a_lazy_pool_is_composed_with_a_mixing_step():
    value = a_map()
    pooled = a_pool(value)
    layout = ((Dim(BATCH, 2),), (Dim(0, 1),), (Dim(CHANNEL, 3),))
    mix = Mix(2, lambda x, _: x, lambda x, tap: x[:, tap][:, None], lambda read, _: read, layout)
    step = Window((2,), (1,), ((0, 0),), (1,), (1,))
    total = values.mixed(pooled.terms[0], pooled.array.sum(1, keepdims=True), layout, mix, step, biased=False)
    (term,) = total.terms
    assert term.source is value
    assert term.steps == (POOL, step)
    assert (term.taps, term.pool_taps, term.is_selection) == (4, 2, False)
    assert term.switches is pooled.terms[0].switches
    assert not total.biased


def test_joined_maps_are_two_contributions():
    left, right = a_map(0), a_map(1)
    total = values.joined([left, right], left.array + right.array)
    assert [term.source.node for term in total.terms] == [0, 1]
    assert not total.biased
    assert_accounts(total)


def test_joined_sums_without_biases_are_flat_and_a_bias_keeps_its_branch_apart():
    left, right = two_tap_mix(a_map()), two_tap_mix(a_map())
    array = left.array + right.array
    assert all(isinstance(part, Term) for part in values.joined([left, right], array).parts)
    biased = replace(left, array=left.array + 1, biased=True)
    total = values.joined([biased, right], array + 1)
    assert [type(part) for part in total.parts] == [Sum, Term]
    assert total.parts[0].biased
    assert not total.biased
    assert [term.source for term in total.terms] == [left.terms[0].source, right.terms[0].source]


def test_a_single_pfv_joined_to_a_map_is_copied_over_its_positions():
    single = Map(jnp.ones((2, 3)), ((Dim(BATCH, 2),), (Dim(CHANNEL, 3),)), 1)
    lifted = replace(single, array=single.array[:, None], layout=(single.layout[0], (), single.layout[1]))
    spread = values.broadcast(lifted, (2, 4, 3))
    value = a_map()
    total = values.joined([value, spread], value.array + spread.array)
    assert total.layout == LAYOUT
    assert total.terms[0].steps == ()
    assert total.terms[1].steps == (Copy((4,), (0,)),)
    assert_accounts(total)


def test_align_adds_nothing_where_positions_agree():
    total = two_tap_mix(a_map())
    aligned = values.align(total, total.layout)
    assert aligned.terms[0].steps == total.terms[0].steps


def test_values_whose_axes_disagree_cannot_be_joined():
    left = a_map()
    right = Map(jnp.ones((2, 4, 3)), ((Dim(BATCH, 2),), (Dim(CHANNEL, 4),), (Dim(0, 3),)), 1)
    with pytest.raises(LayoutError, match="position axis 0 in one operand and channel axis in another"):
        values.joined([left, right], left.array)
