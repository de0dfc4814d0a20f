"""How far a mean over images could be off: bootstrap intervals."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

__all__ = ["Interval", "bootstrap", "bootstrap_columns"]


class Interval(NamedTuple):
    """A mean and the ends of the interval around it; of each column, where there are several."""

    mean: Float[Array, "..."]
    low: Float[Array, "..."]
    high: Float[Array, "..."]


@partial(jax.jit, static_argnames="resamples")
def bootstrap(
    key: Array, values: Float[Array, " n"], *, level: float | Float[Array, ""] = 0.95, resamples: int = 2000
) -> Interval:
    """Percentile bootstrap of a mean: of ``resamples`` samples with replacement, the middle ``level`` of their means.

    For a difference between two methods on the same images, pass the differences: the pairs stay together.

    Args:
        key: from `jax.random.key`.
        values: (N,), one an image.
        level: of confidence, between 0 and 1.
        resamples: how many samples are drawn.

    Source: Efron, Annals of Statistics 7, 1979.
    """
    n = values.shape[0]

    def mean_of_one(key: Array) -> Array:
        return values[jax.random.randint(key, (n,), 0, n)].mean()

    means = lax.map(mean_of_one, jax.random.split(key, resamples), batch_size=min(100, resamples))
    low, high = jnp.quantile(means, jnp.array([(1 - level) / 2, (1 + level) / 2]))
    return Interval(values.mean(), low, high)


@partial(jax.jit, static_argnames="resamples")
def bootstrap_columns(
    key: Array, values: Float[Array, "n m"], *, level: float | Float[Array, ""] = 0.95, resamples: int = 2000
) -> Interval:
    """`bootstrap` of every column, all with the same resamples of images; of NaN nothing is known, and it is left out.

    Args:
        key: from `jax.random.key`.
        values: (N, M), M numbers an image.
        level: of confidence, between 0 and 1.
        resamples: how many samples are drawn.

    Returns:
        (M,) means and ends; NaN for a column without numbers.
    """
    n = values.shape[0]
    known = ~jnp.isnan(values)
    filled = jnp.where(known, values, 0)

    def drawn(key: Array) -> Array:
        return jnp.zeros(n, filled.dtype).at[jax.random.randint(key, (n,), 0, n)].add(1)

    times = jax.vmap(drawn)(jax.random.split(key, resamples))
    with jax.default_matmul_precision("highest"):
        means = (times @ filled) / (times @ known.astype(filled.dtype))
    low, high = jnp.nanquantile(means, jnp.array([(1 - level) / 2, (1 + level) / 2]), axis=0)
    return Interval(jnp.nanmean(values, 0), low, high)
