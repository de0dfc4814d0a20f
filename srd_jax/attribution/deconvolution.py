"""Gradients of which every ReLU lets only the positive part through, whether it was on or not."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Reduce
from srd_jax.attribution.relu_gradients import at_relus, by_relu
from srd_jax.core.compiled import Model
from srd_jax.core.rewriting import Instead
from srd_jax.core.tracing import Program

__all__ = ["deconvolution"]


def deconvolution(
    f: Model, *, reduce: Reduce | None = "max", channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns deconvolution: a gradient of which every ReLU passes back what is positive.

    Whether the ReLU was on for the image or not plays no part.
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

    Source: Zeiler, Fergus, ECCV 2014, arXiv 1311.2901.
    """
    return by_relu(_change, f, reduce=reduce, channel_axis=channel_axis)


def _change(program: Program, sharpness: Array | None = None) -> Instead:
    return at_relus(program, "deconvolution", _pull_back, sharpness)


def _pull_back(slope: Array, gradient: Array) -> Array:
    del slope
    return jnp.maximum(gradient, 0)
