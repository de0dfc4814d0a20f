"""What proves that a file or an image is the one that it was: SHA-256."""

import hashlib
import stat
from pathlib import Path
from typing import Any

import jax
import numpy as np

from srd_jax.errors import DataError

from .images import NO_LABEL

__all__ = ["checksum", "file_checksum", "image_checksum", "is_there", "weights_checksum"]


def image_checksum(encoded: bytes, label: int) -> str:
    """What tells an image and its label from others: SHA-256 of the file, followed by the label where it has one."""
    digest = hashlib.sha256(encoded)
    if label != NO_LABEL:
        digest.update(str(label).encode())
    return digest.hexdigest()


def weights_checksum(variables: Any) -> str:
    """What tells a model's weights from others, wherever they are from: SHA-256 of every array, its name and type."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def checksum(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def file_checksum(path: Path) -> str | None:
    """The same of a file, of which little is held in memory; None where there is none.

    Raises:
        DataError: there is something else, or it cannot be read.
    """
    if not is_there(path):
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error


def is_there(path: Path) -> bool:
    """Whether there is a regular file; pipes, which may never end, are not opened.

    Raises:
        DataError: there is something else.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} should be a file and is {'a folder' if stat.S_ISDIR(mode) else 'none'}: remove it")
    return True
