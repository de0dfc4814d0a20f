"""Randomised networks: which layers change, and what a method that looks at them makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from srd_jax import metrics
from srd_jax.attribution import METHODS

KEYS = jax.random.split(jax.random.key(0), 4)
VARIABLES = {
    "first": {"kernel": jax.random.normal(KEYS[0], (3, 40)), "bias": jax.random.normal(KEYS[1], (40,)), "count": 3},
    "second": {"kernel": jax.random.normal(KEYS[2], (40, 6))},
}
IMAGES = jax.random.normal(KEYS[3], (3, 9, 8, 3))
TARGETS = jnp.array([0, 4, 2])


def network(v, x):
    return jax.nn.relu(x @ v["first"]["kernel"] + v["first"]["bias"]).max((1, 2)) @ v["second"]["kernel"]


def changed(a, b):
    return [name for name in a if not np.array_equal(a[name]["kernel"], b[name]["kernel"])]


def test_layers_are_permuted_from_the_last_to_the_first():
    cascade = list(metrics.randomised(KEYS[0], VARIABLES))
    assert [name for name, _ in cascade] == ["second", "first"]
    assert [changed(VARIABLES, v) for _, v in cascade] == [["second"], ["first", "second"]]
    alone = list(metrics.randomised(KEYS[0], VARIABLES, order="independent"))
    assert [changed(VARIABLES, v) for _, v in alone] == [["second"], ["first"]]
    last = cascade[-1][1]["first"]
    assert last["count"] == 3
    np.testing.assert_array_equal(jnp.sort(last["bias"]), jnp.sort(VARIABLES["first"]["bias"]))
    (named,) = metrics.randomised(KEYS[0], VARIABLES, layers=["first/kernel"])
    np.testing.assert_array_equal(named[1]["first"]["bias"], VARIABLES["first"]["bias"])
    with pytest.raises(ValueError, match="no variables lie under 'third'"):
        list(metrics.randomised(KEYS[0], VARIABLES, layers=["third"]))
    with pytest.raises(ValueError, match="order must be"):
        list(metrics.randomised(KEYS[0], VARIABLES, order="up"))


def test_a_control_does_not_notice_and_a_gradient_does():
    def check(name):
        explain = METHODS[name](network)
        return metrics.parameter_randomisation(KEYS[1], explain, VARIABLES, IMAGES, TARGETS)

    control = check("edge")
    assert list(control) == ["second", "first"]
    np.testing.assert_allclose(list(control.values()), np.ones((2, 3)), rtol=1e-5)
    assert np.mean(check("saliency")["first"]) < 0.8


def test_another_class():
    for name, noticed in (("edge", False), ("saliency", True)):
        alike = metrics.random_logit(KEYS[2], METHODS[name](network), VARIABLES, IMAGES, TARGETS, classes=6)
        assert bool((alike < 0.999).any()) == noticed
    with pytest.raises(ValueError, match="two classes at least"):
        metrics.random_logit(KEYS[2], METHODS["edge"](network), VARIABLES, IMAGES, TARGETS, classes=1)
