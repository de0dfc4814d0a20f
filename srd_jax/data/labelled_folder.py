"""Photos with classes of one's own: folders that are called as classes, or a CSV file that names photos and classes.

A class is called by its name as the network has it or by the first of its synonyms, in any case and with "_" for a
space, by a WordNet id of ImageNet's classes, or by its index.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from srd_jax.errors import DataError, SRDError
from srd_jax.messages import did_you_mean, shortened
from srd_jax.models import photos
from srd_jax.models.labels import imagenet_classes, tiny_imagenet_classes

from .annotations import OBJECT, OUTSIDE, Annotation, mask_of, upright
from .images import Images, from_folder, read_text

__all__ = ["labelled_images", "with_classes"]

_INDEX, _NAMES = "class_index", ("label", "name")
_CORNERS = ("x0", "y0", "x1", "y1")
_LONGEST = 9  # digits of an index

Known: TypeAlias = dict[str, tuple[int, ...]]
"""Class indices by what people call them."""


@dataclass(frozen=True)
class _Row:
    """What a CSV file says of one photo."""

    file: str
    target: int
    mask: str
    box: tuple[int, int, int, int] | None


def labelled_images(path: Path, labels: Sequence[str]) -> Images:
    """The photos of a folder or of a CSV file, with their classes.

    Args:
        path: a folder whose sub-folders are called as classes, or a CSV file. That has the columns ``file``, from the
            folder that it is in, and ``class_index``, ``label`` or ``name``, of which the first one counts. It may have
            a column ``mask`` of PNG files, in which the object's pixels are not zero, and ``x0``, ``y0``, ``x1``,
            ``y1`` of the first and last pixels of its box; their cells may be empty. Both are of the photo as it lies
            in its file, and are turned with it where EXIF says so.
        labels: class names of the network, synonyms joined by commas.

    Raises:
        DataError: there are no photos, a column is missing, a class is unknown or ambiguous, a box is none, or a file
            lies elsewhere. ``annotation`` raises it of a mask that cannot be read or is of another size than its photo.
    """
    return with_classes(from_folder(path), labels) if path.is_dir() else _from_table(path, labels)


def with_classes(images: Images, labels: Sequence[str]) -> Images:
    """The images of a folder, with the classes that its sub-folders are called as.

    Args:
        images: of `srd_jax.data.images.from_folder`.
        labels: class names of the network.

    Raises:
        DataError: an image lies in no sub-folder, or a sub-folder is called as no class, or as several.
    """
    bare = next((name for name in images.ids if "/" not in name), None)
    if bare is not None:
        raise DataError(f"{bare} in {images.name} lies in no sub-folder that is called as a class: move it into one")
    known = _known(labels)
    folders = [PurePosixPath(name).parts[0] for name in images.ids]
    classes = {name: _class_of(name, known, labels, f"the folder {name}") for name in dict.fromkeys(folders)}
    targets = [classes[name] for name in folders]
    return replace(images, labels=tuple(labels), read=lambda place: (images.read(place)[0], targets[place]))


def _from_table(file: Path, labels: Sequence[str]) -> Images:
    rows = tuple(_rows(file, labels))
    if not rows:
        raise DataError(f"{file} names no image")
    folder = file.parent

    def read(place: int) -> tuple[bytes, int]:
        return photos.read(folder / rows[place].file), rows[place].target

    def annotation(place: int) -> Annotation:
        try:
            return _annotation(rows[place], folder)
        except SRDError as error:
            raise DataError(f"{rows[place].file} of {file}: {str(error).rstrip('.')}") from error

    located = any(row.mask or row.box for row in rows)
    ids = tuple(row.file for row in rows)
    return Images(str(file.resolve()), ids, tuple(labels), read, annotation=annotation if located else None)


def _rows(file: Path, labels: Sequence[str]) -> Iterator[_Row]:
    known = _known(labels)
    table = csv.DictReader(io.StringIO(read_text(file, "a table of images"), newline=""), restval="")
    try:
        columns = tuple(table.fieldnames or ())
        column = _class_column(columns, file)
        for cells in table:
            where = f"line {table.line_num} of {file}"
            if None in cells:
                raise DataError(f"{where} has more cells than there are columns")
            row = {name: cell.strip() for name, cell in cells.items()}
            if not any(row.values()):
                continue
            target = _class_of(row[column], {} if column == _INDEX else known, labels, where)
            mask = row.get("mask", "")
            yield _Row(_inside(row["file"], where), target, mask and _inside(mask, where), _box(row, where))
    except csv.Error as error:
        raise DataError(f"{file} cannot be read as a table of images ({error})") from error


def _class_column(columns: Sequence[str], file: Path) -> str:
    """The column of the classes, where no other that is needed is missing."""
    column = next((name for name in (_INDEX, *_NAMES) if name in columns), None)
    missing = [] if "file" in columns else ["file"]
    missing += [] if column else [f"{_INDEX}, {' or '.join(_NAMES)}"]
    if any(name in columns for name in _CORNERS):
        missing += [name for name in _CORNERS if name not in columns]
    if missing or column is None:
        found = shortened(", ".join(columns)) or "none"
        raise DataError(f"{file} has no column {' and no '.join(missing)}; its columns are {found}")
    return column


def _inside(name: str, where: str) -> str:
    """A path that stays in the folder of the file that names it."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        given = f"{shortened(name)} outside of the file's folder" if name else "no file"
        raise DataError(f"{where} names {given}")
    return name


