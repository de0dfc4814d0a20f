"""How the maps of a store are made and of which images, as files that are checked whenever they are read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from srd_jax.errors import DataError
from srd_jax.files import read_regular

from .checksums import checksum, file_checksum

__all__ = ["IDS", "RUN", "command_of", "differences", "encoded", "ids_checksum", "parsed", "read_ids", "read_run"]

RUN, IDS = "run.json", "ids.json"
_MOST = 2**20  # bytes of a recipe
_FIELDS: Mapping[str, type] = {
    "srd_jax": str,
    "model": str,
    "weights": str,
    "checksum": str,
    "source": str,
    "images": int,
    "ids": str,
    "targets": list,
    "method": str,
    "size": int,
    "batch": int,
    "dtype": str,
}
_OPTIONS = ("contrast", "bias", "head")
_DTYPES = ("float16", "float32")


def encoded(content: Any) -> bytes:
    """JSON; names of files that are no UTF-8 come back from it as Python holds them."""
    return json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")


def parsed(content: bytes) -> Any:
    """What JSON in UTF-8 says.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(content.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_run(folder: Path) -> dict[str, Any] | None:
    """How the maps in a folder are made, None where there are none.

    Raises:
        DataError: it is no longer said.
    """
    try:
        run = parsed(read_regular(folder / RUN, _MOST))
        _check(run)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{folder / RUN}, which says how the maps there were made, cannot be used ({reason}): choose another "
            "folder, or remove this one"
        ) from error
    return run


def read_ids(folder: Path, run: Mapping[str, Any]) -> tuple[str, ...]:
    """What the images of a store are called.

    Raises:
        DataError: it is no longer said.
    """
    if file_checksum(folder / IDS) != run["ids"]:
        raise DataError(f"{folder / IDS} is lost or damaged: {command_of(run)} writes it again")
    try:
        ids = parsed((folder / IDS).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / IDS} cannot be read ({error})") from error
    if not isinstance(ids, list) or len(ids) != run["images"] or not all(isinstance(each, str) for each in ids):
        raise DataError(f"{folder / IDS} does not name {run['images']} images")
    return tuple(ids)


def command_of(run: Mapping[str, Any]) -> str:
    """What goes on with a run."""
    return f"srd {'evaluate' if 'metrics' in run else 'batch'} --resume"


def ids_checksum(ids: Sequence[str]) -> str:
    """Of the file that says what images are called."""
    return checksum(encoded(list(ids)))


def differences(folder: Path, begun: Mapping[str, Any], run: Mapping[str, Any], ids: Sequence[str]) -> str:
    """In which ways the maps in a folder are others than those of a run; empty where they are the same."""
    other = [key for key in sorted({*begun, *run}) if begun.get(key) != run.get(key)]
    told = [f"another {key} {_brief(begun.get(key))}, not {_brief(run.get(key))}" for key in other]
    if "ids" in other and file_checksum(folder / IDS) == begun["ids"]:
        before = read_ids(folder, begun)
        news = {"new": set(ids).difference(before), "gone": set(before).difference(ids)}
        images = ", ".join(f"{len(each)} {word} ({min(each)})" for word, each in news.items() if each)
        told = [text for key, text in zip(other, told, strict=True) if key not in ("ids", "images")]
        told.append(f"other images: {images or 'their order'}")
    return "; ".join(told)


def _check(run: Any) -> None:
    if not isinstance(run, dict):
        raise ValueError("it is no object")
    for name, kind in _FIELDS.items():
        if type(run.get(name)) is not kind:  # True is an int of its own kind
            raise ValueError(f"{name} is {_brief(run.get(name))}")
    if "options" not in run and (lacking := [name for name in _OPTIONS if type(run.get(name)) is not str]):
        raise ValueError(f"{lacking[0]} is {_brief(run.get(lacking[0]))}")
    for name in ("images", "size", "batch"):
        if not 1 <= run[name] < 2**31:
            raise ValueError(f"{name} is {run[name]}")
    if not run["targets"] or any(type(each) not in (int, str) for each in run["targets"]):
        raise ValueError(f"targets is {_brief(run['targets'])}")
    for name in ("metrics", "variants"):
        if any(type(each) is not str for each in run.get(name, ())) or (name in run and not run[name]):
            raise ValueError(f"{name} is {_brief(run[name])}")
    if run["dtype"] not in _DTYPES:
        raise ValueError(f"dtype is {_brief(run['dtype'])}")


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
