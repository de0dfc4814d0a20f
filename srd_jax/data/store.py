"""Maps of many images on disk: one chunk a batch, each written whole, so that a kill at any moment loses nothing.

The arrays are Zarr, version 3, which xarray and the zarr package read as well, and tensorstore writes them: it comes
with Orbax, a chunk takes its name only once it is complete, and the names of unfinished files depend on nothing but the
chunk, so that writing again leaves none behind. A chunk's ``status`` is written after its arrays; whoever finds the
status finds the rest. The checksums of its files and of its images come last, and only what they prove is kept when a
run goes on. Chunks share no file: several processes can write theirs at the same time.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Float, Int32, UInt8

from srd_jax.errors import DataError, SRDError
from srd_jax.files import read_regular

from .checksums import checksum, file_checksum, is_there
from .recipe import IDS, RUN, differences, encoded, parsed, read_ids, read_run
from .stored import ARRAYS, GROUP, NOT_DONE, STATUS, StoredArray, arrays_of, chunk_file, location, metadata, reason

__all__ = [
    "COST",
    "DONE",
    "NOT_DONE",
    "SHEET",
    "UNREADABLE",
    "Maps",
    "Noted",
    "Rows",
    "StoredArray",
    "Writer",
    "open_maps",
    "prepare_store",
    "strangers",
    "write_file",
]

DONE, UNREADABLE = 1, 2
SHEET, COST = "sheet.png", "cost.json"
_CHECKSUMS = "checksums"
_NOTE = 2**10  # bytes at most of what is noted of an image, or of a chunk's files
_UNFINISHED = ".__lock"


@dataclass(frozen=True, eq=False)
class Rows:
    """What is kept of the images of one chunk.

    Attributes:
        maps: NaN where an image cannot be read, as are its scores; its targets and its prediction are -1.
        targets: class of each map.
        scores: its logit.
        predicted: the class with the largest logit.
        status: `DONE` or `UNREADABLE`.
        checksums: of the images, None where there was nothing to read.
        measures: of runs that measure their maps, the numbers by variant and metric.
    """

    maps: Float[np.ndarray, "n K H W"]
    targets: Int32[np.ndarray, "n K"]
    scores: Float[np.ndarray, "n K"]
    predicted: Int32[np.ndarray, " n"]
    status: UInt8[np.ndarray, " n"]
    checksums: tuple[str | None, ...]
    measures: Float[np.ndarray, "n K V M"] | None = None


@dataclass(frozen=True)
class Noted:
    """What there is of a chunk.

    Attributes:
        images: checksums of the images that it was made of, None where one could not be read; None in place of all of
            them where the chunk is not whole.
        damaged: the first of its files that is lost or not as it was written, "" where there is none.
        unreadable: rows without maps.
    """

    images: tuple[str | None, ...] | None
    damaged: str = ""
    unreadable: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Maps:
    """What ``srd batch`` or ``srd evaluate`` has written, in the order of its source.

    Attributes:
        ids: what the images are called.
        run: how the maps were made: model, weights and their checksum, options, source.
        maps: (N, K, H, W), K maps of each image; NaN where there are none.
        targets: (N, K) class of each map; -1 where there is none.
        scores: (N, K) logits of these classes.
        predicted: (N,) class with the largest logit.
        status: (N,) `NOT_DONE`, `DONE` or `UNREADABLE`.
        measures: (N, K, V, M), where maps were measured: every metric of ``run["metrics"]`` of the map in every form
            of ``run["variants"]``; NaN where there is no number.
    """

    ids: tuple[str, ...]
    run: Mapping[str, Any]
    maps: StoredArray
    targets: StoredArray
    scores: StoredArray
    predicted: StoredArray
    status: StoredArray
    measures: StoredArray | None = None

    def __len__(self) -> int:
        """How many images there are, those without maps among them."""
        return len(self.ids)


def open_maps(path: str | os.PathLike[str]) -> Maps:
    """What ``srd batch`` has written, finished or not; nothing is read before it is asked for.

    Example:
        >>> found = open_maps("out")  # doctest: +SKIP
        >>> done = found.status[:] == 1  # doctest: +SKIP
        >>> found.maps[3], found.maps[-10:, 0], np.asarray(found.predicted)[done]  # doctest: +SKIP

    Args:
        path: its folder.

    Raises:
        DataError: it holds no maps, or a file that says what they are is lost or damaged; so does reading a chunk that
            is.
    """
    folder = Path(path)
    run = read_run(folder)
    if run is None:
        raise DataError(f"{folder} holds no maps that srd batch or srd evaluate has begun (there is no {RUN})")
    return Maps(ids=read_ids(folder, run), run=run, **{name: StoredArray(folder, name, run) for name in arrays_of(run)})


class Writer:
    """The place where chunks go.

    Attributes:
        folder: the store's.
        chunk: images in each.
        chunks: how many there are.
        dtype: of the maps.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self.folder, self._images = folder, int(run["images"])
        self.chunk, self.dtype = int(run["batch"]), np.dtype(run["dtype"])
        self.chunks = -(-self._images // self.chunk)
        with _writing(folder):
            opening = {name: ts.open(location(folder, name, run)) for name in arrays_of(run)}
            self._arrays = {name: opened.result() for name, opened in opening.items()}

    def write(self, index: int, rows: Rows) -> None:
        """Write a chunk: its status after its arrays are on disk, and last what proves that it is whole.

        Raises:
            SRDError: it cannot be written.
        """
        self.withdraw([index])  # or of the last chunk, which is not full, tensorstore would keep what lies after it
        with _writing(self.folder):
            parts = [
                array[self._where(index)].write(getattr(rows, name))
                for name, array in self._arrays.items()
                if name != STATUS
            ]
            for part in parts:
                part.result()
            self._arrays[STATUS][self._where(index)].write(rows.status).result()
        note = {"files": self._files(index), "images": list(rows.checksums)}
        write_file(self.folder, _note(index), encoded(note))

    def noted(self, index: int) -> Noted:
        """What there is of a chunk.

        Raises:
            DataError: there is something else in the place of one of its files, or it cannot be read.
        """
        files, where = self._files(index), self._where(index)
        if not is_there(self.folder / _note(index)):
            return Noted(None, _note(index) if files[STATUS] else "")  # without both it was not made, or not to its end
        try:
            content = read_regular(self.folder / _note(index), _NOTE * (self.chunk + 1))
            note = parsed(content)
            before, images = dict(note["files"]), tuple(note["images"])
            as_written = content == encoded({"files": before, "images": images})
        except (OSError, ValueError, TypeError, KeyError):
            as_written = False
        if not as_written or len(images) != where.stop - where.start:
            return Noted(None, _note(index))
        for name, found in files.items():
            if found is None or found != before.get(name):
                return Noted(None, chunk_file(name, index))
        with _writing(self.folder):
            status = self._arrays[STATUS][where].read().result()
        return Noted(images, "", tuple(int(row) for row in np.flatnonzero(status == UNREADABLE)))

    def withdraw(self, indices: Sequence[int]) -> None:
        """Let chunks count as not made: their files go, the status first.

        Raises:
            SRDError: it cannot be written.
        """
        with _writing(self.folder):
            for index in indices:
                for name in (*(chunk_file(array, index) for array in reversed(tuple(self._arrays))), _note(index)):
                    (self.folder / name).unlink(missing_ok=True)

    def _files(self, index: int) -> dict[str, str | None]:
        return {name: file_checksum(self.folder / chunk_file(name, index)) for name in self._arrays}

    def _where(self, index: int) -> slice:
        return slice(index * self.chunk, min((index + 1) * self.chunk, self._images))


def prepare_store(
    folder: Path, run: Mapping[str, Any], ids: Sequence[str], *, resume: bool, write: bool
) -> tuple[str, ...]:
    """Find out whether maps can go into a folder, and begin it.

    Args:
        folder: new or empty, or what a run like this one has begun.
        run: how the maps are made.
        ids: what the images are called.
        resume: whether it may have been begun.
        write: whether this process begins it; it does so where others have looked already.

    Returns:
        The files of a store that was begun which are lost or damaged; they are written again.

    Raises:
        SRDError: it may not be used, or cannot be written to.
    """
    begun = read_run(folder)
    if begun and not resume:
        raise SRDError(f"{folder} exists already: --resume goes on with it, or choose another folder")
    if begun is None and folder.exists():
        _check_empty(folder)
    if begun and (other := differences(folder, begun, run, ids)):
        raise SRDError(f"{folder} was begun with {other}: --resume goes on with the same only")
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    files = {RUN: encoded(run), IDS: encoded(list(ids)), GROUP: encoded(group), **metadata(run)}
    other_than = [name for name, content in files.items() if file_checksum(folder / name) != checksum(content)]
    for name in other_than if write else ():
        write_file(folder, name, files[name])
    return tuple(other_than) if begun else ()


def strangers(folder: Path, chunks: int) -> list[str]:
    """The files in a store of so many chunks that are none of its own."""
    places = (Path(parent, name).relative_to(folder) for parent, _, names in os.walk(folder) for name in names)
    return sorted(place for place in map(Path.as_posix, places) if not _is_own(place.removesuffix(_UNFINISHED), chunks))


def write_file(folder: Path, name: str, content: bytes) -> Path:
    """Write a file beside the arrays, as they are written: it appears whole, and writing again leaves nothing else.

    Raises:
        SRDError: it cannot be written.
    """
    with _writing(folder):
        files = ts.KvStore.open({"driver": "file", "path": f"{folder.absolute()}/"}).result()
        files.write(name, content).result()
    return folder / name


def _check_empty(folder: Path) -> None:
    """Let only that pass which a run leaves that was killed while it wrote its first file."""
    if folder.is_dir() and all(path.name.startswith(RUN) for path in folder.iterdir()):
        return
    if any((folder / name / GROUP).exists() for name in ARRAYS):
        raise SRDError(f"{folder} holds maps, and no {RUN} that says how they were made: choose another folder")
    raise SRDError(f"{folder} holds other files than maps: choose another folder")


def _is_own(name: str, chunks: int) -> bool:
    """Whether a store has a file of that name."""
    index = re.search(r"\d+", name)
    if index and int(index[0]) < chunks:
        return name in (_note(int(index[0])), *(chunk_file(array, int(index[0])) for array in ARRAYS))
    return name in (RUN, IDS, GROUP, SHEET, COST, *(f"{array}/{GROUP}" for array in ARRAYS))


def _note(index: int) -> str:
    return f"{_CHECKSUMS}/{index}.json"


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what tensorstore raises into one clear error."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise SRDError(f"cannot write {folder}: {reason(error)}") from error
