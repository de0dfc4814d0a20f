"""A batch of images with what is known of them, and a model run over batches of one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8

from srd_jax.errors import WeightsError

if TYPE_CHECKING:
    pass

__all__ = ["Batch", "check_logits", "filled"]


@dataclass(frozen=True)
class Batch:
    """Images as the model sees them before normalisation.

    Attributes:
        images: (N, size, size, 3) uint8.
        labels: (N,) class indices, -1 where unknown.
        boxes: (N, 4) row0, col0, row1, col1 of the object in pixels of ``images``, the last ones exclusive; NaN where
            unknown, None where all are.
        names: what the images are called, where they have names.
    """

    images: UInt8[np.ndarray, "N size size 3"]
    labels: Int32[np.ndarray, " N"]
    boxes: Float32[np.ndarray, "N 4"] | None = None
    names: tuple[str, ...] = ()


def filled(batch: Sequence[Any] | np.ndarray, size: int) -> np.ndarray:
    """A batch filled up to a size with its last item, so that nothing is compiled twice."""
    items = np.asarray(batch)
    return np.concatenate([items, np.repeat(items[-1:], size - len(items), 0)]) if len(items) < size else items


def check_logits(logits: Float[np.ndarray, "..."], model: str) -> None:
    """Refuse to go on from logits that say nothing.

    Raises:
        WeightsError: one is NaN or infinite.
    """
    if not np.isfinite(logits).all():
        raise WeightsError(
            f"{model} gives logits that are NaN or infinite, which no class can be read from: its weights are damaged "
            "or too large"
        )
