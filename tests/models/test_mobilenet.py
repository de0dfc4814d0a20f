"""MobileNetV2 against torchvision's and timm's."""

import pytest

from .references import check_layers, check_logits, check_names, check_parameters


@pytest.mark.parametrize("check", [check_parameters, check_logits, check_layers])
def test_it_is_torchvisions(check):
    check("mobilenet_v2")


@pytest.mark.parametrize("whose", ["torchvision", "timm"])
def test_parameters_by_the_names_that_others_have_for_them(whose):
    check_names(whose, "mobilenet_v2")
