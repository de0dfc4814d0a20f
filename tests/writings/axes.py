"""Writings of the whole network with its axes in other places."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from tests.writings.agreement import Family, Model, Turned
from tests.writings.network import EPSILON, Network, Weights

NETWORK = Network()


def back(axes: tuple[int, int, int, int]) -> Turned:
    """The reference, which turns its images first."""
    order = [axes.index(axis) for axis in range(4)]
    return Turned(lambda w, x: NETWORK(w, jnp.transpose(x, order)), axes)


def in_layout(layout: str) -> Model:
    """The network with every value in one layout, such as NCHW; the grid's axes may change places."""
    kernel_layout = layout.replace("N", "O").replace("C", "I")
    channel, rows, columns = (layout.index(axis) for axis in "CHW")
    square = tuple(2 if axis in "HW" else 1 for axis in layout)

    def conv(x: Array, kernel: Array) -> Array:
        kernel = jnp.transpose(kernel, ["HWIO".index(axis) for axis in kernel_layout])
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=(layout, kernel_layout, layout))

    def by_channel(vector: Array) -> Array:
        return jnp.reshape(vector, [-1 if axis == channel else 1 for axis in range(4)])

    def norm(weights: Weights, x: Array) -> Array:
        scale, bias, mean, var = (by_channel(weights[name]) for name in ("scale", "bias", "mean", "var"))
        return (x - mean) * lax.rsqrt(var + EPSILON) * scale + bias

    def model(w: Weights, x: Array) -> Array:
        x = jax.nn.relu(norm(w["norm"], conv(x, w["stem"])))
        x = lax.reduce_window(x, -jnp.inf, lax.max, square, square, "VALID")
        inner = jax.nn.relu(conv(x, w["conv1"]["kernel"][None, None]) + by_channel(w["conv1"]["bias"]))
        x = x + (conv(inner, w["conv2"]["kernel"]) + by_channel(w["conv2"]["bias"]))
        means = jax.nn.relu(norm(w["last"], x)).mean((rows, columns))
        means = means if layout.index("N") < channel else means.T
        return means @ w["dense"]["kernel"] + w["dense"]["bias"]

    return model


def in_depth(w: Weights, x: Array) -> Array:
    """Images as volumes of one plane until the mean."""
    numbers = ("NDHWC", "DHWIO", "NDHWC")

    def conv(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(x, kernel[None], (1, 1, 1), "SAME", dimension_numbers=numbers)

    x = jax.nn.relu(NETWORK.norm(w["norm"], conv(x[:, None], w["stem"])))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2, 1), (1, 1, 2, 2, 1), "VALID")
    inner = jax.nn.relu(x @ w["conv1"]["kernel"] + w["conv1"]["bias"])
    x = x + (conv(inner, w["conv2"]["kernel"]) + w["conv2"]["bias"])
    return jax.nn.relu(NETWORK.last_norm(w["last"], x)).mean((1, 2, 3)) @ w["dense"]["kernel"] + w["dense"]["bias"]


def swapped_kernels(w: Weights) -> Weights:
    """For a grid whose axes change places."""
    kernel = jnp.swapaxes(w["conv2"]["kernel"], 0, 1)
    return w | {"stem": jnp.swapaxes(w["stem"], 0, 1), "conv2": w["conv2"] | {"kernel": kernel}}


WRITINGS = {
    "images with channels first": back((0, 3, 1, 2)),
    "channels first": Turned(in_layout("NCHW"), (0, 3, 1, 2)),
    "channels first inside": lambda w, x: in_layout("NCHW")(w, jnp.moveaxis(x, -1, 1)),
    "batch last inside": lambda w, x: in_layout("CHWN")(w, jnp.transpose(x, (3, 1, 2, 0))),
    "columns first with turned kernels": Turned(
        lambda w, x: NETWORK(swapped_kernels(w), x), (0, 2, 1, 3)
    ),
    "columns first inside": lambda w, x: NETWORK(swapped_kernels(w), jnp.swapaxes(x, 1, 2)),
    "volumes of one plane": in_depth,
}  # fmt: skip

FAMILIES = (Family("axes", NETWORK, WRITINGS),)
