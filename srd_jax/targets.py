"""Which classes to explain, in any of the forms they may be given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from srd_jax.errors import TargetError

__all__ = ["as_targets"]


def as_targets(targets: Any, logits: Float[Array, "n classes"]) -> tuple[Int[Array, "n k"], bool]:
    """Targets as (N, K) class indices.

    Args:
        targets: an int, (N,) ints, (N, K) ints, or None for the class with the largest logit.
        logits: (N, classes).

    Returns:
        (N, K) indices, and whether a single map per image was asked for.

    Raises:
        TargetError: not integers, another shape, or a class that does not exist (where values are known).
    """
    n, classes = logits.shape
    if targets is None:
        return jnp.argmax(logits, -1)[:, None], True
    array = jnp.asarray(targets)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TargetError(f"targets must be integers (class indices), not {array.dtype}")
    if array.ndim > 2 or (array.ndim > 0 and array.shape[0] != n):
        raise TargetError(
            f"targets must be one int, ({n},) ints or ({n}, K) ints for {n} images; got shape {array.shape}"
        )
    if not isinstance(array, jax.core.Tracer):
        wrong = np.asarray(array)[(np.asarray(array) < 0) | (np.asarray(array) >= classes)]
        if wrong.size:
            raise TargetError(f"class {int(wrong.flat[0])} does not exist: the model has classes 0 to {classes - 1}")
    if array.ndim == 2:
        return array, False
    return jnp.broadcast_to(array, (n,))[:, None], True
