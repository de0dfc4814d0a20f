"""ResNet-18/34/50/101/152 in Flax Linen, laid out as torchvision's (He et al., arXiv 1512.03385).

Batch norm uses its running statistics unless ``train`` says otherwise. Module names spell torchvision's parameter
names, and each ReLU's output carries the name of its PFV map: `relu` for the stem, then `layer3.0.relu1`, `.relu2` and
so on within a block, the last of which is the block's output.
"""

from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family
from .layers import batch_norm, convolution, logits_of

__all__ = ["FAMILY", "BasicBlock", "Bottleneck", "ResNet"]


def shortcut(
    x: Float[Array | np.ndarray, "N H W C"], channels: int, stride: int, pool: bool, dtype: Any, *, train: bool
) -> Float[Array, "N Ho Wo Co"]:
    """The projection of a skip: a strided 1x1 convolution and batch norm, the convolution after a mean if ``pool``.

    A strided 1x1 convolution reads one position in stride**2, so it draws a lattice into every explanation.
    """
    if pool and stride > 1:
        window = (stride, stride)
        x = nn.avg_pool(x, window, strides=window, padding="SAME", count_include_pad=False)
        stride = 1
    x = convolution(channels, 1, stride, dtype, "downsample.0")(x)
    return batch_norm(dtype, "downsample.1", train=train)(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip: the block of ResNet-18 and -34.

    Attributes:
        channels: channels of both convolutions and of the output.
        stride: stride of the first convolution and of the skip.
        project: whether the skip is a 1x1 convolution with batch norm, else the identity.
        pool: whether a strided skip takes means instead of single positions.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    stride: int
    project: bool
    pool: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "N H W C"], *, train: bool = False) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, channels)."""
        conv, norm = partial(convolution, dtype=self.dtype), partial(batch_norm, dtype=self.dtype, train=train)
        main = norm(name="bn1")(conv(self.channels, 3, self.stride, name="conv1")(x))
        main = checkpoint_name(nn.relu(main), f"{self.name}.relu1")
        main = norm(name="bn2")(conv(self.channels, 3, 1, name="conv2")(main))
        if self.project:
            x = shortcut(x, self.channels, self.stride, self.pool, self.dtype, train=train)
        return checkpoint_name(nn.relu(main + x), f"{self.name}.relu2")


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a skip, the stride in the 3x3: the block of ResNet-50 and deeper.

    Attributes:
        channels: channels of the first two convolutions; the output has four times as many.
        stride: stride of the 3x3 convolution and of the skip.
        project: whether the skip is a 1x1 convolution with batch norm, else the identity.
        pool: whether a strided skip takes means instead of single positions.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    stride: int
    project: bool
    pool: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "N H W C"], *, train: bool = False) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, 4 * channels)."""
        conv, norm = partial(convolution, dtype=self.dtype), partial(batch_norm, dtype=self.dtype, train=train)
        main = norm(name="bn1")(conv(self.channels, 1, 1, name="conv1")(x))
        main = checkpoint_name(nn.relu(main), f"{self.name}.relu1")
        main = norm(name="bn2")(conv(self.channels, 3, self.stride, name="conv2")(main))
        main = checkpoint_name(nn.relu(main), f"{self.name}.relu2")
        main = norm(name="bn3")(conv(4 * self.channels, 1, 1, name="conv3")(main))
        if self.project:
            x = shortcut(x, 4 * self.channels, self.stride, self.pool, self.dtype, train=train)
        return checkpoint_name(nn.relu(main + x), f"{self.name}.relu3")


class ResNet(nn.Module):
    """A residual network from normalised images to logits.

    Attributes:
        depths: number of blocks in each stage.
        bottleneck: `Bottleneck` blocks, else `BasicBlock`.
        num_classes: number of logits.
        widths: channels of the stages' 3x3 convolutions; the stem has the first's.
        stem: ``"imagenet"``, a 7x7 convolution and a max pool that leave a quarter of the extent, or ``"small"`` for
            small images, a 3x3 convolution that leaves half.
        pool_skips: whether strided skips take means of positions (He et al., arXiv 1812.01187, ResNet-D) instead of one
            in four.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    depths: tuple[int, ...]
    bottleneck: bool
    num_classes: int = 1000
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: Literal["imagenet", "small"] = "imagenet"
    pool_skips: bool = False
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        relus = 3 if self.bottleneck else 2
        blocks = [f"layer{s + 1}.{b}" for s, depth in enumerate(self.depths) for b in range(depth)]
        return ("relu", *(f"{block}.relu{i + 1}" for block in blocks for i in range(relus)))

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 1

    @nn.compact
    def __call__(
        self, images: Float[Array | np.ndarray, "N H W 3"], *, train: bool = False
    ) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes); ``train`` updates the running statistics."""
        x = convolution(self.widths[0], 7 if self.stem == "imagenet" else 3, 2, self.dtype, "conv1")(images)
        x = checkpoint_name(nn.relu(batch_norm(self.dtype, "bn1", train=train)(x)), "relu")
        if self.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        block = Bottleneck if self.bottleneck else BasicBlock
        expansion = 4 if self.bottleneck else 1
        for s, (depth, channels) in enumerate(zip(self.depths, self.widths, strict=True)):
            for b in range(depth):
                stride = 2 if s > 0 and b == 0 else 1
                project = stride == 2 or x.shape[-1] != channels * expansion
                x = block(channels, stride, project, self.pool_skips, self.dtype, name=f"layer{s + 1}.{b}")(
                    x, train=train
                )
        return logits_of(x.mean((1, 2)), self.num_classes, self.dtype, "fc")


FAMILY = Family(
    entries=MappingProxyType(
        {
            "resnet18": Entry(partial(ResNet, (2, 2, 2, 2), bottleneck=False)),
            "resnet34": Entry(partial(ResNet, (3, 4, 6, 3), bottleneck=False)),
            "resnet50": Entry(partial(ResNet, (3, 4, 6, 3), bottleneck=True)),
            "resnet101": Entry(partial(ResNet, (3, 4, 23, 3), bottleneck=True)),
            "resnet152": Entry(partial(ResNet, (3, 8, 36, 3), bottleneck=True)),
        }
    ),
    head="fc.weight",
    can_train=True,
)
