"""Sharing ratios: what share of each X_j every contribution accounts for.

For the contributions vhat_{i->j} of an open sum whose value is X_j, with biases b shared in parts s_{i->j}:

    mu_{i->j} = < vhat_{i->j} + s_{i->j} b , X_j > / ||X_j||^2 ,   sum_i mu_{i->j} = 1

(Han, Kim, Kwak 2024, section 3). A level of a sum knows its value, so < b , X_j > is what its contributions leave
over of < value , X_j >: no bias is ever traced on its own, and the account closes to rounding.

X_j is the value before the activation, so that inactive neurons count too. Against the value after it, Y_j = act(X_j),

    mu_{i->j} = < vhat_{i->j} + s_{i->j} b , Y_j > / < X_j , Y_j > ,   sum_i mu_{i->j} = 1

so that channels where Y_j is zero are lost. For a ReLU < X_j , Y_j > is ||Y_j||^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from srd_jax.core import layout as lay
from srd_jax.core.contributions import group_norms, meeting_norms, products, scale_of
from srd_jax.core.geometry import valid_taps
from srd_jax.core.paths import Paths
from srd_jax.core.values import Sum, Term

__all__ = ["Bias", "Relevance", "is_lone", "sharing_ratios"]

Bias = Literal["norm", "uniform", "none"]
Relevance = Literal["pre", "post"]


@dataclass(frozen=True)
class Share:
    """One term's account: < vhat , X > and ||vhat|| per tap, (taps, N, *grid)."""

    inner: jax.Array
    norm: jax.Array | None


def sharing_ratios(total: Sum, bias: Bias, paths: Paths, toward: jax.Array | None = None) -> list[jax.Array | None]:
    """The sharing ratios of every term of an open sum that closes with X_j = ``total.array``.

    Args:
        total: the open sum.
        bias: how constants are shared: by the norms of the contributions, evenly, or not at all.
        paths: which PFV every tap of its terms comes from.
        toward: what the contributions are measured against, of the sum's shape: Y_j, None for X_j itself.

    Returns:
        One (taps, N, *grid) array per term, float32 or wider; None in place of all ones for a single term that is
        the only contributor of every position.
    """
    terms = total.terms
    if is_lone(total):
        return [None]
    x = total.array.astype(accumulator(total.array.dtype))
    y = _normalised(x if toward is None else toward.astype(x.dtype), total.layout)
    numbers = {id(term): i for i, term in enumerate(terms)}
    shares = _account(total, y, total.layout, bias, paths, numbers, norms=False)
    product = lay.channel_sum(x * y, total.layout)
    alive = jnp.abs(product) > jnp.finfo(product.dtype).tiny
    safe = jnp.where(alive, product, 1)
    even = _even(paths.once, product.dtype)
    return [jnp.where(alive, share.inner / safe, part) for share, part in zip(shares, even, strict=True)]


def is_lone(total: Sum) -> bool:
    """Whether every position has one contributor by its shape, so that its ratio is 1."""
    terms = total.terms
    return (
        len(terms) == 1
        and terms[0].taps == 1
        and bool(valid_taps(terms[0].steps, lay.grid(terms[0].source.layout)).all())
    )


def _normalised(x: jax.Array, layout: lay.Layout) -> jax.Array:
    """X_j with its largest channel near 1, so that products with it are floats; mu does not depend on its scale."""
    largest = jnp.max(lay.to_pfvs(lax.stop_gradient(jnp.abs(x)), layout), -1)
    return x * lay.per_pfv(1 / scale_of(largest), layout)


