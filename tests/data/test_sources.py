"""Data sets by name, and what is said of names that do not exist."""

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
