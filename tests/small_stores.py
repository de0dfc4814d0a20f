"""A store of eight images in three chunks, of which one image cannot be read, as tests need it."""

import shutil

import numpy as np

from srd_jax.data.checks import check
from srd_jax.data.checksums import image_checksum
from srd_jax.data.images import NO_LABEL, Images
from srd_jax.data.recipe import ids_checksum
from srd_jax.data.store import DONE, UNREADABLE, Rows, Writer, prepare_store

IDS = [f"photo {i}" for i in range(8)]
RUN = {
    "srd_jax": "1", "model": "m", "weights": "default", "checksum": "c", "source": "s", "images": 8,
    "ids": ids_checksum(IDS), "targets": ["top1", 3], "method": "srd", "contrast": "spatial",
    "bias": "norm", "head": "linear", "size": 4, "batch": 3, "dtype": "float32",
}  # fmt: skip
RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(8, 2, 4, 4)).astype(np.float32)
TARGETS = RNG.integers(0, 9, (8, 2)).astype(np.int32)
SCORES = np.array(TARGETS, np.float32) / 2
STATUS = np.array([DONE, DONE, UNREADABLE, DONE, DONE, DONE, DONE, DONE], np.uint8)
CONTENTS = [f"pixels {i}".encode() for i in range(8)]


class Notes:
    """Keeps what would be written."""

    dtype = np.float32

    def __init__(self):
        self.rows = {}

    def write(self, index, rows):
        self.rows[index] = rows


def images(contents):
    """Images of these contents; None stands for one that is not there."""

    def read(place):
        if contents[place] is None:
            raise FileNotFoundError(2, "No such file or directory")
        return contents[place], NO_LABEL

    return Images("s", tuple(IDS), None, read)


def rows(index):
    part = slice(index * 3, min(index * 3 + 3, 8))
    checksums = tuple(image_checksum(content, NO_LABEL) for content in CONTENTS[part])
    return Rows(MAPS[part], TARGETS[part], SCORES[part], TARGETS[part, 0], STATUS[part], checksums)


def begin(folder, run=RUN, *, resume=False):
    prepare_store(folder, run, IDS, resume=resume, write=True)
    return Writer(folder, run)


def write(folder):
    writer = begin(folder)
    for index in range(writer.chunks):
        writer.write(index, rows(index))
    return folder


def go_on(folder, contents=CONTENTS):
    """What a run that goes on finds, and how it goes on."""
    found = look(begin(folder, resume=True), contents)
    writer = Writer(folder, RUN)
    writer.withdraw([*found.damaged, *found.changed])
    for index in found.missing:
        writer.write(index, rows(index))
    return found


def look(writer, contents=CONTENTS):
    return check(writer, images(contents), range(writer.chunks), lambda: None)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy(folder, to):
    return shutil.copytree(folder, to, symlinks=True)
