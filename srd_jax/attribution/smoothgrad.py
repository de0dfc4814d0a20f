"""Gradients averaged over noisy copies of the image."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Gradients, Reduce, by_pixel
from srd_jax.core.compiled import Model

__all__ = ["check_noise", "mean_over_noise", "smoothgrad"]


def smoothgrad(
    f: Model,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    reduce: Reduce | None = "max",
    channel_axis: int = -1,
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the gradient's mean over noisy images, its largest magnitude over channels.

    Every image gets the same noise, relative to its own range, so that a map does not depend on the rest of a batch.
    Samples are taken one after the other: the memory is that of one gradient, the time that of ``samples``.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        samples: noisy copies of every image.
        noise: standard deviation, in ranges (largest less smallest value) of the image.
        seed: of the noise.
        reduce: ``"max"`` or ``"sum"`` over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown ``reduce``, no samples, or negative noise.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Smilkov, Thorat, Kim, Viegas, Wattenberg, 2017, arXiv 1706.03825.
    """
    check_noise(samples, noise)
    return by_pixel(_Noisy(samples, noise, seed, channel_axis), f, reduce=reduce, channel_axis=channel_axis)


@dataclass(frozen=True)
class _Noisy:
    """The mean gradient over so many noisy copies."""

    samples: int
    noise: float
    seed: int
    channel_axis: int

    def __call__(self, gradients: Gradients, images: Array) -> Array:
        return mean_over_noise(gradients, images, self.samples, self.noise, self.seed, self.channel_axis)


def check_noise(samples: int, noise: float) -> None:
    """Refuse what is no noise.

    Raises:
        ValueError: no samples, or negative noise.
    """
    if samples < 1 or noise < 0:
        raise ValueError(f"samples must be at least 1 and noise not negative; got {samples} and {noise}")


def mean_over_noise(
    fn: Callable[[Array], Array], images: Array, samples: int, noise: float, seed: int, channel_axis: int = -1
) -> Array:
    """The mean of a function over noisy copies of images, one after another.

    Args:
        fn: images to an array.
        images: each of which gets the same noise, relative to its own range.
        samples: copies.
        noise: standard deviation, in ranges of an image.
        seed: of the noise.
        channel_axis: of the images; the noise is the same wherever channels are.
    """
    pixels = tuple(range(1, images.ndim))
    scale = noise * (jnp.max(images, pixels, keepdims=True) - jnp.min(images, pixels, keepdims=True))
    keys = jax.random.split(jax.random.key(seed), samples)
    last = jnp.moveaxis(images, channel_axis, -1).shape[1:]

    def add(total: Array, key: Array) -> tuple[Array, None]:
        own = jnp.moveaxis(_normal(key, last, images.dtype)[None], -1, channel_axis)
        return total + fn(images + scale * own), None

    total, _ = lax.scan(add, jnp.zeros_like(fn(images)), keys)
    return total / samples


def _normal(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    return jax.random.normal(key, shape, dtype)
