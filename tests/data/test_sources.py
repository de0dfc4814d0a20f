"""Data sets by name, and what is said of names that do not exist."""

import shutil

import pytest

import srd_jax as srd
from srd_jax.data import open_source


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
