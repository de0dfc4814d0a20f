"""Localisation: how much of a map lies on what was annotated.

Maps count by their magnitudes but where positive parts are asked for; masks are (N, H, W) bool.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = [
    "attribution_localisation",
    "auc",
    "energy_pointing",
    "mask_pointing",
    "rank_accuracy",
    "top_k_intersection",
]


def _flat(x: Array) -> Array:
    return x.reshape((x.shape[0], -1))


@jax.jit
def mask_pointing(maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"]) -> Bool[Array, " n"]:
    """The pointing game on masks: whether the largest value lies on the mask; of equal ones, any does.

    Args:
        maps: (N, H, W), signed: take magnitudes before, if that is what is meant.
        masks: (N, H, W).

    Source: Zhang et al., arXiv 1608.00507.
    """
    largest = jnp.max(maps, (1, 2), keepdims=True)
    return jnp.any((maps == largest) & masks, (1, 2))


@jax.jit
def energy_pointing(maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"]) -> Float[Array, " n"]:
    """The energy-based pointing game: sum over the mask of r+, over sum of r+; 0 where nothing is positive.

    Args:
        maps: (N, H, W), signed.
        masks: (N, H, W).

    Source: Wang et al., Score-CAM, arXiv 1910.01279.
    """
    return _share(jnp.maximum(maps, 0), masks)


@jax.jit
def attribution_localisation(maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"]) -> Float[Array, " n"]:
    """Relevance mass accuracy: sum over the mask of |r|, over sum of |r|; 0 for a map of zeros.

    Args:
        maps: (N, H, W).
        masks: (N, H, W).

    Source: Kohlbrenner et al., arXiv 1910.09840; Arras, Osman, Samek, arXiv 2003.07258.
    """
    return _share(jnp.abs(maps), masks)


def _share(sizes: Array, masks: Array) -> Array:
    total = jnp.sum(sizes, (1, 2))
    return jnp.where(total > 0, jnp.sum(sizes * masks, (1, 2)) / jnp.where(total > 0, total, 1), 0)


@jax.jit
def rank_accuracy(maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"]) -> Float[Array, " n"]:
    """Relevance rank accuracy: of the K pixels with the largest |r|, the share on a mask of K pixels.

    Args:
        maps: (N, H, W); of equal values the first counts.
        masks: (N, H, W); NaN for one without pixels.

    Source: Arras, Osman, Samek, arXiv 2003.07258.
    """
    count = jnp.sum(_flat(masks), -1)
    order = jnp.argsort(-_flat(jnp.abs(maps)), -1, stable=True)
    hits = jnp.cumsum(jnp.take_along_axis(_flat(masks), order, -1), -1)
    return jnp.where(
        count > 0, jnp.take_along_axis(hits, jnp.maximum(count - 1, 0)[:, None], -1)[:, 0] / count, jnp.nan
    )


@partial(jax.jit, static_argnames="k")
def top_k_intersection(
    maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"], *, k: int = 1000
) -> Float[Array, " n"]:
    """Of the k pixels with the largest |r|, the share on the mask.

    Args:
        maps: (N, H, W); of equal values the first counts.
        masks: (N, H, W).
        k: at most the number of pixels.

    Raises:
        ValueError: there are fewer than k pixels.

    Source: Theiner, Müller-Budack, Ewerth, arXiv 2104.14995.
    """
    if not 1 <= k <= maps[0].size:
        raise ValueError(f"k must be between 1 and the {maps[0].size} pixels of a map, not {k}")
    order = jnp.argsort(-_flat(jnp.abs(maps)), -1, stable=True)[:, :k]
    return jnp.mean(jnp.take_along_axis(_flat(masks), order, -1), -1)


@jax.jit
def auc(maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"]) -> Float[Array, " n"]:
    """Area under the ROC curve of |r| as a score for lying on the mask; equal values count half.

    (sum of the ranks on the mask - K (K + 1) / 2) / (K (M - K)), K of M pixels on the mask.

    Args:
        maps: (N, H, W).
        masks: (N, H, W); NaN where all pixels or none are on it.

    Source: Fawcett, Pattern Recognition Letters 27, 2006.
    """

    def one(sizes: Array, mask: Array) -> Array:
        ordered = jnp.sort(sizes)
        below, upto = (jnp.searchsorted(ordered, sizes, side=side) for side in ("left", "right"))
        rank = (below + upto + 1) / 2
        inside = jnp.sum(mask)
        pairs = inside * (mask.size - inside)
        return jnp.where(pairs > 0, (jnp.sum(rank * mask) - inside * (inside + 1) / 2) / pairs, jnp.nan)

    return jax.vmap(one)(_flat(jnp.abs(maps)), _flat(masks))
