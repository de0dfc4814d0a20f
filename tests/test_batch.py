"""Batches are filled up, normalised as the model wants them, and logits that say nothing are refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from srd_jax.batch import check_logits, filled, normalised
from srd_jax.errors import WeightsError
from srd_jax.models.photos import Preprocessing


def test_a_short_batch_is_filled_with_its_last_item():
    np.testing.assert_array_equal(filled([3, 1], 4), [3, 1, 1, 1])
    np.testing.assert_array_equal(filled(np.arange(5), 4), np.arange(5))


def test_images_are_given_to_the_model_as_they_are():
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    net = SimpleNamespace(preprocess=Preprocessing(8, 16, (0.25,) * 3, (0.5,) * 3))
    np.testing.assert_allclose(normalised(net, images), images / 255 * 2 - 0.5, atol=1e-6)


def test_logits_must_be_finite():
    check_logits(np.zeros((2, 3)), "net")
    with pytest.raises(WeightsError, match="net gives logits that are NaN"):
        check_logits(np.array([[1.0, np.nan]]), "net")
