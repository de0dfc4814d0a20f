"""One way to images with all that is known of them: from a CSV file, a folder, a list, or a data set."""

import stat
from collections.abc import Sequence
from pathlib import Path

from .images import Images, mode_of, open_images
from .labelled_folder import labelled_images, with_classes

__all__ = ["open_annotated"]


def open_annotated(source: str, split: str, labels: Sequence[str], out: Path, **folders: Path | None) -> Images:
    """The images of a CSV file, a folder, a list, or a data set's split, with classes, boxes and masks where there are.

    Photos in sub-folders have the classes that these are called as, as `srd_jax.data.labelled_folder` says; photos that
    lie in the folder itself, or that a list names, have none.

    Args:
        source: path of a CSV file, a folder or a list, or the name of a set.
        split: of the set.
        labels: class names of the network, for what names classes itself; a set has its own.
        out: where results will lie, which must not be among the images.
        **folders: of `srd_jax.data.open_source`.

    Raises:
        DataError: there are none, or what is said of them is wrong.
    """
    mode = mode_of(source)
    if stat.S_ISREG(mode) and Path(source).suffix.casefold() == ".csv":
        return labelled_images(Path(source), labels)
    images = open_images(source, split, out, **folders)
    in_folders = stat.S_ISDIR(mode) and any("/" in name for name in images.ids)
    return with_classes(images, labels) if in_folders else images
