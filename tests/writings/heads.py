"""Writings of the head: means over positions, and the dense layer after them."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import Network, Part, Weights, dense, head, no_block, no_pool, strided_stem


def count(x: Array) -> int:
    return x.shape[1] * x.shape[2]


def window_sum(x: Array, rows: int, columns: int) -> Array:
    size = (1, rows, columns, 1)
    return lax.reduce_window(x, 0.0, lax.add, size, size, "VALID")


def in_chain(x: Array) -> Array:
    """The mean over 4 x 6 positions by way of 2 x 3 squares."""
    return (window_sum(x, 2, 2) / 4).mean((1, 2))


def two_heads(w: Weights, first: Array, second: Array) -> Array:
    kernel, bias = w["dense"]["kernel"], w["dense"]["bias"]
    return jnp.concatenate([first @ kernel[:, :1] + bias[:1], second @ kernel[:, 1:] + bias[1:]], -1)


def adaptive_pool(x: Array) -> Array:
    return jax.vmap(eqx.nn.AdaptiveAvgPool2d(1))(jnp.moveaxis(x, -1, 1))[:, :, 0, 0]


def halves_of_positions(x: Array) -> Array:
    return (x[:, :2].mean((1, 2)) + x[:, 2:].mean((1, 2))) / 2


MEANS = {
    "columns, then rows": lambda x: x.mean(2).mean(1),
    "with kept axes": lambda x: x.mean((1, 2), keepdims=True)[:, 0, 0],
    "axis by axis with kept axes": lambda x: x.mean(1, keepdims=True).mean(2, keepdims=True).reshape((x.shape[0], -1)),
    "positions in one axis": lambda x: x.reshape((x.shape[0], -1, x.shape[-1])).mean(1),
    "a sum over the count": lambda x: x.sum((1, 2)) / count(x),
    "sums axis by axis": lambda x: x.sum(1).sum(1) / count(x),
    "tensordot with a constant grid": lambda x: (
        jnp.tensordot(x, jnp.full(x.shape[1:3], 1 / count(x)), ((1, 2), (0, 1)))
    ),
    "einsum with a vector for each axis": lambda x: jnp.einsum(
        "nhwc,h,w->nc", x, jnp.full(x.shape[1], 1 / x.shape[1]), jnp.full(x.shape[2], 1 / x.shape[2])
    ),
    "average pool": lambda x: nn.avg_pool(x, x.shape[1:3]).reshape((x.shape[0], -1)),
    "Equinox's adaptive pool": adaptive_pool,
    "average pool by rows, then by columns": lambda x: nn.avg_pool(nn.avg_pool(x, (4, 1)), (1, 6))[:, 0, 0],
    "average pools in a chain, then a mean": in_chain,
    "window sums in a chain": lambda x: window_sum(window_sum(x, 2, 2), 2, 3)[:, 0, 0] / count(x),
    "channels first, positions in one axis": lambda x: jnp.moveaxis(x, -1, 1).reshape((*x.shape[::3], -1)).mean(-1),
    "vmap over images": jax.vmap(lambda v: v.mean((0, 1))),
    "vmap over rows": lambda x: jax.vmap(lambda row: row.mean(1), 1)(x).mean(0),
    "halves of the positions": halves_of_positions,
    "among zeros": lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).sum((1, 2)) / count(x),
    "a convolution of the whole grid": lambda x: lax.conv_general_dilated(
        x, jnp.full((*x.shape[1:3], 1, 4), 1 / count(x)), (1, 1), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=4,
    )[:, 0, 0],
    "image by image": lambda x: jnp.stack([v.mean((0, 1)) for v in x]),
}  # fmt: skip


def after(mean: Part) -> Part:
    return lambda w, x: dense(w, mean(x))


def pointwise_convolution(w: Weights, x: Array) -> Array:
    kernel = w["dense"]["kernel"][None, None]
    means = x.mean((1, 2), keepdims=True)
    scores = lax.conv_general_dilated(means, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return (scores + w["dense"]["bias"]).reshape((x.shape[0], -1))


def halves_of_channels(w: Weights, x: Array) -> Array:
    means, kernel = x.mean((1, 2)), w["dense"]["kernel"]
    return means[:, :2] @ kernel[:2] + means[:, 2:] @ kernel[2:] + w["dense"]["bias"]


def channel_of_ones(w: Weights, x: Array) -> Array:
    means = jnp.concatenate([x.mean((1, 2)), jnp.ones((x.shape[0], 1))], -1)
    return means @ jnp.concatenate([w["dense"]["kernel"], w["dense"]["bias"][None]])


def class_by_class(w: Weights, x: Array) -> Array:
    means = x.mean((1, 2))
    columns = [means @ w["dense"]["kernel"][:, k] + w["dense"]["bias"][k] for k in range(3)]
    return jnp.stack(columns, -1)


def mean_read_twice(w: Weights, x: Array) -> Array:
    means = x.mean((1, 2))
    return dense(w, means / 2 + means / 2)


def flattened(w: Weights, x: Array) -> Array:
    kernel = jnp.tile(w["dense"]["kernel"] / count(x), (count(x), 1))
    return x.reshape((x.shape[0], -1)) @ kernel + w["dense"]["bias"]


DENSE = {
    "mean and dense in one einsum": lambda w, x: (
        jnp.einsum("nhwc,ck->nk", x, w["dense"]["kernel"]) / count(x) + w["dense"]["bias"]
    ),
    "dense as a 1 x 1 convolution": pointwise_convolution,
    "dense on halves of the channels": halves_of_channels,
    "dense with a channel of ones": channel_of_ones,
    "dense class by class": class_by_class,
    "dense before the mean": lambda w, x: dense(w, x).mean((1, 2)),
    "dense before the mean, axis by axis": lambda w, x: dense(w, x).mean(1).mean(1),
    "dense on flattened positions": flattened,
    "two heads of two means": lambda w, x: two_heads(w, x.mean(1).mean(1), x.mean((1, 2))),
    "half of one mean and half of another": lambda w, x: dense(w, x.mean((1, 2)) / 2 + x.mean(2).mean(1) / 2),
    "one mean read twice": mean_read_twice,
}


def network(part: Part) -> Network:
    return Network(stem=strided_stem, pool=no_pool, block=no_block, head=part)


WRITINGS = {name: network(after(mean)) for name, mean in MEANS.items()}
WRITINGS |= {name: network(part) for name, part in DENSE.items()}
FAMILIES = (Family("head", network(head), WRITINGS),)
