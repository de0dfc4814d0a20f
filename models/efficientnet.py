"""EfficientNet-Lite0 to -Lite4 and EfficientNet-B0 to -B7 in Flax Linen (Tan and Le, arXiv 1905.11946).

Module names spell timm's parameter names; torchvision's, and those of the ``efficientnet_pytorch`` family of packages,
are known too. Every activation carries the name of its PFV map, `act1` for the stem, then `blocks.3.1.act1` (expanded),
`.act2` (depthwise), and `blocks.3.1` itself, the block's linear output; `act2` is the head's.

The Lite networks have ReLU6 and neither squeeze-and-excitation nor wider or deeper stems and heads. They, and B5 to B7,
whose public weights are TensorFlow's, pad as TensorFlow's "SAME" does, with more zeros after than before.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family
from .labels import imagenet_labels
from .layers import Excitation, batch_norm, convolution, logits_of, multiple
from .photos import Preprocessing, Resample

__all__ = ["FAMILY", "WEIGHTS", "EfficientNet", "MBConv"]

WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")

Padding = Literal["SAME", "SYMMETRIC"]


class Stage(NamedTuple):
    """Blocks of one kind: expansion, kernel, stride of the first, channels and number before scaling."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


class Style(NamedTuple):
    """What the blocks of a network have in common.

    Attributes:
        activation: after every convolution but a block's last.
        squeeze: whether blocks have squeeze-and-excitation.
        padding: where zeros go.
        epsilon: of batch norm.
        dtype: computation dtype; parameters are float32.
    """

    activation: Callable[[Array], Array]
    squeeze: bool
    padding: Padding
    epsilon: float
    dtype: Any

    def convolution(self, channels: int, kernel: int, stride: int, name: str, groups: int = 1) -> nn.Conv:
        """Square convolution without bias."""
        return convolution(channels, kernel, stride, self.dtype, name, groups=groups, padding=self.padding)

    def norm(self, name: str) -> nn.BatchNorm:
        """Batch norm that uses its running statistics."""
        return batch_norm(self.dtype, name, epsilon=self.epsilon)


