"""Mosaics of photos of different classes, and which photos may be in one."""

import io

import numpy as np
import pytest
from PIL import Image

import srd_jax as srd
from srd_jax.data.annotations import OBJECT
from srd_jax.data.images import Images
from srd_jax.evaluation.grids import confident, mosaics, shown_whole
from srd_jax.models import photos
from tests.cli.networks import network

SHOWN = photos.Preprocessing(8, 10)


def encoded(colour):
    file = io.BytesIO()
    Image.new("RGB", (12, 12), colour).save(file, "PNG")
    return file.getvalue()


COLOURS = [(20 * k, 255 - 20 * k, 10 * k) for k in range(12)]
IMAGES = Images(
    "twelve", tuple(map(str, range(12))), tuple("abcdef"), lambda place: (encoded(COLOURS[place]), place % 6)
)


def test_photos_are_named_rightly_and_surely():
    net = network(6, scale=3.0)
    inputs = net.preprocess.at(32).normalise(np.array(COLOURS, np.uint8)[:, None, None])
    logits = np.asarray(net.apply(net.variables, inputs))
    sure = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = {k: k % 6 for k in range(12) if sure[k].argmax() == k % 6 and sure[k].max() >= 0.3}
    assert 0 < len(expected) < 12
    done = []
    assert confident(net, IMAGES, 32, threshold=0.3, batch=5, advance=done.append) == expected
    assert sum(done) == 12


def test_a_mosaic_holds_photos_of_different_classes():
    classes = {place: place % 6 for place in range(12)}
    made = mosaics(IMAGES, classes, SHOWN, cells=2, count=6, seed=3)
    assert len(made) == 6
    used = []
    for place in range(6):
        annotation = made.annotation(place)
        assert len(set(annotation.targets)) == 4
        members = [int(name) for name in made.ids[place].split(" | ")]
        assert [member % 6 for member in members] == list(annotation.targets)
        used += members
        whole = shown_whole(SHOWN, 16).crop(photos.decoded(made.read(place)[0], "it"))
        for member, mask in zip(members, annotation.masks, strict=True):
            np.testing.assert_array_equal(whole[mask == OBJECT], np.broadcast_to(COLOURS[member], (64, 3)))
        np.testing.assert_array_equal(annotation.masks.sum(0), np.ones((16, 16)))
    assert sorted(used[:12]) == list(range(12))  # nothing comes back before all have been used
    assert mosaics(IMAGES, classes, SHOWN, count=6, seed=3).ids == made.ids
    assert mosaics(IMAGES, classes, SHOWN, count=6, seed=4).ids != made.ids


def test_too_few_classes():
    with pytest.raises(srd.DataError, match=r"takes photos of 9 classes, and those of twelve .* are of 6"):
        mosaics(IMAGES, {place: place % 6 for place in range(12)}, SHOWN, cells=3)
