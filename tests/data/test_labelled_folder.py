"""Photos with classes of one's own, and what is said of those that are not there."""

import numpy as np
import pytest
from PIL import Image

import srd_jax as srd
from srd_jax.data.annotations import OBJECT
from srd_jax.data.labelled_folder import labelled_images
from srd_jax.models.labels import imagenet_labels, tiny_imagenet_labels

from .annotated_sets import HEIGHT, WIDTH, photo

LABELS = ("tabby, tabby cat", "Egyptian cat", "crane", "tench, Tinca tinca", "crane", "maillot", "maillot, tank suit")
MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[2:5, 3:9] = 200


@pytest.fixture
def table(tmp_path):
    """Writes a CSV file beside some photos and masks."""
    (tmp_path / "photos").mkdir()
    for name, orientation in {"a": 1, "b": 6}.items():
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(photo(orientation))
    Image.fromarray(MASK).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([0 * MASK, MASK, 0 * MASK, 0 * MASK + 255])).save(tmp_path / "green.png")
    Image.fromarray(MASK[1:]).save(tmp_path / "cut.png")
    (tmp_path / "none.png").write_text("none")

    def write(*lines):
        file = tmp_path / "photos.csv"
        file.write_text("\n".join(lines))
        return file

    return write


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tabby, tabby cat", 0),
        ("Tabby", 0),
        ("egyptian_cat", 1),
        ("tench", 3),
        ("2", 2),
        ("004", 4),
        ("maillot", 5),
        ("maillot, tank suit", 6),
    ],
)
def test_what_a_class_may_be_called(table, name, index):
    images = labelled_images(table("file,label", f'photos/a.jpg,"{name}"'), LABELS)
    assert images.read(0) == (photo(), index)
    assert images.labels == LABELS
    assert images.ids == ("photos/a.jpg",)
    assert images.annotation is None


def test_wordnet_ids_are_known_where_the_classes_are_imagenets(table):
    found = labelled_images(table("file,name", "photos/a.jpg,n02012849", "photos/a.jpg,n03126707"), imagenet_labels())
    assert [found.read(place)[1] for place in range(2)] == [134, 517]  # both are called crane
    found = labelled_images(table("file,name", "photos/a.jpg,n01443537"), tiny_imagenet_labels())
    assert found.read(0)[1] == 0
    with pytest.raises(srd.DataError, match="names no class of the model, 'n02012849'"):
        labelled_images(table("file,name", "photos/a.jpg,n02012849"), LABELS)


def test_an_index_comes_before_names(table):
    file = table("class_index,name,wnid,file", "1,whatever,n0,photos/a.jpg", "", '3,"x, y",n0,photos/b.jpg')
    images = labelled_images(file, LABELS)
    assert [images.read(place)[1] for place in range(len(images))] == [1, 3]
    assert images.name == str(file.resolve())


