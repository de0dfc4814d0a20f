"""Gradients of which every ReLU lets only the positive part through."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce
from srd_jax.attribution.relu_gradients import at_relus, by_relu
from srd_jax.core.compiled import Model
from srd_jax.core.rewriting import Instead
from srd_jax.core.tracing import Program

__all__ = ["guided_backprop"]


def guided_backprop(
    f: Model, *, reduce: Reduce | None = "max", channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns guided backpropagation: a gradient of which ReLUs pass back the positive part.

    A ReLU passes it back where it was on, and nothing where it was off.
    ReLUs are found in the traced program, so that the model needs no change.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        reduce: ``"max"`` (of magnitudes) or ``"sum"`` over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown ``reduce``.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained; MethodError for a
            model without ReLUs.

    Source: Springenberg, Dosovitskiy, Brox, Riedmiller, ICLR workshop 2015, arXiv 1412.6806.
    """
    return by_relu(_change, f, reduce=reduce, channel_axis=channel_axis)


def _change(program: Program, sharpness: Array | None = None) -> Instead:
    return at_relus(program, "guided backpropagation", _pull_back, sharpness)


def _pull_back(slope: Array, gradient: Array) -> Array:
    return slope * jnp.maximum(gradient, 0)
