"""The gradient's magnitude."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.core.compiled import Model
from srd_jax.core.targets import as_targets, one_hot
from srd_jax.core.transforms import check_images

__all__ = ["gradient"]


def gradient(f: Model, *, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the gradient's magnitude: max over channels of | d y_c / d x |.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as in `srd_jax.attribution`; never negative.

    Raises:
        SRDError: raised by the returned function: images or targets of another form.

    Source: Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, arXiv 1312.6034.
    """

    def explained(variables: Any, images: Array, targets: Any = None) -> Float[Array, "n ..."]:
        images = check_images(images, channel_axis)
        logits, pull_back = jax.vjp(lambda x: f(variables, x), images)
        each, single = as_targets(targets, logits)
        gradients = jax.vmap(lambda direction: pull_back(direction)[0], 1, 1)(one_hot(each, logits))
        maps = jnp.max(jnp.abs(gradients), channel_axis % images.ndim + 1)
        return maps[:, 0] if single else maps

    return explained
