"""Layers that several families are made of."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from srd_jax.core.depthwise import convolve

__all__ = ["Excitation", "batch_norm", "convolution", "layer_norm", "logits_of", "multiple", "two_dense"]


def convolution(
    channels: int,
    kernel: int,
    stride: int,
    dtype: Any,
    name: str,
    *,
    groups: int = 1,
    bias: bool = False,
    padding: Literal["SYMMETRIC", "SAME", "VALID"] = "SYMMETRIC",
) -> nn.Conv:
    """Square convolution, by default padded by half its kernel on every side as PyTorch pads.

    Args:
        channels: of its output.
        kernel: its side.
        stride: along both axes.
        dtype: computation dtype; parameters are float32.
        name: of the module.
        groups: of channels.
        bias: whether it has one.
        padding: ``"SAME"`` as TensorFlow pads, unevenly where the stride is 2, ``"VALID"`` not at all.
    """
    pad = kernel // 2
    return nn.Conv(
        channels,
        (kernel, kernel),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)) if padding == "SYMMETRIC" else padding,
        feature_group_count=groups,
        conv_general_dilated=convolve,
        use_bias=bias,
        dtype=dtype,
        name=name,
    )


def batch_norm(dtype: Any, name: str, *, train: bool = False, epsilon: float = 1e-5) -> nn.BatchNorm:
    """Batch norm that uses its running statistics, or in training the batch's and updates them."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=epsilon, dtype=dtype, name=name)


def layer_norm(dtype: Any, name: str, *, epsilon: float = 1e-6) -> nn.LayerNorm:
    """Layer norm over channels."""
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, name=name)


def two_dense(x: Float[Array, "... C"], hidden: int, dtype: Any, name: str) -> Float[Array, "... C"]:
    """Two dense layers with a GELU between, ``name.fc1`` and ``name.fc2``; as many channels come out as went in."""
    new = nn.gelu(nn.Dense(hidden, dtype=dtype, name=f"{name}.fc1")(x), approximate=False)
    return nn.Dense(x.shape[-1], dtype=dtype, name=f"{name}.fc2")(new)


class Excitation(nn.Module):
    """Squeeze-and-excitation (Hu et al., arXiv 1709.01507): a gate for every channel, made of the mean over positions.

    Attributes:
        channels: between its two dense layers.
        names: of these.
        activation: between them.
        gate: makes the gate of what comes out.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    names: tuple[str, str]
    activation: Callable[[Array], Array]
    gate: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        """Gate (N, H, W, C)."""
        dense = partial(nn.Conv, kernel_size=(1, 1), dtype=self.dtype)
        squeezed = self.activation(dense(self.channels, name=self.names[0])(x.mean((1, 2), keepdims=True)))
        return x * self.gate(dense(x.shape[-1], name=self.names[1])(squeezed))


def logits_of(x: Float[Array, "N C"], classes: int, dtype: Any, name: str) -> Float[Array, "N classes"]:
    """A dense layer's logits, float32 at least whatever the network computes in."""
    x = nn.Dense(classes, dtype=dtype, name=name)(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def multiple(channels: float, divisor: int = 8) -> int:
    """Channels as the multiple of a number that is nearest and not below 90 % of them."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
