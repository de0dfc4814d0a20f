"""Which classes to explain, in any of the forms they may be given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from srd_jax.errors import TargetError

__all__ = ["Aimed", "as_targets", "check_targets", "one_hot"]


@dataclass(frozen=True)
class Aimed:
    """A model whose logits are a function of another one's output: what is to be explained in place of a class.

    Attributes:
        f: ``f(variables, images) -> output``.
        target: the output to (N,) numbers, or (N, K) for K maps an image.
    """

    f: Callable[[Any, Array], Any]
    target: Callable[[Any], Array]

    def __call__(self, variables: Any, images: Array) -> Float[Array, "n k"]:
        """(N, K) numbers, K = 1 for (N,)."""
        found = jnp.asarray(self.target(self.f(variables, images)))
        return found[:, None] if found.ndim == 1 else found

    def places(self, variables: Any, images: Array) -> Int[np.ndarray, "..."]:
        """What to explain of it: 0 where the target is one number an image, else all K of each.

        Raises:
            TargetError: the target is neither (N,) nor (N, K).
        """
        found = jax.eval_shape(lambda v, x: self.target(self.f(v, x)), variables, images)
        shape = tuple(getattr(found, "shape", ()))
        if len(shape) not in (1, 2) or shape[0] != images.shape[0] or 0 in shape:
            raise TargetError(
                f"a target that is a function must make ({images.shape[0]},) numbers of the model's output, one an "
                f"image, or ({images.shape[0]}, K); it makes {shape or type(found).__name__}"
            )
        return np.zeros((), int) if len(shape) == 1 else np.tile(np.arange(shape[1]), (shape[0], 1))


def check_targets(targets: Any, shape: tuple[int, ...]) -> Int[Array, "..."]:
    """Targets as an array of integers, looked at as far as they are known.

    Args:
        targets: an int, (N,) ints or (N, K) ints.
        shape: of the logits, (N, classes).

    Raises:
        TargetError: not integers, another shape, none at all, or a class that does not exist (where values are known).
    """
    n, classes = shape
    if not isinstance(targets, jax.Array):
        targets = _integers(targets, classes)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TargetError(f"targets must be integers (class indices), not {targets.dtype}")
    if targets.ndim > 2 or 0 in targets.shape or (targets.ndim > 0 and targets.shape[0] != n):
        raise TargetError(
            f"targets must be one int, ({n},) ints or ({n}, K) ints for {n} images; got shape {targets.shape}"
        )
    if not isinstance(targets, jax.core.Tracer):
        known = np.asarray(targets)
        wrong = known[(known < 0) | (known >= classes)]
        if wrong.size:
            raise TargetError(f"class {int(wrong.flat[0])} does not exist: the model has classes 0 to {classes - 1}")
    return jnp.asarray(targets)


def _integers(targets: Any, classes: int) -> np.ndarray:
    """What is no array of JAX's as one of NumPy's, whose integers are wide enough to be compared."""
    try:
        array = np.asarray(targets)
    except (ValueError, TypeError, OverflowError) as error:
        raise TargetError(f"targets must be integers in a rectangular array, not {_shown(targets)}") from error
    if array.dtype == object and isinstance(targets, int):
        raise TargetError(f"class {_shown(targets)} does not exist: the model has classes 0 to {classes - 1}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TargetError(f"targets must be integers (class indices), not {_shown(targets)} of type {array.dtype}")
    return array if array.size else array.astype(np.int32)


def _shown(value: Any) -> str:
    text = type(value).__name__ if isinstance(value, int) and abs(value) >= 10**20 else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def as_targets(targets: Any, logits: Float[Array, "n classes"]) -> tuple[Int[Array, "n k"], bool]:
    """Targets as (N, K) class indices.

    Args:
        targets: an int, (N,) ints, (N, K) ints, or None for the class with the largest logit.
        logits: (N, classes).

    Returns:
        (N, K) indices, and whether a single map per image was asked for.

    Raises:
        TargetError: as in `check_targets`.
    """
    if targets is None:
        return jnp.argmax(logits, -1)[:, None], True
    array = check_targets(targets, logits.shape)
    if array.ndim == 2:
        return array, False
    return jnp.broadcast_to(array, logits.shape[:1])[:, None], True


def one_hot(targets: Int[Array, "n k"], logits: Float[Array, "n classes"]) -> Float[Array, "n k classes"]:
    """Unit vectors in class space, NaN for a class that does not exist: its map must not look like one."""
    classes = logits.shape[1]
    exists = (targets >= 0) & (targets < classes)
    return jnp.where(exists[..., None], jax.nn.one_hot(targets, classes, dtype=logits.dtype), jnp.nan)
