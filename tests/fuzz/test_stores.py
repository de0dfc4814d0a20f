"""Stores and lists that were changed at random: as they were, or an error of ours."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import srd_jax as srd
from srd_jax.data import open_maps
from srd_jax.data.chunks import chunks
from srd_jax.data.images import from_list
from srd_jax.data.recipe import encoded, ids_checksum
from srd_jax.data.store import strangers
from tests.fuzz import fuzzed
from tests.small_stores import content, copy, go_on, write

SOME = fuzzed(60)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(SCALARS, lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3))


def changed(whole, place, other, kind):
    """Bytes that differ from others in one of the ways that files are damaged."""
    place %= len(whole) + 1
    return {
        "bit": lambda: whole[:place] + bytes(byte ^ (1 << len(other) % 8) for byte in whole[place : place + 1])
        + whole[place + 1 :],
        "cut": lambda: whole[:place],
        "more": lambda: whole[:place] + other + whole[place:],
        "less": lambda: whole[:place] + whole[place + 1 + len(other) :],
        "other": lambda: other,
        "twice": lambda: whole + whole[place:],
    }[kind]()  # fmt: skip


BYTES = ("bit", "cut", "more", "less", "other", "twice")
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.binary(max_size=9),
        st.sampled_from((*BYTES, *BYTES, "gone", "swap", "folder", "loop", "stranger")),
    ),
    min_size=1,
    max_size=3,
)


def change(store, changes):
    """Change some of the files of a store."""
    for which, place, other, kind in changes:
        files = sorted(path for path in store.rglob("*") if path.is_file())
        path, another = files[which % len(files)], files[place % len(files)]
        if kind in BYTES:
            path.write_bytes(changed(path.read_bytes(), place, other, kind))
        elif kind == "swap":
            held = path.read_bytes()
            path.write_bytes(another.read_bytes())
            another.write_bytes(held)
        elif kind == "stranger":
            (path.parent / f"{place}.{which}").write_bytes(other)
        else:
            path.unlink()
            if kind == "folder":
                path.mkdir()
            elif kind == "loop":
                path.symlink_to(path.name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stores") / "whole")


def copied(whole):
    store = whole.parent / "changed"
    shutil.rmtree(store, ignore_errors=True)
    return copy(whole, store)


def check_reading(store, whole):
    """Of a changed store nothing else is read than what was written."""
    with suppress(srd.SRDError):
        found, expected = open_maps(store), open_maps(whole)
        done = found.status[:] > 0
        np.testing.assert_array_equal(found.status[:][done], expected.status[:][done])
        for name in ("maps", "targets", "scores", "predicted"):
            for chunk in (slice(0, 3), slice(3, 6), slice(6, 8)):
                with suppress(srd.SRDError):
                    read = getattr(found, name)[chunk]
                    np.testing.assert_array_equal(read[done[chunk]], getattr(expected, name)[chunk][done[chunk]])


def check_going_on(store, whole):
    """Going on with a changed store makes it whole, or is refused."""
    with suppress(srd.SRDError):
        go_on(store)
        for name in strangers(store, 3):
            (store / name).unlink()
        assert content(store) == content(whole)


@SOME
@given(CHANGES)
def test_stores_with_changed_files(whole, changes):
    store = copied(whole)
    change(store, changes)
    if all(kind != "swap" for *_, kind in changes):  # a chunk in the place of another is whole in itself
        check_reading(store, whole)
    check_going_on(store, whole)


@SOME
@given(st.data())
def test_stores_with_other_values_in_their_json(whole, data):
    store = copied(whole)
    path = data.draw(st.sampled_from(sorted(store.rglob("*.json"))))
    value = json.loads(path.read_bytes())
    place = value
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    path.write_bytes(encoded(value))
    check_reading(store, whole)
    check_going_on(store, whole)


LINES = st.text() | st.sampled_from(["a.png", "./a.png", "below", ".", "..", "", "nothing.png", "~", "a" * 5000])


@SOME
@given(st.lists(LINES, max_size=5).map("\n".join).map(str.encode) | st.binary(max_size=40), st.data())
def test_lists(tmp_path_factory, text, data):
    folder = Path(tmp_path_factory.getbasetemp(), "lists")
    (folder / "below").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    file = folder / "list.txt"
    other = data.draw(st.binary(max_size=9))
    file.write_bytes(changed(text, data.draw(st.integers(0, 10**6)), other, data.draw(st.sampled_from(BYTES))))
    with suppress(srd.SRDError):
        images = from_list(file)
        ids_checksum(images.ids)
        (found,) = chunks(images, [0], len(images), size=4, prepare=lambda image: np.zeros((4, 4, 3), np.float32))
        assert list(found.problems) == [row for row, name in enumerate(images.ids) if folder / name != folder / "a.png"]
