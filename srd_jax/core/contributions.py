"""What each contribution weighs: < vhat , X > and ||vhat|| , tap by tap, without keeping any vhat.

vhat = A_t v, with A_t the linear step between two positions. Either side can be measured on:

    < A_t v , X > = < v , A_t^T X > ,   ||A_t v||^2 = < v , A_t^T A_t v >

The side with fewer channels is the cheaper one. A 7 x 7 stem makes 64 channels of 3, so that its 49 contributions are
20 times as large as what they are made of; and a max pool before a linear step only chooses among the channels of v,
so that one A_t^T X serves every offset of the pool.

On a CPU, vhat costs little more than the convolution it is a tap of as long as it stays in the cache: taps run one
after another in `jax.lax.map`, and each ends in one number a position.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from srd_jax.core import layout as lay
from srd_jax.core.all_to_all import at_taps
from srd_jax.core.all_to_all import measured as measured_in_pairs
from srd_jax.core.layout import BATCH, CHANNEL, Dim, Layout
from srd_jax.core.meshes import transposed
from srd_jax.core.paths import Group, Meeting
from srd_jax.core.taps import Tap, divided, over_taps
from srd_jax.core.values import Term

__all__ = ["group_norms", "meeting_norms", "products", "scale_of"]

_OFFSETS = 4
"""Up to how many offsets of a max pool are summed in one pass: those of a 2 x 2 window. More are quicker in turn."""

_PLANES = 4
"""Up to how many channels are measured one at a time: those of a photo."""

_WRITTEN = 16
"""Multiply-adds that one element of an intermediate array is worth: it is written and read again."""


def products(
    term: Term, x: Float[Array, "..."], layout: Layout, *, norms: bool
) -> tuple[Float[Array, "taps n ..."], Float[Array, "taps n ..."] | None]:
    """< vhat , X > for every tap of a term, and ||vhat|| where asked.

    Args:
        term: of the sum.
        x: what the contributions are measured against, X or another value of its shape.
        layout: of ``x``.
        norms: whether norms are needed.

    Returns:
        Two (taps, N, *grid) arrays, the second None if it is not needed.
    """
    if norms:
        scaled, scale = _normalised(term, x.dtype)
        inner, norm = _measured(scaled, x, layout, norms=True)
        wide = scale.reshape((-1, *[1] * len(lay.grid(layout))))
        return inner * wide, None if norm is None else norm * wide
    return _measured(term, x, layout, norms=False)


def _normalised(term: Term, dtype: Any) -> tuple[Term, Float[Array, " n"]]:
    """A term whose largest value is near 1 in every image, so that squares are floats, and the scale it had."""
    flat = lay.to_pfvs(lax.stop_gradient(jnp.abs(term.operand)), term.layout)
    scale = scale_of(jnp.max(flat, tuple(range(1, flat.ndim))).astype(dtype))
    narrow = lay.per_image((1 / scale).astype(term.operand.dtype), term.layout)
    return replace(term, operand=term.operand * narrow), scale


def scale_of(size: Float[Array, "..."]) -> Float[Array, "..."]:
    """The power of two below a size, by which it can be divided without rounding; 1 for zero."""
    bits = np.dtype(f"int{8 * size.dtype.itemsize}")
    exponent = ~((1 << jnp.finfo(size.dtype).nmant) - 1)
    power = lax.bitcast_convert_type(lax.bitcast_convert_type(size, bits) & exponent, size.dtype)
    return jnp.where((size > jnp.finfo(size.dtype).tiny) & (power < jnp.inf), power, 1)


def _measured(term: Term, x: Array, layout: Layout, *, norms: bool) -> tuple[Array, Array | None]:
    in_pairs = measured_in_pairs(term, x, norms=norms)
    if in_pairs is not None:
        return in_pairs
    if term.switches is not None and not norms and not term.after_mix:
        return _pulled_back(term, x, layout), None
    if _cheaper_at_source(term, layout, norms=norms):
        return _at_source(term, x, layout, norms=norms)

    def measured(vhat: Array) -> tuple[Array, Array | None]:
        vhat = vhat.astype(x.dtype)
        inner = lay.channel_sum(vhat * x, layout)
        return inner, _safe_sqrt(lay.channel_sum(vhat * vhat, layout)) if norms else None

    contribution = _contributions(term, summed=not norms)
    if term.taps == 1:
        return jax.tree.map(lambda p: p[None], measured(contribution(0, 0)))
    mix = term.taps // term.pool_taps

    def one(tap: Tap) -> tuple[Array, Array | None]:
        return measured(contribution(*divided(tap, mix)))

    return over_taps(one, term.taps, x.size)


def group_norms(
    terms: Sequence[Term], groups: Sequence[Group], dtype: Any, layout: Layout, *, masked: bool
) -> list[Float[Array, "n ..."]]:
    """||vhat|| of contributions along several paths: of the sum over the members of each group.

    Args:
        terms: of the sum.
        groups: of their taps.
        dtype: to add up in.
        layout: of the sum.
        masked: whether members are contributions of the PFV at some positions only.
    """
    scaled = [_normalised(term, dtype) for term in terms]
    largest = reduce(jnp.maximum, (scale for _, scale in scaled))
    each = [_contributions(term, summed=False) for term, _ in scaled]
    shares = [lay.per_image(scale / largest, layout) for _, scale in scaled]
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, group in enumerate(groups):
        alike.setdefault(tuple(number for number, _ in group.members), []).append(place)
    norms: dict[int, Array] = {}
    for numbers, places in alike.items():
        mixes = [terms[number].taps // terms[number].pool_taps for number in numbers]
        taps = np.asarray([[tap for _, tap in groups[place].members] for place in places])
        masks = np.stack([groups[place].masks for place in places])[:, :, None]

        def one(member: tuple[Array, Array], numbers: tuple[int, ...] = numbers, mixes: list[int] = mixes) -> Array:
            own, mask = member
            parts = []
            for i, (number, mix) in enumerate(zip(numbers, mixes, strict=True)):
                vhat = each[number](*divided(own[i], mix)).astype(dtype) * shares[number]
                parts.append(vhat * lay.per_pfv(mask[i], layout) if masked else vhat)
            vhat = reduce(add, parts)
            return _safe_sqrt(lay.channel_sum(vhat * vhat, layout))

        found = lax.map(jax.checkpoint(one), (jnp.asarray(taps), jnp.asarray(masks)))
        wide = largest.reshape((-1, *[1] * len(lay.grid(layout))))
        norms.update(zip(places, found * wide, strict=True))
    return [norms[place] for place in range(len(groups))]


def meeting_norms(
    terms: Sequence[Term], meeting: Meeting, dtype: Any, layout: Layout
) -> list[tuple[tuple[int, int], Float[Array, "n ..."]]]:
    """||vhat|| of what contributes beside a step from all positions, together with what that brings from the same PFV.

    Args:
        terms: of the sum.
        meeting: which contributions these are.
        dtype: to add up in.
        layout: of the sum.

    Returns:
        For each of its taps, the norms at the positions where they meet.
    """
    numbers = sorted({meeting.wide, *(number for number, _ in meeting.places)})
    scaled = {number: _normalised(terms[number], dtype) for number in numbers}
    largest = reduce(jnp.maximum, (scale for _, scale in scaled.values()))
    rank = len(lay.grid(layout))
    shares = {number: (scale / largest).reshape((-1, *[1] * (rank + 1))) for number, (_, scale) in scaled.items()}
    each = {number: _contributions(term, summed=False) for number, (term, _) in scaled.items()}
    vhats = {
        (number, tap): lay.to_pfvs(
            each[number](*divided(tap, terms[number].taps // terms[number].pool_taps)).astype(dtype), layout
        )
        * shares[number]
        for number, tap in meeting.places
    }
    found = []
    for own, place in meeting.places.items():
        total = at_taps(scaled[meeting.wide][0], place, dtype) * shares[meeting.wide]
        for other, its in meeting.places.items():
            mask = ((its == place) & (place >= 0)).astype(dtype)[..., None]
            total = total + vhats[other] * mask
        norm = _safe_sqrt(jnp.sum(total * total, -1))
        found.append((own, norm * largest.reshape((-1, *[1] * rank))))
    return found


def _contributions(term: Term, *, summed: bool) -> Callable[[Tap, Tap], Array]:
    """``(pool offset, kernel offset)`` to vhat at that tap, in the layout of the open sum."""
    reads, mix = _reads(term), term.mix

    def contribution(offset: Tap, tap: Tap) -> Array:
        read, chosen = reads(tap)
        if chosen is not None:
            read = jnp.where(chosen == offset, read, 0)
        if mix is None:
            return term.after(read)
        return term.after((mix.summed if summed and mix.summed else mix.local)(read, tap))

    return contribution


def _reads(term: Term) -> Callable[[Tap], tuple[Array, Array | None]]:
    """``tap`` to what every later position reads at that tap of the mixing step, and its switches."""
    mix, switches = term.mix, term.switches
    index = switches.index if switches is not None else None
    if mix is None:
        return lambda _: (term.operand, index)
    operand = mix.pad(term.operand, 0)
    padded = mix.pad(index, -1) if index is not None else None
    return lambda tap: (mix.gather(operand, tap), None if padded is None else mix.gather(padded, tap))


def _mixing_taps(term: Term) -> int:
    return term.mix.taps if term.mix is not None else 1


def _pulled_back(term: Term, x: Array, layout: Layout) -> Array:
    """< v , A_t^T X > for a max pool before any linear step."""
    reads, mix = _reads(term), term.mix

    def one(tap: Tap) -> Array:
        read, chosen = reads(tap)
        assert chosen is not None

        def ahead(v: Array) -> Array:
            v = v.astype(read.dtype)
            return term.after(v if mix is None else mix.local(v, tap)).astype(x.dtype)

        product = read.astype(x.dtype) * transposed(ahead, read.shape, x)
        return _by_switch(lay.to_rows(product, term.gathered), lay.to_rows(chosen, term.gathered), term.pool_taps)

    return _by_offset(over_taps(one, _mixing_taps(term), x.size), layout)


def _by_switch(rows: Array, switches: Array, offsets: int) -> Float[Array, "offsets rows"]:
    """The sum over channels for every offset of a max pool, in one pass where there are few."""
    if offsets > _OFFSETS:
        return over_taps(lambda offset: jnp.sum(jnp.where(switches == offset, rows, 0), 1), offsets, rows.size)
    parts = [jnp.where(switches == offset, rows, 0) for offset in range(offsets)]
    zeros = [jnp.zeros((), rows.dtype)] * offsets
    return jnp.stack(lax.reduce(parts, zeros, partial(jax.tree.map, add), (1,)))


def _by_offset(by_tap: Array, layout: Layout) -> Array:
    """(mixing taps, pool offsets, ...) to (taps, N, *grid)."""
    return jnp.swapaxes(by_tap, 0, 1).reshape((-1, lay.batch(layout), *lay.grid(layout)))


def _cheaper_at_source(term: Term, layout: Layout, *, norms: bool) -> bool:
    """Whether a term is one matrix A_t a tap, and has so few channels at its source that it is measured there."""
    mix, gathered = term.mix, term.gathered
    if not (
        term.position_invariant
        and (mix is None or mix.position_invariant)
        and _is_plain(gathered)
        and _is_plain(layout)
    ):
        return False
    few, many, pool = lay.channels(gathered), lay.channels(layout), term.pool_taps
    at_sum = pool * many * (few + _WRITTEN)
    at_source = many * few + pool * few * (_WRITTEN + (few if norms else 0))
    matrix = few * few * many / (lay.batch(layout) * lay.positions(layout))
    return bool(term.chain or mix) and at_source + matrix < at_sum


def _is_plain(layout: Layout) -> bool:
    """Whether every axis is the batch, the channels or one position axis."""
    kinds = [dim.kind for axis in layout for dim in axis]
    return (
        all(len(axis) == 1 for axis in layout)
        and kinds.count(BATCH) == kinds.count(CHANNEL) == 1
        and (all(dim.is_position for axis in layout for dim in axis if dim.kind not in (BATCH, CHANNEL)))
    )


def _matrices(term: Term, layout: Layout) -> Float[Array, "taps few many"]:
    """A_t^T of every tap of the mixing step: the contributions of the unit vectors."""
    few = lay.channels(term.gathered)
    units = jnp.eye(few, dtype=term.operand.dtype).reshape(
        [1 if dim.is_position else few for axis in term.gathered for dim in axis]
    )
    channel_first = [dim.kind for axis in layout for dim in axis if not dim.is_position] == [CHANNEL, BATCH]

    def of_tap(tap: Array) -> Array:
        vhat = jnp.squeeze(
            term.after(units if term.mix is None else term.mix.local(units, tap)),
            [axis for axis, dims in enumerate(layout) if dims[0].is_position],
        )
        return vhat.T if channel_first else vhat

    return jax.vmap(of_tap)(jnp.arange(_mixing_taps(term)))


def _at_source(term: Term, x: Array, layout: Layout, *, norms: bool) -> tuple[Array, Array | None]:
    """< v , A_t^T X > and < v , A_t^T A_t v >^(1/2)."""
    rows = lay.to_rows(x, layout)
    matrices = _matrices(term, layout).astype(x.dtype)
    grams = jnp.einsum("tio,tjo->tij", matrices, matrices) if norms else None
    by_plane = lay.channels(term.gathered) <= _PLANES and term.switches is None
    measured = (_by_plane if by_plane else _by_pfv)(term, rows, matrices, grams)
    return jax.tree.map(partial(_by_offset, layout=layout), measured)


def _by_plane(term: Term, rows: Array, matrices: Array, grams: Array | None) -> tuple[Array, Array | None]:
    """One array a channel: few channels are summed quickest where positions are innermost.

    As many taps at once as fit into X's channels.
    """
    mix, axis = term.mix, lay.axis_of(term.layout, CHANNEL)
    assert axis is not None
    padded = term.operand if mix is None else mix.pad(term.operand, 0)
    planes = [lax.slice_in_dim(padded, i, i + 1, axis=axis) for i in range(padded.shape[axis])]
    of_plane = tuple((Dim(CHANNEL, 1),) if dim.kind == CHANNEL else (dim,) for (dim,) in term.gathered)
    taps, few, many = matrices.shape
    at_once = max(n for n in range(1, taps + 1) if taps % n == 0 and (n == 1 or n * few <= many))

    def one(tap: Tap, back: Array) -> tuple[Array, Array | None]:
        reads = (plane if mix is None else mix.gather(plane, tap) for plane in planes)
        v = [lay.to_pfvs(read, of_plane)[..., 0].astype(rows.dtype) for read in reads]
        inner = sum(v_i * back_i for v_i, back_i in zip(v, back, strict=True))
        if grams is None:
            return inner, None
        turned = (sum(g_ij * v_j for g_ij, v_j in zip(row, v, strict=True)) for row in grams[tap])
        return inner, _safe_sqrt(sum(v_i * turned_i for v_i, turned_i in zip(v, turned, strict=True)))

    def some(turn: Tap) -> tuple[Array, Array | None]:
        first = turn * at_once
        each = lax.dynamic_slice_in_dim(matrices, first, at_once)
        back = lax.dot_general(each.reshape((-1, many)), rows, (((1,), (1,)), ((), ())))
        back = back.reshape((at_once, few, lay.batch(term.gathered), *lay.grid(term.gathered)))
        return jax.tree.map(lambda *parts: jnp.stack(parts), *(one(first + i, back[i]) for i in range(at_once)))

    measured = over_taps(some, taps // at_once, rows.size)
    return jax.tree.map(lambda m: m.reshape((taps, 1, *m.shape[2:])), measured)


def _by_pfv(term: Term, rows: Array, matrices: Array, grams: Array | None) -> tuple[Array, Array | None]:
    """PFV by PFV, which a max pool divides among its offsets."""
    reads = _reads(term)

    def one(tap: Tap) -> tuple[Array, Array | None]:
        read, chosen = reads(tap)
        v = lay.to_rows(read, term.gathered).astype(rows.dtype)
        product = v * (rows @ matrices[tap].T)
        if chosen is None:
            return jnp.sum(product, 1)[None], None if grams is None else _norm(v, grams[tap])[None]
        switches = lay.to_rows(chosen, term.gathered)
        inner = _by_switch(product, switches, term.pool_taps)
        if grams is None:
            return inner, None
        gram = grams[tap]
        norm = over_taps(lambda offset: _norm(jnp.where(switches == offset, v, 0), gram), term.pool_taps, v.size)
        return inner, norm

    return over_taps(one, matrices.shape[0], rows.size)


def _norm(v: Array, gram: Array) -> Array:
    return _safe_sqrt(jnp.sum(v * (v @ gram), 1))


def _safe_sqrt(square: Array) -> Array:
    """A square root whose derivative at zero is zero."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
