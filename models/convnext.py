"""ConvNeXt-T/S/B/L in Flax Linen, laid out as torchvision's (Liu et al., arXiv 2201.03545).

Module names spell torchvision's parameter names; timm's are known too. The PFV maps are `features.0`, the normalised
stem, then `features.1.0.gelu` within a block and `features.1.0`, its output, and `features.2`, a smaller grid.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family
from .labels import imagenet_labels
from .layers import convolution, layer_norm, logits_of
from .photos import Preprocessing

__all__ = ["FAMILY", "Block", "ConvNeXt"]


class Block(nn.Module):
    """A 7 x 7 depthwise convolution, layer norm, two dense layers with a GELU between, a scale and a skip.

    Attributes:
        channels: of input and output.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        """Run the block on (N, H, W, channels)."""
        c = self.channels
        new = convolution(c, 7, 1, self.dtype, "block.0", groups=c, bias=True)(x)
        new = layer_norm(self.dtype, "block.2")(new)
        new = nn.gelu(nn.Dense(4 * c, dtype=self.dtype, name="block.3")(new), approximate=False)
        new = nn.Dense(c, dtype=self.dtype, name="block.5")(checkpoint_name(new, f"{self.name}.gelu"))
        scale = self.param("layer_scale", nn.initializers.constant(1e-6), (1, 1, c))
        return checkpoint_name(x + new * scale.astype(self.dtype), f"{self.name}")


class ConvNeXt(nn.Module):
    """A ConvNeXt from normalised images to logits.

    Attributes:
        depths: number of blocks in each stage.
        widths: channels of each stage.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        names = []
        for s, depth in enumerate(self.depths):
            names.append(f"features.{2 * s}")
            names += [f"features.{2 * s + 1}.{b}{part}" for b in range(depth) for part in (".gelu", "")]
        return tuple(names)

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 32

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""
        conv = partial(convolution, dtype=self.dtype, bias=True, padding="VALID")
        x = conv(self.widths[0], 4, 4, name="features.0.0")(images)
        x = checkpoint_name(layer_norm(self.dtype, "features.0.1")(x), "features.0")
        for s, (depth, channels) in enumerate(zip(self.depths, self.widths, strict=True)):
            if s > 0:
                x = layer_norm(self.dtype, f"features.{2 * s}.0")(x)
                x = checkpoint_name(conv(channels, 2, 2, name=f"features.{2 * s}.1")(x), f"features.{2 * s}")
            for b in range(depth):
                x = Block(channels, self.dtype, name=f"features.{2 * s + 1}.{b}")(x)
        x = layer_norm(self.dtype, "classifier.0")(x.mean((1, 2)))
        return logits_of(x, self.num_classes, self.dtype, "classifier.2")


def renamed(depths: tuple[int, ...]) -> Mapping[str, str]:
    """What timm calls the beginnings of parameters."""
    names = {
        "stem.0.": "features.0.0.", "stem.1.": "features.0.1.",
        "head.norm.": "classifier.0.", "head.fc.": "classifier.2.",
    }  # fmt: skip
    parts = {"conv_dw.": "block.0.", "norm.": "block.2.", "mlp.fc1.": "block.3.", "mlp.fc2.": "block.5."}
    for s, depth in enumerate(depths):
        names |= {f"stages.{s}.downsample.{i}.": f"features.{2 * s}.{i}." for i in (0, 1)}
        for b in range(depth):
            theirs, ours = f"stages.{s}.blocks.{b}.", f"features.{2 * s + 1}.{b}."
            names |= {theirs + part: ours + own for part, own in (parts | {"gamma": "layer_scale"}).items()}
    return MappingProxyType(names)


def _entry(depths: tuple[int, ...], widths: tuple[int, ...]) -> Entry:
    photos = Preprocessing(resample="bicubic")
    return Entry(partial(ConvNeXt, depths, widths), imagenet_labels, photos, renamed=renamed(depths))


FAMILY = Family(
    entries=MappingProxyType(
        {
            "convnext_tiny": _entry((3, 3, 9, 3), (96, 192, 384, 768)),
            "convnext_small": _entry((3, 3, 27, 3), (96, 192, 384, 768)),
            "convnext_base": _entry((3, 3, 27, 3), (128, 256, 512, 1024)),
            "convnext_large": _entry((3, 3, 27, 3), (192, 384, 768, 1536)),
        }
    ),
    head="classifier.2.weight",
    repository="timm/{name}.fb_in1k",
)
