"""Maps of many images on disk: one chunk a batch, each written whole, so that a kill at any moment loses nothing.

The arrays are Zarr, version 3, which xarray and the zarr package read as well, and tensorstore writes them: it comes
with Orbax, a chunk takes its name only once it is complete, and the names of unfinished files depend on nothing but the
chunk, so that writing again leaves none behind. A chunk's ``status`` is written after everything else of it; whoever
finds the status finds the rest. Chunks share no file: several processes can write theirs at the same time.
"""

import json
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Float, Int32, Shaped, UInt8

from srd_jax.errors import DataError, SRDError

__all__ = [
    "DONE",
    "NOT_DONE",
    "UNREADABLE",
    "Maps",
    "Rows",
    "StoredArray",
    "Writer",
    "open_maps",
    "prepare_store",
    "write_file",
]

NOT_DONE, DONE, UNREADABLE = 0, 1, 2
RUN, IDS, GROUP = "run.json", "ids.json", "zarr.json"
_STATUS = "status"
_ARRAYS: Mapping[str, tuple[str | None, tuple[str, ...], Any]] = {
    "maps": (None, ("image", "target", "row", "column"), "NaN"),
    "targets": ("int32", ("image", "target"), -1),
    "scores": ("float32", ("image", "target"), "NaN"),
    "predicted": ("int32", ("image",), -1),
    _STATUS: ("uint8", ("image",), NOT_DONE),
}
"""By name: dtype, or None for that of the maps; axes; what stands where nothing was written."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What is kept of the images of one chunk.

    Attributes:
        maps: NaN where an image cannot be read, as are its scores; its targets and its prediction are -1.
        targets: class of each map.
        scores: its logit.
        predicted: the class with the largest logit.
        status: `DONE` or `UNREADABLE`.
    """

    maps: Float[np.ndarray, "n K H W"]
    targets: Int32[np.ndarray, "n K"]
    scores: Float[np.ndarray, "n K"]
    predicted: Int32[np.ndarray, " n"]
    status: UInt8[np.ndarray, " n"]


class StoredArray:
    """An array on disk that is read where it is indexed, as NumPy does along its first axis.

    Attributes:
        shape: as NumPy's.
        dtype: as NumPy's.
    """

    def __init__(self, stored: Any) -> None:
        self._stored = stored
        self.shape: tuple[int, ...] = tuple(stored.shape)
        self.dtype: np.dtype[Any] = stored.dtype.numpy_dtype

    def __len__(self) -> int:
        """Extent along the first axis."""
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Values at an index: only the chunks that hold its rows are read.

        Args:
            index: an int, a slice, or an array of ints or booleans; after a comma, what NumPy takes for other axes.

        Raises:
            IndexError: there are no such rows.
        """
        rows, *rest = index if isinstance(index, tuple) else (index,)
        places = np.arange(len(self))[rows]
        if places.ndim == 0:
            values = self._stored[operator.index(places)].read().result()
            return values[tuple(rest)]
        values = self._stored[places].read().result() if places.size else np.empty((0, *self.shape[1:]), self.dtype)
        return values[(slice(None),) * places.ndim + tuple(rest)] if rest else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "..."]:
        """All values."""
        return np.asarray(self[:], dtype=dtype)


@dataclass(frozen=True, eq=False)
class Maps:
    """What ``srd batch`` has written, in the order of its source.

    Attributes:
        ids: what the images are called.
        run: how the maps were made: model, weights and their checksum, options, source.
        maps: (N, K, H, W), K maps of each image; NaN where there are none.
        targets: (N, K) class of each map; -1 where there is none.
        scores: (N, K) logits of these classes.
        predicted: (N,) class with the largest logit.
        status: (N,) `NOT_DONE`, `DONE` or `UNREADABLE`.
    """

    ids: tuple[str, ...]
    run: Mapping[str, Any]
    maps: StoredArray
    targets: StoredArray
    scores: StoredArray
    predicted: StoredArray
    status: StoredArray

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
        DataError: it holds no maps.
    """
    folder = Path(path)
    try:
        run, ids = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (RUN, IDS))
        arrays = {name: StoredArray(ts.open(_location(folder, name), read=True).result()) for name in _ARRAYS}
    except (OSError, ValueError) as error:
        reason = str(error).split(" [")[0]  # tensorstore adds its whole specification
        raise DataError(f"{folder} holds no maps that srd batch has begun ({reason})") from error
    return Maps(ids=tuple(ids), run=run, **arrays)


