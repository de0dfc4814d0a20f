"""Vision transformers in Flax Linen, laid out as timm's (Dosovitskiy et al., arXiv 2010.11929; DeiT, arXiv 2012.12877).

Module names spell timm's parameter names; torchvision's are known too. The PFV maps are `patch_embed`, the patches with
their positions, `tokens`, the same behind the class token and registers, and in every block `blocks.0.attn` and
`blocks.0.mlp`, the sums after its two halves.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import jax
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

__all__ = ["FAMILY", "Attention", "Block", "ViT"]


class Attention(nn.Module):
    """Softmax attention of several heads, with one dense layer for queries, keys and values.

    Attributes:
        heads: how many.
        dtype: computation dtype; parameters are float32.
    """

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T C"]) -> Float[Array, "N T C"]:
        """Run it on (N, T, channels)."""
        n, tokens, channels = x.shape
        qkv = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(x).reshape(n, tokens, 3, self.heads, -1)
        q, k, v = (qkv[:, :, i] for i in range(3))
        weights = jax.nn.softmax(jnp.einsum("nthd,nshd->nhts", q, k) * q.shape[-1] ** -0.5)
        mixed = jnp.einsum("nhts,nshd->nthd", weights, v).reshape(n, tokens, channels)
        return nn.Dense(channels, dtype=self.dtype, name="proj")(mixed)


class Block(nn.Module):
    """Attention beside a skip, then a dense layer four times as wide beside one, each after a layer norm.

    Attributes:
        heads: of the attention.
        dtype: computation dtype; parameters are float32.
    """

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T C"]) -> Float[Array, "N T C"]:
        """Run the block on (N, T, channels)."""
        new = Attention(self.heads, self.dtype, name="attn")(layer_norm(self.dtype, "norm1")(x))
        x = checkpoint_name(x + new, f"{self.name}.attn")
        new = two_dense(layer_norm(self.dtype, "norm2")(x), 4 * x.shape[-1], self.dtype, "mlp")
        return checkpoint_name(x + new, f"{self.name}.mlp")


class ViT(nn.Module):
    """A vision transformer from normalised images to logits.

    Attributes:
        patch: side of a patch in pixels.
        width: channels of a token.
        depth: number of blocks.
        heads: of every attention.
        size: side in pixels of the images that its positions are for; those of others are interpolated.
        registers: tokens beside the class token that nothing reads at the end.
        pool: what is read at the end: the class token, or the mean of the patches, and then there is no class token.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    patch: int
    width: int
    depth: int
    heads: int
    size: int = 224
    registers: int = 0
    pool: Literal["token", "mean"] = "token"
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order; what a class token reads last is where its relevance starts."""
        depth = self.depth - (self.pool == "token")
        own = ("tokens",) if self.registers or self.pool == "token" else ()
        return ("patch_embed", *own, *(f"blocks.{b}.{part}" for b in range(depth) for part in ("attn", "mlp")))

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return self.patch

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3), sides multiples of the patch, to (N, num_classes).

        Raises:
            ShapeError: a side is no multiple of the patch.
        """
        n, *sides, _ = images.shape
        if any(side % self.patch for side in sides):
            extents = " x ".join(map(str, sides))
            raise ShapeError(f"sides must be multiples of the patch's {self.patch} pixels, not {extents}")
        embed = convolution(
            self.width, self.patch, self.patch, self.dtype, "patch_embed.proj", bias=True, padding="VALID"
        )
        x = embed(images).reshape(n, -1, self.width)
        first = 1 if self.pool == "token" else 0
        extent = self.size // self.patch
        positions = self.param("pos_embed", nn.initializers.normal(0.02), (1, first + extent**2, self.width))
        around = (sides[0] // self.patch, sides[1] // self.patch)
        positions = resized(positions, first, extent, around).astype(self.dtype)
        x = checkpoint_name(x + positions[:, first:], "patch_embed")
        if first or self.registers:
            own = [self._token("cls_token", 1) + positions[:, :1]] if first else []
            own += [self._token("reg_token", self.registers)] if self.registers else []
            x = jnp.concatenate([*(jnp.broadcast_to(each, (n, *each.shape[1:])) for each in own), x], 1)
            x = checkpoint_name(x, "tokens")
        for b in range(self.depth):
            x = Block(self.heads, self.dtype, name=f"blocks.{b}")(x)
        if self.pool == "token":
            x = layer_norm(self.dtype, "norm")(x)[:, 0]
        else:
            x = layer_norm(self.dtype, "fc_norm")(x[:, self.registers :].mean(1))
        return logits_of(x, self.num_classes, self.dtype, "head")

    def _token(self, name: str, count: int) -> Float[Array, "1 t C"]:
        return self.param(name, nn.initializers.normal(0.02), (1, count, self.width)).astype(self.dtype)


def resized(positions: Float[Array, "1 T C"], first: int, extent: int, grid: tuple[int, int]) -> Float[Array, "1 t C"]:
    """Positions of a square of patches for another grid of them, by bicubic interpolation; the first ones stay."""
    if grid == (extent, extent):
        return positions
    square = positions[:, first:].reshape(1, extent, extent, -1)
    larger = jax.image.resize(square, (1, *grid, square.shape[-1]), "bicubic", antialias=False)
    return jnp.concatenate([positions[:, :first], larger.reshape(1, -1, square.shape[-1])], 1)


def renamed(depth: int) -> Mapping[str, str]:
    """What torchvision calls the beginnings of parameters."""
    names = {
        "conv_proj.": "patch_embed.proj.", "class_token": "cls_token", "encoder.pos_embedding": "pos_embed",
        "encoder.ln.": "norm.", "heads.head.": "head.",
    }  # fmt: skip
    parts = {
        "ln_1.": "norm1.", "self_attention.in_proj_weight": "attn.qkv.weight",
        "self_attention.in_proj_bias": "attn.qkv.bias", "self_attention.out_proj.": "attn.proj.", "ln_2.": "norm2.",
        "mlp.linear_1.": "mlp.fc1.", "mlp.linear_2.": "mlp.fc2.", "mlp.0.": "mlp.fc1.", "mlp.3.": "mlp.fc2.",
    }  # fmt: skip
    for b in range(depth):
        names |= {f"encoder.layers.encoder_layer_{b}.{part}": f"blocks.{b}.{own}" for part, own in parts.items()}
    return MappingProxyType(names)


_SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}


