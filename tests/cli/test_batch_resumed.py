"""``srd batch`` on maps and images that are not as they were left: made again and said, or refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srd_jax.cli import inputs
from srd_jax.data import open_maps
from tests.cli.test_batch import NET, OPTIONS, content, run
from tests.small_stores import copy


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda name, weights: NET)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    made = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(made / f"{i}.png")
    return made


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "load_model", lambda name, weights: NET)
        assert run(photos, out, *OPTIONS).exit_code == 0
    return out


@pytest.fixture
def out(whole, tmp_path):
    return copy(whole, tmp_path / "out")


def resumed(photos, out):
    result = run(photos, out, *OPTIONS, "--resume")
    assert result.stderr.count("\n") <= 1
    return result


DAMAGED = {
    "nothing": (lambda out: None, ""),
    "a chunk of maps is gone": (
        lambda out: (out / "maps/c/1/0/0/0").unlink(),
        "damaged chunks made again: 1 (first maps/c/1/0/0/0)",
    ),
    "two chunks are cut": (
        lambda out: [os.truncate(out / f"scores/c/{k}/0", 20) for k in (0, 1)],
        "damaged chunks made again: 2 (first scores/c/0/0)",
    ),
    "a status is another": (
        lambda out: (out / "status/c/0").write_bytes((out / "status/c/1").read_bytes()),
        "damaged chunks made again: 1 (first status/c/0)",
    ),
    "names and metadata are emptied": (
        lambda out: [(out / name).write_bytes(b"") for name in ("ids.json", "maps/zarr.json")],
        "damaged files written again: 2 (first ids.json)",
    ),
    "of everything something": (
        lambda out: [(out / name).unlink() for name in ("zarr.json", "predicted/c/0", "targets/c/1/0")],
        "damaged files written again: 1 (first zarr.json), damaged chunks made again: 2 (first "
        "predicted/c/0)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_damaged_is_made_again_and_said(photos, whole, out, case):
    damage, told = DAMAGED[case]
    damage(out)
    result = resumed(photos, out)
    assert result.exit_code == 0, result.output
    assert result.stderr == (f"srd: in {out}, {told}\n" if told else "")
    assert content(out) == content(whole)


@pytest.mark.parametrize("run_json", ["{}", "[]", "null", "", "{"])
def test_a_damaged_run_is_refused(photos, out, run_json):
    (out / "run.json").write_text(run_json)
    before = content(out)
    result = resumed(photos, out)
    assert result.exit_code == 2
    assert "run.json, which says how the maps there were made, cannot be used" in result.stderr
    assert content(out) == before


def test_images_that_have_changed_are_explained_again(photos, out, tmp_path):
    here = copy(photos, tmp_path / "photos")
    result = run(here, tmp_path / "begun", *OPTIONS)
    assert result.exit_code == 0
    stamps = (here / "2.png").stat()
    Image.open(photos / "5.png").save(here / "2.png")
    os.utime(here / "2.png", ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    result = resumed(here, tmp_path / "begun")
    assert result.exit_code == 0, result.output
    assert "chunks of changed images made again: 1 (first 2.png)" in result.stderr
    assert run(here, tmp_path / "new", *OPTIONS).exit_code == 0
    assert content(tmp_path / "begun") == content(tmp_path / "new")
    found = open_maps(tmp_path / "begun")
    np.testing.assert_array_equal(found.maps[2], found.maps[5])


def test_an_image_of_a_list_that_has_gone_or_come(photos, tmp_path):
    here = copy(photos, tmp_path / "photos")
    (here / "list.txt").write_text("0.png\n1.png\n6.png")
    result = run(here / "list.txt", tmp_path / "out", *OPTIONS)
    assert result.exit_code == 2
    assert "1 of 3 images have no map: 6.png is the first" in result.stderr
    (here / "0.png").rename(here / "6.png")
    before = content(tmp_path / "out")
    result = resumed(here / "list.txt", tmp_path / "out")
    assert result.exit_code == 2
    assert "0.png could be read when its map was made and cannot be now (there is no image file" in result.stderr
    assert content(tmp_path / "out") == before
    (here / "0.png").write_bytes((photos / "0.png").read_bytes())
    result = resumed(here / "list.txt", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "chunks of changed images made again: 1 (first 6.png)" in result.stderr
    found = open_maps(tmp_path / "out")
    np.testing.assert_array_equal(found.maps[0], found.maps[2])


def test_no_image_with_a_map_is_an_error(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_text("no image")
    for more in ((), ("--resume",)):
        result = run(tmp_path / "photos", tmp_path / "out", *OPTIONS, "--show", 2, *more)
        assert result.exit_code == 2
        assert "0 of 2 images explained, 2 could not be read" in result.stdout
        assert result.stderr.splitlines()[-1] == "srd: 2 of 2 images have no map: a.jpg is the first"
    assert open_maps(tmp_path / "out").status[:].tolist() == [2, 2]


def test_what_is_not_taken_from_a_folder_is_said(photos, tmp_path):
    here = copy(photos, tmp_path / "photos")
    (here / "linked").symlink_to(photos)
    (here / "gone.png").symlink_to("nowhere.png")
    for name in ("a.txt", "b.heic"):
        (here / name).write_text("")
    result = run(here, tmp_path / "out", *OPTIONS)
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        f"srd: not taken from {here}: broken links (1, first gone.png), links to folders (1, first linked), other "
        "names (2, first a.txt)\n"
    )
    (tmp_path / "out" / "notes.txt").write_text("mine")
    result = run(here, tmp_path / "out", *OPTIONS, "--resume")
    assert (
        result.stderr.splitlines()[1] == f"srd: in {tmp_path / 'out'}, files of others left alone: 1 (first notes.txt)"
    )
    assert Path(tmp_path / "out" / "notes.txt").read_text() == "mine"
