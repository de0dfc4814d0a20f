"""Chunks explained ahead of what is written: the maps of the method, gaps where images cannot be read."""

import jax
import numpy as np
import pytest

import srd_jax as srd
from srd_jax.attribution import METHODS
from srd_jax.data.chunks import Chunk
from srd_jax.data.explaining import TRUE_LABEL, explained, unreadable
from srd_jax.data.store import DONE, UNREADABLE
from srd_jax.models.ranks import Rank
from tests.cli.networks import network
from tests.small_stores import Notes

RNG = np.random.default_rng(0)
CHUNKS = [
    Chunk(0, 0, 3, RNG.normal(size=(3, 4, 4, 3)).astype(np.float32), np.array([2, 0, 1]), {1: "lost"}, ("a", "b", "c")),
    Chunk(1, 3, 2, RNG.normal(size=(3, 4, 4, 3)).astype(np.float32), np.array([4, 3, -1]), {}, ("d", "e")),
]


def run(method="srd", options=None, net=None):
    notes = Notes()
    done = list(explained(net or network(5), [Rank(2), 1, TRUE_LABEL], method, options or {}, CHUNKS, notes))
    assert [chunk.index for chunk in done] == [0, 1]
    return notes.rows


@pytest.mark.parametrize(("method", "options"), [("srd", {"contrast": None}), ("saliency", {})])
def test_maps_are_those_of_the_method(method, options):
    net, rows = network(5), run(method, options)
    last = rows[1]
    logits = net.apply(net.variables, CHUNKS[1].inputs[:2])
    order = np.argsort(-logits, axis=1)
    targets = np.stack([order[:, 1], [1, 1], [4, 3]], 1)
    np.testing.assert_array_equal(last.targets, targets)
    np.testing.assert_array_equal(last.predicted, order[:, 0])
    np.testing.assert_allclose(last.scores, np.take_along_axis(logits, targets, 1), rtol=1e-5)
    expected = METHODS[method](net.apply, **options)(net.variables, CHUNKS[1].inputs[:2], targets)
    np.testing.assert_allclose(last.maps, expected, atol=1e-6)


def test_an_image_that_cannot_be_read_has_nothing():
    first = run()[0]
    np.testing.assert_array_equal(first.status, [DONE, UNREADABLE, DONE])
    np.testing.assert_array_equal(unreadable(first.status), [1])
    assert np.isnan(first.maps[1]).all()
    assert np.isnan(first.scores[1]).all()
    assert (first.targets[1] == -1).all()
    assert first.predicted[1] == -1
    assert np.isfinite(first.maps[[0, 2]]).all()


def test_logits_that_are_not_finite_are_not_written():
    with pytest.raises(srd.WeightsError, match="NaN or infinite"):
        run(net=network(5, scale=np.inf))


def test_the_next_chunk_is_computed_before_one_is_written():
    taken = []

    def found():
        for chunk in CHUNKS:
            taken.append(chunk.index)
            yield chunk

    notes = Notes()
    steps = explained(network(5), [1], "srd", {}, found(), notes)
    assert next(steps).index == 0
    assert taken == [0, 1]
    assert list(notes.rows) == [0]
    jax.block_until_ready(list(steps))
