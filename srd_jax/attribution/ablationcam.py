"""The channels of a map weighed by how much the logit loses without them."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from srd_jax.attribution.cams import by_cam, weighed
from srd_jax.attribution.site import Site
from srd_jax.core.compiled import Model

__all__ = ["ablationcam"]


def ablationcam(
    f: Model, *, layer: str | None = None, enlarged: bool = True, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns Ablation-CAM: relu(sum_k a_k v_k), a_k = (y_c - y_c without channel k) / y_c.

    No gradients are taken. The rest of the network runs once for every channel, one after another, so that the memory
    is that of one run.

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

    Source: Desai, Ramaswamy, WACV 2020.
    """
    return by_cam(_weigh, f, layer=layer, enlarged=enlarged, channel_axis=channel_axis)


def _weigh(site: Site, each: Int[Array, "n k"]) -> Array:
    channels = jnp.arange(site.values.shape[-1])

    def without(channel: Array) -> Array:
        logits = site.rest(jnp.where(channels == channel, 0, site.values))
        return jnp.take_along_axis(logits, each, 1)

    whole = jnp.take_along_axis(site.logits, each, 1)
    lost = whole[..., None] - jnp.moveaxis(lax.map(without, channels), 0, -1)
    safe = jnp.where(whole == 0, 1, whole)[..., None]
    return weighed(site.values, lost / safe)
