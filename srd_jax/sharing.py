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
from jaxtyping import Float

from srd_jax import layout as lay
from srd_jax.contributions import products
from srd_jax.geometry import valid_taps
from srd_jax.values import Sum, Term

__all__ = ["Bias", "Relevance", "Unit", "sharing_ratios"]

Bias = Literal["norm", "uniform", "none"]
Relevance = Literal["pre", "post"]
Unit = Literal["vector", "scalar"]


@dataclass(frozen=True)
class Share:
    """One term's account: < vhat , X > and ||vhat|| per tap, and which taps read a real position.

    Shapes: (taps, N, *grid), ``valid`` (taps, 1, *grid).
    """

    inner: jax.Array
    norm: jax.Array | None
    valid: np.ndarray


def sharing_ratios(total: Sum, bias: Bias, toward: jax.Array | None = None) -> list[jax.Array | None]:
    """The sharing ratios of every term of an open sum that closes with X_j = ``total.array``.

    Args:
        total: the open sum.
        bias: how constants are shared: by the norms of the contributions, evenly, or not at all.
        toward: what the contributions are measured against, of the sum's shape: Y_j, None for X_j itself.

    Returns:
        One (taps, N, *grid) array per term, float32 or wider; None in place of all ones for a single term that is
        the only contributor of every position.
    """
    terms = total.terms
    valid = [valid_taps(term.steps, lay.grid(term.source.layout))[:, None] for term in terms]
    if len(terms) == 1 and terms[0].taps == 1 and valid[0].all():
        return [None]
    x = total.array.astype(accumulator(total.array.dtype))
    y = x if toward is None else toward.astype(x.dtype)
    shares = _account(total, y, total.layout, bias, dict(zip(map(id, terms), valid, strict=True)), norms=False)
    square = lay.channel_sum(x * y, total.layout)
    alive = jnp.abs(square) > jnp.finfo(square.dtype).tiny
    safe = jnp.where(alive, square, 1)
    even = _even([share.valid for share in shares], square.dtype)
    return [jnp.where(alive, share.inner / safe, part) for share, part in zip(shares, even, strict=True)]


def accumulator(dtype: jnp.dtype) -> jnp.dtype:
    """Inner products and norms accumulate in float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)


def _account(
    level: Sum, x: jax.Array, layout: lay.Layout, bias: Bias, valid: dict[int, np.ndarray], *, norms: bool
) -> list[Share]:
    """The shares of every term below one level, with the level's own bias shared among them."""
    whole = lay.channel_sum(level.array.astype(x.dtype) * x, layout)
    only = level.parts[0]
    if len(level.parts) == 1 and isinstance(only, Term) and only.taps == 1 and not norms:
        mask = valid[id(only)]
        return [Share(jnp.where(mask, whole, 0), None, mask)]
    needs_norms = norms or (level.biased and bias == "norm")
    shares: list[Share] = []
    for part in level.parts:
        if isinstance(part, Sum):
            shares += _account(part, x, layout, bias, valid, norms=needs_norms)
        else:
            inner, norm = products(part, x, layout, norms=needs_norms)
            shares.append(Share(inner, norm, valid[id(part)]))
    if bias == "none":
        return shares
    left_over = whole - reduce(add, [_over_taps(share.inner) for share in shares])
    by_norm = level.biased and bias == "norm"
    parts: Sequence[Any] = _by_norm(shares) if by_norm else _even([share.valid for share in shares], x.dtype)
    return [
        Share(share.inner + part * left_over, share.norm, share.valid)
        for share, part in zip(shares, parts, strict=True)
    ]


def _even(valid: Sequence[np.ndarray], dtype: jnp.dtype) -> list[np.ndarray]:
    """One over the number of contributors, for each contributor; zeros where there is none."""
    count = sum(mask.sum(0) for mask in valid)
    return [(mask / np.maximum(count, 1)).astype(dtype) for mask in valid]


def _by_norm(shares: Sequence[Share]) -> list[jax.Array]:
    """s_{i->j} = ||vhat_{i->j}|| / sum_i' ||vhat_{i'->j}||, an even split where every contribution is zero."""
    norms = [share.norm for share in shares if share.norm is not None]
    assert len(norms) == len(shares)
    total = reduce(add, map(_over_taps, norms))
    some = total > 0
    safe = jnp.where(some, total, 1)
    even = _even([share.valid for share in shares], norms[0].dtype)
    return [jnp.where(some, norm / safe, part) for norm, part in zip(norms, even, strict=True)]


def _over_taps(by_tap: Float[jax.Array, "taps ..."]) -> Float[jax.Array, "..."]:
    """The sum over taps, as a product with ones: XLA's own sum over a leading axis takes 10 to 80 times as long."""
    ones = jnp.ones(by_tap.shape[:1], by_tap.dtype)
    return jnp.tensordot(ones, by_tap, 1, precision=jax.lax.Precision.HIGHEST)
