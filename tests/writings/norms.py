"""Writings of norms: batch norm in inference, and layer, instance and group norm."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from tests.writings.agreement import Family
from tests.writings.network import (
    CHANNELS,
    EPSILON,
    Network,
    Part,
    Weights,
    batch_norm,
    conv,
    no_block,
    no_pool,
    strided_stem,
)

POSITIONS: dict[str, Any] = {"axis": (1, 2), "keepdims": True}
GROUPS = 2


def haiku(module: Callable[[], Callable[..., Array]], *args: Any) -> Callable[[dict[str, Array], Array], Array]:
    """``apply(parameters, x)`` of one Haiku module, whose parameters are given without its name."""
    net = hk.without_apply_rng(hk.transform(lambda x: module()(x, *args)))

    def apply(parameters: dict[str, Array], x: Array) -> Array:
        (name,) = jax.eval_shape(net.init, jax.random.key(0), x)
        return net.apply({name: parameters}, x)

    return apply


def folded(w: Weights, x: Array) -> Array:
    norm = w["norm"]
    return conv(x, w["stem"] * norm["scale"] * lax.rsqrt(norm["var"] + EPSILON), stride=2)


def shift(norm: Weights, x: Array) -> Array:
    """What is left of a batch norm after its factor was folded into the kernel."""
    return x + (norm["bias"] - norm["mean"] * norm["scale"] * lax.rsqrt(norm["var"] + EPSILON))


def flax_batch_norm(norm: Weights, x: Array) -> Array:
    module = nn.BatchNorm(use_running_average=True, epsilon=EPSILON)
    params, statistics = ({name: norm[name] for name in names} for names in (("scale", "bias"), ("mean", "var")))
    return module.apply({"params": params, "batch_stats": statistics}, x)


def haiku_batch_norm(norm: Weights, x: Array) -> Array:
    net = hk.without_apply_rng(hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9, EPSILON)(x, False)))
    own = {name: jnp.reshape(value, (1, 1, 1, -1)) for name, value in norm.items()}
    state = {f"batch_norm/~/{name}_ema": {"average": own[name]} for name in ("mean", "var")}
    return net.apply({"batch_norm": {"scale": own["scale"], "offset": own["bias"]}}, state, x)[0]


BATCH = {
    "centred, scaled, shifted": lambda n, x: (
        (x - n["mean"]) * lax.rsqrt(n["var"] + EPSILON) * n["scale"] + n["bias"]
    ),
    "Flax": flax_batch_norm,
    "Haiku": haiku_batch_norm,
    "as a diagonal 1 x 1 convolution": lambda n, x: conv(
        x, jnp.diag(n["scale"] / jnp.sqrt(n["var"] + EPSILON))[None, None]
    ) + (n["bias"] - n["mean"] * n["scale"] / jnp.sqrt(n["var"] + EPSILON)),
}  # fmt: skip


def layer_norm(n: Weights, x: Array) -> Array:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + EPSILON) * n["scale"] + n["bias"]


def layer_norm_in_one_pass(n: Weights, x: Array) -> Array:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt((x * x).mean(-1, keepdims=True) - mean**2 + EPSILON) * n["scale"] + n["bias"]


def layer_norm_of_channels_first(n: Weights, x: Array) -> Array:
    x = jnp.moveaxis(x, -1, 1)
    x = (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1, keepdims=True) + EPSILON)
    return jnp.moveaxis(x, 1, -1) * n["scale"] + n["bias"]


def equinox_layer_norm(n: Weights, x: Array) -> Array:
    made = eqx.tree_at(lambda m: (m.weight, m.bias), eqx.nn.LayerNorm(CHANNELS, EPSILON), (n["scale"], n["bias"]))
    return jax.vmap(jax.vmap(jax.vmap(made)))(x)


LAYER = {
    "in one pass": layer_norm_in_one_pass,
    "Flax": lambda n, x: nn.LayerNorm(EPSILON).apply({"params": {"scale": n["scale"], "bias": n["bias"]}}, x),
    "Haiku": lambda n, x: haiku(lambda: hk.LayerNorm(-1, True, True, EPSILON))(
        {"scale": n["scale"], "offset": n["bias"]}, x
    ),
    "Equinox": equinox_layer_norm,
    "channels first": layer_norm_of_channels_first,
}  # fmt: skip


def affine(n: Weights, standardised: Array) -> Array:
    return standardised * n["scale"] + n["bias"]


def instance_norm(n: Weights, x: Array) -> Array:
    """In one pass: the mean over positions is read by the centring and by the variance."""
    mean = x.mean(**POSITIONS)
    return affine(n, (x - mean) * lax.rsqrt((x * x).mean(**POSITIONS) - mean * mean + EPSILON))


def centred_once(n: Weights, x: Array) -> Array:
    """The centred map is read by its variance and by what it is scaled to."""
    centred = x - x.mean(**POSITIONS)
    return affine(n, centred * lax.rsqrt((centred**2).mean(**POSITIONS) + EPSILON))


def centred_twice(n: Weights, x: Array) -> Array:
    mean = x.mean(**POSITIONS)
    return affine(n, (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(**POSITIONS) + EPSILON))


def scaled_and_shifted(n: Weights, x: Array) -> Array:
    """x a + (b - mean a)."""
    mean, var = x.mean(**POSITIONS), x.var(**POSITIONS)
    factor = n["scale"] * lax.rsqrt(var + EPSILON)
    return x * factor + (n["bias"] - mean * factor)


def axis_by_axis(n: Weights, x: Array) -> Array:
    mean = x.mean(1, keepdims=True).mean(2, keepdims=True)
    return affine(n, (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(2, keepdims=True).mean(1, keepdims=True) + EPSILON))


def flattened(n: Weights, x: Array) -> Array:
    flat = x.reshape((x.shape[0], -1, x.shape[-1]))
    flat = (flat - flat.mean(1, keepdims=True)) / jnp.sqrt(flat.var(1, keepdims=True) + EPSILON)
    return affine(n, flat.reshape(x.shape))


def of_one_channel(v: Array) -> Array:
    return (v - v.mean()) * lax.rsqrt(v.var() + EPSILON)


def equinox_group_norm(groups: int) -> Part:
    def norm(n: Weights, x: Array) -> Array:
        made = eqx.tree_at(
            lambda m: (m.weight, m.bias), eqx.nn.GroupNorm(groups, CHANNELS, EPSILON), (n["scale"], n["bias"])
        )
        return jnp.moveaxis(jax.vmap(made)(jnp.moveaxis(x, -1, 1)), 1, -1)

    return norm


def flax_norm(module: nn.Module) -> Part:
    return lambda n, x: module.apply({"params": {"scale": n["scale"], "bias": n["bias"]}}, x)


INSTANCE = {
    "centred once": centred_once,
    "centred twice": centred_twice,
    "the mean read once": lambda n, x: affine(
        n, (x - x.mean(**POSITIONS)) * lax.rsqrt(x.var(**POSITIONS) + EPSILON)
    ),
    "scaled and shifted": scaled_and_shifted,
    "axis by axis": axis_by_axis,
    "positions in one axis": flattened,
    "Flax": flax_norm(nn.InstanceNorm(epsilon=EPSILON)),
    "Flax's group norm": flax_norm(nn.GroupNorm(CHANNELS, epsilon=EPSILON)),
    "Haiku": lambda n, x: haiku(lambda: hk.InstanceNorm(True, True, EPSILON))(
        {"scale": n["scale"], "offset": n["bias"]}, x
    ),
    "Equinox's group norm": equinox_group_norm(CHANNELS),
}  # fmt: skip


def grouped(x: Array) -> Array:
    return x.reshape((*x.shape[:3], GROUPS, CHANNELS // GROUPS))


def group_norm(n: Weights, x: Array) -> Array:
    groups = grouped(x)
    mean, square = (v.mean((1, 2, 4), keepdims=True) for v in (groups, groups * groups))
    return affine(n, ((groups - mean) * lax.rsqrt(square - mean * mean + EPSILON)).reshape(x.shape))


def group_norm_centred_once(n: Weights, x: Array) -> Array:
    groups = grouped(x)
    centred = groups - groups.mean((1, 2, 4), keepdims=True)
    factor = lax.rsqrt((centred**2).mean((1, 2, 4), keepdims=True) + EPSILON)
    return affine(n, (centred * factor).reshape(x.shape))


def group_norm_of_repeated_means(n: Weights, x: Array) -> Array:
    mean, square = (grouped(v).mean((1, 2, 4)) for v in (x, x * x))
    factor = lax.rsqrt(square - mean**2 + EPSILON)
    mean, factor = (jnp.repeat(v, CHANNELS // GROUPS, -1)[:, None, None] for v in (mean, factor))
    return affine(n, (x - mean) * factor)


def group_norm_channels_last(n: Weights, x: Array) -> Array:
    """The mean over positions, then that over a group's channels."""
    groups = grouped(x)
    mean = groups.mean((1, 2), keepdims=True).mean(4, keepdims=True)
    return affine(n, ((groups - mean) * lax.rsqrt(groups.var((1, 2, 4), keepdims=True) + EPSILON)).reshape(x.shape))


