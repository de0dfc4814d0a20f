"""The JAX function that a description stands for: f(variables, images) -> logits, images (N, *grid, C)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .description import (
    Activation,
    Affine,
    Attention,
    AvgPool,
    BatchNorm,
    Branch,
    ChannelMix,
    Conv,
    Gate,
    GlobalPoolHead,
    Head,
    Identity,
    LayerNorm,
    Map,
    MaxPool,
    MixingStep,
    Network,
    PointwiseStep,
    Rearrangement,
    Roll,
    Slice,
    TokenMix,
    Tokens,
    Window,
    Windows,
)

__all__ = ["as_jax", "map_values", "parameters", "pre_activation"]

Images = Float[Array, "n *grid c"]
Values = Mapping[str, Images]
Parameters = Any

LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def as_jax(network: Network) -> tuple[Callable[[Parameters, Images], Float[Array, "n classes"]], Parameters]:
    """The function and the variables of a network.

    Returns:
        f(variables, images) -> logits (n, classes), in the precision of its arguments, with each map's value named as
        the map is; and the variables: nested dicts and tuples of NumPy float64 arrays.
    """

    def apply(variables: Parameters, images: Images) -> Float[Array, "n classes"]:
        _, values = map_values(network, variables, images)
        return logits_of(network.head, variables["head"], values[network.maps[-1].name])

    return apply, parameters(network)


def parameters(part: object) -> Parameters:
    """The arrays of a description in nested dicts and tuples shaped as it is; None where a part has none."""
    if isinstance(part, np.ndarray):
        return part
    if isinstance(part, tuple):
        inner = tuple(parameters(p) for p in part)
        return inner if any(p is not None for p in inner) else None
    if is_dataclass(part):
        found = {f.name: parameters(getattr(part, f.name)) for f in fields(part)}
        return {name: p for name, p in found.items() if p is not None} or None
    return None


def map_values(
    network: Network, variables: Parameters, images: Images
) -> tuple[dict[str, Images], dict[str, Float[Array, "n *grid c"]]]:
    """The pre-activations and the values of all maps, by name; the values begin with the input."""
    pre: dict[str, Images] = {}
    values: dict[str, Images] = {"input": jnp.asarray(images)}
    pooled: dict[tuple[str, MaxPool], Images] = {}
    for node, params in zip(network.maps, variables["maps"], strict=True):
        for branch in node.branches:  # a max pool that several branches read is one value with several readers
            if branch.pool is not None and (branch.source, branch.pool) not in pooled:
                pooled[branch.source, branch.pool] = max_pool(values[branch.source], branch.pool.window)
        x = pre_activation(node, params or {}, values, values, pooled)
        v = layer_norm(activate(x, node.activation), node.layer_norm, (params or {}).get("layer_norm"))
        pre[node.name], values[node.name] = x, checkpoint_name(v, node.name)
    return pre, values


def pre_activation(
    node: Map,
    params: Parameters,
    values: Values,
    gate_values: Values,
    pooled: Mapping[tuple[str, MaxPool], Images] | None = None,
) -> Images:
    """X of a map, from the values of the maps it reads and of the maps its gates read."""
    branch_params = params.get("branches") or (None,) * len(node.branches)
    terms = []
    for branch, own in zip(node.branches, branch_params, strict=True):
        x = layer_norm(values[branch.source], branch.norm, (own or {}).get("norm"))
        if branch.pool is not None:
            x = max_pool(x, branch.pool.window) if pooled is None else pooled[branch.source, branch.pool]
        terms.append(branch_value(branch, own or {}, x, gate_values))
    x = concatenate_or_add(node.branches, terms)
    return x if node.post is None else pointwise(x, node.post, params.get("post") or {})


def branch_value(branch: Branch, params: Parameters, x: Images, gate_values: Values) -> Images:
    """A branch after its max pool, before it is placed into its channel range."""
    x = mix(x, branch.mix, params.get("mix") or {})
    for step, own in zip(branch.then, params.get("then") or (None,) * len(branch.then), strict=True):
        x = pointwise(x, step, own or {})
    return x if branch.gate is None else x * gate_of(branch.gate, params["gate"], gate_values)


def concatenate_or_add(branches: tuple[Branch, ...], terms: list[Images]) -> Images:
    """The sum of the branches, written as a concatenation where their channel ranges lie end to end."""
    ends = [0, *(int(e) for e in np.cumsum([t.shape[-1] for t in terms]))]
    if len(terms) > 1 and [b.channels for b in branches] == [(start, ends[-1]) for start in ends[:-1]]:
        return jnp.concatenate(terms, axis=-1)
    total = None
    for branch, term in zip(branches, terms, strict=True):
        placed = term
        if branch.channels is not None:
            offset, width = branch.channels
            rest = width - offset - term.shape[-1]
            placed = jnp.pad(term, [(0, 0)] * (term.ndim - 1) + [(offset, rest)])
        total = placed if total is None else total + placed
    assert total is not None
    return total


def mix(x: Images, step: MixingStep, params: Parameters) -> Images:
    """A step that mixes or moves positions."""
    if isinstance(step, Conv):
        return convolution(x, step, params)
    if isinstance(step, Attention):
        return attention(x, step, params)
    if isinstance(step, TokenMix):
        return jnp.swapaxes(jnp.swapaxes(x, 1, 2) @ params["weights"], 1, 2)
    if isinstance(step, AvgPool):
        return average(x, step)
    return x if isinstance(step, Identity) else moved(x, step, params)


def convolution(x: Images, step: Conv, params: Parameters) -> Images:
    """A convolution, after zero padding of its own where there is some."""
    if step.zero_pad is not None:
        x = jnp.pad(x, [(0, 0), *step.zero_pad, (0, 0)])
    return lax.conv_general_dilated(
        x,
        params["kernel"],
        step.window.strides,
        step.window.padding,
        rhs_dilation=step.window.dilation,
        dimension_numbers=LAYOUTS[x.ndim - 2],
        feature_group_count=step.groups,
    )


def average(x: Images, step: AvgPool) -> Images:
    """An average pool."""
    total = sum_pool(x, step.window)
    if step.count_padding:
        return total / math.prod(step.window.size)
    return total / sum_pool(jnp.ones((1, *x.shape[1:-1], 1), x.dtype), step.window)


def attention(x: Images, step: Attention, params: Parameters) -> Images:
    """Softmax attention of several heads, within windows where there are some."""
    whole = x.shape
    if step.apart:  # windows beside each other and their positions in a row, as they are mostly written
        n, rows, side, columns, *_ = whole
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n * rows * columns, side**2, -1)
    count, positions, _ = x.shape

    def by_head(v: Images) -> Images:
        return jnp.swapaxes(v.reshape(count, positions, step.heads, -1), 1, 2)

    queries, keys = by_head(x @ params["queries"]), by_head(x @ params["keys"])
    values = by_head(x @ params["values"] + params["shift"])
    weights = jax.nn.softmax(queries @ jnp.swapaxes(keys, -1, -2) / math.sqrt(queries.shape[-1]))
    made = jnp.swapaxes(weights @ values, 1, 2).reshape(count, positions, -1)
    if step.apart:
        made = made.reshape(n, rows, columns, side, side, -1).transpose(0, 1, 3, 2, 4, 5)
    return made.reshape(*whole[:-1], -1)


def moved(x: Images, step: Slice | Rearrangement | Tokens, params: Parameters) -> Images:
    """A step that moves positions."""
    if isinstance(step, Slice):
        return x[(slice(None), *(slice(None, None, s) for s in step.strides))]
    n, c = x.shape[0], x.shape[-1]
    if isinstance(step, Tokens):
        return jnp.concatenate([jnp.broadcast_to(params["values"], (n, *params["values"].shape)), x], 1)
    if isinstance(step, Roll):
        return jnp.roll(x, step.shift, (1, 2))
    if isinstance(step, Windows):
        return x.reshape(n, x.shape[1] // step.side, step.side, x.shape[2] // step.side, step.side, c)
    return x.reshape(n, x.shape[1] * x.shape[2], x.shape[3] * x.shape[4], c)


def max_pool(x: Images, window: Window) -> Images:
    """Maximum over a window."""
    return lax.reduce_window(x, -jnp.inf, lax.max, **pool_geometry(window))


def sum_pool(x: Images, window: Window) -> Images:
    """Sum over a window."""
    return lax.reduce_window(x, 0.0, lax.add, **pool_geometry(window))


def pool_geometry(window: Window) -> dict[str, Any]:
    """A window's geometry with the batch and channel axes around it."""
    return {
        "window_dimensions": (1, *window.size, 1),
        "window_strides": (1, *window.strides, 1),
        "padding": ((0, 0), *window.padding, (0, 0)),
        "window_dilation": (1, *window.dilation, 1),
    }


