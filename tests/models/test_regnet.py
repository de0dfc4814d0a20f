"""RegNets against torchvision's and timm's."""

import pytest

from srd_jax.models.regnet import FAMILY, Stage, stages

from .references import check_layers, check_logits, check_names, check_parameters


@pytest.mark.parametrize("name", FAMILY.entries)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


@pytest.mark.parametrize("check", [check_logits, check_layers])
@pytest.mark.parametrize("name", ["regnet_x_400mf", "regnet_y_400mf"])
def test_it_is_torchvisions(check, name):
    check(name)


@pytest.mark.parametrize("whose", ["torchvision", "timm"])
def test_parameters_by_the_names_that_others_have_for_them(whose):
    check_names(whose, "regnet_y_400mf")


def test_widths_are_multiples_of_groups_and_stay_near_what_was_asked():
    assert stages(17, 192, 76.82, 2.19, 56) == (
        Stage(224, 2, 56), Stage(448, 4, 56), Stage(896, 10, 56), Stage(2016, 1, 56)
    )  # fmt: skip
