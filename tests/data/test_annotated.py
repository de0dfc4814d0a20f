"""One way to images, whatever they come from."""

import numpy as np
import pytest

import srd_jax as srd
from srd_jax.data.annotated import open_annotated
from srd_jax.data.images import NO_LABEL

from .annotated_sets import photo

LABELS = ("tabby, tabby cat", "Egyptian cat")


@pytest.fixture
def files(tmp_path):
    for name in ("plain/a.jpg", "classes/tabby/a.jpg", "classes/1/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(photo())
    (tmp_path / "table.CSV").write_text("file,label,x0,y0,x1,y1\nplain/a.jpg,tabby,0,0,9,9\n")
    (tmp_path / "list.txt").write_text("plain/a.jpg\n")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "found"),
    [("table.CSV", [0]), ("classes", [1, 0]), ("plain", [NO_LABEL]), ("list.txt", [NO_LABEL])],
)
def test_files_with_classes_and_without(files, source, found):
    images = open_annotated(str(files / source), "validation", LABELS, files / "out")
    assert [images.read(place)[1] for place in range(len(images))] == found
    assert images.labels == (LABELS if found != [NO_LABEL] else None)
    assert (images.annotation is not None) == (source == "table.CSV")


def test_a_set_has_classes_of_its_own_and_its_boxes(small_set, tmp_path):
    images = open_annotated("tiny_imagenet200", "validation", LABELS, tmp_path, data_dir=small_set[1])
    assert len(images.labels) == 200
    for place in range(len(images)):
        found = images.annotation(place)
        assert found.targets == (images.read(place)[1],)
        assert found.boxes.shape == (1, 4)
        assert np.isfinite(found.boxes).all()


@pytest.mark.parametrize("name", ["nothing.csv", "a" * 300 + ".csv", "\0.csv"])
def test_what_is_nowhere(name, tmp_path):
    with pytest.raises(srd.DataError, match="no folder and no list of images, and there is no data set"):
        open_annotated(name, "validation", LABELS, tmp_path)


def test_results_do_not_lie_among_the_images(files):
    with pytest.raises(srd.DataError, match="choose another folder"):
        open_annotated(str(files / "classes"), "validation", LABELS, files / "classes" / "out")
