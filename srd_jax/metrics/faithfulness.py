"""Faithfulness: whether what a map says of pixels is what the network does without them.

``f(variables, images) -> logits``; scores are logits of the target. Pixels that are taken away are the baseline's. One
changed batch of images is run after another, so that the memory is that of one run.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from srd_jax.metrics.estimate import Estimate, correlated
from srd_jax.metrics.perturbation import Model, chance, ranks

__all__ = [
    "black",
    "faithfulness_correlation",
    "faithfulness_estimate",
    "infidelity",
    "irof",
    "pixel_flipping",
    "sensitivity_n",
    "squares",
]


@jax.jit
def black(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Every image at its own smallest value."""
    return jnp.broadcast_to(jnp.min(images, (1, 2, 3), keepdims=True), images.shape)


def _score(f: Model, variables: Any, images: Array, targets: Array) -> Array:
    logits = f(variables, images)
    return jnp.take_along_axis(logits, targets[:, None], -1)[:, 0].astype(jnp.promote_types(logits.dtype, jnp.float32))


@partial(jax.jit, static_argnames=("f", "at_once"))
def pixel_flipping(
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    at_once: int,
) -> Float[Array, "n steps"]:
    """The target's logit as pixels are replaced by the baseline, the largest values first and all that came before.

    Args:
        f: the model.
        variables: its parameters.
        images: (N, H, W, C).
        maps: (N, H, W); equal values in row-major order.
        targets: (N,).
        baseline: of the images' shape, such as `black`.
        at_once: pixels a step.

    Returns:
        (N, pixels / at_once, rounded up).

    Source: Bach et al., PLoS ONE 2015; Samek et al., IEEE TNNLS 2017.
    """
    rank = ranks(maps)

    def after(step: Array) -> Array:
        gone = (rank < (step + 1) * at_once)[..., None]
        return _score(f, variables, jnp.where(gone, baseline, images), targets)

    return lax.map(after, jnp.arange(-(-maps[0].size // at_once))).T


@partial(jax.jit, static_argnames=("f", "at_once"))
def faithfulness_estimate(
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    at_once: int,
) -> Float[Array, " n"]:
    """The correlation between groups' relevance and what the logit loses without each group alone.

    Groups are of ``at_once`` pixels, in the order of their relevance.

    Args:
        f: as in `pixel_flipping`.
        variables: as in `pixel_flipping`.
        images: as in `pixel_flipping`.
        maps: as in `pixel_flipping`.
        targets: as in `pixel_flipping`.
        baseline: as in `pixel_flipping`.
        at_once: pixels a group.

    Source: Alvarez-Melis, Jaakkola, NeurIPS 2018, arXiv 1806.07538.
    """
    rank = ranks(maps)
    whole = _score(f, variables, images, targets)

    def without(step: Array) -> tuple[Array, Array]:
        gone = (rank >= step * at_once) & (rank < (step + 1) * at_once)
        left = _score(f, variables, jnp.where(gone[..., None], baseline, images), targets)
        return jnp.sum(maps * gone, (1, 2)), whole - left

    sums, drops = lax.map(without, jnp.arange(-(-maps[0].size // at_once)))
    return correlated(sums.T, drops.T)


@partial(jax.jit, static_argnames=("f", "size", "runs"))
def faithfulness_correlation(
    key: Array,
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    size: int = 224,
    runs: int = 100,
) -> Estimate:
    """The correlation over random sets of pixels between their relevance and what the logit loses without them.

    With few of many pixels it mostly measures noise: look at its spread.

    Args:
        key: from `jax.random.key`.
        f: as in `pixel_flipping`.
        variables: as in `pixel_flipping`.
        images: as in `pixel_flipping`.
        maps: as in `pixel_flipping`.
        targets: as in `pixel_flipping`.
        baseline: as in `pixel_flipping`.
        size: pixels of a set, drawn without replacement.
        runs: sets.

    Returns:
        Correlations, and their standard error, (1 - r^2) / sqrt(runs - 1).

    Raises:
        ValueError: sets larger than a map, or fewer than three.

    Source: Bhatt, Weller, Moura, IJCAI 2020, arXiv 2005.00631.
    """
    pixels = maps[0].size
    if not 1 <= size <= pixels or runs < 3:
        raise ValueError(f"size must be between 1 and {pixels}, and runs at least 3; got {size} and {runs}")
    whole = _score(f, variables, images, targets)

    def without(key: Array) -> tuple[Array, Array]:
        chosen = jax.random.permutation(key, pixels)[:size]
        gone = jnp.zeros(pixels, bool).at[chosen].set(True).reshape(maps.shape[1:])
        left = _score(f, variables, jnp.where(gone[..., None], baseline, images), targets)
        return jnp.sum(maps * gone, (1, 2)), whole - left

    sums, drops = lax.map(without, jax.random.split(key, runs))
    value = correlated(sums.T, drops.T)
    return Estimate(value, (1 - value**2) / jnp.sqrt(runs - 1))


def sensitivity_n(
    key: Array,
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    sizes: tuple[int, ...],
    runs: int = 100,
) -> Estimate:
    """`faithfulness_correlation` for sets of several sizes, its mean over these.

    Args:
        key: from `jax.random.key`.
        f: as in `pixel_flipping`.
        variables: as in `pixel_flipping`.
        images: as in `pixel_flipping`.
        maps: as in `pixel_flipping`.
        targets: as in `pixel_flipping`.
        baseline: as in `pixel_flipping`.
        sizes: pixels of a set.
        runs: sets of each size.

    Raises:
        ValueError: no sizes, one larger than a map, or fewer than three runs.

    Source: Ancona, Ceolini, Öztireli, Gross, ICLR 2018, arXiv 1711.06104.
    """
    if not sizes:
        raise ValueError("sizes must hold one number of pixels at least")
    each = [
        faithfulness_correlation(own, f, variables, images, maps, targets, baseline, size=size, runs=runs)
        for own, size in zip(jax.random.split(key, len(sizes)), sizes, strict=True)
    ]
    spread = jnp.sqrt(sum((one.spread**2 for one in each), jnp.zeros(()))) / len(sizes)
    return Estimate(sum((one.value for one in each), jnp.zeros(())) / len(sizes), spread)


@partial(jax.jit, static_argnames=("f", "runs", "side"))
def infidelity(
    key: Array,
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    *,
    runs: int = 100,
    side: int = 16,
) -> Estimate:
    """The mean square of relevance less loss over random squares: (sum over the square of r - (y - y without it))^2.

    Maps are scaled to what minimises it, as its authors do, since most methods say nothing of a map's scale.

    Args:
        key: from `jax.random.key`.
        f: as in `pixel_flipping`.
        variables: as in `pixel_flipping`.
        images: as in `pixel_flipping`.
        maps: as in `pixel_flipping`.
        targets: as in `pixel_flipping`.
        baseline: as in `pixel_flipping`.
        runs: squares, at random places.
        side: of a square in pixels.

    Returns:
        Mean squares, and their standard error over squares.

    Raises:
        ValueError: squares larger than the images, or fewer than two.

    Source: Yeh et al., NeurIPS 2019, arXiv 1901.09392.
    """
    height, width = maps.shape[1:]
    if not 1 <= side <= min(height, width) or runs < 2:
        raise ValueError(f"side must be between 1 and {min(height, width)}, and runs at least 2; got {side} and {runs}")
    whole = _score(f, variables, images, targets)

    def without(key: Array) -> tuple[Array, Array]:
        top, left = jax.random.randint(key, (2,), 0, jnp.asarray([height - side + 1, width - side + 1]))
        rows, columns = jnp.arange(height)[:, None] - top, jnp.arange(width) - left
        gone = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        rest = _score(f, variables, jnp.where(gone[..., None], baseline, images), targets)
        return jnp.sum(maps * gone, (1, 2)), whole - rest

    sums, drops = (x.T for x in lax.map(without, jax.random.split(key, runs)))
    square = jnp.sum(sums * sums, -1, keepdims=True)
    scale = jnp.where(square > 0, jnp.sum(sums * drops, -1, keepdims=True) / jnp.where(square > 0, square, 1), 0)
    errors = (scale * sums - drops) ** 2
    return Estimate(jnp.mean(errors, -1), jnp.std(errors, -1, ddof=1) / jnp.sqrt(runs))


@partial(jax.jit, static_argnames=("f", "count"))
def irof(
    f: Model,
    variables: Any,
    images: Float[Array, "n h w c"],
    maps: Float[Array, "n h w"],
    targets: Int[Array, " n"],
    baseline: Float[Array, "n h w c"],
    segments: Int[Array, "n h w"],
    *,
    count: int,
) -> Float[Array, " n"]:
    """Iterative removal of features: the area over the curve of the class's probability as segments go, best first.

    Segments go in the order of their mean relevance; the curve is over its start.

    Args:
        f: as in `pixel_flipping`.
        variables: as in `pixel_flipping`.
        images: as in `pixel_flipping`.
        maps: as in `pixel_flipping`.
        targets: as in `pixel_flipping`.
        baseline: as in `pixel_flipping`; the authors take the mean colour.
        segments: the segment of each pixel, from 0: superpixels, or `squares`.
        count: segments of an image.

    Source: Rieger, Hansen, arXiv 2003.08747.
    """

    def of_one(heat: Array, own: Array) -> Array:
        total = jnp.zeros(count).at[own.ravel()].add(heat.ravel())
        number = jnp.zeros(count).at[own.ravel()].add(1)
        mean = jnp.where(number > 0, total / jnp.maximum(number, 1), -jnp.inf)
        return jnp.argsort(jnp.argsort(-mean, stable=True))[own]

    rank = jax.vmap(of_one)(maps, segments)

    def without(step: Array) -> Array:
        return chance(f(variables, jnp.where((rank < step)[..., None], baseline, images)), targets)

    curve = lax.map(without, jnp.arange(count + 1))
    relative = curve / jnp.where(curve[0] > 0, curve[0], 1)
    return 1 - jnp.mean((relative[1:] + relative[:-1]) / 2, 0)


def squares(height: int, width: int, side: int) -> Int[Array, "h w"]:
    """Segments that are squares of some pixels a side, numbered row by row."""
    across = -(-width // side)
    return (jnp.arange(height) // side * across)[:, None] + jnp.arange(width) // side
