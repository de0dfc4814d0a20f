"""Data sets by name, and what is said of names that do not exist."""

import io
import shutil

import pytest
import tensorflow_datasets as tfds
from PIL import Image

import srd_jax as srd
from srd_jax.data import open_source


class HalfLabelled(tfds.core.GeneratorBasedBuilder):
    """Four images of three classes without names, two of them of unknown class."""

    VERSION = tfds.core.Version("1.0.0")
    LABELS = (2, -1, 0, -1)
    CLASSES = tfds.features.ClassLabel(num_classes=3)

    def _info(self):
        features = {"image": tfds.features.Image(shape=(4, 4, 3), encoding_format="png"), "label": self.CLASSES}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for place, label in enumerate(self.LABELS):
            file = io.BytesIO()
            Image.new("RGB", (4, 4)).save(file, "PNG")
            yield place, {"image": file, "label": label}


class WordNetIds(HalfLabelled):
    """The same with names."""

    CLASSES = tfds.features.ClassLabel(names=["n02123045", "Great_Tit", "n99999999"])


class WithoutClasses(HalfLabelled):
    """The same with labels of which nothing is known."""

    CLASSES = tfds.features.ClassLabel()


def test_unknown_classes_and_names(tmp_path):
    found = open_source("half_labelled", "test", data_dir=tmp_path)
    assert sorted(found[place].label for place in range(4)) == [-1, -1, 0, 2]
    assert found.labels == ("0", "1", "2")


def test_names_are_those_that_people_read(tmp_path):
    assert open_source("word_net_ids", "test", data_dir=tmp_path).labels == (
        "tabby, tabby cat",
        "Great Tit",
        "n99999999",
    )


def test_labels_of_no_classes_are_none(tmp_path):
    with pytest.raises(srd.DataError, match="not a set of images with labels"):
        open_source("without_classes", "test", data_dir=tmp_path)


def test_slices_of_a_split(source):
    assert len(source("train[:25%]")) == 12
    assert len(source("train[4:10]")) == 6


def test_an_unknown_set(tmp_path):
    with pytest.raises(srd.DataError, match="no data set 'tiny_imagenot'"):
        open_source("tiny_imagenot", "train", data_dir=tmp_path)


def test_an_unknown_split(source):
    with pytest.raises(srd.DataError, match="has no split 'test'; there are train, validation"):
        source("test")


def test_an_image_that_is_not_there(source):
    with pytest.raises(IndexError, match="has no image 16"):
        source("validation")[16]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[:banana]", "cannot be opened"),
        ("train[", "cannot be opened"),
        ("train[1:2:3]", "cannot be opened"),
        ("train+test", "no split 'test'"),
        ("train+", "no split ''"),
        ("", "no split ''"),
        ("\0", "no split"),
    ],
)
def test_a_split_that_says_nothing(source, split, message):
    with pytest.raises(srd.DataError, match=message):
        source(split)


@pytest.mark.parametrize(
    "name", ["", "a" * 300, "../x", "\0", "tiny_imagenet200:9.9.9", "https://x.org/y", "gs://bucket/x", "huggingface:x"]
)
def test_a_name_that_names_nothing(name, tmp_path):
    with pytest.raises(srd.DataError, match="there is no data set"):
        open_source(name, "train", data_dir=tmp_path)


def test_a_folder_that_cannot_hold_sets(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(srd.DataError, match="could not be prepared"):
        open_source("tiny_imagenet200", "train", data_dir=tmp_path / "file")


def test_a_set_whose_files_are_gone(small_set, tmp_path):
    damaged = tmp_path / "prepared"
    shutil.copytree(small_set[1], damaged)
    for file in damaged.rglob("*array_record*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(srd.DataError, match="cannot be"):
        open_source("tiny_imagenet200", "validation", data_dir=damaged)[0]
