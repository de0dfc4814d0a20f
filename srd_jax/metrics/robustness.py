"""Robustness: how much a map changes where the image hardly does.

``explain(images) -> maps`` with the class held; noise is uniform, within a radius, the same for every image. A map that
is noise itself can look stable by one number: read `self_correlation` beside the others.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from srd_jax.metrics.estimate import Estimate, correlated

__all__ = [
    "MEASURES",
    "lipschitz_estimate",
    "max_sensitivity",
    "noises",
    "noisy_maps",
    "relative_input_stability",
    "self_correlation",
]

Explain = Callable[[Array], Float[Array, "n ..."]]


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
    return _measured("lipschitz_estimate", key, explain, images, radius, samples)


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
    return _measured("max_sensitivity", key, explain, images, radius, samples)


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
    return _measured("relative_input_stability", key, explain, images, radius, samples)


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
    return _measured("self_correlation", key, explain, images, radius, samples)


def noises(
    key: Array, images: Float[Array, "n h w c"], *, radius: float = 0.1, samples: int = 10
) -> Float[Array, "samples h w c"]:
    """The noise that robustness is measured with: uniform within a radius, the same for every image.

    Args:
        key: as in `lipschitz_estimate`.
        images: whose shape it has.
        radius: as in `lipschitz_estimate`.
        samples: as in `lipschitz_estimate`.

    Raises:
        ValueError: as in `lipschitz_estimate`.
    """
    if radius <= 0 or samples < 2:
        raise ValueError(f"radius must be positive and samples at least 2; got {radius} and {samples}")
    draw = jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:], images.dtype, -1, 1))
    return jnp.asarray(radius, images.dtype) * draw(jax.random.split(key, samples))


def noisy_maps(
    key: Array, explain: Explain, images: Float[Array, "n h w c"], *, radius: float = 0.1, samples: int = 10
) -> Float[Array, "samples n ..."]:
    """The maps of images under each of `noises`, one after the other.

    Args:
        key: as in `lipschitz_estimate`.
        explain: as in `lipschitz_estimate`.
        images: as in `lipschitz_estimate`.
        radius: as in `lipschitz_estimate`.
        samples: as in `lipschitz_estimate`.

    Raises:
        ValueError: as in `lipschitz_estimate`.
    """
    noise = noises(key, images, radius=radius, samples=samples)
    if isinstance(noise, jax.core.Tracer):
        return lax.map(lambda each: explain(images + each), noise)
    return jnp.stack([explain(images + each) for each in noise])  # a gradient in a loop costs XLA's quick convolutions


def _measured(name: str, key: Array, explain: Explain, images: Array, radius: float, samples: int) -> Estimate:
    others = noisy_maps(key, explain, images, radius=radius, samples=samples)
    return MEASURES[name](images, noises(key, images, radius=radius, samples=samples), explain(images), others)


@jax.jit
def _lipschitz(images: Array, noise: Array, maps: Array, others: Array) -> Estimate:
    return _largest(_size(maps - others, 2) / _size(images + noise[:, None] - images, 2))


@jax.jit
def _relative_change(images: Array, noise: Array, maps: Array, others: Array) -> Estimate:
    del images, noise
    return _largest(_size(maps - others, 2) / jnp.maximum(_size(maps, 1), jnp.finfo(maps.dtype).tiny))


@jax.jit
def _relative_to_input(images: Array, noise: Array, maps: Array, others: Array) -> Estimate:
    changes = (images + noise[:, None] - images) / _apart(images)
    return _largest(_size((maps - others) / _apart(maps), 2) / _size(changes, 2))


@jax.jit
def _self_correlation(images: Array, noise: Array, maps: Array, others: Array) -> Estimate:
    del images, noise
    each = jax.vmap(lambda other: correlated(*(m.reshape((m.shape[0], -1)) for m in (maps, other))))(others)
    return Estimate(jnp.mean(each, 0), _error(each))


MEASURES: Mapping[str, Callable[[Array, Array, Array, Array], Estimate]] = MappingProxyType(
    {
        "lipschitz_estimate": _lipschitz,
        "max_sensitivity": _relative_change,
        "relative_input_stability": _relative_to_input,
        "self_correlation": _self_correlation,
    }
)
"""``(images, noises, maps, maps under each noise)`` to what the function of that name gives."""


def _largest(each: Float[Array, "samples n"]) -> Estimate:
    return Estimate(jnp.max(each, 0), _error(each))


def _error(each: Float[Array, "samples n"]) -> Float[Array, " n"]:
    return jnp.std(each, 0, ddof=1) / jnp.sqrt(len(each))


def _size(x: Array, axes: int) -> Float[Array, "..."]:
    """The norm over all but the first axes."""
    return jnp.sqrt(jnp.sum(x.reshape((*x.shape[:axes], -1)) ** 2, -1))


def _apart(x: Array) -> Array:
    """X, away from zero by 1e-6 of its largest element."""
    own = tuple(range(1, x.ndim))
    least = 1e-6 * jnp.maximum(jnp.max(jnp.abs(x), own, keepdims=True), jnp.finfo(x.dtype).tiny)
    return jnp.where(jnp.abs(x) < least, jnp.where(x < 0, -least, least), x)
