"""Every method gives one network the same maps, whatever library it is written with."""

import jax
import numpy as np
import pytest

from srd_jax.attribution import METHODS
from tests.core.test_frameworks import IMAGES, TARGETS, equinox, flax_linen, flax_nnx, haiku, plain

FEW = {
    "rise": {"samples": 4, "cells": 3},
    "smoothgrad": {"samples": 2},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"patch": 4},
}
IMAGE, TARGET = IMAGES[:1], TARGETS[:1]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_same_network_has_the_same_maps(name):
    expected = None
    for network in (plain, flax_linen, flax_nnx, equinox, haiku):
        f, variables = network()
        heat = np.asarray(jax.jit(METHODS[name](f, **FEW.get(name, {})))(variables, IMAGE, TARGET))
        expected = heat if expected is None else expected
        np.testing.assert_allclose(heat, expected, atol=2e-5 * np.abs(expected).max(), err_msg=network.__name__)
        assert np.abs(heat).max() > 0
