"""Writings of a bias: how and where a constant is added to one sum."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import Network, Part, conv, no_block, no_pool, strided_stem


def bias(w, x: Array) -> Array:
    return x + w["bias"]


def channels_first(w, x: Array) -> Array:
    return jnp.moveaxis(jnp.moveaxis(x, -1, 1) + w["bias"][:, None, None], 1, -1)


BIASES = {
    "in two parts": lambda n, x: x + n["bias"] / 3 + n["bias"] * 2 / 3,
    "the negative subtracted": lambda n, x: x - (-n["bias"]),
    "from which the negative is subtracted": lambda n, x: n["bias"] - (-x),
    "spread over the grid": lambda n, x: x + jnp.broadcast_to(n["bias"], x.shape[1:]),
    "on positions in one axis": lambda n, x: (x.reshape((x.shape[0], -1, 4)) + n["bias"]).reshape(x.shape),
    "channels first": channels_first,
    "vmap over channels": lambda n, x: jax.vmap(jnp.add, (-1, 0), -1)(x, n["bias"]),
    "on half the sum, doubled": lambda n, x: 2 * (x / 2 + n["bias"] / 2),
    "before a 1 x 1 convolution that undoes it": lambda n, x: conv(
        x @ jnp.diag(n["scale"]) + n["bias"] * n["scale"], jnp.diag(1 / n["scale"])[None, None]
    ),
    "channels permuted": lambda n, x: (x[..., ::-1] + n["bias"][::-1])[..., ::-1],
}  # fmt: skip


def network(part: Part) -> Network:
    return Network(stem=strided_stem, norm=part, pool=no_pool, block=no_block)


FAMILIES = (Family("bias", network(bias), {name: network(part) for name, part in BIASES.items()}),)
