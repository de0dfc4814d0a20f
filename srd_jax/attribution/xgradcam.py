"""The channels of a map weighed by what they bring to the logit, for their size."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.attribution.cams import by_cam, weighed
from srd_jax.attribution.site import Site
from srd_jax.core.compiled import Model

__all__ = ["xgradcam"]


def xgradcam(
    f: Model, *, layer: str | None = None, enlarged: bool = True, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns XGrad-CAM: relu(sum_k a_k v_k), a_k = sum_i v_ik d y_c / d v_ik over sum_i v_ik.

    Where activations are never negative, the weighed map then adds up to what gradients times values do.

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

    Source: Fu et al., BMVC 2020, arXiv 2008.02312.
    """
    return by_cam(_weigh, f, layer=layer, enlarged=enlarged, channel_axis=channel_axis)


_SMALLEST = 1e-7  # added to a channel's sum


def _weigh(site: Site, each: Int[Array, "n k"]) -> Array:
    places = tuple(range(1, site.values.ndim - 1))
    products = jnp.sum(site.values[:, None] * site.gradients(each), tuple(place + 1 for place in places))
    return weighed(site.values, products / (jnp.sum(site.values, places) + _SMALLEST)[:, None])
