"""Tiny-ImageNet is read the same from its archive and from tars, and without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

import srd_jax as srd
from srd_jax.data import open_source
from tests import small_sets


@pytest.fixture(scope="module")
def from_tars(tmp_path_factory):
    files, prepared = tmp_path_factory.mktemp("tars"), tmp_path_factory.mktemp("prepared")
    small_sets.write_tars(files)
    return lambda split: open_source("tiny_imagenet200", split, data_dir=prepared, manual_dir=files)


def by_name(examples):
    return {example.name: example for example in (examples[i] for i in range(len(examples)))}


@pytest.mark.parametrize(("split", "each"), [("train", small_sets.TRAIN), ("validation", small_sets.VALIDATION)])
def test_both_layouts_hold_the_same_images_and_labels(split, each, source, from_tars):
    archive, tars = by_name(source(split)), by_name(from_tars(split))
    assert len(archive) == each * len(small_sets.CLASSES)
    assert archive.keys() == tars.keys()
    for name, example in archive.items():
        assert tars[name].encoded == example.encoded
        assert tars[name].label == example.label


def test_an_image_has_its_class_its_bytes_and_its_box(source):
    example = by_name(source("validation"))["val_23.JPEG"]
    assert example.label == 2
    assert example.encoded == small_sets.encoded(2, 103)
    np.testing.assert_allclose(example.box, np.array([3, 2, 54, 43]) / 64)  # ymin, xmin, ymax, xmax


def test_boxes_come_from_both_layouts_where_they_are(source, from_tars):
    np.testing.assert_array_equal(
        by_name(source("validation"))["val_10.JPEG"].box, by_name(from_tars("validation"))["val_10.JPEG"].box
    )
    assert not np.isnan(by_name(source("train"))[f"{small_sets.CLASSES[0]}_0.JPEG"].box).any()
    assert np.isnan(by_name(from_tars("train"))[f"{small_sets.CLASSES[0]}_0.JPEG"].box).all()


def test_the_labels_are_names_in_order(source):
    labels = source("train").labels
    assert len(labels) == 200
    assert labels[0] == "goldfish, Carassius auratus"


def test_a_folder_without_the_files_is_told_apart(tmp_path):
    with pytest.raises(srd.DataError, match=r"could not be prepared: .*holds no Tiny-ImageNet-200"):
        open_source("tiny_imagenet200", "train", data_dir=tmp_path / "prepared", manual_dir=tmp_path)


def test_tensorflow_is_not_needed(small_set):
    code = (
        "import sys\n"
        "from srd_jax.data import open_source\n"
        f"source = open_source('tiny_imagenet200', 'validation', data_dir={str(small_set[1])!r})\n"
        "print(len(source), source[0].label in range(4), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["16", "True", "False"]
