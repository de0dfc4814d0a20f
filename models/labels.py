"""The class names of ImageNet-1k and Tiny-ImageNet-200, and classes by name.

`imagenet_classes.txt` holds line by line the WordNet synonyms of the 1000 synsets of ILSVRC 2012 (Russakovsky et al.,
arXiv 1409.0575), in the order of their WordNet ids, which is the order of torchvision's logits. Two classes are both
called "crane": 134 is the bird, 517 the machine.
"""

import difflib
import operator
from collections.abc import Sequence
from importlib import resources

from srd_jax.errors import TargetError

__all__ = ["imagenet_labels", "resolve_target", "tiny_imagenet_classes", "tiny_imagenet_labels"]

_SHOWN = 10


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names in logit order, each its synonyms joined by commas: "tabby, tabby cat" is class 281."""
    text = resources.files(__package__).joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple(text.splitlines())


def tiny_imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The 200 classes of Tiny-ImageNet in label order: WordNet id and name, its synonyms joined by commas."""
    text = resources.files(__package__).joinpath("tiny_imagenet_classes.txt").read_text("utf-8")
    return tuple((synset, name) for synset, _, name in (line.partition(" ") for line in text.splitlines()))


def tiny_imagenet_labels() -> tuple[str, ...]:
    """The 200 class names in logit order."""
    return tuple(name for _, name in tiny_imagenet_classes())


def resolve_target(target: str | int, labels: Sequence[str]) -> int:
    """Index of the class that `target` means.

    A name is compared without case, "_" as a space: first with whole labels and each of their synonyms, then as a part
    of them. A string of an integer is an index.

    Args:
        target: a class index or name.
        labels: class names in logit order, synonyms joined by commas.

    Raises:
        TargetError: if the index is out of range, no class is so called (with the closest names), or several are.
    """
    if isinstance(target, str) and not target.strip().lstrip("+-").isdecimal():
        return _named(target, labels)
    try:
        index = int(target) if isinstance(target, str) else operator.index(target)
    except TypeError:
        raise TargetError(f"a class is an index or a name, not {target!r}.") from None
    if isinstance(target, bool) or not 0 <= index < len(labels):
        raise TargetError(f"there is no class {target}: the model has classes 0 to {len(labels) - 1}.")
    return index


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _named(target: str, labels: Sequence[str]) -> int:
    wanted = _plain(target)
    plain = [_plain(label) for label in labels]
    synonyms = [{label, *label.split(", ")} for label in plain]
    matches = [i for i, names in enumerate(synonyms) if wanted in names]
    if not matches and wanted:
        matches = [i for i, label in enumerate(plain) if wanted in label]
    if len(matches) == 1:
        return matches[0]
    if matches:
        # whole words first: "cat" is rather a tabby cat than a catamaran
        matches.sort(key=lambda i: f" {wanted} " not in f" {plain[i].replace(',', ' ')} ")
        more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
        raise TargetError(
            f"{target!r} fits {len(matches)} classes: {_listed(matches, labels)}{more}. Give a full name or the index."
        )
    close = difflib.get_close_matches(wanted, {name for names in synonyms for name in names}, n=5)
    near = sorted({i for i, names in enumerate(synonyms) if names & set(close)})
    hint = f"Did you mean {_listed(near, labels)}?" if near else "Give a class name or an index."
    raise TargetError(f"no class is called {target!r}. {hint}")


def _listed(indices: Sequence[int], labels: Sequence[str]) -> str:
    return "; ".join(f"{i} ({labels[i]})" for i in indices[:_SHOWN])
