"""Data sets by name: any TFDS set of images with classes and random access, its images still encoded."""

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32

from srd_jax.errors import DataError
from srd_jax.messages import did_you_mean
from srd_jax.models.labels import readable

from . import imagenet_s, tiny_imagenet  # noqa: F401  # they register their sets with TFDS
from .annotations import Annotation
from .records import ENCODED, annotation_of, class_feature, object_of

__all__ = ["Example", "Source", "open_source"]

FORMAT = "array_record"
_NAMES = ("file", "file_name", "image/filename")


@dataclass(frozen=True)
class Example:
    """One image of a data set.

    Attributes:
        encoded: the file's bytes.
        label: class index, -1 where it is unknown; of an image with several objects, that of the largest.
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
            DataError: it cannot be read.
        """
        with self._reading(index, "image") as record:
            label, box = object_of(record)
            name = next((record[key] for key in _NAMES if key in record), str(index))
            return Example(bytes(record["image"]), label, box, name.decode() if isinstance(name, bytes) else str(name))

    def annotation(self, index: int) -> Annotation:
        """Where the object of the image at a place in the split lies, as `srd_jax.data.records` has it.

        Raises:
            IndexError: there is none.
            DataError: it, or its mask, cannot be read.
        """
        with self._reading(index, "the annotation of image") as record:
            return annotation_of(record)

    @contextmanager
    def _reading(self, index: int, what: str) -> Iterator[Mapping[str, Any]]:
        if not 0 <= index < len(self.records):
            raise IndexError(f"{self.name} has no image {index}")
        try:
            yield self.records[index]
        except Exception as error:  # what a damaged file raises, or gives in place of values, depends on the damage
            raise DataError(f"{what} {index} of {self.name} cannot be read ({_reason(error).rstrip('.')})") from error


def open_source(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> Source:
    """A split of a TFDS data set, prepared on first use.

    Args:
        name: as TFDS knows it, ``tiny_imagenet200``, or ``imagenet_s50``, ``imagenet_s300`` or ``imagenet_s919``.
        split: ``train``, ``validation`` or what the set has, with TFDS's slices such as ``train[:10%]``.
        data_dir: where prepared sets are kept; TFDS's own folder by default.
        manual_dir: where files lie that the set needs and TFDS does not download.

    Raises:
        DataError: no such set or split, files that are missing, or a set without images and classes.
    """
    builder = _builder(name, data_dir)
    features = dict(builder.info.features or {})
    label = class_feature(features)
    if "image" not in features or label is None:
        raise DataError(f"{name} is not a set of images with labels: it has {', '.join(features) or 'no features'}")
    _prepare(builder, manual_dir)
    for part in split.split("+"):
        base = part.partition("[")[0].strip()
        if base not in builder.info.splits:
            raise DataError(f"{name} has no split {base!r}; {did_you_mean(base, list(builder.info.splits))}")
    encoded = [each for each in ENCODED if isinstance(features.get(each), tfds.features.Image)]
    try:
        records = builder.as_data_source(split, decoders=dict.fromkeys(encoded, tfds.decode.SkipDecoding()))
    except Exception as error:  # TFDS raises many kinds, of splits as of files
        raise DataError(f"{split} of {name} cannot be opened ({_reason(error)})") from error
    return Source(f"{name} {split}", readable(label.names), records)


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    if re.search(r":(?![\d*])", name):  # a version may follow a colon; all else is an address, or another catalogue
        raise DataError(f"there is no data set {name!r} in TFDS: its names have no such colon")
    try:
        return tfds.builder(name, data_dir=data_dir and os.fspath(data_dir), file_format=FORMAT)
    except Exception as error:  # of the name, the version, the folder, or of a module that the set needs
        raise DataError(f"there is no data set {name!r} in TFDS ({_reason(error)})") from error


def _prepare(builder: Any, manual_dir: str | os.PathLike[str] | None) -> None:
    config = tfds.download.DownloadConfig(manual_dir=manual_dir and os.fspath(manual_dir))
    try:
        with _quiet():
            builder.download_and_prepare(download_config=config, file_format=FORMAT)
    except Exception as error:  # what TFDS raises depends on the set: downloads, archives, disks
        hint = (
            f" Files it needs: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}" if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else ""
        )
        raise DataError(f"{builder.name} could not be prepared: {error}.{hint}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """TFDS's announcements kept out of what is printed, and its progress bars where nobody watches them."""
    with redirect_stdout(io.StringIO()):
        if sys.stderr is not None and sys.stderr.isatty():
            yield
        else:
            tfds.disable_progress_bar()
            try:
                yield
            finally:
                tfds.enable_progress_bar()


def _reason(error: Exception) -> str:
    """The first line of an error's message."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
