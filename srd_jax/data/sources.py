"""Data sets by name: any TFDS classification set with random access, its images still encoded."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32

from srd_jax.errors import DataError
from srd_jax.suggest import did_you_mean

from . import tiny_imagenet

__all__ = ["Example", "Source", "open_source"]

FORMAT = "array_record"


@dataclass(frozen=True)
class Example:
    """One image of a data set.

    Attributes:
        encoded: the file's bytes.
        label: class index.
        box: (ymin, xmin, ymax, xmax) of the object as fractions of the image's extent, NaN where unknown.
        name: what the data set calls it, or its place in the split.
    """

    encoded: bytes
    label: int
    box: Float32[np.ndarray, "4"]
    name: str


@dataclass(frozen=True, eq=False)
class Source:
    """A split of a data set, in a fixed order and with random access.

    Attributes:
        name: data set and split.
        labels: class names in the order of the label indices.
        records: TFDS's random-access source, its images left encoded.
    """

    name: str
    labels: tuple[str, ...]
    records: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        """The image at a place in the split.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= index < len(self.records):
            raise IndexError(f"{self.name} has no image {index}")
        record = self.records[index]
        box = np.asarray(record.get("box", np.full(4, np.nan)), np.float32)
        name = record.get("file", record.get("file_name", str(index)))
        return Example(
            bytes(record["image"]),
            int(record["label"]),
            box if box[2] > box[0] else np.full(4, np.nan, np.float32),
            name.decode() if isinstance(name, bytes) else str(name),
        )


def open_source(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> Source:
    """A split of a TFDS data set, prepared on first use.

    Args:
        name: as TFDS knows it, or ``tiny_imagenet200``.
        split: ``train``, ``validation`` or what the set has, with TFDS's slices such as ``train[:10%]``.
        data_dir: where prepared sets are kept; TFDS's own folder by default.
        manual_dir: where files lie that the set needs and TFDS does not download.

    Raises:
        DataError: no such set or split, files that are missing, or a set without images and labels.
    """
    builder = _builder(name, data_dir)
    features = builder.info.features or {}
    if "image" not in features or "label" not in features:
        raise DataError(f"{name} is not a set of images with labels: it has {', '.join(features) or 'no features'}")
    _prepare(builder, manual_dir)
    base = re.split(r"[\[+]", split)[0]
    if base not in builder.info.splits:
        raise DataError(f"{name} has no split {base!r}; {did_you_mean(base, list(builder.info.splits))}")
    records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    return Source(f"{name} {split}", _labels(name, features["label"].names), records)


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    try:
        return tfds.builder(name, data_dir=data_dir and os.fspath(data_dir), file_format=FORMAT)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise DataError(f"there is no data set {name!r} in TFDS ({str(error).splitlines()[0]})") from error


def _prepare(builder: Any, manual_dir: str | os.PathLike[str] | None) -> None:
    config = tfds.download.DownloadConfig(manual_dir=manual_dir and os.fspath(manual_dir))
    try:
        builder.download_and_prepare(download_config=config, file_format=FORMAT)
    except Exception as error:  # what TFDS raises depends on the set: downloads, archives, disks
        hint = (
            f" Files it needs: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}" if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else ""
        )
        raise DataError(f"{builder.name} could not be prepared: {error}.{hint}") from error


def _labels(name: str, names: Sequence[str]) -> tuple[str, ...]:
    if name == tiny_imagenet.TinyImagenet200.name:
        return tuple(label for _, label in tiny_imagenet.tiny_imagenet_classes())
    return tuple(label.replace("_", " ") for label in names)