class MBConv(nn.Module):
    """A mobile inverted bottleneck: expansion, depthwise convolution, projection, and a skip where shapes allow it.

    Attributes:
        expansion: of the channels before the depthwise convolution, which has none where it is 1.
        kernel: of the depthwise convolution.
        stride: of the depthwise convolution.
        channels: of the output.
        style: what all blocks have in common.
    """

    expansion: int
    kernel: int
    stride: int
    channels: int
    style: Style

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "N H W C"]) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, channels)."""
        style, act, skip = self.style, self.style.activation, x
        norms, acts = iter(("bn1", "bn2", "bn3")), iter(("act1", "act2"))
        before, wide = x.shape[-1], x.shape[-1] * self.expansion
        if self.expansion > 1:
            x = act(style.norm(next(norms))(style.convolution(wide, 1, 1, "conv_pw")(x)))
            x = checkpoint_name(x, f"{self.name}.{next(acts)}")
        x = style.convolution(wide, self.kernel, self.stride, "conv_dw", groups=wide)(x)
        x = checkpoint_name(act(style.norm(next(norms))(x)), f"{self.name}.{next(acts)}")
        if style.squeeze:
            x = Excitation(before // 4, ("conv_reduce", "conv_expand"), nn.silu, nn.sigmoid, style.dtype, name="se")(
                jnp.asarray(x)
            )
        project = "conv_pwl" if self.expansion > 1 else "conv_pw"
        x = style.norm(next(norms))(style.convolution(self.channels, 1, 1, project)(x))
        if self.stride == 1 and before == self.channels:
            x = x + skip
        return checkpoint_name(x, f"{self.name}")


class EfficientNet(nn.Module):
    """An EfficientNet from normalised images to logits.

    Attributes:
        width: multiple of the channels.
        depth: multiple of the blocks.
        lite: ReLU6, no squeeze-and-excitation, stem, head, first and last stage as they are in the smallest network.
        padding: ``"SAME"`` as TensorFlow's, or ``"SYMMETRIC"`` as PyTorch's.
        epsilon: of batch norm.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    width: float = 1.0
    depth: float = 1.0
    lite: bool = False
    padding: Padding = "SYMMETRIC"
    epsilon: float = 1e-5
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks of every stage."""
        return tuple(
            stage.blocks if self.lite and place in (0, len(STAGES) - 1) else ceil(self.depth * stage.blocks)
            for place, stage in enumerate(STAGES)
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        names = ["act1"]
        for s, (stage, blocks) in enumerate(zip(STAGES, self.blocks, strict=True)):
            acts = ("act1",) if stage.expansion == 1 else ("act1", "act2")
            names += [f"blocks.{s}.{b}{part}" for b in range(blocks) for part in (*(f".{act}" for act in acts), "")]
        return (*names, "act2")

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 1

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""
        act = nn.relu6 if self.lite else nn.silu
        style = Style(act, not self.lite, self.padding, self.epsilon, self.dtype)
        stem, head = (each if self.lite else multiple(each * self.width) for each in (32, 1280))
        x = style.norm("bn1")(style.convolution(stem, 3, 2, "conv_stem")(images))
        x = checkpoint_name(act(x), "act1")
        for s, (stage, blocks) in enumerate(zip(STAGES, self.blocks, strict=True)):
            channels = multiple(stage.channels * self.width)
            for b in range(blocks):
                stride = stage.stride if b == 0 else 1
                x = MBConv(stage.expansion, stage.kernel, stride, channels, style, name=f"blocks.{s}.{b}")(x)
        x = checkpoint_name(act(style.norm("bn2")(style.convolution(head, 1, 1, "conv_head")(x))), "act2")
        return logits_of(x.mean((1, 2)), self.num_classes, self.dtype, "classifier")


def renamed(blocks: tuple[int, ...]) -> Mapping[str, str]:
    """What torchvision and the PyPI packages call the beginnings of parameters, for stages of so many blocks."""
    names = {
        "features.0.0.": "conv_stem.", "features.0.1.": "bn1.", f"features.{len(blocks) + 1}.0.": "conv_head.",
        f"features.{len(blocks) + 1}.1.": "bn2.", "classifier.1.": "classifier.", "_conv_stem.": "conv_stem.",
        "_bn0.": "bn1.", "_conv_head.": "conv_head.", "_bn1.": "bn2.", "_fc.": "classifier.",
    }  # fmt: skip
    count = 0
    for s, (stage, number) in enumerate(zip(STAGES, blocks, strict=True)):
        for b in range(number):
            ours, torchvisions, flat = f"blocks.{s}.{b}.", f"features.{s + 1}.{b}.block.", f"_blocks.{count}."
            count += 1
            parts = {"_depthwise_conv.": "conv_dw.", "_se_reduce.": "se.conv_reduce.", "_se_expand.": "se.conv_expand."}
            if stage.expansion > 1:
                parts |= {"_expand_conv.": "conv_pw.", "_bn0.": "bn1.", "_bn1.": "bn2."}
                parts |= {"_project_conv.": "conv_pwl.", "_bn2.": "bn3."}
                convolutions: tuple[str, ...] = ("conv_pw.", "conv_dw.", "", "conv_pwl.")
            else:
                parts |= {"_bn1.": "bn1.", "_project_conv.": "conv_pw.", "_bn2.": "bn2."}
                convolutions = ("conv_dw.", "", "conv_pw.")
            names |= {flat + theirs: ours + own for theirs, own in parts.items()}
            norms = iter(("bn1.", "bn2.", "bn3."))
            for place, own in enumerate(convolutions):
                if own:
                    names |= {f"{torchvisions}{place}.0.": ours + own, f"{torchvisions}{place}.1.": ours + next(norms)}
                else:
                    names[f"{torchvisions}{place}.fc1."] = f"{ours}se.conv_reduce."
                    names[f"{torchvisions}{place}.fc2."] = f"{ours}se.conv_expand."
    return MappingProxyType(names)


def _entry(
    repository: str, size: int, resize: int, weights: Path | None = None, resample: Resample = "bicubic", **fields: Any
) -> Entry:
    """The entry of a network: those of TensorFlow's Lite family want pixels of (x - 127) / 128."""
    levels = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3} if fields.get("lite") else {}
    return Entry(
        partial(EfficientNet, **fields),
        imagenet_labels,
        Preprocessing(size, resize, resample=resample, **levels),
        f"timm/{repository}",
        renamed(EfficientNet(**fields).blocks),
        weights,
    )


_lite = partial(_entry, lite=True, padding="SAME", epsilon=1e-3)
_tensorflow = partial(_entry, padding="SAME", epsilon=1e-3)

FAMILY = Family(
    entries=MappingProxyType(
        {
            "efficientnet_lite0": _lite("tf_efficientnet_lite0.in1k", 224, 256, WEIGHTS),
            "efficientnet_lite1": _lite("tf_efficientnet_lite1.in1k", 240, 272, depth=1.1),
            "efficientnet_lite2": _lite("tf_efficientnet_lite2.in1k", 260, 292, width=1.1, depth=1.2),
            "efficientnet_lite3": _lite(
                "tf_efficientnet_lite3.in1k", 300, 331, resample="bilinear", width=1.2, depth=1.4
            ),
            "efficientnet_lite4": _lite(
                "tf_efficientnet_lite4.in1k", 380, 413, resample="bilinear", width=1.4, depth=1.8
            ),
            "efficientnet_b0": _entry("efficientnet_b0.ra_in1k", 224, 256),
            "efficientnet_b1": _entry("efficientnet_b1.ft_in1k", 224, 256, depth=1.1),
            "efficientnet_b2": _entry("efficientnet_b2.ra_in1k", 256, 292, width=1.1, depth=1.2),
            "efficientnet_b3": _entry("efficientnet_b3.ra2_in1k", 288, 329, width=1.2, depth=1.4),
            "efficientnet_b4": _entry("efficientnet_b4.ra2_in1k", 320, 365, width=1.4, depth=1.8),
            "efficientnet_b5": _tensorflow("tf_efficientnet_b5.ra_in1k", 456, 488, width=1.6, depth=2.2),
            "efficientnet_b6": _tensorflow("tf_efficientnet_b6.aa_in1k", 528, 560, width=1.8, depth=2.6),
            "efficientnet_b7": _tensorflow("tf_efficientnet_b7.ra_in1k", 600, 632, width=2.0, depth=3.1),
        }
    ),
    head="classifier.weight",
)
