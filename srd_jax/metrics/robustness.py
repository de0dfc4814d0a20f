"""Robustness: how much a map changes where the image hardly does.

``explain(images) -> maps`` with the class held; noise is uniform, within a radius, the same for every image. A map that
is noise itself can look stable by one number: read `self_correlation` beside the others.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from srd_jax.metrics.estimate import Estimate, correlated

__all__ = ["lipschitz_estimate", "max_sensitivity", "relative_input_stability", "self_correlation"]

Explain = Callable[[Array], Float[Array, "n h w"]]
Measure = Callable[[Array, Array, Array, Array], Array]
"""``(images, noisy images, maps, their maps)`` to (N,)."""


def lipschitz_estimate(
    key: Array, explain: Explain, images: Float[Array, "n h w c"], *, radius: float = 0.1, samples: int = 10
) -> Estimate:
    """The local Lipschitz estimate: the largest ||r(x) - r(x')|| / ||x - x'|| over noisy images.

    It grows with the map's scale: compare maps that are scaled alike.

    Args:
        key: from `jax.random.key`.
        explain: images to maps, the class held.
        images: (N, H, W, C).
        radius: of the noise, in the network's input.
        samples: noisy copies.

    Returns:
        Largest ratios, and the standard error of their mean over samples.

    Raises:
        ValueError: a radius that is not positive, or fewer than two samples.

    Source: Alvarez-Melis, Jaakkola, arXiv 1806.08049.
    """

    def ratio(x: Array, moved: Array, maps: Array, others: Array) -> Array:
        return _size(maps - others) / _size(x - moved)

    return _largest(_over_noise(key, explain, images, radius, samples, ratio))


def max_sensitivity(
    key: Array, explain: Explain, images: Float[Array, "n h w c"], *, radius: float = 0.1, samples: int = 10
) -> Estimate:
    """The largest ||r(x) - r(x')|| / ||r(x)|| over noisy images.

    Args:
        key: as in `lipschitz_estimate`.
        explain: as in `lipschitz_estimate`.
        images: as in `lipschitz_estimate`.
        radius: as in `lipschitz_estimate`.
        samples: as in `lipschitz_estimate`.

    Raises:
        ValueError: as in `lipschitz_estimate`.

    Source: Yeh et al., NeurIPS 2019, arXiv 1901.09392.
    """

    def ratio(x: Array, moved: Array, maps: Array, others: Array) -> Array:
        del x, moved
        return _size(maps - others) / jnp.maximum(_size(maps), jnp.finfo(maps.dtype).tiny)

    return _largest(_over_noise(key, explain, images, radius, samples, ratio))


def relative_input_stability(
    key: Array, explain: Explain, images: Float[Array, "n h w c"], *, radius: float = 0.1, samples: int = 10
) -> Estimate:
    """The largest ||(r(x) - r(x')) / r(x)|| / ||(x - x') / x|| over noisy images, each element by its own size.

    Denominators are at least 1e-6 of the largest element, as their authors' constant.

    Args:
        key: as in `lipschitz_estimate`.
        explain: as in `lipschitz_estimate`.
        images: as in `lipschitz_estimate`.
        radius: as in `lipschitz_estimate`.
        samples: as in `lipschitz_estimate`.

    Raises:
        ValueError: as in `lipschitz_estimate`.

    Source: Agarwal et al., arXiv 2203.06877.
    """

    def ratio(x: Array, moved: Array, maps: Array, others: Array) -> Array:
        return _size((maps - others) / _apart(maps)) / _size((x - moved) / _apart(x))

    return _largest(_over_noise(key, explain, images, radius, samples, ratio))


def self_correlation(
    key: Array, explain: Explain, images: Float[Array, "n h w c"], *, radius: float = 0.1, samples: int = 10
) -> Estimate:
    """The mean correlation of a map with itself under noise: 1 for one that does not change, 0 for noise.

    Args:
        key: as in `lipschitz_estimate`.
        explain: as in `lipschitz_estimate`.
        images: as in `lipschitz_estimate`.
        radius: as in `lipschitz_estimate`.
        samples: as in `lipschitz_estimate`.

    Raises:
        ValueError: as in `lipschitz_estimate`.
    """

    def alike(x: Array, moved: Array, maps: Array, others: Array) -> Array:
        del x, moved
        return correlated(*(m.reshape((m.shape[0], -1)) for m in (maps, others)))

    each = _over_noise(key, explain, images, radius, samples, alike)
    return Estimate(jnp.mean(each, 0), _error(each))


@partial(jax.jit, static_argnames=("explain", "samples", "measure"))
def _run(
    key: Array, explain: Explain, images: Array, radius: Float[Array, ""], samples: int, measure: Measure
) -> Float[Array, "samples n"]:
    maps = explain(images)

    def one(key: Array) -> Array:
        noise = jax.random.uniform(key, images.shape[1:], images.dtype, -1, 1) * radius
        return measure(images, images + noise, maps, explain(images + noise))

    return lax.map(one, jax.random.split(key, samples))


def _over_noise(
    key: Array, explain: Explain, images: Array, radius: float, samples: int, measure: Measure
) -> Float[Array, "samples n"]:
    if radius <= 0 or samples < 2:
        raise ValueError(f"radius must be positive and samples at least 2; got {radius} and {samples}")
    each: Array = _run(key, explain, images, jnp.asarray(radius, images.dtype), samples, measure)
    return each


def _largest(each: Float[Array, "samples n"]) -> Estimate:
    return Estimate(jnp.max(each, 0), _error(each))


def _error(each: Float[Array, "samples n"]) -> Float[Array, " n"]:
    return jnp.std(each, 0, ddof=1) / jnp.sqrt(len(each))


def _size(x: Array) -> Float[Array, " n"]:
    return jnp.sqrt(jnp.sum(x.reshape((x.shape[0], -1)) ** 2, -1))


def _apart(x: Array) -> Array:
    """X, away from zero by 1e-6 of its largest element."""
    own = tuple(range(1, x.ndim))
    least = 1e-6 * jnp.maximum(jnp.max(jnp.abs(x), own, keepdims=True), jnp.finfo(x.dtype).tiny)
    return jnp.where(jnp.abs(x) < least, jnp.where(x < 0, -least, least), x)
