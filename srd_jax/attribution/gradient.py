"""The gradient's magnitude."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.core.compiled import Model, jitted, kept
from srd_jax.core.squash import Squash
from srd_jax.core.targets import as_targets, one_hot
from srd_jax.core.transforms import checked

__all__ = ["gradient"]


def gradient(f: Model, *, channel_axis: int = -1) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the gradient's magnitude: max over channels of | d y_c / d x |.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; never negative.

    Raises:
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, arXiv 1312.6034.
    """
    return checked(kept(_compiled, f, channel_axis), channel_axis)


def _compiled(f: Model, channel_axis: int) -> Callable[..., Any]:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        logits, pull_back = jax.vjp(lambda x: f(variables, x), images)
        each, single = as_targets(targets, logits)
        gradients = jax.vmap(lambda direction: pull_back(direction)[0], 1, 1)(one_hot(each, logits))
        maps = jnp.max(jnp.abs(gradients), channel_axis % images.ndim + 1)
        return maps[:, 0] if single else maps, logits, Squash()

    return jitted(maps_of)
