"""Batches of pixels from a source: in order for evaluation, shuffled and augmented for training.

Both are functions of a place in the sequence and a seed alone, so work that was interrupted goes on where it stopped.
"""

from collections.abc import Iterator

import grain
import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from srd_jax.batch import Batch
from srd_jax.errors import DataError
from srd_jax.models import photos
from srd_jax.models.framing import frame

from .reading import ahead
from .sources import Example, Source

__all__ = ["batches", "training_batches"]


def batches(
    source: Source,
    batch: int,
    *,
    size: int,
    resize: int,
    resample: photos.Resample = "bilinear",
    start: int = 0,
    stop: int | None = None,
    labelled: bool = False,
) -> Iterator[Batch]:
    """Batches in the source's order, the last one shorter where the number of images is no multiple.

    Args:
        source: the images.
        batch: how many at a time.
        size: side of the centre crop in pixels.
        resize: length of the shorter side before it.
        resample: the filter that images are resized with.
        start: place of the first image.
        stop: place after the last image; by default the end.
        labelled: leave out the images whose class is unknown.

    Raises:
        ImageError: an image cannot be decoded.
        DataError: only images whose class is known are wanted, and there are none.
    """
    stop = len(source) if stop is None else min(stop, len(source))
    wanted = grain.MapDataset.source(source)[start:stop]
    if labelled:
        wanted = wanted.filter(lambda example: example.label >= 0)
    examples = wanted.map(lambda each: _evaluated(source, each, size, resize, resample))
    pending: list[tuple[np.ndarray, Example, np.ndarray]] = []
    nothing = True
    for item in ahead(examples, batch):
        nothing = False
        pending.append(item)
        if len(pending) == batch:
            yield _stack(pending)
            pending = []
    if pending:
        yield _stack(pending)
    if labelled and nothing:
        raise DataError(f"no image of {source.name} has a label")


def training_batches(
    source: Source,
    batch: int,
    *,
    size: int,
    smallest_area: float,
    seed: int,
    start: int,
    stop: int,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[tuple[UInt8[np.ndarray, "N size size 3"], Int32[np.ndarray, " N"]]]:
    """Shuffled, randomly cropped and mirrored batches: steps ``start`` to ``stop`` of an endless sequence.

    Args:
        source: the images.
        batch: images a step, over all shards.
        size: side of the crops in pixels.
        smallest_area: smallest share of an image's area that a crop takes.
        seed: of order and crops.
        start: first step.
        stop: step after the last.
        shard: which part of every batch, and of how many.

    Raises:
        ImageError: an image cannot be decoded.
        DataError: the class of an image is unknown.
    """
    place, shards = shard
    sequence = (
        grain.MapDataset.source(source)
        .seed(seed)
        .shuffle()
        .repeat(None, reseed_each_epoch=True)
        .random_map(lambda example, rng: (_augmented(source, example, rng, size, smallest_area), example.label))
    )
    mine = sequence[start * batch + place : stop * batch : shards]
    images: list[np.ndarray] = []
    labels: list[int] = []
    for image, label in ahead(mine, batch // shards):
        images.append(image)
        labels.append(label)
        if len(images) == batch // shards:
            yield np.stack(images), np.array(labels, np.int32)
            images, labels = [], []


def augmented(
    image: Image.Image, rng: np.random.Generator, size: int, smallest_area: float
) -> UInt8[np.ndarray, "size size 3"]:
    """A random crop of an RGB image, of random area and aspect (3:4 to 4:3), resized, mirrored half of the time."""
    width, height = image.size
    area = width * height * rng.uniform(smallest_area, 1)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    wide, high = min(width, np.sqrt(area * aspect)), min(height, np.sqrt(area / aspect))
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    box = (left, top, left + wide, top + high)
    crop = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def _augmented(
    source: Source, example: Example, rng: np.random.Generator, size: int, smallest_area: float
) -> UInt8[np.ndarray, "size size 3"]:
    if example.label < 0:
        raise DataError(f"image {example.name} of {source.name} has no label, and nothing can be learnt from it")
    return augmented(_decoded(source, example), rng, size, smallest_area)


def _decoded(source: Source, example: Example) -> Image.Image:
    return photos.decoded(example.encoded, f"{source.name}: {example.name}")


def _evaluated(
    source: Source, example: Example, size: int, resize: int, resample: photos.Resample
) -> tuple[np.ndarray, Example, np.ndarray]:
    """The centre crop, and the object's box in its pixels."""
    image = _decoded(source, example)
    extents = (image.height, image.width)
    corners = frame(extents, size=size, resize=resize).corners(example.box, extents)
    return photos.crop(image, size=size, resize=resize, resample=resample), example, np.clip(corners, 0, size)


def _stack(items: list[tuple[np.ndarray, Example, np.ndarray]]) -> Batch:
    images, examples, boxes = zip(*items, strict=True)
    return Batch(
        np.stack(images),
        np.array([example.label for example in examples], np.int32),
        np.stack(boxes).astype(np.float32),
        tuple(example.name for example in examples),
    )
