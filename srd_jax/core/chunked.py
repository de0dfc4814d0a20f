"""Maps made a few at a time, which bounds the memory and keeps what is worked on in a CPU's cache."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped

from srd_jax.core.meshes import varying_as

__all__ = ["chunked", "in_parts"]

_PIXELS = 4 * 224 * 224
"""How many pixels are worked on at once on a CPU: with more of them, what a layer makes leaves the cache."""


def in_parts(fn: Callable[[Array, Any], Any], images: Shaped[Array, "n ..."], data: Any, channel_axis: int) -> Any:
    """``fn(images, data)`` of images that do not depend on each other, on one CPU a few of them at a time.

    The parts are of one size, so that one program does them all; where they do not come out even, the last images are
    computed twice.

    Args:
        fn: to a pytree of arrays with the images on their first axis.
        images: a batch.
        data: what goes with them, an array with the images on its first axis, or None.
        channel_axis: axis of the images that holds the channels.
    """
    count = images.shape[0]
    at_once = max(1, _PIXELS * images.shape[channel_axis] // prod(images.shape[1:]))
    if count <= at_once or jax.default_backend() != "cpu" or jax.local_device_count() > 1:
        return fn(images, data)
    parts = -(-count // at_once)
    size = -(-count // parts)

    def divided(x: Array) -> Array:
        filled = x if parts * size == count else jnp.concatenate([x, x[count - parts * size :]])
        return filled.reshape((parts, size, *x.shape[1:]))

    made = lax.map(lambda part: fn(*part), jax.tree.map(divided, (images, data)))
    return jax.tree.map(lambda x: x.reshape((parts * size, *x.shape[2:]))[:count], made)


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
