"""The arrays of a store: how they lie on disk, and how they are read where they are indexed."""

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Shaped

from srd_jax.errors import DataError

from .checksums import is_there
from .recipe import command_of

__all__ = [
    "ARRAYS",
    "GROUP",
    "MEASURES",
    "NOT_DONE",
    "STATUS",
    "StoredArray",
    "arrays_of",
    "chunk_file",
    "location",
    "metadata",
    "reason",
]

NOT_DONE = 0
STATUS, GROUP, MEASURES = "status", "zarr.json", "measures"
ARRAYS: Mapping[str, tuple[str | None, tuple[str, ...], Any]] = {
    "maps": (None, ("image", "target", "row", "column"), "NaN"),
    "targets": ("int32", ("image", "target"), -1),
    "scores": ("float32", ("image", "target"), "NaN"),
    "predicted": ("int32", ("image",), -1),
    MEASURES: ("float32", ("image", "target", "variant", "metric"), "NaN"),
    STATUS: ("uint8", ("image",), NOT_DONE),
}
"""By name: dtype, or None for that of the maps; axes; what stands where nothing was written.

Only stores of runs that measure their maps have `MEASURES`.
"""
_DESCRIPTION = 2**20  # bytes at most
_ADDED = 2**10  # bytes at most that the codecs add to what does not get smaller


class StoredArray:
    """An array on disk that is read where it is indexed, as NumPy does along its first axis.

    Attributes:
        shape: as NumPy's.
        dtype: as NumPy's.
    """

    def __init__(self, folder: Path, name: str, run: Mapping[str, Any]) -> None:
        """Find an array.

        Raises:
            DataError: it is not as the run says.
        """
        self._folder, self._name, self._chunk = folder, name, int(run["batch"])
        self._command = command_of(run)
        described = folder / name / GROUP
        if not is_there(described) or described.stat().st_size > _DESCRIPTION:
            raise DataError(f"{described} is lost or damaged: {self._command} writes it again")
        try:
            self._stored = ts.open(location(folder, name, run), read=True).result()
        except (OSError, ValueError) as error:
            raise self._damaged(name, error) from error
        self.shape: tuple[int, ...] = tuple(self._stored.shape)
        self.dtype: np.dtype[Any] = self._stored.dtype.numpy_dtype

    def __len__(self) -> int:
        """Extent along the first axis."""
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Values at an index: only the chunks that hold its rows are read.

        Args:
            index: an int, a slice, or an array of ints or booleans; after a comma, what NumPy takes for other axes.

        Raises:
            IndexError: there are no such rows.
            DataError: a chunk that holds some of them is lost or damaged.
        """
        rows, *rest = index if isinstance(index, tuple) else (index,)
        places = np.arange(len(self))[rows]
        if places.ndim == 0:
            return self._read(places, operator.index(places))[tuple(rest)]
        values = self._read(places, places) if places.size else np.empty((0, *self.shape[1:]), self.dtype)
        return values[(slice(None),) * places.ndim + tuple(rest)] if rest else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "..."]:
        """All values."""
        return np.asarray(self[:], dtype=dtype)

    def _read(self, places: np.ndarray, where: Any) -> Any:
        most = self._chunk * int(np.prod(self.shape[1:])) * self.dtype.itemsize + _ADDED
        for chunk in np.unique(places // self._chunk):
            file = self._folder / chunk_file(self._name, chunk)
            if not is_there(file):
                if is_there(self._folder / chunk_file(STATUS, chunk)):
                    raise self._damaged(chunk_file(self._name, chunk), "it is lost")
            elif file.stat().st_size > most:
                raise self._damaged(chunk_file(self._name, chunk), "it is larger than any that was written")
        try:
            return self._stored[where].read().result()
        except (OSError, ValueError) as error:
            raise self._damaged(self._name, error) from error

    def _damaged(self, file: str, why: Exception | str) -> DataError:
        told = why if isinstance(why, str) else reason(why)
        return DataError(f"{file} of {self._folder} is damaged ({told}): {self._command} mends it")


def arrays_of(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The arrays that a run writes, the status last."""
    return tuple(name for name in ARRAYS if name != MEASURES or "metrics" in run)


def chunk_file(name: str, index: int) -> str:
    """Where a chunk of an array lies in a store."""
    _, axes, _ = ARRAYS[name]
    return "/".join([name, "c", str(index), *"0" * (len(axes) - 1)])


def location(folder: Path, name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """An array for tensorstore, which refuses one that is not as the run says."""
    return _specification(name, run) | {"kvstore": {"driver": "file", "path": f"{folder.absolute() / name}/"}}


def metadata(run: Mapping[str, Any]) -> dict[str, bytes]:
    """The files that say what an array is, by their places in a store."""
    memory, context = {"driver": "memory"}, ts.Context()
    for name in arrays_of(run):
        made = _specification(name, run) | {"kvstore": memory | {"path": f"{name}/"}, "create": True}
        ts.open(made, context=context).result()
    files = ts.KvStore.open(memory, context=context).result()
    return {f"{name}/{GROUP}": bytes(files[f"{name}/{GROUP}"]) for name in arrays_of(run)}


def reason(error: Exception) -> str:
    """What tensorstore says, without its whole specification."""
    return re.sub(r"^[A-Z_]+: ", "", str(error).split(" [")[0])


def _specification(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    kind, axes, fill = ARRAYS[name]
    extents = {"image": run["images"], "target": len(run["targets"]), "row": run["size"], "column": run["size"]}
    extents |= {"variant": len(run.get("variants", ())), "metric": len(run.get("metrics", ()))}
    extent = tuple(extents[axis] for axis in axes)
    return {
        "driver": "zarr3",
        "open": True,
        "store_data_equal_to_fill_value": True,
        "metadata": {
            "shape": extent,
            "dimension_names": axes,
            "data_type": kind or run["dtype"],
            "fill_value": fill,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": (run["batch"], *extent[1:])}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 3, "shuffle": "shuffle"}},
                {"name": "crc32c"},
            ],
        },
    }
