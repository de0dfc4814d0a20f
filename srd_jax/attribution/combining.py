"""Methods made of methods: their products, their means over noisy images, and maps enlarged to a size."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.attribution.smoothgrad import check_noise, mean_over_noise
from srd_jax.core.compiled import Model

__all__ = ["enlarge", "product", "smooth"]

Explain = Callable[..., Float[Array, "n ..."]]
"""``(variables, images, targets=None) -> maps``."""


def product(methods: Sequence[Callable[..., Explain]]) -> Callable[..., Explain]:
    """The method whose map is the product of several methods' maps, pixel by pixel: guided Grad-CAM is one.

    Args:
        methods: ``(f, **options) -> explain``, whose maps have the same shape.

    Returns:
        Such a method, whose options go to all of them.
    """

    def combined(f: Model, **options: Any) -> Explain:
        own = [method(f, **options) for method in methods]

        def explained(variables: Any, images: Array, targets: Any = None) -> Array:
            maps = [explain(variables, images, targets) for explain in own]
            total = maps[0]
            for heat in maps[1:]:
                total = total * heat
            return total

        return explained

    return combined


def smooth(
    method: Callable[..., Explain], samples: int = 25, noise: float = 0.15, *, seed: int = 0
) -> Callable[..., Explain]:
    """The method whose map is the mean of another one's over noisy copies of the image.

    Every image gets the same noise, relative to its own range, so that a map does not depend on the rest of a batch.
    Samples are taken one after another. Without targets, the class is the one predicted for the image itself.

    Args:
        method: ``(f, **options) -> explain``.
        samples: noisy copies of every image.
        noise: standard deviation, in ranges (largest less smallest value) of the image.
        seed: of the noise.

    Returns:
        Such a method.

    Raises:
        ValueError: no samples, or negative noise.

    Source: Smilkov, Thorat, Kim, Viegas, Wattenberg, 2017, arXiv 1706.03825, of gradients.
    """
    check_noise(samples, noise)

    def smoothed(f: Model, **options: Any) -> Explain:
        own = method(f, **options)

        def explained(variables: Any, images: Array, targets: Any = None) -> Array:
            images = jnp.asarray(images)
            targets = jnp.argmax(f(variables, images), -1) if targets is None else targets
            return mean_over_noise(lambda x: own(variables, x, targets), images, samples, noise, seed)

        return explained

    return smoothed


def enlarge(method: Callable[..., Explain], grid: tuple[int, ...]) -> Callable[..., Explain]:
    """The method whose maps are another one's, enlarged bilinearly to a grid, such as that of a photo in full size.

    Args:
        method: ``(f, **options) -> explain``.
        grid: extents of the larger maps.

    Returns:
        Such a method.
    """

    def enlarged(f: Model, **options: Any) -> Explain:
        own = method(f, **options)

        def explained(variables: Any, images: Array, targets: Any = None) -> Array:
            heat = own(variables, images, targets)
            return jax.image.resize(heat, (*heat.shape[: heat.ndim - len(grid)], *grid), "linear")

        return explained

    return enlarged
