"""Which classes to explain, as they are asked for on the command line."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from srd_jax.errors import TargetError

__all__ = ["Rank", "parse", "resolve"]


_DIGITS = 5


@dataclass(frozen=True)
class Rank:
    """The class with the rank-th largest logit, from 1."""

    rank: int


def parse(targets: Sequence[str]) -> list[str | Rank]:
    """Each target once; topK stands for the K likeliest classes, anything else is left as it is.

    Raises:
        TargetError: a number that no class can have.
    """
    wanted: list[str | Rank] = []
    for each in targets:
        plain = each.strip().casefold()
        top = re.fullmatch(r"top([1-9]\d*)", plain)
        if top and len(top[1]) > _DIGITS:
            raise TargetError(f"{plain} is more classes than any model has")
        if re.fullmatch(r"[+-]*\d+", plain) and not re.fullmatch(rf"[+-]?\d{{1,{_DIGITS}}}", plain):
            raise TargetError(f"{plain} is no class index")
        wanted += [Rank(rank + 1) for rank in range(int(top[1]))] if top else [each]
    return list(dict.fromkeys(wanted))


def resolve(wanted: Sequence[str | Rank], labels: Sequence[str]) -> list[int | Rank]:
    """Names and indices as class indices; a name that is a whole label is that label, whatever else it is a part of.

    Raises:
        TargetError: the model has no such class, or not so many.
    """
    from srd_jax.models import resolve_target  # noqa: PLC0415

    most = max((each.rank for each in wanted if isinstance(each, Rank)), default=0)
    if most > len(labels):
        raise TargetError(f"top{most} is more than there is: the model has {len(labels)} classes")
    known = Counter(map(_plain, labels))
    whole = {_plain(label): index for index, label in enumerate(labels) if known[_plain(label)] == 1}
    found: list[int | Rank] = []
    for each in wanted:
        index = None if isinstance(each, Rank) or each.strip().lstrip("+-").isdecimal() else whole.get(_plain(each))
        found.append(each if isinstance(each, Rank) else resolve_target(each, labels) if index is None else index)
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
