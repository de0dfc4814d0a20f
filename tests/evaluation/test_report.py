"""A report is written whole or not at all, and says where nothing was learnt."""

import json

import pytest
from matplotlib.figure import Figure

from srd_jax.errors import SRDError
from srd_jax.evaluation.report import Report, Subject, untrained_notice


def made(**changes):
    usual = {"stem": "x", "title": "t", "headings": ("a",), "rows": [("1",)], "record": {"n": 1}, "figure": Figure()}
    return Report(**usual | changes)


def test_the_picture_and_the_numbers(tmp_path):
    picture, numbers = made().write(tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(numbers.read_text()) == {"n": 1}


def test_numbers_that_cannot_be_written_leave_nothing(tmp_path):
    with pytest.raises(TypeError):
        made(record={"n": object()}).write(tmp_path)
    assert not list(tmp_path.glob("*.json"))
    with pytest.raises(SRDError):
        made().write(next(tmp_path.glob("*.png")))


def test_the_subject_in_words_and_names():
    photos = Subject("net", "own", trained=True, labels=("a", "b"))
    birds = Subject("net", "own", trained=False, labels=("a", "b"), data="my birds", split="test")
    assert (photos.images, photos.stem("ablations")) == ("photos", "photos_net_ablations")
    assert birds.images == "images of my birds test"
    assert birds.stem("apop") == "my-birds_net_apop"
    assert untrained_notice(trained=True) == ""
    assert "--weights" in untrained_notice(trained=False)
