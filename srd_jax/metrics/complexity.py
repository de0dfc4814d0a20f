"""Complexity: over how many pixels a map is spread."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["complexity", "effective_complexity"]


@jax.jit
def complexity(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Entropy of the magnitudes as shares: - sum_k p_k log p_k, p_k = |r_k| / sum |r|, in nats.

    Between 0, where one pixel holds everything, and the logarithm of the number of pixels.

    Args:
        maps: (N, H, W).

    Returns:
        (N,); 0 for a map of zeros.

    Source: Bhatt, Weller, Moura, IJCAI 2020, arXiv 2005.00631.
    """
    sizes = jnp.abs(maps).reshape((maps.shape[0], -1))
    total = jnp.sum(sizes, -1, keepdims=True)
    shares = sizes / jnp.where(total > 0, total, 1)
    return -jnp.sum(jnp.where(shares > 0, shares * jnp.log(jnp.where(shares > 0, shares, 1)), 0), -1)


@partial(jax.jit, static_argnames="epsilon")
def effective_complexity(maps: Float[Array, "n h w"], *, epsilon: float = 1e-5) -> Float[Array, " n"]:
    """How many pixels' magnitudes are above ``epsilon`` times the largest.

    Args:
        maps: (N, H, W).
        epsilon: of the largest magnitude of the same map.

    Source: Nguyen, Martínez, arXiv 2007.07584.
    """
    sizes = jnp.abs(maps)
    return jnp.sum(sizes > epsilon * jnp.max(sizes, (1, 2), keepdims=True), (1, 2)).astype(sizes.dtype)
