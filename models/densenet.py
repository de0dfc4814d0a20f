"""DenseNet-121/161/169/201 in Flax Linen, laid out as torchvision's (Huang et al., arXiv 1608.06993).

Module names spell torchvision's parameter names, which are timm's. The PFV maps are `features.relu0`, the stem, then
`features.denseblock1.denselayer1.relu1` and `.relu2`, `features.transition1.relu`, and last `features.relu5`.
"""

from functools import partial
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family
from .layers import batch_norm, convolution, logits_of

__all__ = ["FAMILY", "DenseNet"]

_BOTTLENECK = 4  # channels of a layer's first convolution, in growths


class DenseNet(nn.Module):
    """A densely connected network from normalised images to logits.

    Attributes:
        depths: number of layers in each block.
        growth: channels that every layer adds.
        stem: channels of the first convolution.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    depths: tuple[int, ...]
    growth: int = 32
    stem: int = 64
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        names = ["features.relu0"]
        for block, depth in enumerate(self.depths, 1):
            for layer in range(1, depth + 1):
                names += [f"features.denseblock{block}.denselayer{layer}.relu{i}" for i in (1, 2)]
            names.append(f"features.transition{block}.relu" if block < len(self.depths) else "features.relu5")
        return tuple(names)

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 29  # three means over 2 x 2 positions follow a quarter of it

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""

        def activated(x: Array, norm: str, name: str) -> Array:
            return checkpoint_name(nn.relu(batch_norm(self.dtype, norm)(x)), name)

        conv = partial(convolution, dtype=self.dtype)
        x = activated(conv(self.stem, 7, 2, name="features.conv0")(images), "features.norm0", "features.relu0")
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for block, depth in enumerate(self.depths, 1):
            for layer in range(1, depth + 1):
                name = f"features.denseblock{block}.denselayer{layer}"
                new = activated(x, f"{name}.norm1", f"{name}.relu1")
                new = conv(_BOTTLENECK * self.growth, 1, 1, name=f"{name}.conv1")(new)
                new = activated(new, f"{name}.norm2", f"{name}.relu2")
                x = jnp.concatenate([x, conv(self.growth, 3, 1, name=f"{name}.conv2")(new)], -1)
            if block < len(self.depths):
                name = f"features.transition{block}"
                x = conv(x.shape[-1] // 2, 1, 1, name=f"{name}.conv")(activated(x, f"{name}.norm", f"{name}.relu"))
                x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = activated(x, "features.norm5", "features.relu5")
        return logits_of(x.mean((1, 2)), self.num_classes, self.dtype, "classifier")


def _entry(*depths: int, **fields: Any) -> Entry:
    return Entry(partial(DenseNet, depths, **fields))


FAMILY = Family(
    entries=MappingProxyType(
        {
            "densenet121": _entry(6, 12, 24, 16),
            "densenet161": _entry(6, 12, 36, 24, growth=48, stem=96),
            "densenet169": _entry(6, 12, 32, 32),
            "densenet201": _entry(6, 12, 48, 32),
        }
    ),
    head="classifier.weight",
)