def _entry(size: str, patch: int, tag: str = "augreg_in21k_ft_in1k", *, deit: bool = False) -> Entry:
    width, depth, heads = _SIZES[size]
    photos = Preprocessing(resize=248, resample="bicubic")
    if not deit:
        photos = replace(photos, mean=(0.5,) * 3, std=(0.5,) * 3)
    name = f"{'deit' if deit else 'vit'}_{size}_patch{patch}_224.{tag}"
    module = partial(ViT, patch, width, depth, heads)
    return Entry(module, imagenet_labels, photos, repository=f"timm/{name}", renamed=renamed(depth))


FAMILY = Family(
    entries=MappingProxyType(
        {
            "vit_tiny_patch16": _entry("tiny", 16),
            "vit_small_patch32": _entry("small", 32),
            "vit_small_patch16": _entry("small", 16),
            "vit_base_patch32": _entry("base", 32),
            "vit_base_patch16": _entry("base", 16),
            "vit_base_patch8": _entry("base", 8),
            "vit_large_patch16": _entry("large", 16),
            "deit_tiny_patch16": _entry("tiny", 16, "fb_in1k", deit=True),
            "deit_small_patch16": _entry("small", 16, "fb_in1k", deit=True),
            "deit_base_patch16": _entry("base", 16, "fb_in1k", deit=True),
        }
    ),
    head="head.weight",
)
