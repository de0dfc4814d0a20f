"""A map times what is positive of its gradients, position by position."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.attribution.cams import by_cam
from srd_jax.attribution.site import Site
from srd_jax.core.compiled import Model

__all__ = ["layercam"]


def layercam(
    f: Model, *, layer: str | None = None, enlarged: bool = True, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns LayerCAM: relu(sum_k v_k relu(d y_c / d v_k)).

    Made for maps before the encoder's output too, whose gradients differ from place to place.

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

    Source: Jiang, Zhang, Hou, Cheng, Wei, IEEE TIP 2021.
    """
    return by_cam(_weigh, f, layer=layer, enlarged=enlarged, channel_axis=channel_axis)


def _weigh(site: Site, each: Int[Array, "n k"]) -> Array:
    return jnp.sum(site.values[:, None] * jnp.maximum(site.gradients(each), 0), -1)
