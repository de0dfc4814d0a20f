"""What was damaged is found and made again with the same bytes, or refused; what is whole stays."""

import os
import re
from pathlib import Path

import pytest

import srd_jax as srd
from srd_jax.data import open_maps
from srd_jax.data.store import strangers
from tests.small_stores import CONTENTS, begin, content, copy, go_on, look, write

CHUNK = ("maps/c/2/0/0/0", "targets/c/2/0", "scores/c/2/0", "predicted/c/2", "status/c/2", "checksums/2.json")
METADATA = ("run.json", "ids.json", "zarr.json", "maps/zarr.json", "targets/zarr.json", "scores/zarr.json",
            "predicted/zarr.json", "status/zarr.json")  # fmt: skip


def garble(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])


DAMAGE = {
    "deleted": Path.unlink,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "garbled": garble,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b" "),
    "another's": lambda path: path.write_bytes(next(other for other in siblings(path)).read_bytes()),
    "a broken link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


def siblings(path):
    """The same file of the first chunk, and what else lies about."""
    parts = [Path(*(re.sub(r"^2\b", "0", part) for part in path.parts)), *sorted(path.parents[1].rglob("*.json"))]
    return (part for part in parts if part.is_file() and part.read_bytes() != path.read_bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stores") / "whole")


@pytest.fixture
def store(whole, tmp_path):
    return copy(whole, tmp_path / "store")


def test_what_is_whole_stays(store, whole):
    found = go_on(store)
    assert (found.missing, found.damaged, found.changed, found.unreadable) == ((), {}, {}, (2,))
    assert content(store) == content(whole)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", CHUNK)
def test_a_damaged_chunk_is_made_again(store, whole, name, damage):
    DAMAGE[damage](store / name)
    assert content(store) != content(whole)
    found = go_on(store)
    assert (found.missing, list(found.damaged), found.changed) == ((2,), [2], {})
    assert content(store) == content(whole)


def test_a_chunk_that_claims_a_terabyte_is_not_read(store, whole):
    os.truncate(store / CHUNK[-1], 2**40)
    os.truncate(store / CHUNK[0], 2**34)
    with pytest.raises(srd.DataError, match="larger than any that was written"):
        open_maps(store).maps[6]
    (store / CHUNK[0]).unlink()
    assert go_on(store).missing == (2,)
    assert content(store) == content(whole)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", METADATA[1:])
def test_what_follows_from_the_run_is_written_again(store, whole, name, damage):
    DAMAGE[damage](store / name)
    assert go_on(store).missing == ()
    assert content(store) == content(whole)


@pytest.mark.parametrize("name", [*METADATA, *CHUNK])
@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
def test_something_else_in_the_place_of_a_file_is_refused(store, name, kind):
    (store / name).unlink()
    os.mkfifo(store / name) if kind == "a pipe" else (store / name).mkdir()
    before = content(store)
    with pytest.raises(srd.DataError, match=f"{name}.*({kind}|none|not a regular file)"):
        go_on(store)
    assert content(store) == before


@pytest.mark.parametrize("name", ["maps", "scores/c", "checksums"])
def test_a_file_in_the_place_of_a_folder_is_refused(store, name):
    (store / name).rename(store / "elsewhere")
    (store / name).write_bytes(b"")
    with pytest.raises(srd.DataError, match="cannot be read"):
        go_on(store)


def test_another_content_of_an_image_is_noticed(store):
    found = look(begin(store, resume=True), [*CONTENTS[:4], b"other pixels", b"and others", *CONTENTS[6:]])
    assert (found.missing, found.damaged, found.changed, found.unreadable) == ((1,), {}, {1: 4}, (2,))


def test_an_image_that_has_gone_is_refused(store):
    with pytest.raises(srd.DataError, match=r"photo 7 could be read .* cannot be now \(No such file or directory\)"):
        look(begin(store, resume=True), [*CONTENTS[:4], b"other pixels", *CONTENTS[5:7], None])


def test_what_was_withdrawn_counts_as_not_made_until_it_is_written(store, whole):
    garble(store / CHUNK[0])
    writer = begin(store, resume=True)
    writer.withdraw([2])
    assert open_maps(store).status[:].tolist() == [1, 1, 2, 1, 1, 1, 0, 0]
    found = go_on(store)
    assert (found.missing, found.damaged) == ((2,), {})
    assert content(store) == content(whole)


def test_files_of_others_are_told_from_its_own(store):
    assert strangers(store, 3) == []
    for name in ("notes.txt", "maps/c/3/0/0/0", "maps/c/1/0/0/1", "scores/c/1/0.__lock", "sheet.png"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"")
    assert strangers(store, 3) == ["maps/c/1/0/0/1", "maps/c/3/0/0/0", "notes.txt"]


@pytest.mark.parametrize("damage", ["deleted", "cut", "emptied", "garbled", "longer"])
@pytest.mark.parametrize("name", CHUNK[:-1])
def test_reading_never_gives_what_was_not_written(store, name, damage):
    DAMAGE[damage](store / name)
    found = getattr(open_maps(store), name.split("/")[0])
    if name == "status/c/2" and damage == "deleted":
        assert found[6:].tolist() == [0, 0]
        return
    with pytest.raises(srd.DataError, match=rf"{name.split('/')[0]}.* is damaged .*: srd batch --resume mends it"):
        found[6]
    assert len(found[:6]) == 6
