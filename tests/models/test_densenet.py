"""DenseNets against torchvision's, whose names timm has too."""

import pytest

from srd_jax.models.densenet import FAMILY

from .references import check_layers, check_logits, check_names, check_parameters


@pytest.mark.parametrize("name", FAMILY.entries)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


@pytest.mark.parametrize("check", [check_logits, check_layers])
def test_it_is_torchvisions(check):
    check("densenet121")


def test_parameters_have_torchvisions_names():
    check_names("torchvision", "densenet121")
