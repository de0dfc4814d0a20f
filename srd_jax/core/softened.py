"""Models whose ReLUs are bent rather than kinked, so that what is made of their gradients has derivatives itself."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from srd_jax.core.rewriting import Instead, Rewritten, in_place_of_relus
from srd_jax.core.tracing import Program

__all__ = ["Soften", "Softened", "capped", "softplus", "softplus_at_relus", "softplus_slope"]

Soften = Callable[..., Instead]
"""``(program, sharpness=...)`` to what is run in place of the program's ReLUs."""


def softplus_at_relus(program: Program, sharpness: Array) -> Instead:
    """`softplus` in place of every ReLU of a program."""
    return in_place_of_relus(program, lambda x, cap: capped(softplus(x, sharpness), cap, sharpness))


@dataclass(frozen=True)
class Softened:
    """A model with softplus in place of its ReLUs: ``f((variables, sharpness), images) -> logits``.

    The sharpness is a value like the variables, so that one compiled program serves all of them. As it grows, logits
    and maps become those of the model itself.

    Attributes:
        f: ``f(variables, images) -> logits``.
        soften: what is run in place of ReLUs; methods that have a rule of their own for these put it here.
    """

    f: Callable[[Any, Array], Array]
    soften: Soften = softplus_at_relus

    def __call__(self, variables: tuple[Any, Array], images: Array) -> Float[Array, "n classes"]:
        """The logits of the softened model."""
        own, sharpness = variables
        return Rewritten(self.f, partial(self.soften, sharpness=sharpness))(own, images)


def softplus(x: Float[Array, "..."], sharpness: Array) -> Float[Array, "..."]:
    """log(1 + exp(beta x)) / beta, which is max(x, 0) but for log(2) / beta at the most."""
    beta = jnp.asarray(sharpness, x.dtype)
    return jax.nn.softplus(beta * x) / beta


def softplus_slope(x: Float[Array, "..."], sharpness: Array) -> Float[Array, "..."]:
    """Its derivative by x, 1 / (1 + exp(-beta x))."""
    return jax.nn.sigmoid(jnp.asarray(sharpness, x.dtype) * x)


def capped(y: Float[Array, "..."], cap: float | None, sharpness: Array | None) -> Float[Array, "..."]:
    """min(y, cap), of a sharpness with `softplus` in its corner; y itself without a cap."""
    if cap is None:
        return y
    most = jnp.asarray(cap, y.dtype)
    return jnp.minimum(y, most) if sharpness is None else most - softplus(most - y, sharpness)
