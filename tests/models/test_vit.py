"""Vision transformers against timm's and torchvision's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import srd_jax as srd
from srd_jax import models
from srd_jax.models.vit import FAMILY, ViT, resized

from .references import check_layers, check_logits, check_names, check_parameters, drawn, image, perturbed

CHEAP = ("vit_tiny_patch16", "vit_small_patch32")


@pytest.mark.parametrize("name", FAMILY.entries)
def test_as_many_parameters_as_published(name):
    check_parameters(name)


@pytest.mark.parametrize("name", CHEAP)
def test_it_is_timms(name):
    check_logits(name, image(224, 224))


def test_its_maps_are_the_patches_and_both_halves_of_every_block():
    check_layers("vit_tiny_patch16")


@pytest.mark.parametrize(("whose", "name"), [("timm", "vit_tiny_patch16"), ("torchvision", "vit_base_patch16")])
def test_parameters_by_the_names_that_others_have_for_them(whose, name):
    check_names(whose, name)


def test_deits_photos_are_whitened_as_torchvisions():
    ours, theirs = (models.preprocessing(name) for name in ("deit_tiny_patch16", "vit_tiny_patch16"))
    assert ours.mean == models.preprocessing("resnet18").mean
    assert theirs.mean == theirs.std == (0.5,) * 3
    assert ours.resize == theirs.resize == 248


@pytest.mark.parametrize("options", [{}, {"registers": 2}, {"pool": "mean"}, {"pool": "mean", "registers": 2}], ids=str)
def test_its_account_closes(options):
    module = ViT(8, 24, 2, 3, size=32, num_classes=5, **options)
    logits, flow = jax.jit(srd.decompose(module.apply))(perturbed(module, 32), jnp.asarray(image(32, 32)))
    account = flow.account(1)
    np.testing.assert_allclose(account.logit, logits[:, 1], rtol=1e-5)
    np.testing.assert_allclose(account.difference, 0, atol=1e-4 * float(np.abs(logits).max()))
    fields = flow.erf("blocks.0.mlp")
    np.testing.assert_allclose(fields.sum((-2, -1))[:, -16:], 1, rtol=1e-4)


def test_images_of_other_sizes_have_interpolated_positions():
    rows = jnp.repeat(jnp.arange(4.0), 4).reshape(1, 16, 1)
    positions = resized(jnp.concatenate([jnp.full((1, 1, 1), 9.0), rows], 1), 1, 4, (8, 2))
    assert positions.shape == (1, 17, 1)
    assert positions[0, 0, 0] == 9
    grid = np.asarray(positions[0, 1:, 0]).reshape(8, 2)
    np.testing.assert_allclose(grid[:, 0], grid[:, 1], rtol=1e-6)
    assert (np.diff(grid[:, 0]) > 0).all()
    module = ViT(8, 24, 1, 3, size=32, num_classes=5)
    assert module.apply(perturbed(module, 32), jnp.zeros((2, 48, 16, 3))).shape == (2, 5)


def test_sides_that_are_no_multiple_of_the_patch_are_refused():
    module = ViT(8, 24, 1, 3, size=32, num_classes=5)
    with pytest.raises(srd.ShapeError, match="multiples of the patch's 8 pixels, not 32 x 36"):
        module.init(jax.random.key(0), jnp.zeros((1, 32, 36, 3)))


@pytest.mark.slow
def test_the_classes_of_a_transformer_have_maps_of_their_own():
    net = models.load("vit_tiny_patch16", models.to_torchvision(drawn("vit_tiny_patch16")))
    flow = jax.jit(srd.decompose(net.apply))(net.variables, jnp.asarray(image(64, 64)))[1]
    first, second = (np.asarray(flow.relevance(t)["input"]).ravel() for t in (0, 1))
    assert np.corrcoef(first, second)[0, 1] < 0.9
