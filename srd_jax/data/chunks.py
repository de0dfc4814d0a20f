"""Images in chunks of one size, read and prepared ahead; one that cannot be read leaves a gap and a reason."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grain
import numpy as np
from jaxtyping import Float32, Int32
from PIL import Image

from srd_jax.models import photos

from .checksums import image_checksum
from .images import NO_LABEL, Images
from .reading import ahead

__all__ = ["Chunk", "chunks"]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some images that lie beside each other.

    Attributes:
        index: which chunk it is.
        start: place of its first image.
        count: how many images it holds; the rows after them are filled up, as are those that cannot be read.
        inputs: (chunk size, H, W, 3), what the model takes.
        labels: (chunk size,) class indices, `NO_LABEL` where unknown.
        problems: by row, why an image cannot be read.
        checksums: of the images, None where there was nothing to read.
        notes: what was noted of each image that could be read.
    """

    index: int
    start: int
    count: int
    inputs: Float32[np.ndarray, "n H W 3"]
    labels: Int32[np.ndarray, " n"]
    problems: Mapping[int, str]
    checksums: tuple[str | None, ...]
    notes: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Row:
    """One image, or why there is none."""

    pixels: Float32[np.ndarray, "H W 3"] | None
    label: int
    problem: str
    checksum: str | None
    note: Any = None


def chunks(
    images: Images,
    indices: Sequence[int],
    chunk: int,
    *,
    size: int,
    prepare: Callable[[Image.Image], Float32[np.ndarray, "H W 3"]],
    note: Callable[[int, Image.Image], Any] | None = None,
) -> Iterator[Chunk]:
    """The chunks asked for, in the order asked for, while threads read the following ones.

    Args:
        images: all of them; chunk k holds those from place k * chunk on.
        indices: which chunks.
        chunk: images in each, but for the last.
        size: side of what ``prepare`` returns.
        prepare: upright image -> what the model takes.
        note: place and upright image -> what else is wanted of it; an image of which it raises cannot be read.
    """
    places = [(index, index * chunk, min((index + 1) * chunk, len(images))) for index in indices]
    order = [place for _, start, stop in places for place in range(start, stop)]
    if not order:
        return
    read = grain.MapDataset.source(order).map(lambda place: _row(images, int(place), prepare, note))
    rows = ahead(read, chunk)
    for index, start, stop in places:
        inputs = np.zeros((chunk, size, size, 3), np.float32)
        labels = np.full(chunk, NO_LABEL, np.int32)
        problems: dict[int, str] = {}
        checksums: list[str | None] = []
        notes: dict[int, Any] = {}
        for row in range(stop - start):
            found = next(rows)
            labels[row] = found.label
            checksums.append(found.checksum)
            if found.pixels is None:
                problems[row] = found.problem
            else:
                inputs[row] = found.pixels
                notes[row] = found.note
        yield Chunk(index, start, stop - start, inputs, labels, problems, tuple(checksums), notes)


def _row(
    images: Images,
    place: int,
    prepare: Callable[[Image.Image], np.ndarray],
    note: Callable[[int, Image.Image], Any] | None,
) -> _Row:
    checksum = None
    try:
        encoded, label = images.read(place)
        checksum = image_checksum(encoded, label)
        with photos.decoded(encoded, "it") as image:
            return _Row(prepare(image), label, "", checksum, note and note(place, image))
    except Exception as error:  # what decoders raise of a damaged file depends on the format and on the damage
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return _Row(None, NO_LABEL, re.sub(r" <_io\.BytesIO[^>]*>", "", reason), checksum)
