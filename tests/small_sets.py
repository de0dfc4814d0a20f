"""A small set of images in the layouts of Tiny-ImageNet-200, written by the tests that read it."""

import csv
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from srd_jax.data import open_source
from srd_jax.models.labels import tiny_imagenet_classes

CLASSES = [synset for synset, _ in tiny_imagenet_classes()[:4]]
COLOURS = [(220, 40, 40), (40, 200, 60), (50, 60, 220), (210, 210, 50)]
TRAIN, VALIDATION = 12, 4


def encoded(label, number):
    """A photo of one class: its colour with noise; every third one is grey in the file."""
    rng = np.random.default_rng([label, number])
    pixels = np.clip(np.array(COLOURS[label]) + rng.normal(0, 25, (64, 64, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert("L") if number % 3 == 2 else image).save(file, "JPEG", quality=95)
    return file.getvalue()


def box(label, number):
    return (label, number, 40 + label, 50 + number)  # x0, y0, x1, y1, the last ones inclusive


def write_archive(folder):
    """The layout of the unpacked archive."""
    for label, synset in enumerate(CLASSES):
        images = folder / "train" / synset / "images"
        images.mkdir(parents=True)
        rows = []
        for number in range(TRAIN):
            name = f"{synset}_{number}.JPEG"
            (images / name).write_bytes(encoded(label, number))
            rows.append("\t".join([name, *map(str, box(label, number))]))
        (images.parent / f"{synset}_boxes.txt").write_text("\n".join(rows))
    validation = folder / "val" / "images"
    validation.mkdir(parents=True)
    rows = []
    for label, synset in enumerate(CLASSES):
        for number in range(VALIDATION):
            name = f"val_{label}{number}.JPEG"
            (validation / name).write_bytes(encoded(label, 100 + number))
            rows.append("\t".join([name, synset, *map(str, box(label, number))]))
    (folder / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")


def write_tars(folder):
    """The layout of image tars with one table of boxes."""
    folder.mkdir(parents=True, exist_ok=True)

    def add(tar, name, content):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))

    for shard in range(2):
        with tarfile.open(folder / f"train-{shard}.tar", "w") as tar:
            for label, synset in enumerate(CLASSES):
                for number in range(shard, TRAIN, 2):
                    add(tar, f"train/{synset}/{synset}_{number}.JPEG", encoded(label, number))
    with tarfile.open(folder / "val.tar", "w") as tar, (folder / "val_boxes.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["file", "wnid", "x0", "y0", "x1", "y1"])
        for label, synset in enumerate(CLASSES):
            for number in range(VALIDATION):
                name = f"val_{label}{number}.JPEG"
                add(tar, f"val/{synset}/{name}", encoded(label, 100 + number))
                rows.writerow([name, synset, *box(label, number)])


@pytest.fixture(scope="session")
def small_set(tmp_path_factory):
    """The folder of the archive and the folder of the prepared set."""
    files, prepared = tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("prepared")
    write_archive(files)
    open_source("tiny_imagenet200", "train", data_dir=prepared, manual_dir=files)
    return files, prepared


@pytest.fixture(scope="session")
def source(small_set):
    """Opens a split of the small set."""
    return lambda split: open_source("tiny_imagenet200", split, data_dir=small_set[1])
