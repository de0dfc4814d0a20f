"""What each contribution weighs: < vhat , X > and ||vhat|| , tap by tap, without keeping any vhat.

vhat = A_t v, with A_t the linear step between two positions. Either side can be measured on:

    < A_t v , X > = < v , A_t^T X > ,   ||A_t v||^2 = < v , A_t^T A_t v >

The side with fewer channels is the cheaper one. A 7 x 7 stem makes 64 channels of 3, so that its 49 contributions are
20 times as large as what they are made of; and a max pool before a linear step only chooses among the channels of v,
so that one A_t^T X serves every offset of the pool.

On a CPU, vhat costs little more than the convolution it is a tap of as long as it stays in the cache: taps run one
after another in `jax.lax.map`, and each ends in one number a position.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from srd_jax import layout as lay
from srd_jax.layout import BATCH, CHANNEL, Layout
from srd_jax.values import Term

__all__ = ["products"]

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
    if term.switches is not None and not norms and not term.after_mix:
        return _pulled_back(term, x, layout), None
    if _cheaper_at_source(term, layout, norms=norms):
        return _at_source(term, x, layout, norms=norms)

    def measured(vhat: Array) -> tuple[Array, Array | None]:
        vhat = vhat.astype(x.dtype)
        inner = lay.channel_sum(vhat * x, layout)
        return inner, _safe_sqrt(lay.channel_sum(vhat * vhat, layout)) if norms else None

    contribution = _contributions(term)
    if term.taps == 1:
        return jax.tree.map(lambda p: p[None], measured(contribution(0, 0)))
    mix = term.taps // term.pool_taps

    @jax.checkpoint
    def one(tap: Array) -> tuple[Array, Array | None]:
        return measured(contribution(tap // mix, tap % mix))

    return lax.map(one, jnp.arange(term.taps))


def _contributions(term: Term) -> Callable[[Array | int, Array | int], Array]:
    """``(pool offset, kernel offset)`` to vhat at that tap, in the layout of the open sum."""
    reads, _ = _reads(term)

    def contribution(offset: Array | int, tap: Array | int) -> Array:
        read, chosen = reads(tap)
        if chosen is not None:
            read = jnp.where(chosen == offset, read, 0)
        return term.after(read if term.mix is None else term.mix.local(read, tap))

    return contribution


def _reads(term: Term) -> tuple[Callable[[Array | int], tuple[Array, Array | None]], Layout]:
    """``tap`` to what every later position reads at that tap of the mixing step, and its switches; their layout."""
    mix, switches = term.mix, term.switches
    index = switches.index if switches is not None else None
    if mix is None:
        return lambda _: (term.operand, index), term.layout
    operand = mix.pad(term.operand, 0)
    padded = mix.pad(index, -1) if index is not None else None
    return lambda tap: (mix.gather(operand, tap), None if padded is None else mix.gather(padded, tap)), mix.gathered


def _mixing_taps(term: Term) -> int:
    return term.mix.taps if term.mix is not None else 1


def _pulled_back(term: Term, x: Array, layout: Layout) -> Array:
    """< v , A_t^T X > for a max pool before any linear step."""
    reads, gathered = _reads(term)
    mix, pool = term.mix, term.pool_taps

    @jax.checkpoint
    def one(tap: Array) -> Array:
        read, chosen = reads(tap)
        like = jax.ShapeDtypeStruct(read.shape, read.dtype)
        back = jax.linear_transpose(lambda v: term.after(v if mix is None else mix.local(v, tap)).astype(x.dtype), like)
        product = read.astype(x.dtype) * back(x)[0].astype(x.dtype)
        parts = (jnp.where(chosen == offset, product, 0) for offset in range(pool))
        return jnp.stack([lay.channel_sum(part, gathered) for part in parts])

    return _by_offset(lax.map(one, jnp.arange(_mixing_taps(term))), layout)


def _by_offset(by_tap: Array, layout: Layout) -> Array:
    """(mixing taps, pool offsets, ...) to (taps, N, *grid)."""
    return jnp.swapaxes(by_tap, 0, 1).reshape((-1, lay.batch(layout), *lay.grid(layout)))


def _cheaper_at_source(term: Term, layout: Layout, *, norms: bool) -> bool:
    """Whether a term is one matrix A_t a tap, and has so few channels at its source that it is measured there."""
    mix = term.mix
    gathered = term.layout if mix is None else mix.gathered
    if not (term.alike and (mix is None or mix.alike) and _is_plain(gathered) and _is_plain(layout)):
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


def _matrices(term: Term, gathered: Layout, layout: Layout) -> Float[Array, "taps few many"]:
    """A_t^T of every tap of the mixing step: the contributions of the unit vectors."""
    few = lay.channels(gathered)
    units = jnp.eye(few, dtype=term.operand.dtype).reshape(
        [1 if dim.is_position else few for axis in gathered for dim in axis]
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
    """< v , A_t^T X > and < v , A_t^T A_t v >^(1/2), as many taps at once as fit into X's channels."""
    reads, gathered = _reads(term)
    few, many = lay.channels(gathered), lay.channels(layout)
    matrices = _matrices(term, gathered, layout).astype(x.dtype)
    taps = matrices.shape[0]
    at_once = max(n for n in range(1, taps + 1) if taps % n == 0 and (n == 1 or n * few <= many))
    against = lay.to_pfvs(x, layout)

    @jax.checkpoint
    def some(first: Array) -> tuple[Array, Array | None]:
        each = lax.dynamic_slice_in_dim(matrices, first, at_once)
        back = jnp.einsum("...o,tio->...ti", against, each)
        measured = [one(first + i, back[..., i, :], each[i]) for i in range(at_once)]
        return jax.tree.map(lambda *parts: jnp.stack(parts), *measured)

    def one(tap: Array, back: Array, matrix: Array) -> tuple[Array, Array | None]:
        read, chosen = reads(tap)
        v = lay.to_pfvs(read, gathered).astype(x.dtype)
        if chosen is None:
            parts = [v]
        else:
            switches = lay.to_pfvs(chosen, gathered)
            parts = [jnp.where(switches == offset, v, 0) for offset in range(term.pool_taps)]
        inner = jnp.stack([jnp.sum(part * back, -1) for part in parts])
        if not norms:
            return inner, None
        gram = matrix @ matrix.T
        return inner, jnp.stack([_safe_sqrt(jnp.sum(part * (part @ gram), -1)) for part in parts])

    measured = lax.map(some, jnp.arange(0, taps, at_once))
    return jax.tree.map(lambda m: _by_offset(m.reshape((taps, term.pool_taps, *m.shape[3:])), layout), measured)


def _safe_sqrt(square: Array) -> Array:
    """A square root whose derivative at zero is zero."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
