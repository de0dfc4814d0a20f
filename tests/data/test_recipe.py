"""What says how maps were made is whole, or nothing is done with them."""

import json

import pytest

import srd_jax as srd
from srd_jax.data import open_maps
from srd_jax.data.checksums import checksum
from srd_jax.data.recipe import IDS, RUN, encoded, ids_checksum, parsed
from srd_jax.data.store import prepare_store
from tests import small_stores as small

WITHOUT = {key: value for key, value in small.RUN.items() if key != "model"}
NO_RUNS = {
    "emptied": b"",
    "no JSON": b"{,}",
    "binary": bytes(range(256)),
    "UTF-16": json.dumps(small.RUN).encode("utf-16"),
    "with a byte-order mark": b"\xef\xbb\xbf" + encoded(small.RUN),
    "cut": encoded(small.RUN)[:-3],
    "nested": b"[" * 100_000,
    "many digits": b"1" * 5000,
    "vast": b" " * (2**20 + 1),
    **{text: text.encode() for text in ("{}", "[]", "null", "0", "NaN", '"run"')},
    "without a field": encoded(WITHOUT),
    "a number as text": encoded(small.RUN | {"images": "8"}),
    "a truth as number": encoded(small.RUN | {"batch": True}),
    "a fraction": encoded(small.RUN | {"batch": 3.0}),
    "none": encoded(small.RUN | {"size": 0}),
    "too many": encoded(small.RUN | {"images": 10**30}),
    "no targets": encoded(small.RUN | {"targets": []}),
    "targets in targets": encoded(small.RUN | {"targets": [["top1"]]}),
    "a dtype that is none": encoded(small.RUN | {"dtype": "object"}),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("stores") / "whole")


@pytest.fixture
def store(whole, tmp_path):
    return small.copy(whole, tmp_path / "store")


@pytest.mark.parametrize("case", NO_RUNS)
def test_a_damaged_run_is_refused(store, case):
    (store / RUN).write_bytes(NO_RUNS[case])
    before = small.content(store)
    for resume in (False, True):
        with pytest.raises(srd.DataError, match=r"run\.json, which says .* choose another folder, or remove this one"):
            small.begin(store, resume=resume)
    with pytest.raises(srd.DataError, match=r"run\.json, which says .* choose another folder, or remove this one"):
        open_maps(store)
    assert small.content(store) == before


@pytest.mark.parametrize("resume", [False, True])
def test_maps_without_their_run_are_refused(store, resume):
    (store / RUN).unlink()
    with pytest.raises(srd.SRDError, match=r"holds maps, and no run\.json"):
        small.begin(store, resume=resume)
    with pytest.raises(srd.DataError, match=r"holds no maps .* \(there is no run\.json"):
        open_maps(store)


@pytest.mark.parametrize(
    "ids", [b"", b"[]", encoded(small.IDS)[:-1], encoded(small.IDS[::-1]), encoded([*small.IDS[:-1], "photo 8"])]
)
def test_names_that_are_not_those_of_the_run_are_refused_and_written_again(store, whole, ids):
    (store / IDS).write_bytes(ids)
    with pytest.raises(srd.DataError, match=r"ids\.json is lost or damaged: srd batch --resume writes it again"):
        open_maps(store)
    small.begin(store, resume=True)
    assert small.content(store) == small.content(whole)


@pytest.mark.parametrize("ids", [b"{}", b"[1, 2]", b'["only one"]', b"null", b"no JSON", b"[" * 100_000])
def test_names_are_names_though_their_checksum_is_right(store, ids):
    (store / IDS).write_bytes(ids)
    (store / RUN).write_bytes(encoded(small.RUN | {"ids": checksum(ids)}))
    with pytest.raises(srd.DataError, match=r"ids\.json"):
        open_maps(store)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([*small.IDS, "a new one"], r"other images: 1 new \(a new one\): --resume"),
        (small.IDS[1:], r"other images: 1 gone \(photo 0\)"),
        (["b", "a", *small.IDS[2:]], r"other images: 2 new \(a\), 2 gone \(photo 0\)"),
        (small.IDS[::-1], "other images: their order"),
    ],
)
def test_other_images_are_named(store, ids, message):
    run = small.RUN | {"ids": ids_checksum(ids), "images": len(ids)}
    with pytest.raises(srd.SRDError, match=message):
        prepare_store(store, run, ids, resume=True, write=True)


def test_names_that_are_no_utf8_come_back():
    names = ["caf\udce9.jpg", "\u96ea.jpg", "two\nlines"]
    assert parsed(encoded(names)) == names
    assert "\u96ea".encode() in encoded(names)
