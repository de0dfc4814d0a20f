"""The registry of model families: a new one is its module, with a `Family`, and an entry here."""

from . import convnext, densenet, efficientnet, mixer, mobilenet, regnet, resnet, swin, tiny, vgg, vit
from .family import Entry, Family

__all__ = ["FAMILIES", "entries", "family_of", "renamed"]

FAMILIES: tuple[Family, ...] = (
    efficientnet.FAMILY, tiny.FAMILY, resnet.FAMILY, vgg.FAMILY, mobilenet.FAMILY, densenet.FAMILY, convnext.FAMILY,
    regnet.FAMILY, vit.FAMILY, swin.FAMILY, mixer.FAMILY,
)  # fmt: skip


def entries() -> dict[str, Entry]:
    """Every model of every family by name."""
    return {name: entry for family in FAMILIES for name, entry in family.entries.items()}


def family_of(name: str) -> Family:
    """The family of a model that there is."""
    return next(family for family in FAMILIES if name in family.entries)


def renamed(model: str) -> dict[str, str]:
    """What others call the beginnings of a model's parameters, nothing where there is no model of that name."""
    own = entries().get(model)
    return {} if own is None else {**family_of(model).renamed, **own.renamed}
