"""MLP-Mixers in Flax Linen, laid out as timm's (Tolstikhin et al., arXiv 2105.01601).

Module names spell timm's parameter names. The PFV maps are `stem`, the tokens of the patches, and in every block
`blocks.0.mlp_tokens` and `blocks.0.mlp_channels`, the sums after its two halves.
"""

from functools import partial
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from srd_jax.errors import ShapeError

from .family import Entry, Family
from .labels import imagenet_labels
from .layers import convolution, layer_norm, logits_of, two_dense
from .photos import Preprocessing

__all__ = ["FAMILY", "Mixer"]


class Block(nn.Module):
    """An MLP over tokens, the same for every channel, then one over channels, each after a layer norm beside a skip.

    Attributes:
        wide_tokens: of the first one's hidden layer.
        dtype: computation dtype; parameters are float32.
    """

    wide_tokens: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T C"]) -> Float[Array, "N T C"]:
        """Run the block on (N, T, channels)."""
        new = jnp.swapaxes(layer_norm(self.dtype, "norm1")(x), 1, 2)
        new = jnp.swapaxes(two_dense(new, self.wide_tokens, self.dtype, "mlp_tokens"), 1, 2)
        x = checkpoint_name(x + new, f"{self.name}.mlp_tokens")
        new = two_dense(layer_norm(self.dtype, "norm2")(x), 4 * x.shape[-1], self.dtype, "mlp_channels")
        return checkpoint_name(x + new, f"{self.name}.mlp_channels")


class Mixer(nn.Module):
    """An MLP-Mixer from normalised images of one size to logits.

    Attributes:
        patch: side of a patch in pixels.
        width: channels of a token.
        depth: number of blocks.
        size: side of the images in pixels, which its weights are for.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    patch: int
    width: int
    depth: int
    size: int = 224
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        halves = ("mlp_tokens", "mlp_channels")
        return ("stem", *(f"blocks.{b}.{part}" for b in range(self.depth) for part in halves))

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return self.size

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, size, size, 3) to (N, num_classes).

        Raises:
            ShapeError: images of another size, for which there are no weights.
        """
        n, *sides, _ = images.shape
        if sides != [self.size, self.size]:
            extents = " x ".join(map(str, sides))
            raise ShapeError(f"its weights are for images of {self.size} pixels a side, not {extents}")
        embed = convolution(self.width, self.patch, self.patch, self.dtype, "stem.proj", bias=True, padding="VALID")
        x = checkpoint_name(embed(images).reshape(n, -1, self.width), "stem")
        for b in range(self.depth):
            x = Block(self.width // 2, self.dtype, name=f"blocks.{b}")(x)
        return logits_of(layer_norm(self.dtype, "norm")(x).mean(1), self.num_classes, self.dtype, "head")


def _entry(patch: int, width: int, depth: int, name: str) -> Entry:
    photos = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, resample="bicubic")
    module = partial(Mixer, patch, width, depth)
    return Entry(module, imagenet_labels, photos, repository=f"timm/{name}.goog_in21k_ft_in1k")


FAMILY = Family(
    entries=MappingProxyType(
        {
            "mixer_b16": _entry(16, 768, 12, "mixer_b16_224"),
            "mixer_l16": _entry(16, 1024, 24, "mixer_l16_224"),
        }
    ),
    head="head.weight",
)
