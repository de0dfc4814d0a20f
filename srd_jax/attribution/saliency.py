"""The gradient's magnitude."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Gradients, Reduce, by_pixel
from srd_jax.core.compiled import Model

__all__ = ["saliency"]


def saliency(
    f: Model, *, reduce: Reduce | None = "max", channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the gradient's magnitude: | d y_c / d x |, the largest over channels.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        reduce: ``"max"`` or ``"sum"`` over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; never negative.

    Raises:
        ValueError: an unknown ``reduce``.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, arXiv 1312.6034.
    """
    return by_pixel(_magnitude, f, reduce=reduce, channel_axis=channel_axis)


def _magnitude(gradients: Gradients, images: Array) -> Array:
    return jnp.abs(gradients(images))
