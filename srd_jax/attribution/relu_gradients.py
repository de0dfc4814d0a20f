"""Gradients with another rule at every ReLU, which the traced program is run with; the model stays as it is."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.attribution.derivatives import Gradients, Reduce, by_pixel
from srd_jax.core.compiled import Model
from srd_jax.core.rewriting import Instead, Rewritten, in_place_of_relus, relus
from srd_jax.core.softened import Softened, capped, softplus, softplus_slope
from srd_jax.core.tracing import Program
from srd_jax.errors import MethodError

__all__ = ["at_relus", "by_relu"]


def by_relu(
    change: Callable[[Program], Instead], f: Model, *, reduce: Reduce | None, channel_axis: int
) -> Callable[..., Float[Array, "n ..."]]:
    """Make the function of a method that is a gradient whose ReLUs pull back in another way.

    Args:
        change: from `at_relus`, as a function that can be told from others; of a softened model it is given the
            sharpness.
        f: ``f(variables, images) -> logits``.
        reduce: how the channels of a pixel become one number, None for every channel by itself.
        channel_axis: axis of ``images`` that holds the channels.
    """
    return by_pixel(_gradient, f, reduce=reduce, channel_axis=channel_axis, of=partial(_rewritten, change))


def at_relus(
    program: Program, method: str, pull_back: Callable[[Array, Array], Array], sharpness: Array | None = None
) -> Instead:
    """ReLUs whose derivative is another one.

    Args:
        program: of the model.
        method: what to call the method in an error.
        pull_back: ``(slope of the activation, gradient after) -> gradient before``.
        sharpness: of softplus in place of ReLUs, None for ReLUs, whose slope is 0 or 1.

    Raises:
        MethodError: there is no ReLU.
    """
    if not relus(program):
        raise MethodError(f"{method} is a rule for ReLUs, max(x, 0), and this model has none: choose another method")

    @jax.custom_vjp
    def activation(x: Array, sharpness: Array | None) -> Array:
        return jnp.maximum(x, 0) if sharpness is None else softplus(x, sharpness)

    def ahead(x: Array, sharpness: Array | None) -> tuple[Array, tuple[Array, Array | None]]:
        slope = (x > 0).astype(x.dtype) if sharpness is None else softplus_slope(x, sharpness)
        return activation(x, sharpness), (slope, sharpness)

    def back(kept: tuple[Array, Array | None], gradient: Array) -> tuple[Array, Array | None]:
        slope, sharpness = kept
        return pull_back(slope, gradient), None if sharpness is None else jnp.zeros_like(sharpness)

    activation.defvjp(ahead, back)
    return in_place_of_relus(program, lambda x, cap: capped(activation(x, sharpness), cap, sharpness))


def _rewritten(change: Callable[[Program], Instead], f: Model) -> Model:
    return replace(f, soften=change) if isinstance(f, Softened) else Rewritten(f, change)


def _gradient(gradients: Gradients, images: Array) -> Array:
    return gradients(images)
