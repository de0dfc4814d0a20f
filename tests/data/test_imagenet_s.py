"""ImageNet-S from the folders that its authors hand out."""

import shutil

import numpy as np
import pytest
from PIL import Image

import srd_jax as srd
from srd_jax.data import open_source
from srd_jax.data.annotations import IGNORED, OBJECT, OUTSIDE
from srd_jax.models.labels import imagenet_classes, imagenet_labels

from .annotated_sets import HEIGHT, WIDTH, photo

LISTED = [synset for synset, _ in imagenet_classes()[::3]][:300]
GOLDFISH, LATE = LISTED[1], LISTED[279]  # 2 and 280 in the masks
IDS = np.zeros((HEIGHT, WIDTH), np.int32)
IDS[:4] = 2
IDS[4:7, :5] = 280
IDS[7:] = 1000


def write_pair(root, synset, stem, ids=IDS, orientation=1):
    for folder in ("validation", "validation-segmentation"):
        (root / folder / synset).mkdir(parents=True, exist_ok=True)
    (root / "validation" / synset / f"{stem}.JPEG").write_bytes(photo(orientation))
    samples = np.stack([ids % 256, ids // 256, np.zeros_like(ids)], -1).astype(np.uint8)
    Image.fromarray(samples).save(root / "validation-segmentation" / synset / f"{stem}.png")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("manual") / "ImageNetS300"
    write_pair(root, GOLDFISH, "ILSVRC2012_val_00000001")
    write_pair(root, GOLDFISH, "ILSVRC2012_val_00000002", np.where(IDS == 2, 0, IDS))
    write_pair(root, LATE, "ILSVRC2012_val_00000003", orientation=3)
    (root / "train-semi" / LATE).mkdir(parents=True)
    (root.parent / "categories").mkdir()
    shuffled = np.random.default_rng(0).permutation(LISTED)
    (root.parent / "categories" / "ImageNetS_categories_im300.txt").write_text("\n".join(shuffled))
    return root.parent


@pytest.fixture
def copied(files, tmp_path):
    return shutil.copytree(files, tmp_path / "copied")


def opened(files, prepared, name="imagenet_s300"):
    return open_source(name, "validation", data_dir=prepared, manual_dir=files)


def test_an_image_has_its_folders_class_and_the_mask_of_it(files, tmp_path):
    source = opened(files, tmp_path)
    places = {int(source[place].name[-6]): place for place in range(len(source))}
    assert sorted(places) == [1, 2, 3]
    assert source.labels == imagenet_labels()
    assert source[places[1]].encoded == photo()
    assert [source[places[each]].label for each in (1, 2, 3)] == [3, 3, 279 * 3]
    goldfish, without, late = (source.annotation(places[each]) for each in (1, 2, 3))
    rows = np.full((HEIGHT, WIDTH), OUTSIDE)
    rows[7:] = IGNORED
    np.testing.assert_array_equal(without.masks, rows[None])  # the image shows none of its class
    assert without.targets == (3,)
    rows[:4] = OBJECT
    np.testing.assert_array_equal(goldfish.masks, rows[None])
    np.testing.assert_array_equal(late.masks[0] == OBJECT, IDS[::-1, ::-1] == 280)  # a number of two bytes, upside down
    assert late.boxes is None


def test_without_a_list_every_class_needs_its_folder(files, tmp_path):
    copied = shutil.copytree(files / "ImageNetS300", tmp_path / "ImageNetS50")
    with pytest.raises(srd.DataError, match=r"has 2 classes in place of 50: add ImageNetS_categories_im50\.txt"):
        opened(copied, tmp_path / "prepared", "imagenet_s50")
    for synset in [*LISTED[:24], *LISTED[256:280]]:  # which makes the two numbers 2 and 50
        (copied / "validation" / synset).mkdir(exist_ok=True)
    for synset in LISTED[24:26]:
        (copied / "validation" / synset).mkdir()
    write_pair(copied, LATE, "ILSVRC2012_val_00000003", np.where(IDS == 280, 50, IDS))
    source = opened(copied, tmp_path / "prepared", "imagenet_s50")
    assert [(source.annotation(place).masks == OBJECT).sum() for place in range(3)].count(15) == 1


def break_missing(root):
    next((root / "validation-segmentation" / LATE).iterdir()).unlink()


def break_cut(root):
    mask = next((root / "validation-segmentation" / LATE).iterdir())
    mask.write_bytes(mask.read_bytes()[:50])


def break_size(root):
    write_pair(root, LATE, "ILSVRC2012_val_00000003", IDS[1:])


def break_channels(root):
    Image.new("L", (WIDTH, HEIGHT)).save(root / "validation-segmentation" / LATE / "ILSVRC2012_val_00000003.png")


def break_folder(root):
    (root / "validation" / "n00000000").mkdir()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (break_missing, "ILSVRC2012_val_00000003.JPEG in .*: there is no image file .*png"),
        (break_cut, "00000003.JPEG in .*: its mask cannot be read as an image"),
        (break_size, "00000003.JPEG in .*: its mask has 9 x 20 pixels and it has 10 x 20"),
        (break_channels, "00000003.JPEG in .*: its mask has no red and green"),
        (break_folder, "n00000000 is called as none of the set's classes"),
    ],
)
def test_what_cannot_be_prepared_names_its_image_and_leaves_nothing(copied, broken, message, tmp_path):
    broken(copied / "ImageNetS300")
    with pytest.raises(srd.DataError, match=f"imagenet_s300 could not be prepared: .*{message}"):
        opened(copied, tmp_path / "prepared")
    assert not list((tmp_path / "prepared").rglob("*record*"))


def test_a_list_of_other_classes(copied, tmp_path):
    listed = copied / "categories" / "ImageNetS_categories_im300.txt"
    listed.write_text("\n".join(["n00000000", *LISTED[1:]]))
    with pytest.raises(srd.DataError, match="has n00000000, which is none of ImageNet's classes"):
        opened(copied, tmp_path / "prepared")


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(srd.DataError, match="holds no ImageNet-S"):
        opened(tmp_path, tmp_path / "prepared", "imagenet_s919")
