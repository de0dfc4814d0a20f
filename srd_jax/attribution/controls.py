"""Maps without any explanation in them, which a good method has to beat.

None of them asks the model for more than its logits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.attribution.runs import Scores, by_runs
from srd_jax.core.compiled import Model

__all__ = ["centre", "edge", "lattice", "random"]


def random(f: Model, *, seed: int = 0, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns a control: the same uniform noise in [0, 1) for every image.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        seed: of the noise.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.
    """
    return by_runs(_Noise(seed), f, channel_axis=channel_axis)


def centre(f: Model, *, width: float = 0.25, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns a control: a Gaussian around the middle of the image.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        width: standard deviation, in sides of the image.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: a width that is not positive.
    """
    if width <= 0:
        raise ValueError(f"width must be positive, not {width}")
    return by_runs(_Centre(width), f, channel_axis=channel_axis)


def edge(f: Model, *, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns a control: the magnitude of the photo's own gradient, summed over channels.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.
    """
    return by_runs(_Edge(channel_axis), f, channel_axis=channel_axis)


def lattice(f: Model, *, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns a control: 1 at every other pixel, as on a chessboard, else 0.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.
    """
    return by_runs(_Lattice(), f, channel_axis=channel_axis)


def _everywhere(own: Array, scores: Scores, images: Array, each: Int[Array, "n k"]) -> Array:
    """A map for every class, NaN for one that does not exist."""
    number = 0 * scores(images, each)
    own = own if own.ndim == images.ndim - 1 else own[None]
    return own[:, None] + number.reshape((*number.shape, *[1] * (own.ndim - 1)))


@dataclass(frozen=True)
class _Noise:
    seed: int

    def __call__(self, scores: Scores, images: Array, each: Int[Array, "n k"], grid: tuple[int, ...]) -> Array:
        return _everywhere(jax.random.uniform(jax.random.key(self.seed), grid), scores, images, each)


@dataclass(frozen=True)
class _Centre:
    width: float

    def __call__(self, scores: Scores, images: Array, each: Int[Array, "n k"], grid: tuple[int, ...]) -> Array:
        along = [((jnp.arange(n) + 0.5) / n - 0.5) / self.width for n in grid]
        places = jnp.meshgrid(*along, indexing="ij")
        return _everywhere(jnp.exp(-0.5 * sum(place**2 for place in places)), scores, images, each)


@dataclass(frozen=True)
class _Edge:
    channel_axis: int

    def __call__(self, scores: Scores, images: Array, each: Int[Array, "n k"], grid: tuple[int, ...]) -> Array:
        pixels = jnp.moveaxis(images, self.channel_axis, -1)
        total = jnp.zeros(pixels.shape[:-1], pixels.dtype)
        for axis, n in enumerate(grid, 1):
            slope = jnp.asarray(jnp.gradient(pixels, axis=axis)) if n > 1 else jnp.zeros_like(pixels)
            total = total + jnp.sum(slope**2, -1)
        return _everywhere(jnp.sqrt(total), scores, images, each)


@dataclass(frozen=True)
class _Lattice:
    def __call__(self, scores: Scores, images: Array, each: Int[Array, "n k"], grid: tuple[int, ...]) -> Array:
        places = jnp.meshgrid(*map(jnp.arange, grid), indexing="ij")
        return _everywhere(jnp.asarray(sum(places) % 2 == 0, jnp.float32), scores, images, each)