def group_norm_channels_before(n: Weights, x: Array) -> Array:
    """The mean over a group's channels, then that over positions."""
    groups = grouped(x)
    mean = groups.mean(4, keepdims=True).mean((1, 2), keepdims=True)
    return affine(n, ((groups - mean) * lax.rsqrt(groups.var((1, 2, 4), keepdims=True) + EPSILON)).reshape(x.shape))


GROUP = {
    "centred once": group_norm_centred_once,
    "of repeated means": group_norm_of_repeated_means,
    "positions, then channels": group_norm_channels_last,
    "channels, then positions": group_norm_channels_before,
    "Flax": flax_norm(nn.GroupNorm(GROUPS, epsilon=EPSILON)),
    "Haiku": lambda n, x: haiku(lambda: hk.GroupNorm(GROUPS, eps=EPSILON))(
        {"scale": n["scale"], "offset": n["bias"]}, x
    ),
    "Equinox": equinox_group_norm(GROUPS),
}  # fmt: skip


def network(norm: Part, stem: Part = strided_stem) -> Network:
    """The norm after the stem, then a pool, with nothing but the encoder's output and the head after it."""
    return Network(stem=stem, norm=norm, pool=no_pool, block=no_block)


FAMILIES = (
    Family(
        "batch norm",
        network(batch_norm),
        {name: network(norm) for name, norm in BATCH.items()} | {"folded into the kernel": network(shift, folded)},
    ),
    Family("layer norm", network(layer_norm), {name: network(norm) for name, norm in LAYER.items()}),
    Family("instance norm", network(instance_norm), {name: network(norm) for name, norm in INSTANCE.items()}),
    Family("group norm", network(group_norm), {name: network(norm) for name, norm in GROUP.items()}),
)
