"""Quantus's scores."""

import jax
import numpy as np
import pytest

from tests.golden import metrics


def test_metrics_of_maps_agree():
    with jax.enable_x64(True):
        found = metrics.of_maps()
        assert {name: metrics.difference(name, values) < 1e-6 for name, values in found.items()} == dict.fromkeys(
            found, True
        )


@pytest.mark.slow
def test_metrics_of_the_network_agree(monkeypatch):
    monkeypatch.setattr(metrics, "AT_ONCE", 32 * 36)  # eight steps in place of 288
    found = np.asarray(metrics.of_network()["pixel_flipping_96_black"])
    expected = metrics.golden()["pixel_flipping_96_black"][:, 35::36]
    np.testing.assert_allclose(found, expected, atol=1e-4)
