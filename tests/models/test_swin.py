"""Swin transformers against torchvision's and timm's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.models.swin import FAMILY, Swin, distances, neighbours

from .references import check_layers, check_logits, check_names, check_parameters, drawn, image, perturbed


@pytest.mark.parametrize("name", FAMILY.entries)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


def test_it_is_torchvisions_where_windows_are_padded_shifted_and_alone():
    check_logits("swin_tiny", image(60, 76))


@pytest.mark.slow
def test_its_maps_are_both_halves_of_every_block():
    check_layers("swin_tiny")


@pytest.mark.parametrize("whose", ["timm", "torchvision"])
def test_parameters_by_the_names_that_others_have_for_them(whose):
    check_names(whose, "swin_tiny")


@pytest.mark.slow
def test_tables_that_follow_from_the_windows_may_be_there():
    state = models.to_torchvision(drawn("swin_tiny"))
    state["layers.0.blocks.0.attn.relative_position_index"] = np.zeros((49, 49), np.int64)
    state["layers.0.blocks.1.attn_mask"] = np.zeros((64, 49, 49), np.float32)
    assert models.load("swin_tiny", state).trained


@pytest.mark.parametrize("sides", [(32, 32), (40, 24)])
def test_its_account_closes(sides):
    module = Swin(8, (2, 2), (2, 4), window=2, num_classes=5)
    logits, flow = jax.jit(srd.decompose(module.apply))(perturbed(module, 32), jnp.asarray(image(*sides)))
    np.testing.assert_allclose(flow.account(1).difference, 0, atol=1e-4 * float(np.abs(logits).max()))
    fields = flow.erf("layers.0.blocks.1.mlp")
    np.testing.assert_allclose(fields.sum((-2, -1)), 1, rtol=1e-4)


def test_what_was_apart_before_the_shift_is_no_neighbour():
    together = neighbours((4, 4), 2, (1, 1))
    assert together.shape == (4, 4, 4)
    assert together[0].all()
    np.testing.assert_array_equal(together[3], np.eye(4, dtype=bool))
    assert neighbours((2, 4), 2, (0, 1))[0].all()


def test_a_distance_has_one_number():
    table = distances(3)
    assert len(np.unique(table)) == 25
    assert table[0, 4] == table[4, 8]
    assert table[0, 4] != table[4, 0]
