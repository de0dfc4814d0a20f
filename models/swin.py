"""Swin transformers in Flax Linen, laid out as timm's (Liu et al., arXiv 2103.14030).

Module names spell timm's parameter names; torchvision's are known too. The PFV maps are `patch_embed`, in every block
`layers.0.blocks.0.attn` and `layers.0.blocks.0.mlp`, the sums after its two halves, and `layers.1.downsample`, a
smaller grid.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from .family import Entry, Family
from .labels import imagenet_labels
from .layers import convolution, layer_norm, logits_of, two_dense
from .photos import Preprocessing

__all__ = ["FAMILY", "Swin", "WindowAttention"]

_MASKED = -100.0  # as the authors': added to what softmax takes of positions that were no neighbours
_EPSILON = 1e-5  # of layer norms


class WindowAttention(nn.Module):
    """Softmax attention within square windows, with a bias for every distance between two positions.

    A map whose sides are no multiple of the window is padded with zeros, and these take part. A shift moves the windows
    by rolling the map; what comes together over its edge is masked.

    Attributes:
        heads: how many.
        window: side of a window in positions.
        shift: of the windows, 0 for none.
        dtype: computation dtype; parameters are float32.
    """

    heads: int
    window: int
    shift: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        """Run it on (N, H, W, channels)."""
        n, height, width, channels = x.shape
        side = self.window
        x = jnp.pad(x, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)))
        padded = x.shape[1:3]
        # a side of a single window has nothing to shift
        shifts = tuple(0 if extent <= side else self.shift for extent in padded)
        if any(shifts):
            x = jnp.roll(x, tuple(-shift for shift in shifts), (1, 2))
        rows, columns = (extent // side for extent in padded)
        x = x.reshape(n, rows, side, columns, side, channels).transpose(0, 1, 3, 2, 4, 5)
        qkv = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(x.reshape(n, rows * columns, side**2, channels))
        q, k, v = jnp.moveaxis(qkv.reshape(n, rows * columns, side**2, 3, self.heads, -1), 3, 0)
        scores = jnp.einsum("nwthd,nwshd->nwhts", q, k) * q.shape[-1] ** -0.5 + self._bias()
        if any(shifts):
            scores = scores + jnp.where(neighbours(padded, side, shifts), 0.0, _MASKED).astype(self.dtype)[:, None]
        mixed = jnp.einsum("nwhts,nwshd->nwthd", jax.nn.softmax(scores), v).reshape(
            n, rows, columns, side, side, channels
        )
        mixed = mixed.transpose(0, 1, 3, 2, 4, 5).reshape(n, *padded, channels)
        if any(shifts):
            mixed = jnp.roll(mixed, shifts, (1, 2))
        return nn.Dense(channels, dtype=self.dtype, name="proj")(mixed[:, :height, :width])

    def _bias(self) -> Float[Array, "heads t t"]:
        shape = ((2 * self.window - 1) ** 2, self.heads)
        table = self.param("relative_position_bias_table", nn.initializers.normal(0.02), shape)
        return jnp.moveaxis(table[distances(self.window)], -1, 0).astype(self.dtype)


class Block(nn.Module):
    """Attention within windows beside a skip, then a dense layer four times as wide, each after a layer norm.

    Attributes:
        heads: of the attention.
        window: side of a window in positions.
        shift: of the windows.
        dtype: computation dtype; parameters are float32.
    """

    heads: int
    window: int
    shift: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
        """Run the block on (N, H, W, channels)."""
        attention = WindowAttention(self.heads, self.window, self.shift, self.dtype, name="attn")
        x = checkpoint_name(x + attention(layer_norm(self.dtype, "norm1", epsilon=_EPSILON)(x)), f"{self.name}.attn")
        new = two_dense(layer_norm(self.dtype, "norm2", epsilon=_EPSILON)(x), 4 * x.shape[-1], self.dtype, "mlp")
        return checkpoint_name(x + new, f"{self.name}.mlp")


class Swin(nn.Module):
    """A Swin transformer from normalised images to logits.

    Attributes:
        width: channels of the first stage; each other has twice as many as the one before it.
        depths: number of blocks in each stage.
        heads: of the attention in each stage.
        window: side of a window in positions.
        num_classes: number of logits.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 7
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        names = ["patch_embed"]
        for s, depth in enumerate(self.depths):
            names += [f"layers.{s}.downsample"] if s else []
            names += [f"layers.{s}.blocks.{b}.{part}" for b in range(depth) for part in ("attn", "mlp")]
        return tuple(names)

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels."""
        return 32

    @nn.compact
    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""
        x = convolution(self.width, 4, 4, self.dtype, "patch_embed.proj", bias=True, padding="VALID")(images)
        x = checkpoint_name(layer_norm(self.dtype, "patch_embed.norm", epsilon=_EPSILON)(x), "patch_embed")
        for s, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            if s > 0:
                x = layer_norm(self.dtype, f"layers.{s}.downsample.norm", epsilon=_EPSILON)(four_as_one(x))
                reduce = nn.Dense(
                    2**s * self.width, use_bias=False, dtype=self.dtype, name=f"layers.{s}.downsample.reduction"
                )
                x = checkpoint_name(reduce(x), f"layers.{s}.downsample")
            for b in range(depth):
                shift = self.window // 2 if b % 2 else 0
                x = Block(heads, self.window, shift, self.dtype, name=f"layers.{s}.blocks.{b}")(x)
        x = layer_norm(self.dtype, "norm", epsilon=_EPSILON)(x).mean((1, 2))
        return logits_of(x, self.num_classes, self.dtype, "head.fc")


def four_as_one(x: Float[Array, "N H W C"]) -> Float[Array, "N h w D"]:
    """Squares of four positions as one of four times the channels, column by column; odd sides are padded."""
    n, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    x = x.reshape(n, x.shape[1] // 2, 2, x.shape[2] // 2, 2, channels).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(*x.shape[:3], 4 * channels)


def distances(window: int) -> Int[np.ndarray, "t t"]:
    """Which of the biases belongs to two positions of a window, by how far they are from each other."""
    places = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij"), -1).reshape(-1, 2)
    rows, columns = np.moveaxis(places[:, None] - places[None], -1, 0) + window - 1
    return rows * (2 * window - 1) + columns


def neighbours(extents: tuple[int, ...], window: int, shifts: tuple[int, ...]) -> Bool[np.ndarray, "w t t"]:
    """Which positions of each window were together before the map was rolled."""

    def parts(extent: int, shift: int) -> np.ndarray:
        place = np.arange(extent)
        return np.where(place < extent - window, 0, np.where(place < extent - shift, 1, 2)) if shift else 0 * place

    rows, columns = (parts(extent, shift) for extent, shift in zip(extents, shifts, strict=True))
    part = 3 * rows[:, None] + columns
    count = (extents[0] // window, window, extents[1] // window, window)
    part = part.reshape(count).transpose(0, 2, 1, 3).reshape(-1, window**2)
    return part[:, :, None] == part[:, None, :]


def renamed(depths: tuple[int, ...]) -> Mapping[str, str]:
    """What torchvision calls the beginnings of parameters."""
    names = {
        "features.0.0.": "patch_embed.proj.", "features.0.2.": "patch_embed.norm.", "head.fc.": "head.fc.",
        "head.": "head.fc.",
    }  # fmt: skip
    for s, depth in enumerate(depths):
        for b in range(depth):
            theirs, ours = f"features.{2 * s + 1}.{b}.", f"layers.{s}.blocks.{b}."
            names |= {theirs + "mlp.0.": ours + "mlp.fc1.", theirs + "mlp.3.": ours + "mlp.fc2."}
            names |= {theirs + part: ours + part for part in ("norm1.", "norm2.", "attn.")}
        names |= {f"features.{2 * s}.": f"layers.{s}.downsample."} if s else {}
    return MappingProxyType(names)


def _entry(size: str, width: int, depths: tuple[int, ...], heads: tuple[int, ...], tag: str = "ms_in1k") -> Entry:
    photos = Preprocessing(resize=248, resample="bicubic")
    repository = f"timm/swin_{size}_patch4_window7_224.{tag}"
    return Entry(partial(Swin, width, depths, heads), imagenet_labels, photos, repository, renamed(depths))


FAMILY = Family(
    entries=MappingProxyType(
        {
            "swin_tiny": _entry("tiny", 96, (2, 2, 6, 2), (3, 6, 12, 24)),
            "swin_small": _entry("small", 96, (2, 2, 18, 2), (3, 6, 12, 24)),
            "swin_base": _entry("base", 128, (2, 2, 18, 2), (4, 8, 16, 32)),
        }
    ),
    head="head.fc.weight",
)
