"""Gradients averaged on the straight line from a baseline to the image."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Gradients, Reduce, by_pixel
from srd_jax.core.compiled import Model

__all__ = ["integrated_gradients"]


def integrated_gradients(
    f: Model,
    *,
    steps: int = 50,
    baseline: float = 0.0,
    together: bool = False,
    reduce: Reduce | None = "sum",
    channel_axis: int = -1,
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns integrated gradients: (x - b) times the mean of d y_c / d x between b and x.

    The mean is taken by Gauss-Legendre quadrature. The map sums to y_c(x) - y_c(b), as exactly as the quadrature is.
    The time is that of ``steps`` gradients. Points are taken one after the other, so that the memory is that of one;
    together they take that of all, and on CPUs, where gradients in a loop are slow, a part of the time.

    Args:
        f: ``f(variables, images) -> logits``, as in `srd_jax.explain`.
        steps: points of the quadrature.
        together: whether the points are taken side by side.
        baseline: b, the value of all pixels in the network's input; 0 mostly is the mean colour of a data set.
        reduce: ``"sum"`` or ``"max"`` (of magnitudes) over the channels of a pixel, None for every channel.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown ``reduce``, or no steps.
        SRDError: raised by the returned function: images, targets or logits that cannot be explained.

    Source: Sundararajan, Taly, Yan, ICML 2017, arXiv 1703.01365.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    return by_pixel(_Line(steps, baseline, together), f, reduce=reduce, channel_axis=channel_axis)


@dataclass(frozen=True)
class _Line:
    """Integrated gradients from a baseline in so many steps."""

    steps: int
    baseline: float
    together: bool

    def __call__(self, gradients: Gradients, images: Array) -> Array:
        points, weights = np.polynomial.legendre.leggauss(self.steps)
        way = images - self.baseline

        def at(point: Array) -> Array:
            return gradients(self.baseline + point * way)

        def add(total: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
            point, weight = step
            return total + weight * at(point), None

        like = jnp.zeros_like(gradients(images))
        xs = jnp.asarray((points + 1) / 2, like.dtype), jnp.asarray(weights / 2, like.dtype)
        mean = jnp.tensordot(xs[1], jax.vmap(at)(xs[0]), 1) if self.together else lax.scan(add, like, xs)[0]
        return way[:, None] * mean
