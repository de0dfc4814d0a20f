"""A small ResNet for photos of 64 x 64 pixels whose trained weights come with the package.

ResNet-18's layout with fewer channels, a stem for small images and averaging skips, for the 200 classes of
Tiny-ImageNet. README.md says how it was trained; ``tiny_resnet.json`` beside the weights holds the recipe, what it
reached and the file's checksum.
"""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp

from . import resnet
from .family import Entry
from .labels import tiny_imagenet_labels
from .photos import Preprocessing
from .resnet import ResNet

__all__ = ["FAMILY", "SIZE", "WEIGHTS", "tiny_resnet"]

SIZE = 64
WEIGHTS = Path(__file__).with_name("tiny_resnet.safetensors")


def tiny_resnet(*, num_classes: int = 200, dtype: Any = jnp.float32) -> ResNet:
    """The module: eight basic blocks of 16, 40, 96 and 192 channels, 1.6 million parameters.

    Args:
        num_classes: number of logits.
        dtype: computation dtype.
    """
    return ResNet(
        (2, 2, 2, 2),
        bottleneck=False,
        num_classes=num_classes,
        widths=(16, 40, 96, 192),
        stem="small",
        pool_skips=True,
        dtype=dtype,
    )


_ENTRY = Entry(tiny_resnet, tiny_imagenet_labels, Preprocessing(SIZE, SIZE), weights=WEIGHTS)
FAMILY = replace(resnet.FAMILY, entries=MappingProxyType({"tiny_resnet": _ENTRY}))
