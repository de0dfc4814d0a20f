"""The pointing game: its counts, its picture, and what it needs."""

import jax
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.batch import Batch
from srd_jax.evaluation.pointing import ANYWHERE, CENTRE, SMOOTHED, pointing

SIDE = 16
BOXES = np.array([[0, 0, 16, 16], [6, 6, 10, 10], [0, 0, 4, 8], [12, 12, 16, 16], [0, 8, 16, 16]], np.float32)


@pytest.fixture(scope="module")
def net():
    return models.load("tiny_resnet", "untrained")


@pytest.fixture(scope="module")
def batches():
    images = np.random.default_rng(0).integers(0, 255, (5, SIDE, SIDE, 3), np.uint8)
    labels = np.arange(5, dtype=np.int32) * 7
    return [Batch(images[:3], labels[:3], BOXES[:3]), Batch(images[3:], labels[3:], BOXES[3:])]


@pytest.fixture(scope="module")
def played(net, batches):
    return pointing(net, batches, 3, options={"contrast": "spatial"}, sigma=1.0)


def test_every_answer_is_counted_once_an_image(played):
    assert tuple(played.hits) == ("srd", "srd" + SMOOTHED, "saliency", "saliency" + SMOOTHED, CENTRE, ANYWHERE)
    assert all(hits.shape == (5,) for hits in played.hits.values())
    assert all(hits[0] == 1 for hits in played.hits.values())  # the box is the whole image
    np.testing.assert_array_equal(played.hits[CENTRE], [1, 1, 0, 0, 1])
    np.testing.assert_allclose(played.hits[ANYWHERE], [1, 16 / 256, 32 / 256, 16 / 256, 128 / 256])


def test_hits_are_those_of_the_maps_own_peaks(net, batches, played):
    images = np.stack([net.preprocess.normalise(image) for image in np.concatenate([b.images for b in batches])])
    labels = np.concatenate([b.labels for b in batches])

    def own(x):
        return net.apply(net.variables, x)[np.arange(5), labels].sum()

    maps = {
        "srd": jax.jit(srd.explain(net.apply))(net.variables, images, labels),
        "saliency": abs(jax.jit(jax.grad(own))(images)).max(-1),
    }
    for name, heat in maps.items():
        peaks = [np.unravel_index(np.argmax(each), each.shape) for each in np.asarray(heat)]
        inside = [
            t <= row < b and left <= column < r for (row, column), (t, left, b, r) in zip(peaks, BOXES, strict=True)
        ]
        np.testing.assert_array_equal(played.hits[name], inside)


def test_a_set_without_boxes_is_refused(net, batches):
    bare = [Batch(each.images, each.labels, np.full((len(each.labels), 4), np.nan, np.float32)) for each in batches]
    with pytest.raises(srd.DataError, match="needs a box for every image"):
        pointing(net, bare, 3, options={}, sigma=1.0)
