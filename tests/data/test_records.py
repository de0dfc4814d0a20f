"""What is known of the images of data sets with masks, with objects, and with boxes."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

import srd_jax as srd
from srd_jax.data import open_source
from srd_jax.data.annotations import IGNORED, NO_LABEL, OBJECT, OUTSIDE
from srd_jax.data.records import annotation_of, class_feature, object_of

from .annotated_sets import HEIGHT, TRIMAP, WIDTH, photo


@pytest.fixture(scope="module")
def by_name(tmp_path_factory):
    prepared = tmp_path_factory.mktemp("prepared")

    def opened(name):
        source = open_source(name, "test", data_dir=prepared)
        return source, {source[place].name.removesuffix(".jpg"): place for place in range(len(source))}

    return opened


@pytest.mark.parametrize(("name", "classes"), [("oxford_iiit_pet", 37), ("voc/2007", 20), ("caltech101", 102)])
def test_which_feature_names_the_classes_of_a_set(name, classes, tmp_path):
    features = dict(tfds.builder(name, data_dir=tmp_path).info.features)
    assert class_feature(features).num_classes == classes
    assert features.keys() >= {"image"}


def test_a_set_without_classes_has_no_feature_that_names_them():
    image, label = tfds.features.Image(), tfds.features.ClassLabel(names=["a"])
    assert class_feature({"image": image}) is None
    assert class_feature({"image": image, "objects": tfds.features.Sequence({"label": label})}) is None
    assert class_feature({"image": image, "label": tfds.features.Text()}) is None


def test_a_trimap_is_a_mask_that_ignores_the_border(by_name):
    source, places = by_name("few_pets")
    found = source.annotation(places["plain"])
    assert found.targets == (1,)
    assert found.boxes is None  # that of the head is not the object's
    np.testing.assert_array_equal(found.masks, np.select([TRIMAP == 1, TRIMAP == 3], [OBJECT, IGNORED], OUTSIDE)[None])
    np.testing.assert_array_equal(source.annotation(places["turned"]).masks[0], np.rot90(found.masks[0], -1))


@pytest.mark.parametrize(
    ("name", "message"),
    [("cut", "its mask has 9 x 20 pixels and it has 10 x 20"), ("other", "its segmentation_mask holds other numbers")],
)
def test_a_mask_that_is_of_no_use_names_its_image(by_name, name, message):
    source, places = by_name("few_pets")
    with pytest.raises(srd.DataError, match=f"annotation of image {places[name]} of few_pets test cannot .*{message}"):
        source.annotation(places[name])


def test_an_image_of_objects_is_of_the_class_of_its_largest(by_name):
    source, places = by_name("few_objects")
    assert source.labels == ("aeroplane", "bicycle", "bird")
    labels = {name: source[place].label for name, place in places.items()}
    assert labels == {"several": 2, "one": 1, "difficult": NO_LABEL, "none": NO_LABEL}
    np.testing.assert_allclose(source[places["several"]].box, [0.1, 0.5, 0.6, 1.0])
    assert np.isnan(source[places["difficult"]].box).all()


def test_several_objects_of_a_class_are_one_mask(by_name):
    source, places = by_name("few_objects")
    found = source.annotation(places["several"])
    mask = np.full((HEIGHT, WIDTH), OUTSIDE)
    mask[5:, 18:] = IGNORED  # the difficult one
    mask[1:6, 10:] = mask[8:, :2] = OBJECT
    assert found.targets == (2,)
    np.testing.assert_array_equal(found.masks, mask[None])
    np.testing.assert_allclose(found.boxes, [[0.1, 0.5, 0.6, 1.0]])


def test_one_object_is_its_box(by_name):
    source, places = by_name("few_objects")
    found = source.annotation(places["one"])
    assert (found.targets, found.masks) == ((1,), None)
    np.testing.assert_allclose(found.boxes, [[0.1, 0.2, 0.5, 0.4]])
    for name in ("difficult", "none"):
        bare = source.annotation(places[name])
        assert (bare.targets, bare.boxes, bare.masks) == ((NO_LABEL,), None, None)


def test_objects_without_classes_are_all_of_the_images():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.2, 0, 1, 1]], np.float32)
    record = {"image": photo(), "label": 7, "objects": {"bbox": boxes}}
    label, box = object_of(record)
    assert label == 7
    np.testing.assert_array_equal(box, boxes[2])
    assert annotation_of(record).masks.sum() == 5 * 10 + 8 * 20 - 3 * 10


def test_of_objects_with_classes_an_image_with_one_has_its_own():
    boxes = np.array([[0, 0, 0.5, 0.5], [0, 0, 1, 1]], np.float32)
    record = {"image": photo(), "label": 3, "objects": {"bbox": boxes, "label": np.array([3, 4])}}
    np.testing.assert_array_equal(object_of(record)[1], boxes[0])
    assert object_of(record | {"label": 5})[0] == 5
    assert np.isnan(object_of(record | {"label": 5})[1]).all()


def test_the_box_of_an_image_is_turned_with_it():
    box = np.array([0.0, 0.25, 0.5, 1.0], np.float32)
    found = annotation_of({"image": photo(6), "label": 0, "bbox": box})
    np.testing.assert_allclose(found.boxes, [[0.25, 0.5, 1.0, 1.0]])
