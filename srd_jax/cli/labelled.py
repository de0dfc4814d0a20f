"""What the commands that count work on: batches of images with labels, from photos or from a data set's split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from jaxtyping import Float32, Int32, UInt8

from srd_jax.errors import DataError
from srd_jax.models import Model
from srd_jax.models.labels import nameless, unlike
from srd_jax.quoting import shortened

from .extras import needing
from .inputs import Outline, photo_files, read_photo
from .terminal import one_line

if TYPE_CHECKING:
    from srd_jax.data.images import Images

__all__ = ["Labelled", "check_classes", "filled", "from_data", "from_photos", "normalised", "only_labelled"]

_SHOWN = 3
_LONGEST_LABEL = 40


@dataclass(frozen=True)
class Labelled:
    """A batch of images.

    Attributes:
        images: (N, H, W, 3) uint8.
        labels: (N,) class indices; -1 stands for what the ordinary forward pass predicts.
        boxes: (N, 4) first row, first column, and the row and the column after the last, of the object; NaN where
            unknown, None where all are.
    """

    images: UInt8[np.ndarray, "N H W 3"]
    labels: Int32[np.ndarray, " N"]
    boxes: Float32[np.ndarray, "N 4"] | None = None


def from_data(
    name: str,
    split: str,
    count: int | None,
    model: Model,
    batch: int,
    *,
    size: int | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    unlabelled: bool = False,
) -> tuple[Iterator[Labelled], int]:
    """Batches of a data set's split as a model wants them, and how many images that is.

    Without ``unlabelled``, images that have no label are left out, and so there may be fewer.

    Raises:
        DataError: the set cannot be had, has other classes, or no image that is wanted; the last only in its turn.
    """
    with needing("data"):
        from srd_jax import data  # noqa: PLC0415
    source = data.open_source(name, split, data_dir=data_dir, manual_dir=manual_dir)
    check_classes(model, name, source.labels)
    total = len(source) if count is None else min(count, len(source))
    size = size or model.size
    resize = round(size * model.resize / model.size)
    found = data.batches(source, batch, size=size, resize=resize, stop=total, labelled=not unlabelled)
    return (Labelled(each.images, each.labels, each.boxes) for each in found), total


def check_classes(model: Model, name: str, labels: Sequence[str]) -> None:
    """Refuse a data set whose classes are not the model's; where names are unknown, say so on stderr and go on.

    Args:
        model: the model.
        name: what to call the data set.
        labels: names of its classes.

    Raises:
        DataError: their number or their names differ.
    """
    if len(labels) != len(model.labels):
        raise DataError(f"{model.name} has {len(model.labels)} classes and {name} {len(labels)}")
    others = unlike(model.labels, labels)
    unnamed = [who for who, names in ((model.name, model.labels), (name, labels)) if nameless(names)]
    if others and unnamed:
        told = f"only the number of classes is compared: those of {' and of '.join(unnamed)} have no names"
        typer.echo(one_line(f"srd: {told}"), err=True)
    elif others:
        shown = "; ".join(f"{i} is {_quoted(model.labels[i])} and {_quoted(labels[i])}" for i in others[:_SHOWN])
        raise DataError(
            f"{model.name} and {name} have other classes, {len(others)} of {len(labels)}: {shown}. Take weights that "
            f"were trained on {name}"
        )


def _quoted(label: str) -> str:
    return repr(shortened(label, _LONGEST_LABEL))


def from_photos(paths: Sequence[Path] | None, model: Outline, batch: int) -> tuple[Iterator[Labelled], int]:
    """Batches of photos without labels, and how many photos they are; without any, one that comes along.

    What is counted over photos is not counted over a part of them: the first that cannot be read is an ImageError.
    """
    files = photo_files(paths)
    crops = (read_photo(file, model).crop for file in files)

    def stacked() -> Iterator[Labelled]:
        while some := list(islice(crops, batch)):
            yield Labelled(np.stack(some), np.full(len(some), -1, np.int32))

    return stacked(), len(files)


def only_labelled(images: "Images") -> "Images":
    """The same images, but that one without a label cannot be read."""

    def read(place: int) -> tuple[bytes, int]:
        encoded, label = images.read(place)
        if label < 0:
            raise DataError("it has no label")
        return encoded, label

    return replace(images, read=read)


def filled(batch: Sequence[Any] | np.ndarray, size: int) -> np.ndarray:
    """A batch filled up to a size with its last item, so that nothing is compiled twice."""
    items = np.asarray(batch)
    return np.concatenate([items, np.repeat(items[-1:], size - len(items), 0)]) if len(items) < size else items


def normalised(model: Model, images: UInt8[np.ndarray, "N H W 3"]) -> Float32[np.ndarray, "N H W 3"]:
    """The network input for images that have the model's size."""
    size = images.shape[1]
    return np.stack([model.preprocess(image, size=size, resize=size) for image in images])
