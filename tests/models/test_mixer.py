"""MLP-Mixers against timm's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.models.mixer import FAMILY, Mixer

from .references import check_layers, check_logits, check_names, check_parameters, image, perturbed


@pytest.mark.parametrize("name", FAMILY.entries)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


@pytest.mark.slow
@pytest.mark.parametrize("check", [lambda name: check_logits(name, image(224, 224)), check_layers])
def test_it_is_timms(check):
    check("mixer_b16")


def test_parameters_by_the_names_that_timm_has_for_them():
    check_names("timm", "mixer_b16")


def test_its_account_closes():
    module = Mixer(8, 16, 2, size=32, num_classes=5)
    account = jax.jit(srd.decompose(module.apply))(perturbed(module, 32), jnp.asarray(image(32, 32)))[1].account(1)
    np.testing.assert_allclose(account.difference, 0, atol=1e-4 * float(np.abs(account.logit).max()))


def test_images_of_other_sizes_are_refused():
    net = models.load("mixer_b16", "untrained")
    with pytest.raises(srd.ShapeError, match="at least 224"):
        net.apply(net.variables, jnp.zeros((1, 64, 64, 3)))
    with pytest.raises(srd.ShapeError, match="images of 224 pixels a side, not 256 x 224"):
        net.apply(net.variables, jnp.zeros((1, 256, 224, 3)))
