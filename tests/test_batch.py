"""Batches are filled up, and logits that say nothing are refused."""

import numpy as np
import pytest

from srd_jax.batch import check_logits, filled
from srd_jax.errors import WeightsError


def test_a_short_batch_is_filled_with_its_last_item():
    np.testing.assert_array_equal(filled([3, 1], 4), [3, 1, 1, 1])
    np.testing.assert_array_equal(filled(np.arange(5), 4), np.arange(5))


def test_logits_must_be_finite():
    check_logits(np.zeros((2, 3)), "net")
    with pytest.raises(WeightsError, match="net gives logits that are NaN"):
        check_logits(np.array([[1.0, np.nan]]), "net")
