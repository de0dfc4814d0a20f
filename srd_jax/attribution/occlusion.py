"""What the logit loses where a patch of the image is covered."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from srd_jax.attribution.runs import Scores, by_runs
from srd_jax.core.compiled import Model

__all__ = ["occlusion"]


def occlusion(
    f: Model, *, patch: int = 16, stride: int | None = None, baseline: float = 0.0, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns occlusion: y_c less y_c with a patch covered, averaged over the patches on a pixel.

    The network runs once for every patch, one after another, so that the memory is that of one run. Patches begin at
    the first pixel; the last ones may lie partly outside.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        patch: side in pixels.
        stride: pixels between patches, None for the patch's side.
        baseline: what covers a patch, a value of the network's input.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: a patch or stride below 1, or a stride larger than the patch, which would leave gaps.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Zeiler, Fergus, ECCV 2014, arXiv 1311.2901.
    """
    stride = patch if stride is None else stride
    if not 1 <= stride <= patch:
        raise ValueError(f"patch and stride must be at least 1, and stride at most patch; got {patch} and {stride}")
    return by_runs(_Covered(patch, stride, baseline), f, channel_axis=channel_axis)


@dataclass(frozen=True)
class _Covered:
    """The drop of the score under every patch."""

    patch: int
    stride: int
    baseline: float

    def __call__(self, scores: Scores, images: Array, each: Int[Array, "n k"], grid: tuple[int, ...]) -> Array:
        whole = scores(images, each)
        counts = [max(0, -(-(n - self.patch) // self.stride)) + 1 for n in grid]
        places = np.stack(np.unravel_index(np.arange(np.prod(counts)), counts), -1) * self.stride

        def covered(start: Array) -> Array:
            along = [
                (jnp.arange(n) >= begin) & (jnp.arange(n) < begin + self.patch)
                for n, begin in zip(grid, start, strict=True)
            ]
            mask = along[0].reshape((-1, *[1] * (len(grid) - 1)))
            for axis, own in enumerate(along[1:], 1):
                mask = mask & own.reshape([-1 if i == axis else 1 for i in range(len(grid))])
            return mask

        def add(total: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
            drops, number = total
            mask = covered(start)
            drop = whole - scores(images, each, hidden=mask, baseline=self.baseline)
            drops = drops + drop.reshape((*drop.shape, *[1] * len(grid))) * mask
            return (drops, number + mask), None

        empty = jnp.zeros((*each.shape, *grid), whole.dtype) * whole.reshape((*whole.shape, *[1] * len(grid)))
        (drops, number), _ = lax.scan(add, (empty, jnp.zeros(grid, whole.dtype)), jnp.asarray(places))
        return drops / jnp.maximum(number, 1)
