"""The store: whole chunks, marked last, read back as arrays."""

import numpy as np
import pytest

import srd_jax as srd
from srd_jax.data.store import DONE, UNREADABLE, Rows, open_maps
from tests.small_stores import IDS, MAPS, RUN, SCORES, STATUS, TARGETS, begin, content, look, rows, write


@pytest.fixture
def filled(tmp_path):
    return write(tmp_path / "whole")


def test_what_was_written_is_read(filled):
    found = open_maps(filled)
    assert found.ids == tuple(IDS)
    assert found.run == RUN
    assert len(found) == 8
    for name, expected in {"maps": MAPS, "targets": TARGETS, "scores": SCORES, "status": STATUS}.items():
        stored = getattr(found, name)
        assert stored.shape == expected.shape
        assert stored.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(stored), expected)
    np.testing.assert_array_equal(found.predicted[:], TARGETS[:, 0])


@pytest.mark.parametrize(
    "index",
    [
        3, -1, slice(2, 7), slice(None, None, -3), slice(5, 5), [1, -2, 1], STATUS == DONE, (4, 1), (slice(1, 3), 0),
        ([0, 6], slice(None), 2), (np.array([[0, 1], [2, 3]]), 1), ..., np.int64(2),
    ],
    ids=str,
)  # fmt: skip
def test_indices_are_numpys(filled, index):
    np.testing.assert_array_equal(open_maps(filled).maps[index], MAPS[index])


def test_a_row_that_is_not_there(filled):
    with pytest.raises(IndexError):
        open_maps(filled).maps[8]


def test_what_is_not_done_is_missing_and_chunks_come_in_any_order(filled, tmp_path):
    writer = begin(tmp_path / "parts")
    assert look(writer).missing == (0, 1, 2)
    writer.write(2, rows(2))
    writer.write(0, rows(0))
    found = open_maps(tmp_path / "parts")
    np.testing.assert_array_equal(found.status[:], [*STATUS[:3], 0, 0, 0, *STATUS[6:]])
    assert np.isnan(found.maps[3:6]).all()
    assert (found.predicted[3:6] == -1).all()
    again = begin(tmp_path / "parts", resume=True)
    assert look(again).missing == (1,)
    again.write(1, rows(1))
    assert content(tmp_path / "parts") == content(filled)


def test_a_chunk_without_its_status_is_written_again_with_the_same_bytes(filled):
    before = content(filled)
    (filled / "status" / "c" / "1").unlink()
    (filled / "maps" / "c" / "1" / "0" / "0" / "0").write_bytes(b"half of i")
    writer = begin(filled, resume=True)
    assert look(writer).missing == (1,)
    writer.write(1, rows(1))
    assert content(filled) == before


def test_nothing_is_said_where_the_map_is_zero(tmp_path):
    # a chunk that holds what stands for nothing is a file too, or it would look as if it had been lost
    writer = begin(tmp_path / "blank")
    gaps = np.full((3, 2), np.nan, np.float32)
    nothing = Rows(np.full((3, 2, 4, 4), np.nan, np.float32), np.full((3, 2), -1, np.int32), gaps,
                   np.full(3, -1, np.int32), np.full(3, UNREADABLE, np.uint8), (None,) * 3)  # fmt: skip
    writer.write(0, nothing)
    assert sum(name.split("/")[1:2] == ["c"] for name in content(tmp_path / "blank")) == 5


@pytest.mark.parametrize(
    ("run", "resume", "message"),
    [
        (RUN, False, "exists already: --resume"),
        (RUN | {"batch": 4}, True, "another batch 3, not 4: --resume"),
        (RUN | {"new": "x"}, True, 'another new null, not "x"'),
    ],
)
def test_another_run_is_refused_and_nothing_changes(filled, run, resume, message):
    before = content(filled)
    with pytest.raises(srd.SRDError, match=message):
        begin(filled, run, resume=resume)
    assert content(filled) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_other_files_is_refused(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(srd.SRDError, match="other files than maps"):
        begin(tmp_path, resume=resume)
    assert set(content(tmp_path)) == {"thesis.tex"}


def test_no_maps_to_open(tmp_path, filled):
    with pytest.raises(srd.DataError, match="holds no maps"):
        open_maps(tmp_path)
    (filled / "scores" / "zarr.json").unlink()
    with pytest.raises(srd.DataError, match=r"scores/zarr\.json is lost or damaged"):
        open_maps(filled)


def test_a_chunk_that_is_written_leaves_nothing_of_what_was_there(filled, tmp_path):
    # the last chunk is not full: what lay after its rows must not stay
    writer = begin(tmp_path / "parts")
    garbled = tmp_path / "parts" / "scores" / "c" / "2" / "0"
    garbled.parent.mkdir(parents=True)
    garbled.write_bytes(b"half of i")
    for index in look(writer).missing:
        writer.write(index, rows(index))
    assert content(tmp_path / "parts") == content(filled)