class Writer:
    """The place where chunks go.

    Attributes:
        chunk: images in each.
        dtype: of the maps.
        status: (N,) what was there when it was opened.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], shape: tuple[int, int, int, int], chunk: int) -> None:
        self._folder, self.chunk, self.dtype = folder, chunk, np.dtype(run["dtype"])
        with _writing(folder):
            opening = {name: ts.open(_specification(folder, name, run["dtype"], shape, chunk)) for name in _ARRAYS}
            self._arrays = {name: opened.result() for name, opened in opening.items()}
            self.status: UInt8[np.ndarray, " N"] = self._arrays[_STATUS].read().result()

    def missing(self) -> list[int]:
        """Indices of the chunks that are not complete."""
        return [
            int(start) // self.chunk for start in np.arange(0, len(self.status), self.chunk) if not self.status[start]
        ]

    def write(self, index: int, rows: Rows) -> None:
        """Write a chunk: its status after everything else is on disk.

        Raises:
            SRDError: it cannot be written.
        """
        where = slice(index * self.chunk, index * self.chunk + len(rows.status))
        with _writing(self._folder):
            parts = [self._arrays[name][where].write(getattr(rows, name)) for name in _ARRAYS if name != _STATUS]
            for part in parts:
                part.result()
            self._arrays[_STATUS][where].write(rows.status).result()


def prepare_store(folder: Path, run: Mapping[str, Any], ids: Sequence[str], *, resume: bool, write: bool) -> None:
    """Find out whether maps can go into a folder, and begin it.

    Args:
        folder: new or empty, or what a run like this one has begun.
        run: how the maps are made.
        ids: what the images are called.
        resume: whether it may have been begun.
        write: whether this process begins it; it does so where others have looked already.

    Raises:
        SRDError: it may not be used, or cannot be written to.
    """
    begun = _begun(folder)
    if begun and not resume:
        raise SRDError(f"{folder} exists already: --resume goes on with it, or choose another folder")
    if begun is None and folder.exists() and _foreign(folder):
        raise SRDError(f"{folder} holds other files than maps: choose another folder")
    if begun:
        other = [f"{key} {_brief(begun.get(key))}, not {_brief(run.get(key))}" for key in sorted({*begun, *run})
                 if begun.get(key) != run.get(key)]  # fmt: skip
        if other:
            raise SRDError(f"{folder} was begun with another {'; '.join(other)}: --resume goes on with the same only")
    if write:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        for name, content in ((RUN, run), (IDS, list(ids)), (GROUP, group)):
            if not (folder / name).is_file():
                write_file(folder, name, json.dumps(content, indent=1, ensure_ascii=False).encode())


def write_file(folder: Path, name: str, content: bytes) -> Path:
    """Write a file beside the arrays, as they are written: it appears whole, and writing again leaves nothing else.

    Raises:
        SRDError: it cannot be written.
    """
    with _writing(folder):
        files = ts.KvStore.open({"driver": "file", "path": f"{folder.absolute()}/"}).result()
        files.write(name, content).result()
    return folder / name


def _begun(folder: Path) -> dict[str, Any] | None:
    """How the maps in a folder are made, None where there are none."""
    try:
        return dict(json.loads((folder / RUN).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SRDError(f"{folder / RUN} cannot be read ({error})") from error


def _foreign(folder: Path) -> bool:
    """Whether there is more than what a run leaves that was killed while it wrote its first file."""
    return not folder.is_dir() or any(not path.name.startswith(RUN) for path in folder.iterdir())


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _location(folder: Path, name: str) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder.absolute() / name}/"}}


def _specification(folder: Path, name: str, dtype: str, shape: tuple[int, int, int, int], chunk: int) -> dict[str, Any]:
    kind, axes, fill = _ARRAYS[name]
    extent = shape[: len(axes)]
    return _location(folder, name) | {
        "open": True,
        "create": True,
        "store_data_equal_to_fill_value": True,
        "metadata": {
            "shape": extent,
            "dimension_names": axes,
            "data_type": kind or dtype,
            "fill_value": fill,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": (chunk, *extent[1:])}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 3, "shuffle": "shuffle"}},
            ],
        },
    }


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what tensorstore raises into one clear error."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise SRDError(f"cannot write {folder}: {str(error).split(' [')[0]}") from error
