"""What class activation maps share: a map of the network, its channels weighed and added up, enlarged to the pixels."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.attribution.site import Site, site_of
from srd_jax.core.compiled import Model, jitted, kept
from srd_jax.core.squash import Squash
from srd_jax.core.targets import as_targets
from srd_jax.core.transforms import checked

__all__ = ["Weigh", "by_cam", "weighed"]

Weigh = Callable[[Site, Int[Array, "n k"]], Float[Array, "n k ..."]]
"""``(site, targets)`` to (N, K, *grid), before the ReLU; hashed by what it is."""


def by_cam(
    weigh: Weigh, f: Model, *, layer: str | None, enlarged: bool, channel_axis: int
) -> Callable[..., Float[Array, "n ..."]]:
    """Make the function of a method that gives a number to every position of a PFV map.

    Args:
        weigh: the method.
        f: ``f(variables, images) -> logits``.
        layer: name of the map, None for the encoder's output.
        enlarged: whether to return (N, *input grid) by bilinear interpolation, else (N, *grid).
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; never negative.
    """
    return checked(lambda f: kept(_compiled, f, weigh, layer, enlarged, channel_axis), f, channel_axis)


def weighed(values: Float[Array, "n *grid c"], weights: Float[Array, "n k c"]) -> Float[Array, "n k ..."]:
    """sum_k a_k v_k at every position: (N, K, *grid)."""
    flat = values.reshape((values.shape[0], -1, values.shape[-1]))
    maps = jnp.einsum("npc,nkc->nkp", flat, weights, precision=jax.lax.Precision.HIGHEST)
    return maps.reshape((*weights.shape[:2], *values.shape[1:-1]))


def _compiled(f: Model, weigh: Weigh, layer: str | None, enlarged: bool, channel_axis: int) -> Callable[..., Any]:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        site = site_of(f, variables, images, layer, channel_axis)
        each, single = as_targets(targets, site.logits)
        exists = (each >= 0) & (each < site.logits.shape[-1])
        maps = jnp.maximum(weigh(site, each), 0)
        maps = jnp.where(exists.reshape((*exists.shape, *[1] * len(site.grid))), maps, jnp.nan)
        maps = maps.astype(jnp.promote_types(maps.dtype, jnp.float32))
        if enlarged:
            maps = jax.image.resize(maps, (*maps.shape[:2], *site.pixels), "linear")
        return maps[:, 0] if single else maps, site.logits, Squash()

    return jitted(maps_of)
