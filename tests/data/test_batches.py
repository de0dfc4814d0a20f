"""Batches are functions of a place and a seed."""

import io

import numpy as np
import pytest
from PIL import Image

import srd_jax as srd
from srd_jax.data import Source, batches, training_batches
from srd_jax.data.batches import augmented
from srd_jax.models import photos
from tests import small_sets

TRAINING = {"size": 16, "smallest_area": 0.5, "seed": 3}


def test_evaluation_keeps_the_order_and_ends_short(source):
    found = list(batches(source("validation"), 6, size=64, resize=64))
    assert [len(batch.labels) for batch in found] == [6, 6, 4]
    names = [name for batch in found for name in batch.names]
    assert names == [source("validation")[i].name for i in range(16)]
    first = np.asarray(Image.open(io.BytesIO(source("validation")[0].encoded)).convert("RGB"))
    np.testing.assert_array_equal(found[0].images[0], first)


def test_a_range_of_places(source):
    (batch,) = batches(source("validation"), 8, size=64, resize=64, start=3, stop=7)
    assert batch.names == tuple(source("validation")[i].name for i in range(3, 7))


def test_boxes_follow_the_image(source):
    (batch,) = batches(source("validation"), 16, size=64, resize=64)
    row = batch.names.index("val_23.JPEG")
    np.testing.assert_allclose(batch.boxes[row], [3, 2, 54, 43])
    (cropped,) = batches(source("validation"), 16, size=96, resize=128)
    np.testing.assert_allclose(cropped.boxes[row], np.array([3, 2, 54, 43]) * 2 - 16 + [10, 12, 0, 0])


def test_the_box_of_a_wide_image_keeps_to_its_crop():
    file = io.BytesIO()
    Image.new("RGB", (200, 100)).save(file, "PNG")
    record = {"image": file.getvalue(), "label": 0, "box": np.array([0.1, 0.5, 0.9, 1.0], np.float32)}
    (batch,) = batches(Source("wide", ("a",), [record]), 1, size=40, resize=50)
    # 100 x 50 pixels, of which columns 30 to 70 and rows 5 to 45 are seen
    np.testing.assert_allclose(batch.boxes[0], [0, 20, 40, 40])


def test_an_image_that_cannot_be_decoded():
    with pytest.raises(srd.ImageError, match=r"broken\.jpg cannot be read as an image"):
        list(batches(Source("bad", ("a",), [{"image": b"x", "label": 0, "file": "broken.jpg"}]), 1, size=8, resize=8))


def half_labelled(labels):
    records = [
        {"image": small_sets.encoded(0, place), "label": label, "file": f"{place}.jpg"}
        for place, label in enumerate(labels)
    ]
    return Source("half", ("a", "b"), records)


def test_images_without_a_label_are_left_out_where_labels_are_wanted():
    source = half_labelled([0, -1, 1, -1, -1, 1])
    found = list(batches(source, 2, size=8, resize=8, labelled=True))
    assert [batch.names for batch in found] == [("0.jpg", "2.jpg"), ("5.jpg",)]
    assert [batch.labels.tolist() for batch in found] == [[0, 1], [1]]
    (batch,) = batches(source, 9, size=8, resize=8)
    assert batch.labels.tolist() == [0, -1, 1, -1, -1, 1]
    with pytest.raises(srd.DataError, match="no image of half has a label"):
        list(batches(source, 2, size=8, resize=8, start=3, stop=5, labelled=True))


def test_training_names_an_image_without_a_label():
    with pytest.raises(srd.DataError, match=r"image 1\.jpg of half has no label"):
        list(training_batches(half_labelled([0, -1]), 2, **TRAINING, start=0, stop=1))


def test_training_starts_anywhere_in_the_same_sequence(source):
    whole = list(training_batches(source("train"), 8, **TRAINING, start=0, stop=9))
    late = list(training_batches(source("train"), 8, **TRAINING, start=7, stop=9))
    assert len(whole) == 9
    for (images, labels), (again, same) in zip(whole[7:], late, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(labels, same)


def test_an_epoch_has_every_image_once_and_the_next_another_order(source):
    labels = [
        label for _, batch in training_batches(source("train"), 8, **TRAINING, start=0, stop=12) for label in batch
    ]
    for epoch in (labels[:48], labels[48:]):
        np.testing.assert_array_equal(np.bincount(epoch), [small_sets.TRAIN] * 4)
    assert labels[:48] != labels[48:]


def test_shards_are_parts_of_every_batch(source):
    (whole,) = training_batches(source("train"), 8, **TRAINING, start=2, stop=3)
    parts = [next(training_batches(source("train"), 8, **TRAINING, start=2, stop=3, shard=(i, 2))) for i in range(2)]
    np.testing.assert_array_equal(np.sort(np.concatenate([labels for _, labels in parts])), np.sort(whole[1]))
    np.testing.assert_array_equal(parts[1][0], whole[0][1::2])


def test_crops_keep_to_the_image_and_mirror_half_of_it():
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3))
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    rng = np.random.default_rng(0)
    crops = [augmented(Image.open(file), rng, 24, 0.5).astype(int) for _ in range(200)]
    rising = [crop[0, -1, 0] > crop[0, 0, 0] for crop in crops]
    assert 0.4 < np.mean(rising) < 0.6
    spans = [abs(crop[0, -1, 0] - crop[0, 0, 0]) for crop in crops]
    assert min(spans) > 0.55 * 252 * 23 / 24  # sqrt(0.5 * 3/4) of the width at the least
    assert all(crop.shape == (24, 24, 3) for crop in crops)


def test_training_sees_what_explanations_see():
    turned = Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 21)
    exif = turned.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    shown = photos.decoded(file.getvalue(), "photo")
    one = Source("one", ("a",), [{"image": file.getvalue(), "label": 0}])
    ((images, _),) = training_batches(one, 1, size=24, smallest_area=0.5, seed=0, start=0, stop=1)
    near = [augmented(shown, np.random.default_rng(seed), 24, 0.5) for seed in range(300)]
    assert min(np.abs(images[0].astype(int) - each).mean() for each in near) < 12
    assert images[0].astype(int).std() > 10


def test_a_damaged_training_image_is_named(source):
    good = source("train")[0].encoded
    records = [{"image": good, "label": 0}, {"image": good[:-200], "label": 0, "file": "cut.jpg"}]
    with pytest.raises(srd.ImageError, match=r"^set: cut\.jpg cannot be read as an image"):
        list(training_batches(Source("set", ("a",), records), 2, **TRAINING, start=0, stop=2))
