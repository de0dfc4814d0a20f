"""Images to be worked through one after the other: of a folder, of a list, or of a data set's split."""

import codecs
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from srd_jax.errors import DataError
from srd_jax.files import is_address, read_regular
from srd_jax.models import photos
from srd_jax.models.photos import Preprocessing

from .annotations import NO_LABEL, Annotation
from .sources import Source, open_source

__all__ = [
    "NO_LABEL",
    "SUFFIXES",
    "Images",
    "from_folder",
    "from_list",
    "from_source",
    "mode_of",
    "open_images",
    "read_text",
]

_BLANK = " \t"
_LARGEST_LIST = 2**28  # bytes, some millions of paths
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, eq=False)
class Images:
    """Images in a fixed order, each read when it is its turn.

    Attributes:
        name: where they are from; the same images have the same name wherever it is asked for.
        ids: what each of them is called in results and messages.
        labels: class names in the order of the label indices, None where the images have no labels.
        read: place -> (the file's bytes, class index or `NO_LABEL`).
        left_out: what there is besides in a folder, in words.
        annotation: place -> where the image's objects lie, None where no more is known than what ``read`` returns. It
            raises a DataError of one that cannot be read.
    """

    name: str
    ids: tuple[str, ...]
    labels: tuple[str, ...] | None
    read: Callable[[int], tuple[bytes, int]]
    left_out: str = ""
    annotation: Callable[[int], Annotation] | None = None

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.ids)

    def shown(self, place: int, preprocessing: Preprocessing) -> UInt8[np.ndarray, "size size 3"]:
        """What a model is shown of an image, in levels.

        Args:
            place: of the image.
            preprocessing: how the model wants it.

        Raises:
            SRDError: it cannot be read.
        """
        encoded, _ = self.read(place)
        with photos.decoded(encoded, self.ids[place]) as image:
            return preprocessing.crop(image)


def open_images(source: str, split: str, out: Path, **folders: Path | None) -> Images:
    """The images of a folder, of a list, or of a data set's split.

    Args:
        source: path of a folder or a list, or the name of a set.
        split: of the set.
        out: where results will lie, which must not be among the images.
        **folders: of `srd_jax.data.open_source`.

    Raises:
        DataError: there are none.
    """
    path, mode = Path(source), mode_of(source)
    if stat.S_ISDIR(mode):
        if out.resolve().is_relative_to(path.resolve()):
            raise DataError(f"{out} is in {path}, whose images are explained: choose another folder for the maps")
        return from_folder(path)
    if stat.S_ISREG(mode):
        return from_list(path)
    if is_address(source):
        raise DataError(f"{source} is an address: download what is there, and pass the folder")
    try:
        return from_source(open_source(source, split, **folders), split)
    except DataError as error:
        raise DataError(f"{source} is no folder and no list of images, and {error}") from error


def from_folder(folder: Path) -> Images:
    """The image files in a folder and in those below it, sorted by path.

    Hidden files and folders are left out, as is what a link to a folder leads to: it may lead back.

    Args:
        folder: its files are images where their names end as one of `SUFFIXES`.

    Raises:
        DataError: there are none.
    """
    paths: list[str] = []
    besides: dict[str, list[str]] = {}

    def leave(kind: str, path: str | Path) -> None:
        besides.setdefault(kind, []).append(Path(path).relative_to(folder).as_posix())

    for parent, folders, files in os.walk(folder, onerror=lambda error: leave("unreadable folders", error.filename)):
        for name in [*folders, *files]:
            path = Path(parent, name)
            kind = _no_image(path)
            if kind:
                leave(kind, path)
            elif name in files:
                paths.append(path.relative_to(folder).as_posix())
        folders[:] = [name for name in folders if not name.startswith(".")]
    left_out = ", ".join(f"{kind} ({len(of)}, first {min(of)})" for kind, of in sorted(besides.items()))
    if not paths:
        reason = f"; left out: {left_out}" if left_out else ""
        raise DataError(f"there is no image in {folder}, neither {', '.join(sorted(SUFFIXES))}{reason}")
    return _files(folder, sorted(paths), str(folder.resolve()), left_out)


def from_list(file: Path) -> Images:
    """The image files that a text file names, one a line and in its order; empty lines say nothing.

    Args:
        file: its paths start from the folder that it is in, and its lines end as on Unix, Windows or old Macs. It is
            UTF-8, or UTF-16 after a byte-order mark; names in no such encoding are taken byte by byte.

    Raises:
        DataError: it is no text, or empty.
    """
    if file.suffix.casefold() in SUFFIXES:
        raise DataError(f"{file} cannot be read as a list of images: it is called as one image is")
    lines = re.split(r"\r\n|\r|\n", read_text(file, "a list of images"))
    paths = [line.strip(_BLANK) for line in lines if line.strip(_BLANK)]
    if not paths:
        raise DataError(f"{file} names no image")
    return _files(file.parent, paths, str(file.resolve()))


def from_source(source: Source, split: str) -> Images:
    """The images of a data set's split, called by their places in it, as validation:17.

    Args:
        source: what `srd_jax.data.open_source` returns.
        split: its name.

    Raises:
        DataError: there are none.
    """
    if not len(source):
        raise DataError(f"{source.name} has no images")

    def read(place: int) -> tuple[bytes, int]:
        example = source[place]
        return example.encoded, example.label

    ids = tuple(f"{split}:{place}" for place in range(len(source)))
    return Images(source.name, ids, source.labels, read, annotation=source.annotation)


def mode_of(path: str | Path) -> int:
    """What `stat` says of a path's kind, 0 where there is nothing."""
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):  # no file, or a name that none can have
        return 0


def read_text(file: Path, what: str) -> str:
    """A file's text: UTF-8, or UTF-16 after a byte-order mark; what is in no such encoding is taken byte by byte.

    Args:
        file: what may hold bytes that are not UTF-8, as names of files do.
        what: it is to be read as, for errors.

    Raises:
        DataError: it is no regular file, too large, unreadable, or no text.
    """
    try:
        return _text(read_regular(file, _LARGEST_LIST))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} cannot be read as {what} ({reason})") from error


def _no_image(path: Path) -> str:
    """As what something in a folder is left out, empty if it is not."""
    if path.name.startswith("."):
        return "hidden"
    try:
        mode = path.stat().st_mode
    except OSError:
        return "broken links" if path.is_symlink() else "unreadable files"
    if stat.S_ISDIR(mode):
        return "links to folders" if path.is_symlink() else ""
    if path.suffix.casefold() not in SUFFIXES:
        return "other names"
    return "" if stat.S_ISREG(mode) else "no regular files"


def _text(content: bytes) -> str:
    """A list's text; like the names of files, it may hold bytes that are not UTF-8.

    Raises:
        ValueError: it is none.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16")
    else:
        text = os.fsdecode(content.removeprefix(codecs.BOM_UTF8))
    if "\0" in text:
        raise ValueError("it is no text")
    return text


def _files(folder: Path, paths: Sequence[str], name: str, left_out: str = "") -> Images:
    return Images(name, tuple(paths), None, lambda place: (photos.read(folder / paths[place]), NO_LABEL), left_out)
