"""Noise level: how much neighbouring pixels of a map differ, for its size."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["noise_level"]


@jax.jit
def noise_level(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Total variation over norm: sum |r_{y+1,x} - r_{y,x}| + |r_{y,x+1} - r_{y,x}|, over sum |r_{y,x}|.

    0 for a constant map, up to 4 for a checkerboard of opposite signs. It does not depend on the map's scale.

    Args:
        maps: (N, H, W), signed.

    Returns:
        (N,); 0 for a map of zeros.

    Source: total variation as in Rudin, Osher, Fatemi, Physica D 60, 1992, in its anisotropic form.
    """
    down = jnp.abs(jnp.diff(maps, axis=1)).sum((1, 2))
    right = jnp.abs(jnp.diff(maps, axis=2)).sum((1, 2))
    norm = jnp.abs(maps).sum((1, 2))
    return jnp.where(norm > 0, (down + right) / jnp.where(norm > 0, norm, 1), 0)
