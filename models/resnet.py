"""ResNet-18/34/50/101/152 in Flax Linen, laid out as torchvision's (He et al., arXiv 1512.03385).

Evaluation only: batch norm uses its running statistics. Module names spell torchvision's parameter names, and each
ReLU's output carries the name of its PFV map: `relu` for the stem, then `layer3.0.relu1`, `.relu2` and so on within a
block, the last of which is the block's output.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

__all__ = ["BasicBlock", "Bottleneck", "ResNet"]


def convolution(channels: int, kernel: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    """Square convolution without bias, padded by half its kernel on every side as PyTorch pads."""
    pad = kernel // 2
    return nn.Conv(
        channels,
        (kernel, kernel),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),  # "SAME" would pad unevenly where the stride is 2
        use_bias=False,
        dtype=dtype,
        name=name,
    )


def batch_norm(dtype: Any, name: str) -> nn.BatchNorm:
    """Batch norm that uses its running statistics."""
    return nn.BatchNorm(use_running_average=True, epsilon=1e-5, dtype=dtype, name=name)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip: the block of ResNet-18 and -34.

    Attributes:
        channels: channels of both convolutions and of the output.
        stride: stride of the first convolution and of the skip.
        project: whether the skip is a 1x1 convolution with batch norm, else the identity.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    stride: int
    project: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, channels)."""
        conv, norm = partial(convolution, dtype=self.dtype), partial(batch_norm, dtype=self.dtype)
        main = norm(name="bn1")(conv(self.channels, 3, self.stride, name="conv1")(x))
        main = checkpoint_name(nn.relu(main), f"{self.name}.relu1")
        main = norm(name="bn2")(conv(self.channels, 3, 1, name="conv2")(main))
        if self.project:
            x = norm(name="downsample.1")(conv(self.channels, 1, self.stride, name="downsample.0")(x))
        return checkpoint_name(nn.relu(main + x), f"{self.name}.relu2")


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a skip, the stride in the 3x3: the block of ResNet-50 and deeper.

    Attributes:
        channels: channels of the first two convolutions; the output has four times as many.
        stride: stride of the 3x3 convolution and of the skip.
        project: whether the skip is a 1x1 convolution with batch norm, else the identity.
        dtype: computation dtype; parameters are float32.
    """

    channels: int
    stride: int
    project: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N Ho Wo Co"]:
        """Run the block: (N, H, W, C) to (N, H/stride, W/stride, 4 * channels)."""
        conv, norm = partial(convolution, dtype=self.dtype), partial(batch_norm, dtype=self.dtype)
        main = norm(name="bn1")(conv(self.channels, 1, 1, name="conv1")(x))
        main = checkpoint_name(nn.relu(main), f"{self.name}.relu1")
        main = norm(name="bn2")(conv(self.channels, 3, self.stride, name="conv2")(main))
        main = checkpoint_name(nn.relu(main), f"{self.name}.relu2")
        main = norm(name="bn3")(conv(4 * self.channels, 1, 1, name="conv3")(main))
        if self.project:
            x = norm(name="downsample.1")(conv(4 * self.channels, 1, self.stride, name="downsample.0")(x))
        return checkpoint_name(nn.relu(main + x), f"{self.name}.relu3")


class ResNet(nn.Module):
    """A residual network from normalised images to logits.

    Attributes:
        depths: number of blocks in each of the four stages.
        bottleneck: `Bottleneck` blocks, else `BasicBlock`.
        num_classes: number of logits.
        width: channels of the stem; stage s works in width * 2**s.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    depths: tuple[int, ...]
    bottleneck: bool
    num_classes: int = 1000
    width: int = 64
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
    def __call__(self, images: Float[Array, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""
        x = convolution(self.width, 7, 2, self.dtype, "conv1")(images)
        x = checkpoint_name(nn.relu(batch_norm(self.dtype, "bn1")(x)), "relu")
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        block = Bottleneck if self.bottleneck else BasicBlock
        expansion = 4 if self.bottleneck else 1
        for s, depth in enumerate(self.depths):
            channels = self.width * 2**s
            for b in range(depth):
                stride = 2 if s > 0 and b == 0 else 1
                project = stride == 2 or x.shape[-1] != channels * expansion
                x = block(channels, stride, project, self.dtype, name=f"layer{s + 1}.{b}")(x)
        x = nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x.mean((1, 2)))
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))
