"""Maps made a few at a time, which bounds the memory."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped

from srd_jax.core.meshes import varying_as

__all__ = ["chunked"]


def chunked(f: Callable[[Array], Array], xs: Shaped[Array, "x ..."], at_once: int) -> Shaped[Array, "n x ..."]:
    """``f`` of every x, side by side on axis 1: `jax.lax.map` that writes each result where it stays.

    Every chunk takes its x from all over ``xs``: consecutive ones would lie on few devices where ``xs`` is divided
    among several, and each device would then make all maps.

    Args:
        f: (T, ...) for several x to (N, T, ...).
        xs: along the first axis.
        at_once: how many x there are in a chunk.
    """
    count = xs.shape[0]
    if not 0 < at_once < count:
        return f(xs)
    chunks = count // at_once
    done = chunks * at_once
    spread = xs[:done].reshape((at_once, chunks, *xs.shape[1:]))

    def chunk(i: int, made: Array) -> Array:
        few = f(lax.dynamic_index_in_dim(spread, i, 1, keepdims=False))
        return lax.dynamic_update_index_in_dim(made, few, i, 2)

    like = jax.eval_shape(f, spread[:, 0])
    n, _, *shape = like.shape
    empty = varying_as(jnp.zeros((n, at_once, chunks, *shape), like.dtype), like)
    made = lax.fori_loop(0, chunks, chunk, empty)
    made = made.reshape((n, done, *shape))
    return jnp.concatenate([made, f(xs[done:])], 1) if done < count else made
