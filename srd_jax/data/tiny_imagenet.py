"""Tiny-ImageNet-200 as a TFDS data set, prepared from its files without TensorFlow.

200 of ImageNet's classes at 64 x 64 pixels (Le and Yang, 2015): up to 500 training images a class and 50 for
validation, the latter with the box of the object. Importing this module registers the set as ``tiny_imagenet200``.
"""

import csv
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from srd_jax.models.labels import tiny_imagenet_classes

__all__ = ["TinyImagenet200"]

SIDE = 64
_WITHOUT_BOX = (0.0, 0.0, 0.0, 0.0)

Box = tuple[float, float, float, float]
Record = dict[str, Any]


class TinyImagenet200(tfds.core.GeneratorBasedBuilder):
    """Images with labels and, where the files hold them, boxes.

    Features: ``image`` (64, 64, 3) uint8; ``label`` 0 to 199; ``box`` (ymin, xmin, ymax, xmax) as fractions of the
    extent, zeros where unknown; ``file`` the image's name. Splits ``train`` and ``validation``.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    A folder that holds either the unpacked archive tiny-imagenet-200.zip (train/WNID/images/*.JPEG, val/images/*.JPEG,
    val/val_annotations.txt) or its images in tar files (train-*.tar of train/WNID/*.JPEG, val.tar of val/WNID/*.JPEG,
    and val_boxes.csv with the columns file, wnid, x0, y0, x1, y1).
    """

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=[synset for synset, _ in tiny_imagenet_classes()]),
            "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
            "file": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://www.kaggle.com/c/tiny-imagenet",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[str, Record]]]:
        folder = _root(Path(dl_manager.manual_dir))
        splits = _from_tars if sorted(folder.glob("train-*.tar")) else _from_folders
        return {name: self._generate_examples(images) for name, images in splits(folder).items()}

    def _generate_examples(self, images: Callable[[], Iterator["_Found"]]) -> Iterator[tuple[str, Record]]:
        for file, synset, encoded, box in images():
            record = {"image": io.BytesIO(encoded), "label": synset, "box": np.array(box, np.float32), "file": file}
            yield f"{synset}/{file}", record


_Found = tuple[str, str, bytes, Box]
"""File name, WordNet id, encoded image, box."""


def _root(folder: Path) -> Path:
    """The folder itself, or the one of the archive's name in it."""
    for root in (folder, folder / "tiny-imagenet-200"):
        if (root / "train").is_dir() or any(root.glob("train-*.tar")):
            return root
    raise FileNotFoundError(
        f"{folder} holds no Tiny-ImageNet-200: neither train/ and val/ from its archive nor train-*.tar and val.tar"
    )


def _from_tars(folder: Path) -> dict[str, Callable[[], Iterator[_Found]]]:
    boxes: dict[str, Box] = {}
    if (folder / "val_boxes.csv").is_file():
        with (folder / "val_boxes.csv").open(newline="") as lines:
            boxes = {
                row["file"]: _fractions([row[k] for k in ("x0", "y0", "x1", "y1")]) for row in csv.DictReader(lines)
            }

    def read(*tars: Path) -> Iterator[_Found]:
        for tar in tars:
            with tarfile.open(tar) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is not None:
                        path = Path(member.name)
                        yield path.name, path.parent.name, content.read(), boxes.get(path.name, _WITHOUT_BOX)

    shards = sorted(folder.glob("train-*.tar"))
    return {"train": lambda: read(*shards), "validation": lambda: read(folder / "val.tar")}


def _from_folders(folder: Path) -> dict[str, Callable[[], Iterator[_Found]]]:
    def train() -> Iterator[_Found]:
        for group in sorted((folder / "train").iterdir()):
            boxes = _annotations(group / f"{group.name}_boxes.txt", skip=1)
            for path in sorted((group / "images").glob("*.JPEG")):
                yield path.name, group.name, path.read_bytes(), boxes.get(path.name, (_WITHOUT_BOX, ""))[0]

    def validation() -> Iterator[_Found]:
        for file, (box, synset) in _annotations(folder / "val" / "val_annotations.txt", skip=2).items():
            yield file, synset, (folder / "val" / "images" / file).read_bytes(), box

    return {"train": train, "validation": validation}


def _annotations(file: Path, skip: int) -> dict[str, tuple[Box, str]]:
    """{image: (box, second column)} of a file with tabs, whose box is in the columns from ``skip`` on."""
    if not file.is_file():
        return {}
    rows = [line.split("\t") for line in file.read_text().splitlines() if line.strip()]
    return {row[0]: (_fractions(row[skip : skip + 4]), row[1]) for row in rows}


def _fractions(corners: list[str]) -> Box:
    """(ymin, xmin, ymax, xmax) as fractions from pixel indices x0, y0, x1, y1, the last ones inclusive."""
    x0, y0, x1, y1 = map(int, corners)
    return (y0 / SIDE, x0 / SIDE, (y1 + 1) / SIDE, (x1 + 1) / SIDE)
