"""What methods share that are made of derivatives by pixels: gradients of several logits, and one number a pixel."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.core.compiled import Model, jitted, kept
from srd_jax.core.squash import Squash
from srd_jax.core.targets import as_targets, one_hot
from srd_jax.core.transforms import checked, one_of

__all__ = ["Gradients", "Reduce", "Values", "by_pixel", "check_reduce", "reduced"]

Gradients = Callable[[Array], Float[Array, "n k ..."]]
"""Images to the gradients of the logits to explain: (N, *grid, C) to (N, K, *grid, C)."""

Values = Callable[[Gradients, Array], Float[Array, "n k ..."]]
"""``(gradients, images)`` to one number for every channel of every pixel; hashed by what it is."""

Reduce = Literal["max", "sum"]
"""How the channels of a pixel become one number: the largest magnitude, or the sum."""


def by_pixel(
    values: Values, f: Model, *, reduce: Reduce | None, channel_axis: int, of: Callable[[Model], Model] | None = None
) -> Callable[..., Float[Array, "n ..."]]:
    """Make the function of a method from the numbers that it gives to pixels' channels.

    Args:
        values: the method.
        f: ``f(variables, images) -> logits``.
        reduce: how the channels of a pixel become one number, None for every channel by itself.
        channel_axis: axis of ``images`` that holds the channels.
        of: makes of a model the one that derivatives are taken of, None for itself.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`; with ``reduce=None`` maps have the
        axes of the images.

    Raises:
        ValueError: an unknown ``reduce``.
    """
    check_reduce(reduce)

    def compiled(f: Model) -> Callable[..., Any]:
        return kept(_compiled, f if of is None else of(f), values, reduce, channel_axis)

    return checked(compiled, f, channel_axis)


def check_reduce(reduce: Reduce | None) -> None:
    """Refuse a ``reduce`` that there is not.

    Raises:
        ValueError: it is unknown.
    """
    one_of("reduce", reduce, (*get_args(Reduce), None))


def reduced(values: Array, reduce: Reduce | None, axis: int) -> Array:
    """The channels of a pixel, along an axis, as one number."""
    if reduce is None:
        return values
    return jnp.max(jnp.abs(values), axis) if reduce == "max" else jnp.sum(values, axis)


def _compiled(f: Model, values: Values, reduce: Reduce | None, channel_axis: int) -> Callable[..., Any]:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        logits = f(variables, images)
        each, single = as_targets(targets, logits)
        found = values(partial(_gradients, f, variables, each), images)
        found = reduced(found, reduce, channel_axis % images.ndim + 1)
        return found[:, 0] if single else found, logits, Squash()

    return jitted(maps_of)


def _gradients(f: Model, variables: Any, each: Int[Array, "n k"], images: Array) -> Float[Array, "n k ..."]:
    logits, pull_back = jax.vjp(lambda x: f(variables, x), images)
    found: Array = jax.vmap(lambda direction: pull_back(direction)[0], 1, 1)(one_hot(each, logits))
    return found
