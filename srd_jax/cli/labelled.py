"""What the commands that count work on: batches of images with labels, from photos or from a data set's split."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from srd_jax.batch import Batch
from srd_jax.errors import DataError, TargetError
from srd_jax.messages import shortened
from srd_jax.models import Network
from srd_jax.models.labels import nameless, unlike

from .extras import needing
from .inputs import Outline
from .terminal import one_line

if TYPE_CHECKING:
    from srd_jax.data.images import Images
    from srd_jax.models.ranks import Rank

__all__ = ["LABEL", "check_classes", "classes_to_explain", "from_data", "from_photos", "only_first", "only_labelled"]

LABEL = "label"
_SHOWN = 3
_LONGEST_LABEL = 40


def from_data(
    name: str,
    split: str,
    count: int | None,
    model: Network,
    batch: int,
    *,
    size: int | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    unlabelled: bool = False,
) -> tuple[Iterator[Batch], int]:
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
    shown = model.preprocess.at(size)
    found = data.batches(
        source, batch, size=shown.size, resize=shown.resize, resample=shown.resample, stop=total,
        labelled=not unlabelled,
    )  # fmt: skip
    return found, total


def check_classes(model: Network, name: str, labels: Sequence[str]) -> None:
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


def from_photos(paths: Sequence[Path] | None, model: Outline, batch: int) -> tuple[Iterator[Batch], int]:
    """Batches of photos without labels, and how many photos they are; without any, one that comes along.

    What is counted over photos is not counted over a part of them: the first that cannot be read is an ImageError.
    """
    from srd_jax.evaluation.photos import photo_files, read_photo  # noqa: PLC0415

    files = photo_files(paths)
    crops = (read_photo(file, model.name, model.images.shape[1]).crop for file in files)

    def stacked() -> Iterator[Batch]:
        while some := list(islice(crops, batch)):
            yield Batch(np.stack(some), np.full(len(some), -1, np.int32))

    return stacked(), len(files)


def only_labelled(images: "Images") -> "Images":
    """The same images, but that one without a label cannot be read."""

    def read(place: int) -> tuple[bytes, int]:
        encoded, label = images.read(place)
        if label < 0:
            raise DataError("it has no label")
        return encoded, label

    return replace(images, read=read)


def only_first(images: "Images", count: int | None) -> "Images":
    """The first of some images, all of them for None."""
    if count is None or count >= len(images):
        return images
    return replace(images, ids=images.ids[:count])


def classes_to_explain(wanted: Sequence["str | Rank"], net: Network, images: "Images") -> list["int | Rank"]:
    """Class indices, ranks, and the true label where it is asked for.

    Raises:
        TargetError: the images have no labels.
        DataError: they have others than the model.
    """
    from srd_jax.data.explaining import TRUE_LABEL  # noqa: PLC0415
    from srd_jax.models.ranks import resolve  # noqa: PLC0415

    if LABEL in wanted and images.labels is None:
        raise TargetError(f"{images.name} has no labels: give a class or top1 as --target")
    if LABEL in wanted:
        check_classes(net, images.name, images.labels or ())
    return [TRUE_LABEL if each == LABEL else resolve([each], net.labels)[0] for each in wanted]