def _box(row: Mapping[str, str], where: str) -> tuple[int, int, int, int] | None:
    cells = [row.get(name, "") for name in _CORNERS]
    if not any(cells):
        return None
    if not all(cell.isdecimal() and len(cell) <= _LONGEST for cell in cells):
        raise DataError(
            f"{where} has the box {shortened(', '.join(cells))}, which is not {', '.join(_CORNERS)} in pixels"
        )
    x0, y0, x1, y1 = map(int, cells)
    if x1 < x0 or y1 < y0:
        raise DataError(f"{where} has the box {', '.join(cells)}, which ends before it begins")
    return x0, y0, x1, y1


def _known(labels: Sequence[str]) -> Known:
    """What the classes are called; a whole name comes before the first part of others."""
    whole = [_plain(label) for label in labels]
    first = [_plain(label.partition(",")[0]) for label in labels]
    synsets = {
        synset: (index,)
        for classes in (imagenet_classes(), tiny_imagenet_classes())
        if tuple(name for _, name in classes) == tuple(labels)
        for index, (synset, _) in enumerate(classes)
    }
    return synsets | _places(first) | _places(whole)


def _places(names: Sequence[str]) -> Known:
    found: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(names):
        found[name] = (*found.get(name, ()), place)
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _class_of(name: str, known: Known, labels: Sequence[str], where: str) -> int:
    found = known.get(_plain(name), ())
    if len(found) > 1:
        raise DataError(f"{where} names {len(found)} classes: give the index, {' or '.join(map(str, found))}")
    if found:
        return found[0]
    if name.isdecimal() and len(name) <= _LONGEST and int(name) < len(labels):
        return int(name)
    if not known or name.isdecimal():
        raise DataError(
            f"{where} names no class, {shortened(repr(name))}: the model has classes 0 to {len(labels) - 1}"
        )
    names = [label.partition(",")[0].strip() for label in labels]
    raise DataError(f"{where} names no class of the model, {shortened(repr(name))}; {did_you_mean(name, names)}")


def _annotation(row: _Row, folder: Path) -> Annotation:
    if not row.mask and row.box is None:
        return Annotation((row.target,))
    extents, orientation = photos.stored(photos.read(folder / row.file), "it")
    boxes = None if row.box is None else _fractions(row.box, extents)[None]
    masks = _mask(photos.read(folder / row.mask), extents)[None] if row.mask else None
    return upright(Annotation((row.target,), boxes, masks), orientation)


def _mask(encoded: bytes, extents: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    samples = mask_of(encoded, extents).reshape(*extents, -1)
    levels = samples[..., :-1] if samples.shape[2] in (2, 4) else samples  # without transparency
    return np.where(levels.any(-1), OBJECT, OUTSIDE).astype(np.uint8)


def _fractions(box: tuple[int, int, int, int], extents: tuple[int, int]) -> Float[np.ndarray, "4"]:
    x0, y0, x1, y1 = box
    height, width = extents
    if x1 >= width or y1 >= height:
        raise DataError(f"its box {', '.join(map(str, box))} does not lie in its {width} columns and {height} rows")
    return np.array([y0 / height, x0 / width, (y1 + 1) / height, (x1 + 1) / width])
