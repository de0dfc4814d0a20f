"""What follows is read by threads while what is there is worked on."""

from collections.abc import Iterator
from typing import Any

import grain

__all__ = ["ahead"]

_THREADS, _BATCHES = 2, 4


def ahead(items: grain.MapDataset[Any], batch: int = 1) -> Iterator[Any]:
    """Items in order, each made by a thread before it is asked for.

    Args:
        items: what is made, by place.
        batch: how many are worked on at a time; a few times as many are made ahead.
    """
    return iter(items.to_iter_dataset(grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_BATCHES * batch)))
