"""ImageNet-S as TFDS data sets, prepared from its files without TensorFlow: ImageNet photos with masks of their class.

Gao et al., Large-scale unsupervised semantic segmentation (arXiv 2106.03149), annotated 752, 4097 and 12419 of
ImageNet's validation images with 50, 300 and 919 of its classes. Importing this module registers them as
``imagenet_s50``, ``imagenet_s300`` and ``imagenet_s919``.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from srd_jax.errors import DataError, SRDError
from srd_jax.models import photos
from srd_jax.models.labels import imagenet_classes

from .annotations import IGNORED, OBJECT, OUTSIDE, mask_of

__all__ = ["ImagenetS50", "ImagenetS300", "ImagenetS919"]

_IGNORED_ID = 1000

Record = dict[str, Any]


class _ImagenetS(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Images with the class whose folder they are in, and its mask.

    The folder's class is what was annotated; 136 of the 752 images of ``imagenet_s50`` have another one in ImageNet.
    Features: ``image``; ``label`` 0 to 999, that of ImageNet; ``mask`` (H, W, 1) uint8 0 outside, 1 the class, 2
    ignored, without any 1 where the image shows none of its class; ``file`` the image's name. Split ``validation``.
    """

    CLASSES: ClassVar[int]
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    A folder that the authors' scripts made (https://github.com/LUSSeg/ImageNet-S): validation/WNID/*.JPEG and
    validation-segmentation/WNID/*.png, or one that holds it as ImageNetS50, ImageNetS300 or ImageNetS919. Where it has
    not all classes' folders, their list categories/ImageNetS_categories_im50.txt, im300 or im919 must lie beside them.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=[synset for synset, _ in imagenet_classes()]),
            "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "file": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://lusseg.github.io",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[str, Record]]]:
        folder = _root(Path(dl_manager.manual_dir), self.CLASSES)
        return {"validation": self._generate_examples(folder, _numbers(folder, self.CLASSES))}

    def _generate_examples(self, folder: Path, numbers: dict[str, int]) -> Iterator[tuple[str, Record]]:
        for group in sorted(each for each in (folder / "validation").iterdir() if each.is_dir()):
            if group.name not in numbers:
                raise DataError(f"{group} is called as none of the set's classes")
            for path in sorted(group.glob("*.JPEG")):
                encoded = path.read_bytes()
                masked = folder / "validation-segmentation" / group.name / f"{path.stem}.png"
                mask = _encoded(_mask(path, encoded, masked, numbers[group.name]))
                record = {"image": io.BytesIO(encoded), "label": group.name, "mask": mask, "file": path.name}
                yield f"{group.name}/{path.name}", record


class ImagenetS50(_ImagenetS):
    """ImageNet-S of 50 classes, 752 images."""

    CLASSES = 50


class ImagenetS300(_ImagenetS):
    """ImageNet-S of 300 classes, 4097 images."""

    CLASSES = 300


class ImagenetS919(_ImagenetS):
    """ImageNet-S of 919 classes, 12419 images."""

    CLASSES = 919


def _root(folder: Path, classes: int) -> Path:
    """The folder itself, or the one of the set's name in it."""
    for root in (folder, folder / f"ImageNetS{classes}"):
        if (root / "validation").is_dir() and (root / "validation-segmentation").is_dir():
            return root
    raise DataError(f"{folder} holds no ImageNet-S: neither validation/ nor validation-segmentation/")


def _numbers(folder: Path, classes: int) -> dict[str, int]:
    """{WordNet id: its number in the masks}, which is its place among the set's sorted ones, from 1 on."""
    name = f"ImageNetS_categories_im{classes}.txt"
    beside = (parent / name for root in (folder, folder.parent) for parent in (root / "categories", root))
    listed = next((file for file in beside if file.is_file()), None)
    if listed:
        synsets = listed.read_text("utf-8").split()  # which the authors shuffled
    else:
        synsets = [each.name for each in (folder / "validation").iterdir() if each.is_dir()]
    if len(set(synsets)) != classes:
        where = listed or folder / "validation"
        hint = "" if listed else f": add {name}, or the numbers in the masks mean nothing"
        raise DataError(f"{where} has {len(set(synsets))} classes in place of {classes}{hint}")
    unknown = sorted(set(synsets) - {synset for synset, _ in imagenet_classes()})
    if unknown:
        raise DataError(f"{listed or folder / 'validation'} has {unknown[0]}, which is none of ImageNet's classes")
    return {synset: number for number, synset in enumerate(sorted(set(synsets)), 1)}


def _mask(path: Path, encoded: bytes, masked: Path, number: int) -> UInt8[np.ndarray, "H W"]:
    """Which pixels belong to one class, of a mask whose red and green say 256 green + red."""
    try:
        samples = mask_of(photos.read(masked), photos.stored(encoded, "it")[0])
        if samples.ndim != 3:
            raise DataError("its mask has no red and green")
    except SRDError as error:
        raise DataError(f"{path.name} in {path.parent}: {str(error).rstrip('.')}") from error
    ids = samples[..., 0].astype(np.int32) + 256 * samples[..., 1].astype(np.int32)
    return np.select([ids == number, ids == _IGNORED_ID], [OBJECT, IGNORED], OUTSIDE).astype(np.uint8)


def _encoded(mask: UInt8[np.ndarray, "H W"]) -> io.BytesIO:
    """A PNG; TFDS would need TensorFlow for it."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    file.seek(0)
    return file