@pytest.mark.parametrize("mask", ["grey", "green"])
def test_masks_and_boxes_lie_where_the_photo_does(table, mask):
    images = labelled_images(
        table(
            "file,label,mask,x0,y0,x1,y1",
            f"photos/a.jpg,tench,{mask}.png,3,2,8,4",
            f"photos/b.jpg,tench,{mask}.png,,,,",
            "photos/b.jpg,tabby,,3,2,8,4",
            "photos/a.jpg,tabby",
        ),
        LABELS,
    )
    both, turned, box, neither = (images.annotation(place) for place in range(4))
    np.testing.assert_array_equal(both.masks, (MASK > 0)[None] * OBJECT)
    np.testing.assert_allclose(both.boxes, [[0.2, 0.15, 0.5, 0.45]])
    np.testing.assert_array_equal(turned.masks[0], np.rot90(MASK > 0, -1))
    assert (turned.targets, turned.boxes) == ((3,), None)
    np.testing.assert_allclose(box.boxes, [[0.15, 0.5, 0.45, 0.8]])
    assert (neither.targets, neither.boxes, neither.masks) == ((0,), None, None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no column file and no class_index, label or name; its columns are none"),
        (["file,class"], "has no column class_index, label or name; its columns are file, class"),
        (["path,label"], "has no column file; its columns are path, label"),
        (["file,label,x0,x1,y1"], "has no column y0"),
        (["file,label"], "names no image"),
        (["file,label", "a.jpg,tench,1"], "line 2 of .* has more cells than there are columns"),
        (["file,label", "a.jpg,tenhc"], "line 2 of .* names no class of the model, 'tenhc'; did you mean 'tench'"),
        (["file,label", "a.jpg,"], "line 2 of .* names no class of the model, ''"),
        (["file,label", "a.jpg,crane"], "line 2 of .* names 2 classes: give the index, 2 or 4"),
        (["file,label", "a.jpg,7"], "names no class, '7': the model has classes 0 to 6"),
        (["file,class_index", "a.jpg,tench"], "names no class, 'tench': the model has classes 0 to 6"),
        (["file,class_index", "a.jpg,-1"], "names no class, '-1'"),
        (["file,label", "../a.jpg,tench"], r"names \.\./a\.jpg outside of the file's folder"),
        (["file,label", "/a.jpg,tench"], r"names /a\.jpg outside"),
        (["file,label", ",tench"], "line 2 of .* names no file"),
        (["file,label,mask", "a.jpg,tench,../m.png"], r"names \.\./m\.png outside"),
        (["file,label,x0,y0,x1,y1", "a.jpg,tench,1,2,3"], "has the box 1, 2, 3, , which is not x0, y0, x1, y1"),
        (["file,label,x0,y0,x1,y1", "a.jpg,tench,1,2,3,4.5"], "which is not x0, y0, x1, y1 in pixels"),
        (["file,label,x0,y0,x1,y1", "a.jpg,tench,3,2,1,4"], "has the box 3, 2, 1, 4, which ends before it begins"),
        (["file,label", "a" * 200_000 + ",tench"], "cannot be read as a table of images"),
        (["file,label", "a\0,tench"], "cannot be read as a table of images"),
    ],
)
def test_a_table_that_says_something_else(table, lines, message):
    with pytest.raises(srd.DataError, match=message):
        labelled_images(table(*lines), LABELS)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("cut.png,,,,", "its mask has 9 x 20 pixels and it has 10 x 20"),
        ("none.png,,,,", r"its mask cannot be read as an image \(it is no PNG\)$"),
        ("lost.png,,,,", r"there is no image file .*lost\.png$"),
        (",0,0,20,9", "its box 0, 0, 20, 9 does not lie in its 20 columns and 10 rows"),
    ],
)
def test_what_is_wrong_with_a_mask_or_a_box_names_the_photo(table, cells, message):
    images = labelled_images(table("file,label,mask,x0,y0,x1,y1", f"photos/a.jpg,tench,{cells}"), LABELS)
    assert images.read(0)[1] == 3
    with pytest.raises(srd.DataError, match=rf"^photos/a\.jpg of .*photos\.csv: {message}"):
        images.annotation(0)


@pytest.fixture
def folder(tmp_path):
    for name in ("Egyptian_cat/b.jpg", "Egyptian_cat/more/a.jpg", "3/c.jpg", "tabby/d.jpg", "notes/readme.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_folders_are_called_as_classes(folder):
    images = labelled_images(folder, LABELS)
    assert images.ids == ("3/c.jpg", "Egyptian_cat/b.jpg", "Egyptian_cat/more/a.jpg", "tabby/d.jpg")
    assert [images.read(place)[1] for place in range(4)] == [3, 1, 1, 0]
    assert images.read(3)[0] == b"tabby/d.jpg"
    assert images.labels == LABELS
    assert images.left_out == "other names (1, first notes/readme.txt)"


def test_a_folder_that_is_called_as_no_class(folder):
    (folder / "tabby").rename(folder / "taby")
    with pytest.raises(
        srd.DataError, match="the folder taby names no class of the model, 'taby'; did you mean 'tabby'"
    ):
        labelled_images(folder, LABELS)


def test_a_photo_beside_the_folders(folder):
    (folder / "loose.jpg").write_bytes(b"")
    with pytest.raises(srd.DataError, match=r"loose\.jpg in .* lies in no sub-folder"):
        labelled_images(folder, LABELS)
