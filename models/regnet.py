"""RegNetX and RegNetY in Flax Linen, laid out as torchvision's (Radosavovic et al., arXiv 2003.13678).

Module names spell torchvision's parameter names; timm's are known too. The PFV maps are `stem`, then
`trunk_output.block1.block1-0.f.a`, `.f.b` and, after the skip, `trunk_output.block1.block1-0`.
"""

from collections.abc import Mapping
from functools import partial
from math import log
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family
from .labels import imagenet_labels
from .layers import Excitation, batch_norm, convolution, logits_of, multiple
from .photos import Preprocessing

__all__ = ["FAMILY", "RegNet", "Stage", "stages"]


class Stage(NamedTuple):
    """Blocks of one kind: channels, number, channels of a group."""

    channels: int
    blocks: int
    group: int


def stages(depth: int, first: int, slope: float, step: float, group: int) -> tuple[Stage, ...]:
    """The stages of a network whose widths grow linearly by block, rounded to powers of a step (section 3.3).

    Args:
        depth: number of blocks.
        first: w_0, channels of the first block.
        slope: w_a, channels that every block adds.
        step: w_m, by which the widths of stages grow.
        group: channels of a group of the 3 x 3 convolutions.
    """
    powers = [round(log((slope * block + first) / first) / log(step)) for block in range(depth)]
    widths = [round(first * step**power / 8) * 8 for power in powers]
    found = []
    for width in sorted(set(widths)):
        own = min(group, width)
        found.append(Stage(multiple(width, own), widths.count(width), own))
    return tuple(found)


class Block(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolutions and a skip, the stride in the 3x3.

    Attributes:
        channels: of all three.
        group: channels of a group.
        stride: of the 3x3 convolution and of the skip.
        squeeze: channels between the dense layers of squeeze-and-excitation, 0 for none.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    group: int
    stride: int
    squeeze: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, channels)."""
        c = self.channels
        conv, norm = partial(convolution, dtype=self.dtype), partial(batch_norm, self.dtype)
        main = norm("f.a.1")(conv(c, 1, 1, name="f.a.0")(x))
        main = checkpoint_name(nn.relu(main), f"{self.name}.f.a")
        main = norm("f.b.1")(conv(c, 3, self.stride, name="f.b.0", groups=c // self.group)(main))
        main = checkpoint_name(nn.relu(main), f"{self.name}.f.b")
        if self.squeeze:
            main = Excitation(self.squeeze, ("fc1", "fc2"), nn.relu, nn.sigmoid, self.dtype, name="f.se")(main)
        main = norm("f.c.1")(conv(c, 1, 1, name="f.c.0")(main))
        if x.shape[-1] != c or self.stride > 1:
            x = norm("proj.1")(conv(c, 1, self.stride, name="proj.0")(x))
        return checkpoint_name(nn.relu(main + x), f"{self.name}")


class RegNet(nn.Module):
    """A RegNet from normalised images to logits.

    Attributes:
        stages: of its trunk.
        excited: whether blocks have squeeze-and-excitation (RegNetY), a quarter of their input's channels wide.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    stages: tuple[Stage, ...]
    excited: bool
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        numbers = [(s, b) for s, stage in enumerate(self.stages, 1) for b in range(stage.blocks)]
        blocks = [f"trunk_output.block{s}.block{s}-{b}" for s, b in numbers]
        return ("stem", *(f"{block}{part}" for block in blocks for part in (".f.a", ".f.b", "")))

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 1

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""
        x = batch_norm(self.dtype, "stem.1")(convolution(32, 3, 2, self.dtype, "stem.0")(images))
        x = checkpoint_name(nn.relu(x), "stem")
        for s, stage in enumerate(self.stages, 1):
            for b in range(stage.blocks):
                squeeze = round(x.shape[-1] / 4) if self.excited else 0
                name = f"trunk_output.block{s}.block{s}-{b}"
                x = Block(stage.channels, stage.group, 2 if b == 0 else 1, squeeze, self.dtype, name=name)(x)
        return logits_of(x.mean((1, 2)), self.num_classes, self.dtype, "fc")


def renamed(trunk: tuple[Stage, ...]) -> Mapping[str, str]:
    """What timm calls the beginnings of parameters."""
    names = {"stem.conv.": "stem.0.", "stem.bn.": "stem.1.", "head.fc.": "fc."}
    parts = {"conv1": "f.a", "conv2": "f.b", "conv3": "f.c", "downsample": "proj"}
    for s, stage in enumerate(trunk, 1):
        for b in range(stage.blocks):
            theirs, ours = f"s{s}.b{b + 1}.", f"trunk_output.block{s}.block{s}-{b}."
            names[f"{theirs}se."] = f"{ours}f.se."
            for part, own in parts.items():
                names |= {f"{theirs}{part}.conv.": f"{ours}{own}.0.", f"{theirs}{part}.bn.": f"{ours}{own}.1."}
    return MappingProxyType(names)


def _entry(repository: str, *grown: Any, excited: bool) -> Entry:
    trunk = stages(*grown)
    photos = Preprocessing(224, 232)
    return Entry(partial(RegNet, trunk, excited), imagenet_labels, photos, f"timm/{repository}", renamed(trunk))


_x, _y = partial(_entry, excited=False), partial(_entry, excited=True)

FAMILY = Family(
    entries=MappingProxyType(
        {
            "regnet_x_400mf": _x("regnetx_004_tv.tv2_in1k", 22, 24, 24.48, 2.54, 16),
            "regnet_x_800mf": _x("regnetx_008.tv2_in1k", 16, 56, 35.73, 2.28, 16),
            "regnet_x_1_6gf": _x("regnetx_016.tv2_in1k", 18, 80, 34.01, 2.25, 24),
            "regnet_x_3_2gf": _x("regnetx_032.tv2_in1k", 25, 88, 26.31, 2.25, 48),
            "regnet_x_8gf": _x("regnetx_080.tv2_in1k", 23, 80, 49.56, 2.88, 120),
            "regnet_y_400mf": _y("regnety_004.tv2_in1k", 16, 48, 27.89, 2.09, 8),
            "regnet_y_800mf": _y("regnety_008_tv.tv2_in1k", 14, 56, 38.84, 2.4, 16),
            "regnet_y_1_6gf": _y("regnety_016.tv2_in1k", 27, 48, 20.71, 2.65, 24),
            "regnet_y_3_2gf": _y("regnety_032.tv2_in1k", 21, 80, 42.63, 2.66, 24),
            "regnet_y_8gf": _y("regnety_080_tv.tv2_in1k", 17, 192, 76.82, 2.19, 56),
        }
    ),
    head="fc.weight",
)
