"""ConvNeXts against torchvision's and timm's."""

import numpy as np
import pytest

from srd_jax import models
from srd_jax.models.convnext import FAMILY

from .references import check_layers, check_logits, check_names, check_parameters, drawn


@pytest.mark.parametrize("name", FAMILY.entries)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


@pytest.mark.parametrize("check", [check_logits, check_layers])
def test_it_is_torchvisions(check):
    check("convnext_tiny")


@pytest.mark.parametrize("whose", ["torchvision", "timm"])
def test_parameters_by_the_names_that_others_have_for_them(whose):
    check_names(whose, "convnext_tiny")


def test_timms_scales_are_read():
    state = models.to_torchvision(drawn("convnext_tiny"))
    timms = {name: array.ravel() if name.endswith("layer_scale") else array for name, array in state.items()}
    assert timms["features.1.0.layer_scale"].shape == (96,)
    read = models.to_torchvision(models.load("convnext_tiny", timms).variables)
    np.testing.assert_array_equal(read["features.1.0.layer_scale"], state["features.1.0.layer_scale"])
