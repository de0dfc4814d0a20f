"""What a family of models says of itself: its models, its weights' names, and whether it can be trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flax import linen as nn

from .labels import imagenet_labels
from .photos import Preprocessing

__all__ = ["Entry", "Family"]


@dataclass(frozen=True)
class Entry:
    """What is known of a model before it is built.

    Attributes:
        module: makes the Flax module from ``num_classes`` and ``dtype``. The module has ``layers``, the names of its
            PFV maps, and ``min_extent``, the smallest side of an image in pixels.
        classes: names in logit order, of the weights that `load` finds by itself.
        preprocessing: how it wants its photos.
        repository: of its weights on the Hugging Face hub, where the family's does not serve.
        renamed: what others call the beginnings of its parameters, as in `Family`.
        weights: file of weights that come with the package, None where they are on the hub.
    """

    module: Callable[..., nn.Module]
    classes: Callable[[], tuple[str, ...]] = imagenet_labels
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    repository: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None


@dataclass(frozen=True)
class Family:
    """Models of one kind of module, whose parameters have torchvision's names.

    Attributes:
        entries: its models by name.
        head: torchvision's name of the last dense layer's kernel.
        repository: of a model's weights on the Hugging Face hub, with ``{name}`` in it.
        renamed: what others call the beginnings of parameters, and what torchvision calls them.
        flattened: dense kernels that read a flattened map, by torchvision's name, and the positions a side of that map;
            they may also be stored as convolutions of that size.
        can_train: whether the module has a training mode, ``train=True``.
    """

    entries: Mapping[str, Entry]
    head: str
    repository: str = "timm/{name}.tv_in1k"
    renamed: Mapping[str, str] = field(default_factory=dict)
    flattened: Mapping[str, int] = field(default_factory=dict)
    can_train: bool = False
