"""Layers that several families are made of."""

from typing import Any, Literal

from flax import linen as nn

__all__ = ["batch_norm", "convolution"]


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
        use_bias=bias,
        dtype=dtype,
        name=name,
    )


def batch_norm(dtype: Any, name: str, *, train: bool = False, epsilon: float = 1e-5) -> nn.BatchNorm:
    """Batch norm that uses its running statistics, or in training the batch's and updates them."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=epsilon, dtype=dtype, name=name)
