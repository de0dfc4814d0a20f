"""MobileNetV2 in Flax Linen, laid out as torchvision's (Sandler et al., arXiv 1801.04381).

Module names spell torchvision's parameter names; timm's are known too. The PFV maps are `features.0`, the stem, then
`features.2.conv.0` (expanded), `.conv.1` (depthwise) and `features.2` itself, the block's linear output, and last
`features.18`.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family
from .labels import imagenet_labels
from .layers import batch_norm, convolution, logits_of
from .photos import Preprocessing

__all__ = ["FAMILY", "InvertedResidual", "MobileNetV2"]


class Stage(NamedTuple):
    """Blocks of one kind: expansion, channels, number, stride of the first."""

    expansion: int
    channels: int
    blocks: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
BLOCKS = tuple((stage, b) for stage in STAGES for b in range(stage.blocks))
"""The blocks in order, each with its place in its stage."""


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, and a skip where shapes allow it.

    Attributes:
        expansion: of the channels before the depthwise convolution, which has none where it is 1.
        stride: of the depthwise convolution.
        channels: of the output.
        dtype: computation dtype; parameters are float32.
    """

    expansion: int
    stride: int
    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "N H W C"]) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, channels)."""
        skip, wide = x, x.shape[-1] * self.expansion
        steps = [(3, self.stride, wide)] if self.expansion == 1 else [(1, 1, 1), (3, self.stride, wide)]
        for place, (kernel, stride, groups) in enumerate(steps):
            name = f"conv.{place}"
            x = convolution(wide, kernel, stride, self.dtype, f"{name}.0", groups=groups)(x)
            x = checkpoint_name(nn.relu6(batch_norm(self.dtype, f"{name}.1")(x)), f"{self.name}.{name}")
        x = convolution(self.channels, 1, 1, self.dtype, f"conv.{len(steps)}")(x)
        x = batch_norm(self.dtype, f"conv.{len(steps) + 1}")(x)
        if self.stride == 1 and skip.shape[-1] == self.channels:
            x = x + skip
        return checkpoint_name(x, f"{self.name}")


class MobileNetV2(nn.Module):
    """MobileNetV2 from normalised images to logits.

    Attributes:
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        names = ["features.0"]
        for i, (stage, _) in enumerate(BLOCKS, 1):
            inner = ("conv.0",) if stage.expansion == 1 else ("conv.0", "conv.1")
            names += [*(f"features.{i}.{part}" for part in inner), f"features.{i}"]
        return (*names, f"features.{len(BLOCKS) + 1}")

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 1

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""

        def unit(x: Array | np.ndarray, channels: int, kernel: int, stride: int, name: str) -> Array:
            x = convolution(channels, kernel, stride, self.dtype, f"{name}.0")(x)
            return checkpoint_name(nn.relu6(batch_norm(self.dtype, f"{name}.1")(x)), name)

        x = unit(images, 32, 3, 2, "features.0")
        for i, (stage, b) in enumerate(BLOCKS, 1):
            stride = stage.stride if b == 0 else 1
            x = InvertedResidual(stage.expansion, stride, stage.channels, self.dtype, name=f"features.{i}")(x)
        x = unit(x, 1280, 1, 1, f"features.{len(BLOCKS) + 1}")
        return logits_of(x.mean((1, 2)), self.num_classes, self.dtype, "classifier.1")


def renamed() -> Mapping[str, str]:
    """What timm calls the beginnings of parameters."""
    last = len(BLOCKS) + 1
    names = {
        "conv_stem.": "features.0.0.", "bn1.": "features.0.1.", "conv_head.": f"features.{last}.0.",
        "bn2.": f"features.{last}.1.", "classifier.": "classifier.1.",
    }  # fmt: skip
    for i, (stage, b) in enumerate(BLOCKS, 1):
        if stage.expansion == 1:
            parts = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
        else:
            parts = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}
        block = f"blocks.{STAGES.index(stage)}.{b}"
        names |= {f"{block}.{theirs}.": f"features.{i}.conv.{own}." for theirs, own in parts.items()}
    names["classifier.1."] = "classifier.1."
    return MappingProxyType(dict(sorted(names.items(), key=lambda pair: -len(pair[0]))))


FAMILY = Family(
    entries=MappingProxyType(
        {"mobilenet_v2": Entry(partial(MobileNetV2), imagenet_labels, Preprocessing(resample="bicubic"))}
    ),
    head="classifier.1.weight",
    repository="timm/mobilenetv2_100.ra_in1k",
    renamed=renamed(),
)
