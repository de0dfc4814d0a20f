"""The class names of ImageNet-1k and Tiny-ImageNet-200, and classes by name.

`imagenet_classes.txt` holds line by line the WordNet id and synonyms of the 1000 synsets of ILSVRC 2012 (Russakovsky et
al., arXiv 1409.0575), in the order of their ids, which is the order of torchvision's logits. Two classes are both
called "crane": 134 is the bird, 517 the machine.
"""

import difflib
import operator
import re
import unicodedata
from collections.abc import Sequence
from importlib import resources

from srd_jax.errors import TargetError
from srd_jax.messages import shortened

__all__ = [
    "imagenet_classes",
    "imagenet_labels",
    "nameless",
    "readable",
    "resolve_target",
    "tiny_imagenet_classes",
    "tiny_imagenet_labels",
    "unlike",
]

_SHOWN = 10
_LONGEST = 200  # characters of a name that is compared with all others letter by letter
_DIGITS = 18


def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The 1000 classes of ImageNet-1k in logit order: WordNet id and name, its synonyms joined by commas."""
    return _classes("imagenet_classes.txt")


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names in logit order, each its synonyms joined by commas: "tabby, tabby cat" is class 281."""
    return tuple(name for _, name in imagenet_classes())


def tiny_imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The 200 classes of Tiny-ImageNet in label order: WordNet id and name, its synonyms joined by commas."""
    return _classes("tiny_imagenet_classes.txt")


def tiny_imagenet_labels() -> tuple[str, ...]:
    """The 200 class names in logit order."""
    return tuple(name for _, name in tiny_imagenet_classes())


def resolve_target(target: str | int, labels: Sequence[str]) -> int:
    """Index of the class that `target` means.

    A name is compared first with whole labels, as they are and then without case, "_" as a space; next with each of
    their synonyms, and last with parts of them. A string of an integer that is no label is an index.

    Args:
        target: a class index or name.
        labels: class names in logit order, synonyms joined by commas.

    Raises:
        TargetError: if the index is out of range, no class is so called (with the closest names), or several are.
    """
    if isinstance(target, str):
        whole = _whole(target, labels)
        if whole or not re.fullmatch(r"[+-]?\d+", target.strip()):
            return _named(target, labels, whole)
        given = shortened(target.strip())
        index = int(target.strip()) if len(target.strip()) < _DIGITS else -1  # Python refuses to read thousands of them
    else:
        try:
            index = operator.index(target)
        except TypeError:
            raise TargetError(f"a class is an index or a name, not {shortened(repr(target))}.") from None
        given = shortened(target) if index.bit_length() < 64 else f"of {index.bit_length()} bits"
    if isinstance(target, bool) or not 0 <= index < len(labels):
        raise TargetError(f"there is no class {given}: the model has classes 0 to {len(labels) - 1}.")
    return index


def readable(names: Sequence[str]) -> tuple[str, ...]:
    """Class names as people write them: for a WordNet id of ImageNet's classes their names, for "_" a space."""
    known = dict(imagenet_classes())
    return tuple(known.get(name, name.replace("_", " ")) for name in names)


def nameless(labels: Sequence[str]) -> bool:
    """Whether classes have numbers in place of names, as ``class 7`` or ``7``."""
    return all(re.fullmatch(r"(class )?\d+", _plain(label)) for label in labels)


def unlike(labels: Sequence[str], others: Sequence[str]) -> list[int]:
    """Indices of the classes that have different names in two lists of the same length.

    Case, spaces and marks make no difference, nor which synonyms are given; a WordNet id of ImageNet's classes stands
    for their names.

    Example:
        ``unlike(["tabby, tabby cat", "tench"], ["Tabby_Cat", "goldfish"])`` is ``[1]``.
    """
    known = dict(imagenet_classes())

    def spelt(label: str) -> set[str]:
        synset = re.match(r"n\d{8}", label)
        parts = [label, *label.split(",")]
        if synset:
            parts += [label[synset.end() :], *known.get(synset[0], "").split(",")]
        letters = {"".join(filter(str.isalnum, unicodedata.normalize("NFKC", part).casefold())) for part in parts}
        return letters - {""} or {label}

    return [i for i, (one, other) in enumerate(zip(labels, others, strict=True)) if not spelt(one) & spelt(other)]


def _classes(file: str) -> tuple[tuple[str, str], ...]:
    """Lines of a WordNet id and what follows it."""
    text = resources.files(__package__).joinpath(file).read_text("utf-8")
    return tuple((synset, name) for synset, _, name in (line.partition(" ") for line in text.splitlines()))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _whole(target: str, labels: Sequence[str]) -> list[int]:
    """Classes whose whole label a name is; if there is one that is spelt so, those alone."""
    wanted = _plain(target)
    alike = [i for i, label in enumerate(labels) if wanted and _plain(label) == wanted]
    return [i for i in alike if labels[i] == target] or alike


def _named(target: str, labels: Sequence[str], whole: Sequence[int]) -> int:
    wanted = _plain(target)
    plain = [_plain(label) for label in labels]
    synonyms = [set(re.split(r"\s*,\s*", label)) for label in plain]
    matches = list(whole) or [i for i, names in enumerate(synonyms) if wanted and wanted in names]
    if not matches and wanted:
        matches = [i for i, label in enumerate(plain) if wanted in label]
    if len(matches) == 1:
        return matches[0]
    given = shortened(repr(target))
    if matches:
        # whole words first: "cat" is rather a tabby cat than a catamaran
        matches.sort(key=lambda i: f" {wanted} " not in f" {plain[i].replace(',', ' ')} ")
        more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
        raise TargetError(
            f"{given} fits {len(matches)} classes: {_listed(matches, labels)}{more}. Give a full name or the index."
        )
    names = {name for each in synonyms for name in each}
    close = difflib.get_close_matches(wanted, names, n=5) if len(wanted) <= _LONGEST else []
    near = sorted({i for i, each in enumerate(synonyms) if each & set(close)})
    hint = f"Did you mean {_listed(near, labels)}?" if near else "Give a class name or an index."
    raise TargetError(f"no class is called {given}. {hint}")


def _listed(indices: Sequence[int], labels: Sequence[str]) -> str:
    return "; ".join(f"{i} ({shortened(labels[i])})" for i in indices[:_SHOWN])