def pointwise(x: Images, step: PointwiseStep, params: Parameters) -> Images:
    """A position-wise affine step."""
    if isinstance(step, ChannelMix):
        return x @ params["matrix"]
    if isinstance(step, BatchNorm):
        factor = lax.rsqrt(params["variance"] + step.epsilon) * params["gamma"]
        return (x - params["mean"]) * factor + params["beta"]
    assert isinstance(step, Affine)
    x = x if step.scale is None else x * params["scale"]
    return x if step.shift is None else x + params["shift"]


def gate_of(gate: Gate, params: Parameters, values: Values) -> Float[Array, "n *ones c"]:
    """A squeeze-and-excite gate, ready to multiply a map."""
    v = values[gate.source]
    axes = tuple(range(1, v.ndim - 1))
    hidden = jax.nn.relu(v.mean(axis=axes) @ params["w1"] + params["b1"])
    return jnp.expand_dims(jax.nn.sigmoid(hidden @ params["w2"] + params["b2"]), axes)


def activate(x: Images, kind: Activation) -> Images:
    """The nonlinearity after X."""
    functions: dict[str, Callable[[Images], Images]] = {
        "identity": lambda x: x,
        "relu": jax.nn.relu,
        "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.1),
        "relu6": jax.nn.relu6,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "silu": jax.nn.silu,
        "tanh": jnp.tanh,
    }
    return functions[kind](x)


def layer_norm(v: Images, norm: LayerNorm | None, params: Parameters) -> Images:
    """Layer norm over channels."""
    if norm is None:
        return v
    centred = v - v.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return centred * lax.rsqrt(variance + norm.epsilon) * params["gamma"] + params["beta"]


def logits_of(head: Head, params: Parameters, v: Images) -> Float[Array, "n classes"]:
    """The head, from the encoder's output."""
    if isinstance(head, GlobalPoolHead):
        if head.box is not None:
            v = v[(slice(None), *(slice(*extent) for extent in head.box))]
        return v.mean(axis=tuple(range(1, v.ndim - 1))) @ params["weights"] + params["bias"]
    if head.pool is not None:
        v = max_pool(v, head.pool.window)
    hidden = jax.nn.relu(v.reshape(v.shape[0], -1) @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]
