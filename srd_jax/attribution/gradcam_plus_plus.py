"""The channels of a map weighed by what is positive of their gradients, places of few paths more."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.attribution.cams import by_cam, weighed
from srd_jax.attribution.site import Site
from srd_jax.core.compiled import Model

__all__ = ["gradcam_plus_plus"]


def gradcam_plus_plus(
    f: Model, *, layer: str | None = None, enlarged: bool = True, channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns Grad-CAM++: relu(sum_k a_k v_k), a_k = sum_i alpha_ik relu(g_ik).

    With g = d y_c / d v and alpha = g^2 / (2 g^2 + (sum_i v_ik) g^3), zero where g is: the closed form for a logit
    under an exponential.

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

    Source: Chattopadhyay, Sarkar, Howlader, Balasubramanian, WACV 2018, arXiv 1710.11063.
    """
    return by_cam(_weigh, f, layer=layer, enlarged=enlarged, channel_axis=channel_axis)


_SMALLEST = 1e-6  # added to the denominator of alpha


def _weigh(site: Site, each: Int[Array, "n k"]) -> Array:
    g = site.gradients(each)
    places = tuple(range(1, site.values.ndim - 1))
    total = jnp.sum(site.values, places, keepdims=True)[:, None]
    alpha = jnp.where(g != 0, g**2 / (2 * g**2 + total * g**3 + _SMALLEST), 0)
    return weighed(site.values, jnp.sum(alpha * jnp.maximum(g, 0), tuple(place + 1 for place in places)))
