"""Writings of residual sums, and of a mean over positions that is added back to its map."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import CHANNELS, Network, Part, Weights, block, branch, conv, no_pool, strided_stem


def side_by_side(w: Weights, x: Array) -> Array:
    both = jnp.concatenate([x, branch(w, x)], -1)
    return both @ jnp.tile(jnp.eye(CHANNELS), (2, 1))


def pointwise_sum(w: Weights, x: Array) -> Array:
    both = jnp.concatenate([branch(w, x), x], -1)
    return conv(both, jnp.tile(jnp.eye(CHANNELS), (2, 1))[None, None])


def channels_first(w: Weights, x: Array) -> Array:
    return jnp.moveaxis(jnp.moveaxis(x, -1, 1) + jnp.moveaxis(branch(w, x), -1, 1), 1, -1)


RESIDUAL = {
    "the branch first": lambda w, x: branch(w, x) + x,
    "the negative subtracted": lambda w, x: x - (-branch(w, x)),
    "the skip in halves": lambda w, x: x / 2 + branch(w, x) + x / 2,
    "stacked": lambda w, x: jnp.stack([x, branch(w, x)]).sum(0),
    "side by side in a 1 x 1 convolution": pointwise_sum,
    "positions in one axis": lambda w, x: (
        x.reshape((x.shape[0], -1, CHANNELS)) + branch(w, x).reshape((x.shape[0], -1, CHANNELS))
    ).reshape(x.shape),
    "the skip by a 1 x 1 convolution": lambda w, x: conv(x, jnp.eye(CHANNELS)[None, None]) + branch(w, x),
    "vmap over images": lambda w, x: jax.vmap(lambda v: block(w, v[None])[0])(x),
    "einsum": lambda w, x: jnp.einsum("bnhwc,b->nhwc", jnp.stack([x, branch(w, x)]), np.ones(2)),
}  # fmt: skip


def spread(x: Array, means: Array) -> Array:
    return jnp.broadcast_to(means[:, None, None], x.shape)


def mixed(w: Weights, means: Array) -> Array:
    return means @ w["single"]["pointwise"]


def context(w: Weights, x: Array) -> Array:
    """What the mean over positions says, at every position."""
    return x + mixed(w, x.mean((1, 2), keepdims=True))


def average_pool(w: Weights, x: Array) -> Array:
    return x + mixed(w, nn.avg_pool(x, x.shape[1:3]))


def read_twice(w: Weights, x: Array) -> Array:
    mean = x.mean((1, 2), keepdims=True)
    return x + mixed(w, mean / 3) + mixed(w, mean) * 2 / 3


def computed_twice(w: Weights, x: Array) -> Array:
    return (
        x + mixed(w, x.mean((1, 2), keepdims=True)) / 2 + mixed(w, x.mean(2, keepdims=True).mean(1, keepdims=True)) / 2
    )


def pooled_in_chain(w: Weights, x: Array) -> Array:
    squares = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
    return x + mixed(w, squares.mean((1, 2), keepdims=True))


def resized(w: Weights, x: Array) -> Array:
    mean = mixed(w, x.mean((1, 2), keepdims=True))
    return x + jax.image.resize(mean, x.shape, "nearest")


CONTEXT: dict[str, Part] = {
    "axis by axis": lambda w, x: x + mixed(w, x.mean(1, keepdims=True).mean(2, keepdims=True)),
    "spread by itself": lambda w, x: x + spread(x, mixed(w, x.mean((1, 2)))),
    "spread, then mixed": lambda w, x: x + mixed(w, spread(x, x.mean((1, 2)))),
    "average pools in a chain": pooled_in_chain,
    "read twice": read_twice,
    "computed twice": computed_twice,
    "vmap over images": lambda w, x: jax.vmap(lambda v: v + mixed(w, v.mean((0, 1))))(x),
    "resized": resized,
    "by a 1 x 1 convolution": lambda w, x: (
        x + conv(x.mean((1, 2), keepdims=True), w["single"]["pointwise"][None, None])
    ),
}  # fmt: skip


def short(part: Part) -> Network:
    return Network(stem=strided_stem, pool=no_pool, block=part)


FAMILIES = (
    Family("residual sum", short(block), {name: short(part) for name, part in RESIDUAL.items()}),
    Family(
        "mean added back",
        short(context),
        {name: short(part) for name, part in CONTEXT.items()},
    ),
)
