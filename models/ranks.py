"""Classes that are asked for in words: by name, by index, or by rank among the likeliest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from srd_jax.errors import TargetError

from .labels import resolve_target

__all__ = ["Rank", "parse", "resolve"]


_DIGITS = 5


@dataclass(frozen=True)
class Rank:
    """The class with the rank-th largest logit, from 1."""

    rank: int


def parse(targets: Sequence[str]) -> list[str | Rank]:
    """Each target once; topK stands for the K likeliest classes, anything else is left as it is.

    Raises:
        TargetError: more likeliest classes than a model can have.
    """
    wanted: list[str | Rank] = []
    for each in targets:
        top = re.fullmatch(r"top([1-9]\d*)", each.strip().casefold())
        if top and len(top[1]) > _DIGITS:
            raise TargetError(f"top{top[1]} is more than there is: no model has so many classes")
        wanted += [Rank(rank + 1) for rank in range(int(top[1]))] if top else [each]
    return list(dict.fromkeys(wanted))


def resolve(wanted: Sequence[str | Rank], labels: Sequence[str]) -> list[int | Rank]:
    """Names and indices as class indices.

    Raises:
        TargetError: the model has no such class, or not so many.
    """
    most = max((each.rank for each in wanted if isinstance(each, Rank)), default=0)
    if most > len(labels):
        raise TargetError(f"top{most} is more than there is: the model has {len(labels)} classes")
    return [each if isinstance(each, Rank) else resolve_target(each, labels) for each in wanted]
