"""Files that appear under their names only when they are complete, in folders made for them."""

import errno
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from srd_jax.errors import SRDError

__all__ = ["check_folder", "is_address", "read_regular", "replacing", "slug", "unique_stems"]

_STEM = 80  # bytes: with what follows, a name stays below 143, the shortest that file systems in use allow
_NAME = 143


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the name ``path`` once the block ends without an error.

    It is written beside ``path`` and renamed, so a reader sees the old file or the new one, whole. Missing folders are
    made; after an error neither a part of the file nor a folder made for it stays.

    Args:
        path: where the file should be.

    Raises:
        SRDError: it cannot be written there.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    made = _missing(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # not empty, or never made
                folder.rmdir()
        if isinstance(error, OSError):
            raise SRDError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def check_folder(folder: Path) -> None:
    """Find out before the work, and without making anything, whether a folder can take files.

    Raises:
        SRDError: it, or the nearest of its parents that exists, is no folder or cannot be written to.
    """
    try:
        missing = _missing(folder)
    except OSError as error:
        raise SRDError(f"cannot write into {folder}: {error.strerror or error}") from error
    nearest = missing[-1].parent if missing else folder
    if not nearest.is_dir():
        raise SRDError(f"cannot write into {folder}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SRDError(f"cannot write into {folder}: no permission to write in {nearest}")
    if hasattr(os, "pathconf"):
        name, whole = os.pathconf(nearest, "PC_NAME_MAX"), os.pathconf(nearest, "PC_PATH_MAX")
        if any(len(os.fsencode(each.name)) > name for each in missing) or len(os.fsencode(folder)) + _NAME > whole:
            raise SRDError(f"cannot write into {folder}: the name is too long")


def unique_stems(paths: Iterable[Path]) -> list[str]:
    """One file name stem for each path, no two of them equal on any file system.

    Args:
        paths: files, of which several may have the same stem.

    Returns:
        The paths' own stems where free, in order, others with a number behind: cat, cat-2. They have 80 bytes of UTF-8
        at the most before it, and a low line for each character that cannot be printed or is not UTF-8.
    """
    stems = [_shown(path.stem).encode()[:_STEM].decode(errors="ignore") for path in paths]
    taken: set[str] = set()
    unique = []
    for stem in stems:
        # a later file's own stem is its own: cat-2 is not free if a cat-2 is still to come
        name, number = stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in map(str.casefold, stems)):
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        unique.append(name)
    return unique


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file; a pipe or a device, which may never end, is not opened.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: it does not exist, is of another kind, larger, or cannot be read.
        ValueError: no file can be called so.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"more than {most // 2**20} MiB")
    with path.open("rb") as file:
        content = file.read(found.st_size + 1)
    if len(content) != found.st_size:
        raise OSError(errno.EBUSY, "it changes while it is read")
    return content


def is_address(text: str) -> bool:
    """Whether a text that should be a path is rather an address on the network, as https://... or s3://... are."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", text, re.IGNORECASE) is not None


def slug(text: str, longest: int = 40) -> str:
    """A text as part of a file name: lower-case letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.casefold())[:longest].strip("-")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "_" for c in text)


def _missing(folder: Path) -> Sequence[Path]:
    """The folder and those above it that do not exist, innermost first."""
    missing = []
    while not folder.exists() and not folder.is_symlink() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    return missing
