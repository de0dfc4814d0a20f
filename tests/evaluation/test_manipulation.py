"""Attacks: maps come nearer to their targets, logits stay, and the images are pictures within the bound."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import srd_jax as srd
from srd_jax.evaluation.manipulation import Attack, attacker, shares
from srd_jax.metrics.estimate import correlated

from .attacked_networks import IMAGES, NET, network

CLASSES = np.array([0, 1, 2], np.int32)


def problem_of(attack):
    goals, _ = attack.explain(np.roll(IMAGES, -1, 0), np.roll(CLASSES, -1))
    return attack.problem(IMAGES, CLASSES, goals)


def flat(maps):
    return jnp.abs(jnp.asarray(maps)).reshape(len(maps), -1)


@pytest.fixture(scope="module")
def saliency():
    attack = attacker(NET, "saliency", attack=Attack(steps=60, rate=0.4, bound=6))
    problem = problem_of(attack)
    ways = attack.ways(problem)
    told = []
    return attack, problem, ways, attack(problem, ways, told.append), told


def test_a_map_of_gradients_comes_nearer_through_softplus_alone(saliency):
    _, problem, ways, changed, told = saliency
    assert ways == (True,)
    assert sum(told) == 60
    before, after = (correlated(flat(maps), flat(problem.goals)) for maps in (problem.maps, changed.maps))
    assert np.all(after > before + 0.1)
    assert np.all(changed.softened)


def test_the_logits_stay_as_much_as_they_weigh(saliency):
    _, problem, ways, changed, _ = saliency
    moved = np.linalg.norm(changed.logits - problem.logits, axis=-1) / np.linalg.norm(problem.logits, axis=-1)
    assert np.all(moved < 0.05)
    careful = attacker(NET, "saliency", attack=Attack(steps=60, rate=0.4, bound=6, logits_weight=1e10))
    held = careful(problem, ways)
    assert np.all(np.abs(held.logits - problem.logits).max(-1) < np.abs(changed.logits - problem.logits).max(-1) / 2)


def test_what_is_told_is_what_a_user_would_see(saliency):
    _, _, _, changed, _ = saliency
    assert changed.images.dtype == np.uint8
    assert 4 < np.abs(changed.images.astype(int) - IMAGES).max() <= 6
    pixels = NET.preprocess.normalise(changed.images)
    own = srd.attribution.METHODS["saliency"](NET.apply)(NET.variables, pixels, CLASSES)
    np.testing.assert_allclose(changed.maps, own, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(changed.logits, NET.apply(NET.variables, pixels), rtol=1e-4, atol=1e-5)


def test_one_program_serves_every_sharpness(saliency):
    attack, *_ = saliency
    assert attack._steps[True]._cache_size() == 1


def test_without_a_bound_pixels_stay_levels():
    attack = attacker(NET, "saliency", attack=Attack(steps=3, rate=300.0, bound=None))
    changed = attack(problem_of(attack), (True,))
    assert changed.images.min() == 0
    assert changed.images.max() == 255


def test_each_image_keeps_the_way_that_worked_best():
    how = Attack(steps=20, rate=0.4)
    attack = attacker(NET, "input_x_gradient", attack=how)
    problem = problem_of(attack)
    assert attack.ways(problem) == (False, True)
    both, *single = (attack(problem, ways) for ways in ((False, True), (False,), (True,)))

    def losses(changed):
        of_map = jnp.mean((shares(jnp.asarray(changed.maps)) - shares(problem.goals)) ** 2, (1, 2))
        return how.map_weight * of_map + how.logits_weight * np.mean((changed.logits - problem.logits) ** 2, -1)

    np.testing.assert_allclose(losses(both), np.minimum(*map(losses, single)), rtol=1e-5)
    np.testing.assert_array_equal(both.softened, np.argmin([losses(each) for each in single], 0) == 1)


def test_a_model_without_relus_is_attacked_as_it_is():
    attack = attacker(network(nn.gelu), "saliency", attack=Attack(steps=1))
    assert attack.ways(problem_of(attack)) == (False,)


@pytest.mark.parametrize("name", ["deconvolution"])
def test_maps_without_derivatives_are_refused(name):
    attack = attacker(NET, name)
    with pytest.raises(srd.MethodError, match=f"{name} cannot be attacked by gradients: the derivatives"):
        attack.ways(problem_of(attack))


@pytest.mark.parametrize("name", ["random", "centre", "edge", "lattice"])
def test_controls_explain_nothing(name):
    with pytest.raises(srd.MethodError, match=f"{name} does not look at the model"):
        attacker(NET, name)


def test_maps_with_channels_are_refused():
    with pytest.raises(srd.MethodError, match="one number a pixel is needed"):
        attacker(NET, "saliency", options={"reduce": None}).explain(IMAGES, CLASSES)
