"""A random metric's value, and how far another key could move it."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Estimate", "correlated"]


class Estimate(NamedTuple):
    """A number for each image, and its standard error over draws, (N,) each."""

    value: Float[Array, " n"]
    spread: Float[Array, " n"]


def correlated(left: Float[Array, "n runs"], right: Float[Array, "n runs"]) -> Float[Array, " n"]:
    """Pearson's correlation along the last axis; 0 where one side does not vary."""
    a, b = (x - jnp.mean(x, -1, keepdims=True) for x in (left, right))
    size = jnp.sqrt(jnp.sum(a * a, -1) * jnp.sum(b * b, -1))
    return jnp.where(size > 0, jnp.sum(a * b, -1) / jnp.where(size > 0, size, 1), 0)
