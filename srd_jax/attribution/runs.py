"""What methods share that look at the network from outside: they run it on changed images and read its scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from srd_jax.core import layout as lay
from srd_jax.core.compiled import Model, jitted, kept
from srd_jax.core.squash import Squash
from srd_jax.core.targets import Aimed, as_targets
from srd_jax.core.transforms import checked

__all__ = ["Measure", "Scores", "by_runs", "probabilities"]


@dataclass(frozen=True, eq=False)
class Scores:
    """A model on its variables, asked for classes.

    Attributes:
        f: images to logits.
        channel_axis: of the images.
        aimed: whether the logits are numbers that a function made, in place of classes'.
    """

    f: Callable[[Array], Array]
    channel_axis: int
    aimed: bool

    def __call__(
        self, images: Array, each: Int[Array, "n k"], *, hidden: Array | None = None, baseline: float = 0.0
    ) -> Float[Array, "n k"]:
        """The logits of some classes, of images whose ``hidden`` pixels, (*grid) bool, are the baseline."""
        return self.pick(self.f(images if hidden is None else self.over(images, hidden, baseline)), each)

    def over(self, images: Array, hidden: Array, baseline: float) -> Array:
        """Images with a baseline in some pixels, (*grid) or (N, *grid)."""
        mask = hidden if hidden.ndim == images.ndim - 1 else hidden[None]
        return jnp.where(jnp.expand_dims(mask, self.channel_axis % images.ndim), baseline, images)

    @staticmethod
    def pick(logits: Float[Array, "n classes"], each: Int[Array, "n k"]) -> Float[Array, "n k"]:
        """The numbers of some classes, NaN of one that does not exist."""
        exists = (each >= 0) & (each < logits.shape[-1])
        return jnp.where(exists, jnp.take_along_axis(logits, jnp.where(exists, each, 0), 1), jnp.nan)


def probabilities(logits: Float[Array, "n classes"]) -> Float[Array, "n classes"]:
    """The softmax, of a single logit the sigmoid."""
    return jax.nn.softmax(logits, -1) if logits.shape[-1] > 1 else jax.nn.sigmoid(logits)


Measure = Callable[[Scores, Array, Int[Array, "n k"], tuple[int, ...]], Float[Array, "n k ..."]]
"""``(scores, images, targets, grid of the images)`` to (N, K, *grid); hashed by what it is."""


def by_runs(measure: Measure, f: Model, *, channel_axis: int) -> Callable[..., Float[Array, "n ..."]]:
    """Make the function of a method from what it does with scores.

    Args:
        measure: the method.
        f: ``f(variables, images) -> logits``.
        channel_axis: axis of ``images`` that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.
    """
    return checked(lambda f: kept(_compiled, f, measure, channel_axis), f, channel_axis)


def _compiled(f: Model, measure: Measure, channel_axis: int) -> Callable[..., Any]:
    def maps_of(
        variables: Any, images: Array, targets: Any = None
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n classes"], Squash]:
        scores = Scores(lambda x: f(variables, x), channel_axis, isinstance(f, Aimed))
        logits = scores.f(images)
        each, single = as_targets(targets, logits)
        maps = measure(scores, images, each, lay.grid(lay.of_images(images.shape, channel_axis)))
        return maps[:, 0] if single else maps, logits, Squash()

    return jitted(maps_of)
