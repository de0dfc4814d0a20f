"""Small sets with the features of Oxford-IIIT Pet and of Pascal VOC, under names that no other set has."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

HEIGHT, WIDTH = 10, 20


def png(samples):
    file = io.BytesIO()
    Image.fromarray(np.asarray(samples, np.uint8)).save(file, "PNG")
    return file.getvalue()


def photo(orientation=1):
    image, file = Image.new("RGB", (WIDTH, HEIGHT), (90, 60, 30)), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


class Built(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A split ``test`` of the records that a class lists."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(self.features()))

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        yield from self.records().items()


TRIMAP = np.full((HEIGHT, WIDTH), 2)
TRIMAP[2:8, 3:9] = 3
TRIMAP[3:7, 4:8] = 1


class FewPets(Built):
    """Images with trimaps: one as it is, one turned, one of another size, one of other numbers."""

    def features(self):
        return {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=["Abyssinian", "american_bulldog"]),
            "species": tfds.features.ClassLabel(names=["Cat", "Dog"]),
            "file_name": tfds.features.Text(),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
            "head_bbox": tfds.features.BBoxFeature(),
        }

    def records(self):
        head = tfds.features.BBox(0.0, 0.0, 0.5, 0.5)
        kinds = {
            "plain": (1, TRIMAP),
            "turned": (6, TRIMAP),
            "cut": (1, TRIMAP[:-1]),
            "other": (1, TRIMAP + 1),
        }
        return {
            name: {"image": io.BytesIO(photo(orientation)), "label": 1, "species": 1, "file_name": f"{name}.jpg",
                   "segmentation_mask": io.BytesIO(png(mask)), "head_bbox": head}
            for name, (orientation, mask) in kinds.items()
        }  # fmt: skip


class FewObjects(Built):
    """Images with objects: several of the same class, one that is difficult, none at all."""

    CLASSES = ("aeroplane", "bicycle", "bird")

    def features(self):
        return {
            "image": tfds.features.Image(),
            "image/filename": tfds.features.Text(),
            "objects": tfds.features.Sequence(
                {
                    "label": tfds.features.ClassLabel(names=self.CLASSES),
                    "bbox": tfds.features.BBoxFeature(),
                    "pose": tfds.features.ClassLabel(names=["frontal", "unspecified"]),
                    "is_truncated": np.bool_,
                    "is_difficult": np.bool_,
                }
            ),
            "labels": tfds.features.Sequence(tfds.features.ClassLabel(names=self.CLASSES)),
            "labels_no_difficult": tfds.features.Sequence(tfds.features.ClassLabel(names=self.CLASSES)),
        }

    def records(self):
        kinds = {
            "several": [
                ("bicycle", (0.0, 0.0, 0.2, 0.2), False),
                ("bird", (0.1, 0.5, 0.6, 1.0), False),
                ("bird", (0.8, 0.0, 1.0, 0.1), False),
                ("bird", (0.5, 0.9, 1.0, 1.0), True),
                ("aeroplane", (0.0, 0.0, 1.0, 1.0), True),
            ],
            "one": [("bicycle", (0.1, 0.2, 0.5, 0.4), False), ("bird", (0.0, 0.0, 0.1, 0.1), False)],
            "difficult": [("bird", (0.1, 0.2, 0.5, 0.4), True)],
            "none": [],
        }
        return {
            name: {
                "image": io.BytesIO(photo()), "image/filename": f"{name}.jpg",
                "objects": [
                    {"label": label, "bbox": tfds.features.BBox(*box), "pose": "frontal", "is_truncated": False,
                     "is_difficult": difficult}
                    for label, box, difficult in objects
                ],
                "labels": sorted({label for label, *_ in objects}), "labels_no_difficult": [],
            }
            for name, objects in kinds.items()
        }  # fmt: skip
