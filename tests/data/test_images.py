"""Where images come from, and in which order."""

import os

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
