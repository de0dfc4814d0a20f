"""Sparseness: whether few pixels hold most of a map."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["gini"]


@jax.jit
def gini(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Gini index of the magnitudes: 1 - 2 sum_k (a_k / sum a) (M - k + 1/2) / M, a_1 <= ... <= a_M.

    0 where all magnitudes are equal, 1 - 1/M where one pixel of M holds everything.

    Args:
        maps: (N, H, W), signed.

    Returns:
        (N,); 0 for a map of zeros.

    Source: Hurley, Rickard, arXiv 0811.4706; for explanations Chalasani et al., arXiv 1810.06583.
    """
    sizes = jnp.sort(jnp.abs(maps).reshape(maps.shape[0], -1), -1)
    count = sizes.shape[1]
    total = sizes.sum(-1, keepdims=True)
    parts = sizes / jnp.where(total > 0, total, 1)
    weights = (count - jnp.arange(1, count + 1) + 0.5) / count
    return jnp.where(total[:, 0] > 0, 1 - 2 * parts @ weights, 0)
