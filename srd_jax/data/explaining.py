"""Maps of chunks of images by any attribution method, computed ahead of what is written."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from srd_jax.attribution import find_method, with_options
from srd_jax.batch import check_logits
from srd_jax.models.ranks import Rank

from .chunks import Chunk
from .spreading import local_devices
from .store import DONE, UNREADABLE, Rows, Writer

if TYPE_CHECKING:
    from srd_jax.models import Network

__all__ = ["TRUE_LABEL", "explained", "rows_of", "unreadable"]

TRUE_LABEL = -1
"""Stands for an image's own label among the classes to explain."""


def explained(
    net: "Network",
    wanted: Sequence[int | Rank],
    method: str,
    options: Mapping[str, Any],
    found: Iterable[Chunk],
    writer: Writer,
) -> Iterator[Chunk]:
    """Chunks that have been written; the next one is computed, on all devices of this process, while one is.

    Args:
        net: the model.
        wanted: classes, ranks among the likeliest, and `TRUE_LABEL`.
        method: name in `srd_jax.attribution.METHODS`.
        options: of the method.
        found: chunks to explain.
        writer: of their store.

    Raises:
        WeightsError: logits that are not finite.
        SRDError: the store cannot be written.
    """
    devices = local_devices()

    def written(chunk: Chunk, results: Sequence[Any]) -> Chunk:
        *kept, largest = results
        check_logits(np.delete(largest[: chunk.count], list(chunk.problems)), net.name)
        writer.write(chunk.index, rows_of(chunk, kept, writer.dtype))
        return chunk

    step = _step(net, wanted, method, options)
    variables = devices.copies(net.variables)
    before: tuple[Chunk, Any] | None = None
    for chunk in found:
        ahead = chunk, step(variables, devices.rows(chunk.inputs), devices.rows(chunk.labels))
        if before:
            yield written(*before)
        before = ahead
    if before:
        yield written(*before)


def unreadable(status: np.ndarray) -> np.ndarray:
    """Places of a store's images that could not be read."""
    return (status == UNREADABLE).nonzero()[0]


def _step(net: "Network", wanted: Sequence[int | Rank], method: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """(variables, inputs, labels) -> maps, targets, their logits, predictions, largest logits; compiled once."""
    explain = with_options(find_method(method), options)(net.apply)
    most = max((each.rank for each in wanted if isinstance(each, Rank)), default=1)

    @jax.jit
    def step(variables: Any, inputs: Any, labels: Any) -> tuple[Any, ...]:
        logits = net.apply(variables, inputs)
        _, likeliest = jax.lax.top_k(logits, most)

        def column(each: int | Rank) -> Any:
            if isinstance(each, Rank):
                return likeliest[:, each.rank - 1]
            return jnp.maximum(labels, 0) if each == TRUE_LABEL else jnp.full_like(labels, each)

        targets = jnp.stack([column(each) for each in wanted], 1).astype(jnp.int32)
        maps = explain(variables, inputs, targets)
        scores = jnp.take_along_axis(logits, targets, 1)
        return maps, targets, scores, likeliest[:, 0].astype(jnp.int32), jnp.max(jnp.abs(logits), 1)

    return step


def rows_of(chunk: Chunk, results: Sequence[Any], dtype: Any, measures: np.ndarray | None = None) -> Rows:
    """What is kept of a chunk: nothing of the images that cannot be read.

    Args:
        chunk: the images.
        results: maps, targets, their logits and predictions, with more rows than there are images.
        dtype: of the maps that are kept.
        measures: of the maps, where they are measured.
    """
    maps, targets, scores, predicted = (np.array(each)[: chunk.count] for each in results)
    status = np.full(chunk.count, DONE, np.uint8)
    gaps = list(chunk.problems)
    status[gaps] = UNREADABLE
    maps[gaps], scores[gaps], targets[gaps], predicted[gaps] = np.nan, np.nan, -1, -1
    if measures is not None:
        measures = np.array(measures)[: chunk.count]
        measures[gaps] = np.nan
    with np.errstate(over="ignore"):
        return Rows(
            maps.astype(dtype), targets, scores.astype(np.float32), predicted, status, chunk.checksums, measures
        )
