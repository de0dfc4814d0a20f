"""The channels of a map weighed by what the network says of the image behind each of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from srd_jax.attribution.cams import by_cam, weighed
from srd_jax.attribution.site import Site
from srd_jax.core.compiled import Model

__all__ = ["scorecam"]


def scorecam(
    f: Model, *, layer: str | None = None, enlarged: bool = True, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns Score-CAM: relu(sum_k a_k v_k), a the softmax over channels of y_c behind each.

    Every channel, enlarged and between 0 and 1, is a mask of the image. No gradients are taken. The network runs once
    for every channel, one after another, so that the memory is that of one run.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        layer: name of a PFV map, as `srd_jax.Flow.layers` tells; None for the encoder's output.
        enlarged: whether the map is enlarged to the pixels, bilinearly; else it has the layer's own grid.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; never negative.

    Raises:
        ValueError: an option out of its range.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained; LayerError for an
            unknown layer, MethodError where no single map is the encoder's output.

    Source: Wang et al., CVPR workshops 2020, arXiv 1910.01279.
    """
    return by_cam(_weigh, f, layer=layer, enlarged=enlarged, channel_axis=channel_axis)


_SMALLEST = 1e-8  # added to a channel's range


def _weigh(site: Site, each: Int[Array, "n k"]) -> Array:
    def score(channel: Array) -> Array:
        mask = _stretched(site.values[..., channel], site.pixels)
        pixels = tuple(range(1, mask.ndim))
        low, high = jnp.min(mask, pixels, keepdims=True), jnp.max(mask, pixels, keepdims=True)
        logits = site.f(site.masked((mask - low) / (high - low + _SMALLEST)))
        return jnp.take_along_axis(logits, each, 1)

    scores = lax.map(score, jnp.arange(site.values.shape[-1]))
    return weighed(site.values, jnp.moveaxis(jax.nn.softmax(scores, 0), 0, -1))


def _stretched(maps: Float[Array, "n ..."], grid: tuple[int, ...]) -> Float[Array, "n ..."]:
    """Bilinear, corners on corners."""
    for axis, size in enumerate(grid, 1):
        own = maps.shape[axis]
        places = jnp.linspace(0, own - 1, size)
        weights = jnp.maximum(0, 1 - jnp.abs(places[:, None] - jnp.arange(own))).astype(maps.dtype)
        maps = jnp.moveaxis(jnp.tensordot(maps, weights, (axis, 1)), -1, axis)
    return maps
