"""Deletion and insertion: how the class's probability falls or rises as pixels go or come in the order of a map.

Source: Petsiuk, Das, Saenko, RISE, arXiv 1806.07421.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

__all__ = ["area", "blurred", "chance", "deletion", "insertion", "mean_colour", "ranks"]

Model = Callable[[Any, Array], Array]


@partial(jax.jit, static_argnames=("f", "steps"))
def deletion(
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    steps: int = 20,
) -> Float[Array, "n fractions"]:
    """Probability of the target as its most relevant pixels are replaced by the baseline, the highest first.

    Args:
        f: ``f(variables, images) -> logits``.
        variables: its parameters.
        images: (N, H, W, C), as ``f`` takes them.
        maps: (N, H, W); equal values in row-major order.
        targets: (N,) classes.
        baseline: what a pixel is replaced by, of the images' shape: `blurred` or `mean_colour`.
        steps: into how many equal parts the pixels are divided.

    Returns:
        (N, steps + 1): the softmax of the target, or of a single logit the sigmoid, with the share 0, 1/steps, ..., 1
        of the pixels gone. A good map's curve falls fast: a small `area`.
    """
    return _curve(f, variables, baseline, images, maps, targets, steps)


@partial(jax.jit, static_argnames=("f", "steps"))
def insertion(
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    steps: int = 20,
) -> Float[Array, "n fractions"]:
    """Probability of the target as its most relevant pixels replace the baseline's, the highest first.

    Args:
        f: as in `deletion`.
        variables: as in `deletion`.
        images: as in `deletion`.
        maps: as in `deletion`.
        targets: as in `deletion`.
        baseline: what the images begin as, of their shape: `blurred` or `mean_colour`.
        steps: as in `deletion`.

    Returns:
        (N, steps + 1): the softmax of the target, or of a single logit the sigmoid, with the share 0, 1/steps, ..., 1
        of the pixels there. A good map's curve rises fast: a large `area`.
    """
    return _curve(f, variables, images, baseline, maps, targets, steps)


def _curve(f: Model, variables: Any, first: Array, last: Array, maps: Array, targets: Array, steps: int) -> Array:
    """Probability of the targets as more and more pixels, highest first, come from ``first`` rather than ``last``."""
    rank = ranks(maps)
    count = rank[0].size

    def probability(step: Array) -> Array:
        images = jnp.where((rank * steps < step * count)[..., None], first, last)
        return chance(f(variables, images).astype(jnp.float32), targets)

    return lax.map(probability, jnp.arange(steps + 1)).T


def ranks(maps: Float[Array, "n h w"]) -> Int[Array, "n h w"]:
    """The rank of each pixel, 0 for the largest value, equal ones in row-major order."""
    order = jnp.argsort(-maps.reshape((maps.shape[0], -1)), -1, stable=True)
    return jnp.argsort(order, -1).reshape(maps.shape)


def chance(logits: Float[Array, "n classes"], targets: Int[Array, " n"]) -> Float[Array, " n"]:
    """The probability of the target: the softmax, of a single logit the sigmoid."""
    every = jax.nn.softmax(logits, -1) if logits.shape[-1] > 1 else jax.nn.sigmoid(logits)
    return jnp.take_along_axis(every, targets[:, None], -1)[:, 0]


@jax.jit
def area(curves: Float[Array, "n fractions"]) -> Float[Array, " n"]:
    """Area under curves over [0, 1], by the trapezoid rule: (N,)."""
    return (curves[:, 1:] + curves[:, :-1]).mean(1) / 2


@jax.jit
def mean_colour(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Every image in its own mean colour."""
    return jnp.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)


@partial(jax.jit, static_argnames=("sigma",))
def blurred(images: Float[Array, "n h w c"], *, sigma: float) -> Float[Array, "n h w c"]:
    """Images under a Gaussian blur with a standard deviation in pixels, their edges repeated beyond them.

    RISE blurs 224 x 224 pixels with 5.
    """
    reach = max(1, round(3 * sigma))
    weights = jnp.exp(-0.5 * (jnp.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(images.dtype)
    for axis in (1, 2):
        pad = [(reach, reach) if axis == each else (0, 0) for each in range(images.ndim)]
        padded = jnp.pad(images, pad, mode="edge")
        size = images.shape[axis]
        parts = [w * lax.slice_in_dim(padded, i, i + size, axis=axis) for i, w in enumerate(weights)]
        images = jnp.stack(parts).sum(0)
    return images