def accumulator(dtype: jnp.dtype) -> jnp.dtype:
    """Inner products and norms accumulate in float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)


def _account(
    level: Sum, y: jax.Array, layout: lay.Layout, bias: Bias, every: Paths, numbers: dict[int, int], *, norms: bool
) -> list[Share]:
    """The shares of every term below one level, with the level's own constants shared among them.

    What PFVs that no pixel reaches contribute is constant too, as is a branch at positions where it has no contributor.
    """
    whole = lay.channel_sum(level.array.astype(y.dtype) * y, layout)
    own = [numbers[id(term)] for term in level.terms]
    paths = every.of(own)
    only = level.parts[0]
    if len(level.parts) == 1 and isinstance(only, Term) and only.taps == 1 and not norms:
        return [Share(jnp.where(paths.live[0], whole, 0), None)]
    orphans = any(isinstance(part, Sum) and not _reached(part, every, numbers) for part in level.parts)
    by_norm = bias == "norm" and (level.biased or paths.constant or orphans)
    needs_norms = norms or by_norm
    shares: list[Share] = []
    for part in level.parts:
        if isinstance(part, Sum):
            shares += _account(part, y, layout, bias, every, numbers, norms=needs_norms)
        else:
            inner, norm = products(part, y, layout, norms=needs_norms)
            if paths.constant:
                (live,) = every.of([numbers[id(part)]]).live
                inner, norm = jnp.where(live, inner, 0), None if norm is None else jnp.where(live, norm, 0)
            shares.append(Share(inner, norm))
    if bias == "none":
        return shares
    left_over = whole - reduce(add, [_over_taps(share.inner) for share in shares])
    even: Sequence[Any] = _even(paths.once, y.dtype)
    parts = _by_norm(level, shares, paths, layout, y.dtype) if by_norm else even
    return [Share(share.inner + part * left_over, share.norm) for share, part in zip(shares, parts, strict=True)]


def _reached(part: Sum, every: Paths, numbers: dict[int, int]) -> bool:
    """Whether a branch has a contributor at every position."""
    return bool(every.of([numbers[id(term)] for term in part.terms]).reached.all())


def _even(once: Sequence[np.ndarray], dtype: jnp.dtype) -> list[np.ndarray]:
    """One over the number of contributors, for each of them; zeros where there is none."""
    count = sum(share.sum(0) for share in once)
    return [(share / np.where(count > 0, count, 1)).astype(dtype) for share in once]


def _by_norm(
    level: Sum, shares: Sequence[Share], paths: Paths, layout: lay.Layout, dtype: jnp.dtype
) -> list[jax.Array]:
    """s_{i->j} = ||vhat_{i->j}|| / sum_i' ||vhat_{i'->j}||, an even split where every contribution is zero.

    Along several paths from i to j, each takes the same part of what vhat, their sum, is due.
    """
    norms = [share.norm for share in shares if share.norm is not None]
    assert len(norms) == len(shares)
    once = paths.once
    found = group_norms(level.terms, paths.groups, dtype, layout, masked=paths.constant or paths.partial)
    for group, norm in zip(paths.groups, found, strict=True):
        for number, tap in group.taps:
            norms[number] = norms[number].at[tap].set(norm * once[number][tap].astype(dtype))
    for meeting in paths.meetings:
        for (number, tap), norm in meeting_norms(level.terms, meeting, dtype, layout):
            place = meeting.places[number, tap]
            met, part = place >= 0, norm * once[number][tap].astype(dtype)
            norms[number] = norms[number].at[tap].set(jnp.where(met, part, norms[number][tap]))
            where = np.nonzero(met)
            own = jnp.moveaxis(norms[meeting.wide], 1, -1).at[(place[met], *where)]
            norms[meeting.wide] = jnp.moveaxis(own.set(jnp.moveaxis(part, 0, -1)[where]), -1, 1)
    total = reduce(add, map(_over_taps, norms))
    some = total > 0
    safe = jnp.where(some, total, 1)
    even = _even(once, norms[0].dtype)
    return [jnp.where(some, norm / safe, part) for norm, part in zip(norms, even, strict=True)]


def _over_taps(by_tap: Float[jax.Array, "taps ..."]) -> Float[jax.Array, "..."]:
    """The sum over taps, as a product with ones: XLA's own sum over a leading axis takes 10 to 80 times as long."""
    ones = jnp.ones(by_tap.shape[:1], by_tap.dtype)
    return jnp.tensordot(ones, by_tap, 1, precision=jax.lax.Precision.HIGHEST)
