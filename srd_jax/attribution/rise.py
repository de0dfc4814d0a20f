"""The mean of random masks, weighed by what the network says of the image behind each."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from srd_jax.attribution.runs import Scores, by_runs, probabilities
from srd_jax.core.compiled import Model

__all__ = ["random_mask", "rise"]


def rise(
    f: Model, *, samples: int = 1000, cells: int = 7, kept: float = 0.5, seed: int = 0, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns RISE: the mean of random masks, each times the class's probability behind it.

    A mask is a coarse grid of zeros and ones, enlarged bilinearly and shifted at random; the mean is over ``kept``
    times their number. All images see the same masks, so that a map does not depend on the rest of a batch. The network
    runs once for every mask, one after another, so that the memory is that of one run.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`; of one logit the probability is its sigmoid,
            else the softmax. Of a target that is a function, its value takes the probability's place.
        samples: masks.
        cells: of the coarse grid along each axis.
        kept: the chance of a cell to be seen.
        seed: of the masks.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; never negative.

    Raises:
        ValueError: no samples or cells, or ``kept`` not between 0 and 1.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Petsiuk, Das, Saenko, BMVC 2018, arXiv 1806.07421.
    """
    if samples < 1 or cells < 1 or not 0 < kept < 1:
        raise ValueError(
            f"samples and cells must be at least 1 and kept between 0 and 1; got {samples}, {cells}, {kept}"
        )
    return by_runs(_Masked(samples, cells, kept, seed), f, channel_axis=channel_axis)


@dataclass(frozen=True)
class _Masked:
    """Masks weighed by scores."""

    samples: int
    cells: int
    kept: float
    seed: int

    def __call__(self, scores: Scores, images: Array, each: Int[Array, "n k"], grid: tuple[int, ...]) -> Array:
        keys = jax.random.split(jax.random.key(self.seed), self.samples)
        axis = scores.channel_axis % images.ndim

        def score(mask: Array) -> Array:
            logits = scores.f(images * jnp.expand_dims(mask[None], axis).astype(images.dtype))
            return scores.pick(logits if scores.aimed else probabilities(logits), each)

        def add(total: Array, key: Array) -> tuple[Array, None]:
            mask = random_mask(key, grid, self.cells, self.kept)
            weight = score(mask)
            return total + weight.reshape((*weight.shape, *[1] * len(grid))) * mask, None

        like = jax.eval_shape(score, jnp.zeros(grid))
        empty = jnp.zeros((*like.shape, *grid), jnp.promote_types(like.dtype, jnp.float32))
        total, _ = lax.scan(add, empty + 0 * jnp.sum(images).astype(empty.dtype), keys)
        return total / (self.samples * self.kept)


def random_mask(key: Array, grid: tuple[int, ...], cells: int, kept: float) -> Float[Array, "..."]:
    """A coarse random grid, one cell wider than asked for, enlarged and cut at a random place: (*grid) in [0, 1]."""
    of_cells, of_shift = jax.random.split(key)
    coarse = jax.random.bernoulli(of_cells, kept, (cells + 1,) * len(grid)).astype(jnp.float32)
    sizes = [-(-n // cells) for n in grid]
    large = jax.image.resize(coarse, [(cells + 1) * size for size in sizes], "linear")
    shifts = jax.random.randint(of_shift, (len(grid),), 0, jnp.asarray(sizes))
    return lax.dynamic_slice(large, list(shifts), grid)
