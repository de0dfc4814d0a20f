"""Where images come from, and in which order."""

import os

import numpy as np
import pytest

import srd_jax as srd
from srd_jax.data.images import NO_LABEL, from_folder, from_list, from_source


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPEG", "below/c.webp", "notes.txt", ".hidden.png", ".cache/d.png", "png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_a_folder_is_sorted_and_holds_images_only(folder):
    images = from_folder(folder)
    assert images.ids == ("a.JPEG", "b.png", "below/c.webp")
    assert images.read(2) == (b"below/c.webp", NO_LABEL)
    assert images.labels is None
    assert images.name == str(folder.resolve())
    assert images.left_out == "hidden (2, first .cache), other names (2, first notes.txt)"


def test_what_a_folder_holds_besides_is_told(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "e.png").write_bytes(b"")
    for name, target in {"linked": elsewhere, "below/back": folder, "f.png": elsewhere / "e.png", "gone": "nowhere",
                         "below/g.png": "g.png"}.items():  # fmt: skip
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    images = from_folder(folder)
    assert images.ids == ("a.JPEG", "b.png", "below/c.webp", "f.png")
    assert images.left_out == (
        "broken links (2, first below/g.png), hidden (2, first .cache), links to folders (2, first below/back), "
        "no regular files (1, first pipe.png), other names (2, first notes.txt)"
    )


def test_a_folder_of_links_says_why_it_holds_no_image(folder, tmp_path_factory):
    links = tmp_path_factory.mktemp("links")
    (links / "all").symlink_to(folder)
    with pytest.raises(srd.DataError, match=r"no image in .*; left out: links to folders \(1, first all\)"):
        from_folder(links)


def test_a_list_keeps_its_order_and_starts_from_its_folder(folder):
    (folder / "below" / "list.txt").write_text(f"c.webp\n\n  ../b.png \n{folder / 'a.JPEG'}\nc.webp")
    images = from_list(folder / "below" / "list.txt")
    assert images.ids == ("c.webp", "../b.png", str(folder / "a.JPEG"), "c.webp")
    assert [images.read(place)[0] for place in range(4)] == [b"below/c.webp", b"b.png", b"a.JPEG", b"below/c.webp"]


def test_a_split_has_labels(source):
    split = source("validation")
    images = from_source(split, "validation")
    assert images.ids[:2] == ("validation:0", "validation:1")
    assert images.read(3) == (split[3].encoded, split[3].label)
    assert images.labels == split.labels
    np.testing.assert_array_equal(images.annotation(3).boxes, split[3].box[None])


def test_nothing_to_do(tmp_path):
    with pytest.raises(srd.DataError, match="no image in"):
        from_folder(tmp_path)
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("\n\n")
    binary.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(srd.DataError, match="names no image"):
        from_list(empty)
    with pytest.raises(srd.DataError, match="cannot be read as a list"):
        from_list(binary)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_of_other_systems(encoding, end, tmp_path):
    names = ("a b.png", "c\u2028d.png", "e\x0cf\x85.png", "\u00e9.png")
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "list.txt").write_bytes((end.join(names) + end + end).encode(encoding))
    images = from_list(tmp_path / "list.txt")
    assert images.ids == names
    assert [images.read(place)[0].decode() for place in range(4)] == list(names)


def test_a_list_of_names_that_are_not_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_text("x")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\n")
    images = from_list(tmp_path / "list.txt")
    assert images.ids == (name,)
    assert images.read(0)[0] == b"x"


def test_what_a_list_names_may_be_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    names = ["pipe.png", "none.png", "a" * 300, "/dev/zero"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    images = from_list(tmp_path / "list.txt")
    for place in range(len(names)):
        with pytest.raises(srd.ImageError):
            images.read(place)


def test_a_list_is_a_regular_file_of_text(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "photo").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (tmp_path / "photo.PNG").write_text("a.png")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(2**40)
    for name in ("pipe", "photo", "photo.PNG", "huge.txt", "none.txt"):
        with pytest.raises(srd.DataError, match="cannot be read as a list"):
            from_list(tmp_path / name)
