"""VGG-11/13/16/19 with and without batch norm in Flax Linen, laid out as torchvision's (arXiv 1409.1556).

Evaluation only: dropout is the identity and batch norm uses its running statistics. Module names spell torchvision's
parameter names; a ReLU's output carries its index in torchvision's module, `features.N` or `classifier.N`.
"""

from collections.abc import Iterator
from functools import partial
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from .family import Entry, Family

__all__ = ["FAMILY", "GRID", "VGG", "Classifier", "Features", "adaptive_average_pool"]

GRID = 7  # positions a side of the map that the classifier flattens
WIDTHS = (64, 128, 256, 512, 512)


def adaptive_average_pool(
    x: Float[Array | np.ndarray, "N H W C"], extent: int = GRID
) -> Float[Array, "N extent extent C"]:
    """Average-pool to extent x extent positions over PyTorch's windows, and do nothing where x has that size already.

    Window i covers floor(i * n / extent) up to ceil((i + 1) * n / extent): windows differ in size and may overlap, so
    this is not a strided pooling. Their mean over both axes is the mean over one axis after the other, named `avgpool`
    as a PFV map (`avgpool.rows` where only rows are pooled yet).

    Args:
        x: feature map (N, H, W, C), any float dtype.
        extent: positions a side of the result.

    Returns:
        (N, extent, extent, C) in the dtype of x.
    """
    axes = [axis for axis in (1, 2) if x.shape[axis] != extent]
    for axis in axes:
        n = x.shape[axis]
        windows = [lax.slice_in_dim(x, i * n // extent, -(-(i + 1) * n // extent), axis=axis) for i in range(extent)]
        # a pool rather than a mean, so that the axis stays one of positions
        means = [nn.avg_pool(window, (window.shape[1], 1) if axis == 1 else (1, window.shape[2])) for window in windows]
        x = checkpoint_name(jnp.concatenate(means, axis), "avgpool" if axis == axes[-1] else "avgpool.rows")
    return jnp.asarray(x)


class Features(nn.Module):
    """The convolutional part: stages of 3x3 convolutions, each closed by a 2x2 max pooling.

    Attributes:
        depths: number of convolutions in each stage.
        widths: channels of each stage.
        batch_norm: whether batch norm follows each convolution.
        dtype: computation dtype; parameters are float32.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = WIDTHS
    batch_norm: bool = False
    dtype: Any = jnp.float32

    def stages(self) -> Iterator[tuple[int, list[int]]]:
        """Channels of each stage and torchvision's index of each of its convolutions."""
        index, step = 0, 3 if self.batch_norm else 2
        for depth, width in zip(self.depths, self.widths, strict=True):
            yield width, [index + step * i for i in range(depth)]
            index += step * depth + 1

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order."""
        offset = 2 if self.batch_norm else 1
        return tuple(f"features.{index + offset}" for _, indices in self.stages() for index in indices)

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "N H W C"]) -> Float[Array, "N Ho Wo Co"]:
        """Run the part: (N, H, W, 3) to (N, H // 32, W // 32, 512) for the usual five stages."""
        names = iter(self.layers)
        for width, indices in self.stages():
            for index in indices:
                x = nn.Conv(
                    width,
                    (3, 3),
                    padding=((1, 1), (1, 1)),
                    dtype=self.dtype,
                    name=str(index),
                )(x)
                if self.batch_norm:
                    x = nn.BatchNorm(use_running_average=True, epsilon=1e-5, dtype=self.dtype, name=str(index + 1))(x)
                x = checkpoint_name(nn.relu(x), next(names))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        return jnp.asarray(x)


class Classifier(nn.Module):
    """Three dense layers with ReLUs between them.

    Attributes:
        num_classes: number of logits.
        hidden: neurons of the first two layers.
        dtype: computation dtype; parameters are float32.
    """

    num_classes: int = 1000
    hidden: int = 4096
    dtype: Any = jnp.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the ReLUs in forward order."""
        return ("classifier.1", "classifier.4")

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "N D"]) -> Float[Array, "N classes"]:
        """Run the part: (N, D) to (N, num_classes)."""
        for index, name in zip(("0", "3"), self.layers, strict=True):  # torchvision's dropout sits at 2 and 5
            x = checkpoint_name(nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name=index)(x)), name)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="6")(x)


class VGG(nn.Module):
    """A VGG from normalised images to logits.

    The flatten before the classifier is in (row, column, channel) order; `weights` permutes torchvision's channel-major
    kernel to fit.

    Attributes:
        depths: number of convolutions in each stage.
        widths: channels of each stage.
        batch_norm: whether batch norm follows each convolution.
        num_classes: number of logits.
        hidden: neurons of the classifier's first two layers.
        dtype: computation dtype, such as bfloat16; parameters and logits are float32 (or wider, if dtype is).
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = WIDTHS
    batch_norm: bool = False
    num_classes: int = 1000
    hidden: int = 4096
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the two parts."""
        self.features = Features(self.depths, self.widths, self.batch_norm, self.dtype)
        self.classifier = Classifier(self.num_classes, self.hidden, self.dtype)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the PFV maps in forward order; the classifier's two have a single position."""
        features = Features(self.depths, self.widths, self.batch_norm, parent=None)
        return features.layers + Classifier(parent=None).layers

    @property
    def min_extent(self) -> int:
        """Smallest height or width of an image in pixels: every stage halves it."""
        return 2 ** len(self.depths)

    def __call__(self, images: Float[Array | np.ndarray, "N H W 3"]) -> Float[Array, "N classes"]:
        """Run the network: (N, H, W, 3) to (N, num_classes)."""
        x = adaptive_average_pool(self.features(images))
        x = self.classifier(x.reshape(x.shape[0], -1))
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))


FAMILY = Family(
    entries=MappingProxyType(
        {
            f"vgg{layers}{suffix}": Entry(partial(VGG, depths, batch_norm=bool(suffix)))
            for layers, depths in (
                (11, (1, 1, 2, 2, 2)),
                (13, (2, 2, 2, 2, 2)),
                (16, (2, 2, 3, 3, 3)),
                (19, (2, 2, 4, 4, 4)),
            )
            for suffix in ("", "_bn")
        }
    ),
    head="classifier.6.weight",
    # timm's names
    renamed=MappingProxyType(
        {"pre_logits.fc1.": "classifier.0.", "pre_logits.fc2.": "classifier.3.", "head.fc.": "classifier.6."}
    ),
    flattened=MappingProxyType({"classifier.0.weight": GRID, "classifier.3.weight": 1, "classifier.6.weight": 1}),
)
