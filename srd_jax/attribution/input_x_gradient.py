"""The gradient times what it is a derivative by."""

from collections.abc import Callable

from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Gradients, Reduce, by_pixel
from srd_jax.core.compiled import Model

__all__ = ["input_x_gradient"]


def input_x_gradient(
    f: Model, *, reduce: Reduce | None = "sum", channel_axis: int = -1
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns the input times the gradient: x d y_c / d x, summed over channels.

    It sums to the logit for networks without biases whose activations are piecewise linear.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        reduce: ``"sum"`` or ``"max"`` (of magnitudes) over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown ``reduce``.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Shrikumar, Greenside, Shcherbina, Kundaje, 2016, arXiv 1605.01713.
    """
    return by_pixel(_product, f, reduce=reduce, channel_axis=channel_axis)


def _product(gradients: Gradients, images: Array) -> Array:
    return images[:, None] * gradients(images)
