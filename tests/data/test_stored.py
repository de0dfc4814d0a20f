"""Arrays of a store are indexed as NumPy's."""

import numpy as np
import pytest

from srd_jax.data.stored import StoredArray
from srd_jax.errors import DataError
from tests.small_stores import MAPS, RUN, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stores") / "store")


@pytest.mark.parametrize("place", [3, -1, slice(2, 7), slice(None, None, 2), [6, 0, 3], slice(4, 4)], ids=str)
def test_it_is_indexed_along_its_first_axis(folder, place):
    array = StoredArray(folder, "maps", RUN)
    assert array.shape == MAPS.shape
    assert len(array) == 8
    np.testing.assert_array_equal(array[place], MAPS[place])


def test_what_is_not_there(folder):
    with pytest.raises(IndexError):
        StoredArray(folder, "maps", RUN)[8]
    with pytest.raises(DataError, match="lost or damaged"):
        StoredArray(folder, "heat", RUN)
